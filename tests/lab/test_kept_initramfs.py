# SPDX-License-Identifier: GPL-2.0-only
"""The series ``kept_initramfs``: the root made of kept files is the one that unpacking makes.

A lister is ``/bin/sh`` of an initramfs with all kinds of entries; each kernel is asked for what it
has, with ``rootfstype=ramfs``, since files are not kept for a tmpfs.
"""

from __future__ import annotations

import random
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build import run
from sku_build.board import Board
from sku_build.lab import guest
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.lab.machines import virtual_machine
from tests.lab.newc import Entry, pack

pytestmark = [pytest.mark.lab, pytest.mark.series("kept_initramfs")]

_KEPT = "/sys/kernel/kept_initramfs"
_DAMAGE = "/sys/kernel/debug/kept_initramfs_damage"
_PRESERVED = "/sys/kernel/debug/kho/out/preserved"
_LARGE = random.Random(4).randbytes(1024 * 1024 + 17)

_DIR, _FILE, _LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK

ENTRIES = (
    Entry("bin", _DIR | 0o755),
    Entry("t", _DIR | 0o750, owner=(5, 6), mtime=1_234_567_890),
    Entry("t/small", _FILE | 0o640, b"small", owner=(1, 2), mtime=77),
    Entry("t/empty", _FILE | 0o600),
    Entry("t/page", _FILE | 0o644, b"p" * 4096),
    Entry("t/large", _FILE | 0o644, _LARGE),
    Entry("t/suid", _FILE | 0o4755, b"s" * 5000, owner=(0, 8)),
    Entry("t/link", _LINK | 0o777, b"small", owner=(3, 4)),
    Entry("t/null", stat.S_IFCHR | 0o666, rdev=(1, 3)),
    Entry("t/disk", stat.S_IFBLK | 0o660, owner=(0, 6), rdev=(259, 70000)),
    Entry("t/fifo", stat.S_IFIFO | 0o620),
    Entry("t/one", _FILE | 0o644, inode=9, nlink=3),
    Entry("t/two", _FILE | 0o644, inode=9, nlink=3),
    Entry("t/three", _FILE | 0o644, b"one, two and three", inode=9, nlink=3),
    Entry("t/deep", _DIR | 0o700),
    Entry("t/deep/er", _DIR | 0o1777),
    Entry("t/deep/er/file", _FILE | 0o444, b"deep"),
    Entry("t/again", _FILE | 0o644, b"replaced" * 1000),
    Entry("t/again", _FILE | 0o644, b"by this"),
)
# The kernel unpacks nothing into a directory that is not there, and goes on.
_SKIPPED = Entry("missing/file", _FILE | 0o644, b"lost" * 3000)


