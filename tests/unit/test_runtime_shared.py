# SPDX-License-Identifier: GPL-2.0-only
"""Shared memory of an application: what is kept, how the plug-in has CRIU leave it alone."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sku_build import layout, run
from tests.unit.runtime_parts import compiled

_PARTS = (
    *("buffer", "file", "held", "journal", "keeping", "luo", "pin", "problem", "shared"),
    *("shared_record", "tasks"),
)
_MIB = 1 << 20
_F_SEAL_FUTURE_WRITE = 0x10
_PR_SET_PTRACER = 0x59616D61
_PRELOADED = Path(__file__).with_name("preloaded.py")

Part = Callable[..., list[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shared")
    (directory / "state").mkdir()
    places = {"STATE_DIRECTORY": f"{directory}/state"}
    return compiled(Path(__file__).with_suffix(".c"), _PARTS, directory / "parts", places)


@pytest.fixture
def part(program: Path) -> Part:
    """Return a function that runs a part on arguments and returns the lines it prints."""

    def feed(*words: object) -> list[str]:
        argv = [str(program), *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return feed


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in, for this machine."""
    out = tmp_path_factory.mktemp("plugin")
    run.run(["make", "-s", "-C", layout.data_root() / "runtime", f"OUT={out}", "sku.so"])
    return out / "sku.so"


@contextlib.contextmanager
def _memfd(size: int, *, holes: int = 0, flags: int = os.MFD_ALLOW_SEALING) -> Iterator[int]:
    fd = os.memfd_create("data", flags)
    os.write(fd, b"x" * size)
    os.ftruncate(fd, size + holes)
    yield fd
    os.close(fd)


def _files(lines: list[str]) -> dict[int, str]:
    """Return what becomes of each file, by its number."""
    words = [line.split(maxsplit=4) for line in lines if line.startswith("file ")]
    return {int(word[1]): word[4] for word in words}


GOOD = """version 1
kept 5 16777216 8388608
map 43 281472829227008
map 44 281472829227008
fd 43 3
kept 7 4096 4096
copied 1048576 it has a seal
"""


def test_a_record_comes_back_as_it_was(part: Part, tmp_path: Path) -> None:
    file = tmp_path / "record"
    file.write_text(GOOD)
    assert part("record", file) == ["0", *GOOD.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kept 5 1 1\n",
        "version 2\n",
        "version 1\nversion 1\n",
        "version 1\nkept 0 1 1\n",
        "version 1\nkept -1 1 1\n",
        "version 1\nkept 4294967296 1 1\n",
        "version 1\nkept 5 1\n",
        "version 1\nkept 5 1 1\nkept 5 1 1\n",
        "version 1\nfd 43 3\n",
        "version 1\nkept 5 1 1\nfd 0 3\n",
        "version 1\nkept 5 1 1\nfd 4194304 3\n",
        "version 1\nkept 5 1 1\nfd 43 -3\n",
        "version 1\nkept 5 1 1\nmap 43\n",
        "version 1\nkept 5 1 1",
        "version 1\ncopied much\n",
        "version 1\n\n",
        "version 1\ncopied 5 " + "x" * 400 + "\n",
    ],
)
def test_a_record_that_is_not_one_is_refused(part: Part, tmp_path: Path, text: str) -> None:
    file = tmp_path / "record"
    file.write_text(text)
    assert int(part("record", file)[0]) < 0


def test_noise_is_no_record(part: Part, tmp_path: Path) -> None:
    rng = random.Random(1)
    file = tmp_path / "record"
    for _ in range(50):
        file.write_bytes(GOOD.encode() + rng.randbytes(rng.randrange(1, 200)))
        assert int(part("record", file)[0]) < 0


def test_a_memfd_is_kept_wherever_it_is_mapped_or_open(part: Part) -> None:
    with _memfd(2 * _MIB) as fd, mmap.mmap(fd, 2 * _MIB):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        lines = part("gather", os.getpid())
        inode = os.fstat(fd).st_ino
    assert f"file {inode} {2 * _MIB} {2 * _MIB} kept" in lines
    assert f"fd {fd} {inode}" in lines
    assert any(line.startswith("map ") and line.endswith(f" {inode}") for line in lines)


