# SPDX-License-Identifier: GPL-2.0-only
"""The series ``handover``: what one kernel hands over is there in the next one, or refused whole.

And ``pid_reserve``, whose record is handed over. Each jump is one of ``quick_kexec``.

The kernel's own test driver fills pages, and checks them after the jump; it is asked through the
lab's channel.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import GuestFailed, guest, kunit, qemu
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.lab.machines import virtual_machine

pytestmark = [pytest.mark.lab, pytest.mark.series("handover")]

_KHO = "/sys/kernel/debug/kho"
_SYSCTL = "/proc/sys/kernel"
_WARNING = 4
_PAGES = 3000
_HUGE_BLOCKS = 40
_HUGE_ORDER = 9  # 2 MiB

Start = Callable[[], contextlib.AbstractContextManager[Machine]]


@pytest.fixture
def start(handover_bundle: Path, qemu_virt: Board, tmp_path: Path) -> Start:
    """Return what starts a machine with the bundle, and powers it off in the end."""
    vm = virtual_machine(qemu_virt, handover_bundle, _cmdline(qemu_virt, "on"))

    @contextlib.contextmanager
    def started() -> Iterator[Machine]:
        with Machine(vm, tmp_path) as machine:
            with machine.phase(Phase.FIRST_KERNEL):
                machine.expect(guest.Init)
            yield machine
            with machine.phase(Phase.SHUTDOWN):
                machine.power_off()

    return started


# What else is handed over is switched off, so that what is there can be counted.
_ALONE = ("cpu_park=off", "kept_initramfs=off")


def _cmdline(board: Board, kho: str) -> str:
    words = [word for word in board.cmdline.split() if not word.startswith("kho=")]
    return " ".join((*words, f"kho={kho}", *_ALONE, "sku.lab=poweroff"))


def _update(machine: Machine, board: Board, *, kho: str = "on") -> guest.Init:
    """Go from the running kernel into the same one again, and return what that reports."""
    with machine.phase(Phase.LOAD):
        machine.tell(f"load Image initramfs.cpio {_cmdline(board, kho)}")
        machine.expect(guest.Loaded)
    machine.jump()
    with machine.phase(Phase.SECOND_KERNEL):
        return machine.expect(guest.Init)


def _keep(machine: Machine, blocks: int, order: int) -> None:
    """Have every second one of twice as many blocks preserved, so that they lie scattered."""
    with machine.phase(Phase.LOAD):
        machine.put(f"{_KHO}/test/keep", f"{blocks} 2 {order}")


def _read(machine: Machine, name: str) -> str:
    with machine.phase(Phase.SECOND_KERNEL):
        return machine.get(f"{_KHO}/{name}").strip()


def _numbers(text: str) -> dict[str, int]:
    """Return the words of a text that are followed by a number."""
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", text)}


def _assert_intact(machine: Machine, blocks: int, order: int) -> None:
    """See that every block came over, and that the driver got each exactly once.

    The driver also tries before all pages have a struct page, and must get none then.
    """
    assert _read(machine, "in/status") == "accepted"
    verdict = _read(machine, "test/verify")
    assert verdict.startswith("ok "), verdict
    told = _numbers(verdict)
    assert (told["blocks"], told["order"]) == (blocks, order)
    assert (told["lost"], told["wrong"], told["twice"]) == (0, 0, 0)
    assert _numbers(_read(machine, "in/preserved"))["restored"] >= blocks << order


def _log(machine: Machine) -> list[guest.Line]:
    with machine.phase(Phase.SECOND_KERNEL):
        return machine.kernel_log()


def _warnings(lines: list[guest.Line], board: Board) -> list[str]:
    """Return the kernel's lines of level 4 or worse that the board does not expect."""
    expected = [re.compile(text) for text in qemu.qemu_part(board).expected_warnings]
    return [
        line.text
        for line in lines
        if line.level <= _WARNING
        and line.facility == 0
        and not any(pattern.search(line.text) for pattern in expected)
    ]


def test_preserved_memory_survives_and_the_next_kernel_hands_over_again(
    start: Start, qemu_virt: Board
) -> None:
    """Scattered pages go from the first to the second kernel, huge blocks on to the third."""
    with start() as machine:
        assert _read(machine, "in/status") == "none"
        _keep(machine, _PAGES, 0)
        _update(machine, qemu_virt)
        _assert_intact(machine, _PAGES, 0)
        assert _warnings(_log(machine), qemu_virt) == []
        _keep(machine, _HUGE_BLOCKS, _HUGE_ORDER)
        _update(machine, qemu_virt)
        _assert_intact(machine, _HUGE_BLOCKS, _HUGE_ORDER)
        assert _warnings(_log(machine), qemu_virt) == []


