# SPDX-License-Identifier: GPL-2.0-only
"""What a unit of systemd takes along into the next kernel, on any machine, under sanitizers."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.runtime_parts import compiled

_PARTS = (
    *("buffer", "child", "file", "journal", "problem", "runfiles", "tasks", "undumpable", "unit"),
)
_RECORD = "version 1\nname mariadb.service\nmain 43\npriority 30\nidentifier mariadbd\n"

Part = Callable[..., list[str]]


class Place:
    """Where a test's ``/run``, journal and programs are."""

    def __init__(self, directory: Path) -> None:
        self.run = directory / "run"
        self.journal = directory / "journal"
        self.bin = directory / "bin"
        for path in (self.run, self.journal, self.bin):
            path.mkdir()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("unit"))


@pytest.fixture(scope="module")
def part(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Return a function that runs a part on an argument and returns the lines it prints."""
    places = {
        "RUN": f"{place.run}/",
        "JOURNAL_DIRECTORY": str(place.journal),
        "CHILD_PATH": f"{place.bin}:/usr/bin:/bin",
    }
    made = tmp_path_factory.mktemp("program") / "parts"
    compiled(Path(__file__).with_suffix(".c"), _PARTS, made, places)

    def feed(name: str, argument: object, **environment: str) -> list[str]:
        argv, env = [str(made), name, str(argument)], os.environ | environment
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return feed


def test_the_record_of_a_unit_comes_back_as_it_was(part: Part, tmp_path: Path) -> None:
    (tmp_path / "unit").write_text(_RECORD)
    assert part("unit", tmp_path / "unit") == ["0", *_RECORD.splitlines()]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("version 1", "version 2"),
        ("mariadb.service", "../../etc/passwd"),
        ("mariadb.service", "a/b.service"),
        ("mariadb.service", "a b.service"),
        ("mariadb.service", ".service"),
        ("mariadb.service", "mariadb.socket"),
        ("mariadb.service", "x" * 300 + ".service"),
        ("main 43", "main 0"),
        ("main 43", "main -1"),
        ("priority 30", "priority 192"),
        ("identifier mariadbd", "identifier a\tb"),
        ("identifier mariadbd\n", ""),
        ("identifier mariadbd", "identifier " + "x" * 5000),
    ],
)
def test_a_record_that_is_not_one_is_refused(
    part: Part, tmp_path: Path, right: str, wrong: str
) -> None:
    (tmp_path / "unit").write_text(_RECORD.replace(right, wrong))
    said = part("unit", tmp_path / "unit")
    # A text that is too long for its place is cut there: what is left is not a record's.
    assert int(said[0]) < 0 or len(said[-1]) < 100


def _systemctl(place: Place, text: str, status: int = 0) -> None:
    (place.bin / "systemctl").write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {status}\n")
    (place.bin / "systemctl").chmod(0o755)


def test_systemd_is_asked_for_a_unit_by_its_short_name(part: Part, place: Place) -> None:
    _systemctl(
        place,
        "Type=notify\nMainPID=43\nControlGroup=/system.slice/a.service\nSyslogIdentifier=ad\n"
        "SyslogPriority=30\nRuntimeDirectory=a b\nId=a.service\nActiveState=active",
    )
    assert part("ask", "a") == [
        "0",
        "a.service",
        "43",
        "ad",
        "30",
        "/system.slice/a.service",
        "a b",
    ]


def test_what_is_no_unit_or_has_no_systemd_is_told(part: Part, place: Place) -> None:
    assert "cannot take '../a'" in part("ask", "../a")[1]
    assert "cannot take 'a.socket'" in part("ask", "a.socket")[1]
    _systemctl(place, "System has not been booted with systemd", status=1)
    assert "cannot ask for a.service: System has not been booted" in part("ask", "a")[1]
    _systemctl(place, "Nonsense")
    assert "cannot understand what systemctl says" in part("ask", "a")[1]


def test_what_an_application_has_in_run_is_made_again(
    part: Part, place: Place, tmp_path: Path
) -> None:
    """Its socket's directory with what is in there, not what is the system's."""
    for name in ("mysqld/deep", "more", "systemd", "other"):
        (place.run / name).mkdir(parents=True)
    (place.run / "mysqld").chmod(0o750)
    (place.run / "mysqld/deep/pid").write_bytes(b"43\n\nf 644 0 0 0 /etc/passwd\n")
    (place.run / "mysqld/empty").touch(mode=0o600)
    (place.run / "systemd/notify").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place.run / "mysqld/socket"))
        listening.listen()
        record = part("keep", os.getpid())
    assert record[0] == "0"
    (tmp_path / "record").write_text("\n".join(record[1:]) + "\n")
    shutil.rmtree(place.run)
    place.run.mkdir()
    assert part("make", tmp_path / "record") == ["0"]
    made = {str(path.relative_to(place.run)) for path in place.run.rglob("*")}
    assert made == {"mysqld", "mysqld/deep", "mysqld/deep/pid", "mysqld/empty", "more"}
    assert (place.run / "mysqld/deep/pid").read_bytes().startswith(b"43\n\nf 644")
    assert (place.run / "mysqld").stat().st_mode & 0o7777 == 0o750
    assert (place.run / "mysqld/empty").stat().st_mode & 0o7777 == 0o600


def test_a_record_of_files_stays_in_run_and_in_its_bounds(
    part: Part, place: Place, tmp_path: Path
) -> None:
    inside, outside = place.run, tmp_path / "outside"
    for line in (
        f"f 644 0 0 0 {outside}",
        f"f 644 0 0 0 {inside}/../outside",
        f"d 755 0 0 0 {inside}/x/..",
        f"f 644 0 0 9 {inside}/short",
        f"f 644 0 0 4294967295 {inside}/large",
        f"d 755 0 0 9 {inside}/directory",
        f"f 10644 0 0 0 {inside}/mode",
        f"s 644 0 0 0 {inside}/kind",
        f"f 644 0 0 0 {inside}/",
        "f 644 0 0 0 " + str(inside) + "/x" * 5000,
        "nonsense",
    ):
        (tmp_path / "record").write_text(f"{line}\n")
        assert int(part("make", tmp_path / "record")[0]) < 0, line
    assert not outside.exists()
    rng = random.Random(1)
    for _ in range(50):
        (tmp_path / "record").write_bytes(rng.randbytes(rng.randrange(1, 200)))
        assert int(part("make", tmp_path / "record")[0]) < 0


def test_io_uring_is_named_with_what_to_set(part: Part) -> None:
    assert "innodb_linux_aio=aio" in part("file", "anon_inode:[io_uring]")[0]
    assert part("file", "anon_inode:[eventpoll]") == [""]
    assert part("file", "/dev/null") == [""]


_RESERVES = """
import mmap, sys
m = mmap.mmap(-1, 1 << 45, flags=mmap.MAP_PRIVATE | 0x4000, prot=0)  # MAP_NORESERVE
print(1, flush=True)
sys.stdin.read()
"""


def test_addresses_that_criu_cannot_look_at_are_refused(part: Part) -> None:
    assert part("areas", os.getpid())[0] == "0"
    with subprocess.Popen(
        [sys.executable, "-c", _RESERVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"1"
        said = part("areas", process.pid)
        process.communicate(b"")
    assert int(said[0]) < 0
    assert f"process {process.pid}: it has reserved 32768 GiB of addresses" in said[1]


def test_what_is_said_is_in_the_journal_with_fields(part: Part, place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(place.journal / "socket"))
        part("journal", "two\nlines")
        first = journal.recv(4096).decode().splitlines()
        second = journal.recv(4096).decode().splitlines()
        journal.setblocking(False)
        with pytest.raises(BlockingIOError):
            journal.recv(1)
    assert first == [
        *("MESSAGE=two lines", "PRIORITY=5", "SYSLOG_IDENTIFIER=skuctl"),
        *("SKU_PHASE=dump", "SKU_UNIT=a.service"),
    ]
    assert second == [
        *("MESSAGE=it is broken; what to do: do that", "PRIORITY=3"),
        *("SYSLOG_IDENTIFIER=skuctl", "SKU_UNIT=a.service"),
    ]