def test_what_cannot_be_kept_is_copied_and_it_is_said_why(part: Part) -> None:
    with (
        _memfd(_MIB // 2) as small,
        _memfd(2 * _MIB, holes=8 * _MIB) as sparse,
        _memfd(2 * _MIB) as sealed,
    ):
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        lines = part("gather", os.getpid())
        files = _files(lines)
        why = [files[os.fstat(fd).st_ino] for fd in (small, sparse, sealed)]
    assert [text.split()[-1] for text in why] == ["small", "filled", "with"]
    assert int(lines[-1].split()[2]) >= 4 * _MIB + _MIB // 2


def test_all_is_copied_where_nothing_can_keep_it(part: Part) -> None:
    with _memfd(2 * _MIB) as fd:
        inode = os.fstat(fd).st_ino
        lines = part("gather", os.getpid(), "no live update")
    assert _files(lines)[inode] == "no live update"
    assert lines[-1].startswith("sum 0 ")


def test_what_criu_could_not_make_again_is_kept_or_refused(part: Part) -> None:
    """Sealed against writing and mapped shared, however small."""
    with _memfd(4096) as fd:
        reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        with mmap.mmap(reading, 4096, mmap.MAP_SHARED, mmap.PROT_READ):
            inode = os.fstat(fd).st_ino
            assert _files(part("gather", os.getpid()))[inode].endswith("small")
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
            lines = part("gather", os.getpid())
            assert _files(lines)[inode] == "kept"
            assert not lines[-1].startswith("stuck")
            *_, stuck = part("gather", os.getpid(), "no live update")
            assert "F_SEAL_WRITE is mapped shared, and not kept: no live update" in stuck
        os.close(reading)


def test_a_kernel_without_live_update_is_said_to_be_one(part: Part) -> None:
    if Path("/dev/liveupdate").exists():
        pytest.skip("this machine has it")
    session, why = part("begin", 1)
    assert session == "-1"
    assert why.startswith("this kernel has no live update")


def test_who_has_a_device_open_is_found_without_opening_it(part: Part) -> None:
    assert part("opener", "/dev/full") == ["0"]
    with Path("/dev/full").open("rb"):
        assert part("opener", "/dev/full") == [str(os.getpid())]


def test_a_process_that_does_not_have_its_memory_is_noticed(part: Part, tmp_path: Path) -> None:
    record = tmp_path / "record"
    with _memfd(2 * _MIB) as fd, _memfd(2 * _MIB) as other, mmap.mmap(fd, 2 * _MIB):
        inode = os.fstat(fd).st_ino
        lines = part("gather", os.getpid())
        at = next(
            line.split()[1] for line in lines if line.startswith("map ") and str(inode) in line
        )
        uses = f"map {os.getpid()} {at}\nfd {os.getpid()} {fd}\n"
        record.write_text(f"version 1\nkept {inode} 1 1\n{uses}")
        assert part("check", record, os.getpid(), fd)[0] == "0"
        result, text = part("check", record, os.getpid(), other)
        assert int(result) < 0
        assert "does not have its shared memory at address" in text
        record.write_text(f"version 1\nkept {inode} 1 1\nfd {os.getpid()} {other}\n")
        assert int(part("check", record, os.getpid(), fd)[0]) < 0
        record.write_text(f"version 1\nkept {inode} 1 1\nfd {os.getpid()} 999\n")
        assert int(part("check", record, os.getpid(), fd)[0]) < 0


def test_what_is_held_can_be_written_to_a_file(part: Part) -> None:
    with _memfd(3) as fd:
        assert part("rescue", os.getpid(), fd) == ["xxx"]


def _preloaded(plugin: Path, table: Path, *words: object, keep: tuple[int, ...] = ()) -> list[str]:
    # Where a process may look only into its children: one that is asked for may look into us.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_long(-1), 0, 0, 0)
    environment = {**os.environ, "LD_PRELOAD": str(plugin), "SKU_MEMFDS": str(table)}
    argv = [sys.executable, str(_PRELOADED), *map(str, words)]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environment, pass_fds=keep, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_criu_finds_no_data_in_what_is_kept(plugin: Path, tmp_path: Path) -> None:
    table = tmp_path / "table"
    with _memfd(4096) as kept, _memfd(4096) as copied:
        about = os.fstat(kept)
        assert _preloaded(plugin, table, "dump", kept, keep=(kept,)) == ["0"]
        table.write_text(f"{about.st_dev} {about.st_ino} 0 0\n")
        (said,) = _preloaded(plugin, table, "dump", kept, keep=(kept,))
        assert said == "-1 No such device or address"
        assert _preloaded(plugin, table, "dump", copied, keep=(copied,)) == ["0"]


def test_criu_gets_the_memory_that_is_held_for_the_one_it_makes(
    plugin: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table"
    with _memfd(3) as fd:
        table.write_text(f"0 5 {os.getpid()} {fd}\n0 6 {os.getpid()} 999\n")
        there, content, again = _preloaded(plugin, table, "restore", 5)
        assert there == "-1 No such file or directory"  # as there is no image
        assert content == "xxx"
        # Nothing was made for a second one to be put in its place.
        assert again == "-1 Input/output error"
        # Another file is what CRIU makes of it.
        assert _preloaded(plugin, table, "restore", 55)[1] == ""
        # One that cannot be had must not pass for an empty one.
        assert _preloaded(plugin, table, "restore", 6)[0] == "-1 Input/output error"


def test_seals_that_are_there_already_may_be_set_again(plugin: Path, tmp_path: Path) -> None:
    grow, shrink = fcntl.F_SEAL_GROW, fcntl.F_SEAL_SHRINK
    with _memfd(3) as fd:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, grow | fcntl.F_SEAL_SEAL)
        assert _preloaded(plugin, tmp_path, "seal", fd, grow, keep=(fd,)) == ["0"]
        (said,) = _preloaded(plugin, tmp_path, "seal", fd, grow | shrink, keep=(fd,))
        assert said == "-1 Operation not permitted"