@pytest.mark.parametrize("damage", ["version", "cycle", "record"])
def test_a_damaged_handover_is_refused_in_one_line_and_the_machine_boots(
    start: Start, qemu_virt: Board, damage: str
) -> None:
    with start() as machine:
        _keep(machine, _PAGES, 0)
        with machine.phase(Phase.LOAD):
            machine.put(f"{_KHO}/test/corrupt", damage)
        _update(machine, qemu_virt)
        assert _read(machine, "in/status").startswith("refused: ")
        assert _read(machine, "test/verify") == "none"
        (said,) = _warnings(_log(machine), qemu_virt)
        assert said.startswith("kho: handover refused: ")


def test_after_a_refused_handover_the_next_one_works(start: Start, qemu_virt: Board) -> None:
    with start() as machine:
        _keep(machine, _PAGES, 0)
        with machine.phase(Phase.LOAD):
            machine.put(f"{_KHO}/test/corrupt", "magic")
        _update(machine, qemu_virt)
        assert _read(machine, "in/status").startswith("refused: ")
        _keep(machine, _PAGES, 0)
        _update(machine, qemu_virt)
        _assert_intact(machine, _PAGES, 0)


def test_a_kernel_that_does_not_take_part_boots_and_has_all_memory(
    start: Start, qemu_virt: Board
) -> None:
    with start() as machine:
        _keep(machine, _HUGE_BLOCKS, _HUGE_ORDER)
        init = _update(machine, qemu_virt, kho="off")
        (said,) = _warnings(_log(machine), qemu_virt)
        assert said.startswith("kho: handover refused: kho=on is not given")
        with pytest.raises(GuestFailed, match="cannot open .*/in/status: No such file"):
            _read(machine, "in/status")
        plain = _update(machine, qemu_virt, kho="off")
        assert init.memory_kib == plain.memory_kib


def test_the_kernels_own_unit_tests_of_the_handover_pass(start: Start) -> None:
    with start() as machine:
        lines = [line.text.strip() for line in _log(machine)]
    results = [line for line in lines if re.match(r"(not )?ok \d+ ", line)]
    assert results
    assert [line for line in results if not line.startswith("ok ") or "SKIP" in line] == []
    suites = re.findall(r"^ok \d+ (\w+)$", "\n".join(results), re.MULTILINE)
    series = (
        *("handover", "pid_reserve", "pin_mem", "cpu_park"),
        *("quick_kexec", "kept_initramfs"),
    )
    assert {kunit.SUITES[name][0] for name in series} <= set(suites)


def test_the_next_kernel_gives_reserved_pids_to_nobody(start: Start, qemu_virt: Board) -> None:
    """The numbers lie where the first kernel has its own threads, and beyond the largest pid."""
    taken = [nr for nr in range(3, 60) if nr not in (5, 6)]
    wanted = "3-4,7-59,900,4194303"
    with start() as machine:
        assert _missing(machine, taken) != taken
        with machine.phase(Phase.LOAD):
            machine.put(f"{_SYSCTL}/pid_reserve_next", wanted)
        _update(machine, qemu_virt)
        with machine.phase(Phase.SECOND_KERNEL):
            assert machine.get(f"{_SYSCTL}/pid_reserved").strip() == wanted
            assert machine.get(f"{_SYSCTL}/pid_max").strip() == "4194304"
            assert machine.get(f"{_SYSCTL}/pid_reserve_next").strip() == ""
        # The records of the numbers, of what the jump has copied, and of how CPUs were stopped.
        assert _numbers(_read(machine, "in/preserved"))["restored"] == 3
        assert _warnings(_log(machine), qemu_virt) == []
        assert _missing(machine, taken) == taken
        assert _missing(machine, [5, 6]) == []
        with machine.phase(Phase.SECOND_KERNEL):
            machine.put(f"{_SYSCTL}/pid_reserved", "900")
            assert machine.get(f"{_SYSCTL}/pid_reserved").strip() == "900"
        _update(machine, qemu_virt)
        with machine.phase(Phase.SECOND_KERNEL):
            assert machine.get(f"{_SYSCTL}/pid_reserved").strip() == ""


@pytest.mark.parametrize("numbers", ["0", "2-5", "5-3", "4194304", "1,2,x"])
def test_pids_that_cannot_be_reserved_are_refused(start: Start, numbers: str) -> None:
    with start() as machine, machine.phase(Phase.LOAD):
        with pytest.raises(GuestFailed, match="Invalid argument"):
            machine.put(f"{_SYSCTL}/pid_reserve_next", numbers)
        assert machine.get(f"{_SYSCTL}/pid_reserve_next").strip() == ""


def _missing(machine: Machine, pids: list[int]) -> list[int]:
    """Return those of ``pids`` that no task has."""
    found = []
    with machine.phase(Phase.SECOND_KERNEL):
        for pid in pids:
            try:
                machine.get(f"/proc/{pid}/stat")
            except GuestFailed:
                found.append(pid)
    return found