@pytest.fixture(scope="module")
def share(handover_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the kernel, and its initramfs with the entries behind it."""
    made = tmp_path_factory.mktemp("kept")
    source = Path(__file__).with_name("list_tree.c")
    run.run(["aarch64-linux-gnu-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", made / "ls", source])
    lister = Entry("bin/sh", _FILE | 0o755, (made / "ls").read_bytes())
    shutil.copyfile(handover_bundle / "Image", made / "Image")
    archive = (handover_bundle / "initramfs.cpio").read_bytes()
    split = len(ENTRIES) // 2
    more = pack((*ENTRIES[:split], _SKIPPED, *ENTRIES[split:], lister))
    (made / "initramfs.cpio").write_bytes(archive + more)
    return made


@pytest.fixture
def machine(share: Path, qemu_virt: Board, tmp_path: Path) -> Iterator[Machine]:
    vm = virtual_machine(qemu_virt, share, _cmdline(qemu_virt))
    with Machine(vm, tmp_path) as running:
        with running.phase(Phase.FIRST_KERNEL):
            running.expect(guest.Init)
        yield running
        with running.phase(Phase.SHUTDOWN):
            running.power_off()


def _cmdline(board: Board, *words: str) -> str:
    return " ".join((board.cmdline, "sku.lab=poweroff", *(words or ("rootfstype=ramfs",))))


def _load(machine: Machine, cmdline: str) -> str:
    """Load the kernel again, and return what is kept for it."""
    with machine.phase(Phase.LOAD):
        machine.tell(f"load Image initramfs.cpio {cmdline}")
        machine.expect(guest.Loaded)
    return _read(machine, f"{_KEPT}/next")


def _jump(machine: Machine) -> None:
    machine.jump()
    with machine.phase(Phase.SECOND_KERNEL):
        machine.expect(guest.Init)


def _read(machine: Machine, path: str) -> str:
    with machine.phase(Phase.CHECK):
        return machine.get(path).strip()


def _tree(machine: Machine) -> list[str]:
    with machine.phase(Phase.CHECK):
        return sorted(machine.run("ls").output.splitlines())


def _notes(machine: Machine) -> list[str]:
    """Return what the kernel said of kept files."""
    with machine.phase(Phase.CHECK):
        lines = machine.kernel_log()
    return [line.text for line in lines if line.text.startswith("kept_initramfs: ")]


def _preserved(machine: Machine) -> int:
    (pages,) = re.findall(r"^pages (\d+)$", _read(machine, _PRESERVED), re.MULTILINE)
    return int(pages)


def _digest(data: bytes) -> int:
    """FNV-1a, 64 bits, as the lister has it."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _expected() -> set[str]:
    """Return the lines for the entries: the last of a name counts, hard links have one content."""
    shared = {entry.inode: entry.data for entry in ENTRIES if entry.inode and entry.data}
    lines = {}
    for entry in ENTRIES:
        data = shared.get(entry.inode, entry.data)
        held = stat.S_ISREG(entry.mode) or stat.S_ISLNK(entry.mode)
        lines[entry.name] = (
            f"/{entry.name} {entry.mode:o} {entry.owner[0]}:{entry.owner[1]}"
            f" {0 if stat.S_ISDIR(entry.mode) else entry.nlink} {entry.rdev[0]}:{entry.rdev[1]}"
            f" {len(data)} {entry.mtime} {_digest(data) if held else 0:016x}"
        )
    return set(lines.values())


def test_kept_files_are_the_same_root_as_an_unpacked_archive(
    machine: Machine, qemu_virt: Board
) -> None:
    """Unpacked, kept, kept again, and unpacked because nothing was kept or could be used."""
    assert _read(machine, f"{_KEPT}/came") == "nothing came"
    unpacked = _tree(machine)
    assert _expected() <= set(unpacked)

    for _ in range(2):
        assert re.fullmatch(r"kept: \d+ files, \d+ pages", _load(machine, _cmdline(qemu_virt)))
        _jump(machine)
        assert _read(machine, f"{_KEPT}/came") == "kept"
        assert int(_read(machine, f"{_KEPT}/pages")) > len(_LARGE) // 4096
        assert int(_read(machine, f"{_KEPT}/ns")) > 0
        assert len(_notes(machine)) == 1
        assert _tree(machine) == unpacked

    assert _load(machine, _cmdline(qemu_virt, "rootfstype=tmpfs")).startswith("kept: ")
    _jump(machine)
    assert _read(machine, f"{_KEPT}/came").startswith("the root is no ramfs")
    assert _tree(machine) == unpacked


@pytest.mark.patched("handover")
def test_pages_that_nobody_wanted_are_given_back(machine: Machine, qemu_virt: Board) -> None:
    """The one that remains is not of this series."""
    assert _load(machine, _cmdline(qemu_virt, "rootfstype=tmpfs")).startswith("kept: ")
    _jump(machine)
    assert "unclaimed 1\n" in _read(machine, "/sys/kernel/debug/kho/in/preserved") + "\n"


def test_a_damaged_record_is_refused_in_one_line_and_the_archive_unpacked(
    machine: Machine, qemu_virt: Board
) -> None:
    unpacked = _tree(machine)
    assert _load(machine, _cmdline(qemu_virt)).startswith("kept: ")
    with machine.phase(Phase.LOAD):
        machine.put(_DAMAGE, "now")
    _jump(machine)
    (said,) = _notes(machine)
    assert said == "kept_initramfs: record ignored: wrong checksum; unpacking the archive"
    assert _read(machine, f"{_KEPT}/came") == "wrong checksum"
    assert _tree(machine) == unpacked


@pytest.mark.patched("handover")
def test_what_is_kept_goes_with_the_image_it_was_kept_for(
    machine: Machine, qemu_virt: Board
) -> None:
    before = _preserved(machine)
    assert _load(machine, _cmdline(qemu_virt)).startswith("kept: ")
    held = _preserved(machine)
    assert held > before + len(_LARGE) // 4096
    assert _load(machine, _cmdline(qemu_virt)).startswith("kept: ")
    assert _preserved(machine) == held
    off = _cmdline(qemu_virt, "kept_initramfs=off", "rootfstype=ramfs")
    assert _load(machine, off) == "not kept: kept_initramfs=off for it"
    assert _preserved(machine) == before
    _jump(machine)
    assert _read(machine, f"{_KEPT}/came") == "nothing came"
    assert _load(machine, _cmdline(qemu_virt)).startswith("kept: ")
