# SPDX-License-Identifier: GPL-2.0-only
"""The series ``quick_kexec``: the jump copies nothing, or the kernel says what and why.

Both kernels are asked: the one that loads says what its jump will copy, and the next one what the
jump into it has copied.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import GuestFailed, guest, qemu
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.lab.machines import virtual_machine

pytestmark = [pytest.mark.lab, pytest.mark.series("quick_kexec")]

_NEXT = "/sys/kernel/kexec_in_place"
_LAST = "/sys/kernel/kexec_in_place_last"
_MIB = 1 << 20
_SCRATCH_MIB = 128
_PAGE = 4096
_IMAGE_SIZE = slice(16, 24)  # in the header of an arm64 Image

Start = Callable[..., contextlib.AbstractContextManager[Machine]]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a jump copies of the ``total`` bytes of an image."""

    way: str
    copied: int
    total: int
    reason: str


@pytest.fixture
def share(first_bundle: Path, tmp_path: Path) -> Path:
    """Return the directory the guest loads from: with an Image that claims to be too small.

    By so little that it is given as much memory as one that does not, before it is refused.
    """
    where = tmp_path / "share"
    where.mkdir()
    for name in ("Image", "initramfs.cpio"):
        shutil.copyfile(first_bundle / name, where / name)
    broken = bytearray((where / "Image").read_bytes())
    broken[_IMAGE_SIZE] = (len(broken) - 2 * _PAGE).to_bytes(8, "little")
    (where / "broken").write_bytes(broken)
    return where


@pytest.fixture
def start(share: Path, qemu_virt: Board, tmp_path: Path) -> Start:
    """Return what starts a machine, with more words on its command line, and powers it off."""

    @contextlib.contextmanager
    def started(*words: str) -> Iterator[Machine]:
        vm = virtual_machine(qemu_virt, share, _cmdline(qemu_virt, *words))
        with Machine(vm, tmp_path / "run") as machine:
            with machine.phase(Phase.FIRST_KERNEL):
                machine.expect(guest.Init)
            yield machine
            with machine.phase(Phase.SHUTDOWN):
                machine.power_off()

    (tmp_path / "run").mkdir()
    return started


def _cmdline(board: Board, *words: str) -> str:
    return " ".join((board.cmdline, *words, "sku.lab=poweroff"))


def _load(machine: Machine, board: Board, image: str = "Image") -> None:
    with machine.phase(Phase.LOAD):
        machine.tell(f"load {image} initramfs.cpio {_cmdline(board)}")
        machine.expect(guest.Load)
        machine.expect(guest.Loaded)


def _jump(machine: Machine) -> None:
    machine.jump()
    with machine.phase(Phase.SECOND_KERNEL):
        machine.expect(guest.Init)


def _unload(machine: Machine) -> None:
    with machine.phase(Phase.LOAD):
        machine.tell("unload")
        machine.expect(guest.Unloaded)


def _cost(machine: Machine, path: str) -> Cost | None:
    """Return what a file says, None if it says that there is nothing to say."""
    with machine.phase(Phase.LOAD):
        line = machine.get(path).removesuffix("\n")
    if line == "none":
        return None
    way, copied, total, *reason = line.split(" ", 3)
    return Cost(way, int(copied), int(total), "".join(reason))


def _complaints(machine: Machine, board: Board) -> list[str]:
    """Return the kernel's lines of level 4 or worse that the board does not expect."""
    expected = [re.compile(text) for text in qemu.qemu_part(board).expected_warnings]
    with machine.phase(Phase.SECOND_KERNEL):
        lines = machine.kernel_log()
    return [
        line.text
        for line in lines
        if line.level <= 4 and not any(pattern.search(line.text) for pattern in expected)
    ]


def test_the_jump_copies_nothing_and_both_kernels_say_so(
    start: Start, share: Path, qemu_virt: Board
) -> None:
    """The second kernel lies in scratch itself, and loads the third beside it."""
    with start() as machine:
        assert _cost(machine, _NEXT) is _cost(machine, _LAST) is None
        for _ in range(2):
            _load(machine, qemu_virt)
            told = _cost(machine, _NEXT)
            assert told is not None
            assert (told.way, told.copied, told.reason) == ("in-place", 0, "")
            assert told.total > (share / "Image").stat().st_size
            _jump(machine)
            assert _cost(machine, _LAST) == told
            assert _cost(machine, _NEXT) is None
            assert _complaints(machine, qemu_virt) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [("kexec_in_place=off", "kexec_in_place=off"), ("kho_scratch=8M,12M,0", "no room in scratch")],
)
def test_an_image_that_is_not_in_place_is_copied_and_the_reason_told(
    start: Start, qemu_virt: Board, words: str, reason: str
) -> None:
    with start(words) as machine:
        _load(machine, qemu_virt)
        told = _cost(machine, _NEXT)
        assert told is not None
        assert (told.way, told.copied, told.reason) == ("relocated", told.total, reason)
        if "scratch" in words:  # too little for the next kernel to boot in
            return
        _jump(machine)
        assert _cost(machine, _LAST) == dataclasses.replace(told, reason="")
        assert _complaints(machine, qemu_virt) == []


def test_neither_unloading_nor_failing_to_load_keeps_memory(start: Start, qemu_virt: Board) -> None:
    """Each is done so often that scratch would not suffice if any of them kept its part of it.

    An image is loaded all the time, so that the one place it leaves cannot hide what is lost.
    """
    with start(f"kho_scratch=0,{_SCRATCH_MIB}M,0") as machine:
        _load(machine, qemu_virt)
        loaded = _cost(machine, _NEXT)
        assert loaded is not None
        times = _SCRATCH_MIB * _MIB // loaded.total + 1
        for _ in range(times):
            with pytest.raises(GuestFailed, match="kexec_file_load"):
                _load(machine, qemu_virt, "broken")
            assert _cost(machine, _NEXT) == loaded
        for _ in range(times):
            _load(machine, qemu_virt)
            assert _cost(machine, _NEXT) == loaded
        for _ in range(times):
            _unload(machine)
            assert _cost(machine, _NEXT) is None
            _load(machine, qemu_virt)
        _load(machine, qemu_virt)
        assert _cost(machine, _NEXT) == loaded
        _jump(machine)
        assert _cost(machine, _LAST) == loaded
