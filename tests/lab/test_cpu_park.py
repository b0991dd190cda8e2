# SPDX-License-Identifier: GPL-2.0-only
"""The series ``cpu_park``: CPUs wait in a pen for the next kernel, and none is ever lost.

The kernel itself says in ``/sys/kernel/cpu_park`` how its CPUs came up; it is asked through the
lab's channel.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import guest, qemu
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.lab.machines import virtual_machine

pytestmark = [pytest.mark.lab, pytest.mark.series("cpu_park")]

_REPORT = "/sys/kernel/cpu_park"
_DAMAGE = "/sys/kernel/debug/cpu_park_damage"
# arch/arm64/kernel/cpu_park/abi.h: the mark, and the version that this kernel reads
_MARK = struct.pack("<16sQ", b"cpu_park's mark'", 1)
_WARNING = 4
_CPUS = 4
# Longer than a busy machine takes from the jump to its second CPU.
_GIVE_UP_S = 6


class Guest:
    """A guest of four CPUs whose kernel is replaced, perhaps several times."""

    def __init__(self, machine: Machine, board: Board) -> None:
        self.machine = machine
        self._expected = [re.compile(text) for text in qemu.qemu_part(board).expected_warnings]
        self._board = board

    def started(self) -> guest.Init:
        """Wait for the first kernel."""
        with self.machine.phase(Phase.FIRST_KERNEL):
            return self.machine.expect(guest.Init)

    def jump(self, words: str = "") -> guest.Init:
        """Go into the kernel that is shared with the guest; return what that reports."""
        with self.machine.phase(Phase.LOAD):
            self.machine.tell(f"load Image initramfs.cpio {cmdline(self._board, words)}")
            self.machine.expect(guest.Loaded)
        self.machine.jump()
        with self.machine.phase(Phase.SECOND_KERNEL):
            return self.machine.expect(guest.Init)

    def put(self, path: str, text: str) -> None:
        """Write to a file of the guest."""
        with self.machine.phase(Phase.LOAD):
            self.machine.put(path, text)

    def get(self, path: str) -> str:
        """Read a file of the guest."""
        with self.machine.phase(Phase.SECOND_KERNEL):
            return self.machine.get(path).strip()

    def told(self, name: str) -> str:
        """Return what the kernel says of itself."""
        return self.get(f"{_REPORT}/{name}")

    def counts(self, *names: str) -> tuple[int, ...]:
        """Return numbers that the kernel says of itself."""
        return tuple(int(self.told(name)) for name in names)

    def came_up(self) -> tuple[int, ...]:
        """Return how many CPUs came out of the pen, and how many by PSCI."""
        return self.counts("bringup_parked", "bringup_psci")

    def log(self) -> list[guest.Line]:
        """Return the kernel's log."""
        with self.machine.phase(Phase.SECOND_KERNEL):
            return self.machine.kernel_log()

    def warnings(self) -> list[str]:
        """Return the kernel's lines of level 4 or worse that the board does not expect."""
        return [
            line.text
            for line in self.log()
            if line.level <= _WARNING
            and line.facility == 0
            and not any(pattern.search(line.text) for pattern in self._expected)
        ]


Start = Callable[..., contextlib.AbstractContextManager[Guest]]


def cmdline(board: Board, words: str) -> str:
    """Return the command line of a kernel of these tests."""
    return " ".join(word for word in (board.cmdline, words, "sku.lab=poweroff") if word)


@pytest.fixture
def start(handover_bundle: Path, qemu_virt: Board, tmp_path: Path) -> Start:
    """Return what starts a guest with the kernel that has the test drivers."""
    part = qemu.qemu_part(qemu_virt)

    @contextlib.contextmanager
    def started(
        words: str = "", *, machine: str = "", share: Path = handover_bundle
    ) -> Iterator[Guest]:
        vm = virtual_machine(
            *(qemu_virt, handover_bundle, cmdline(qemu_virt, words)),
            machine=part.machine + machine,
            smp=_CPUS,
            memory_mib=1024,
            share=share,
        )
        with Machine(vm, tmp_path) as running:
            it = Guest(running, qemu_virt)
            it.started()
            yield it
            with running.phase(Phase.SHUTDOWN):
                running.power_off()

    return started


def unmarked(bundle: Path, directory: Path, mark: bytes) -> Path:
    """Return a copy of ``bundle`` whose Image has ``mark`` in place of that of cpu_park."""
    image = (bundle / "Image").read_bytes()
    assert image.count(_MARK) == 1
    directory.mkdir()
    (directory / "Image").write_bytes(image.replace(_MARK, mark))
    shutil.copyfile(bundle / "initramfs.cpio", directory / "initramfs.cpio")
    return directory


@pytest.mark.parametrize(
    "mark", [bytes(24), _MARK[:16] + struct.pack("<Q", 2)], ids=["none", "another version"]
)
def test_no_cpu_is_parked_for_an_image_that_does_not_say_that_it_can(
    start: Start, handover_bundle: Path, tmp_path: Path, mark: bytes
) -> None:
    with start(share=unmarked(handover_bundle, tmp_path / "next", mark)) as it:
        assert it.jump().cpus_online == "0-3"
        assert (it.told("record"), it.came_up()) == ("accepted", (0, 3))
        assert it.counts("teardown_parked", "teardown_psci", "bringup_waited") == (0, 3, 0)
        assert it.warnings() == []


def test_all_cpus_are_parked_and_come_back_whichever_goes_on(start: Start) -> None:
    """Twice: the second time CPU 2 takes the jump, and is the next kernel's first."""
    with start() as it:
        assert (it.told("record"), it.told("pen"), it.came_up()) == ("none", "none", (0, 3))
        for _ in range(2):
            assert it.jump().cpus_online == "0-3"
            assert (it.told("record"), it.told("pen"), it.came_up()) == (
                "accepted",
                "freed",
                (3, 0),
            )
            assert it.counts("teardown_parked", "teardown_psci", "sent_off") == (3, 0, 0)
            assert min(it.counts("teardown_ns", "bringup_ns", "exit_ns")) > 0
            assert it.warnings() == []
            it.put("/sys/kernel/reboot/cpu", "2")


def test_cpus_that_the_next_kernel_does_not_want_are_sent_off(start: Start) -> None:
    with start() as it:
        it.put("/sys/devices/system/cpu/cpu1/online", "0")
        assert it.jump("nr_cpus=2").cpus_online == "0-1"
        # CPU 1 had no slot, and there is no room for the two that were parked.
        assert (it.told("pen"), it.came_up(), it.counts("sent_off")) == ("freed", (0, 1), (2,))
        assert it.jump("maxcpus=1").cpus_online == "0"
        assert (it.told("pen"), it.came_up(), it.counts("sent_off")) == ("freed", (0, 0), (1,))
        for cpu in (1, 2, 3):
            it.put(f"/sys/devices/system/cpu/cpu{cpu}/online", "1")
        assert it.get("/sys/devices/system/cpu/online") == "0-3"
        assert it.warnings() == []


def test_a_cpu_that_cannot_be_parked_goes_the_ordinary_way(start: Start) -> None:
    with start() as it:
        it.put(_DAMAGE, "refuse")
        assert it.jump().cpus_online == "0-3"
        assert it.counts("teardown_parked", "teardown_psci") == (2, 1)
        assert it.came_up() == (2, 1)
        assert it.warnings() == []


def test_nobody_is_parked_where_either_kernel_says_off(start: Start) -> None:
    with start("cpu_park=off") as it:
        assert it.jump().cpus_online == "0-3"
        assert it.counts("teardown_parked", "teardown_psci") == (0, 3)
        assert (it.told("record"), it.came_up()) == ("accepted", (0, 3))
        assert it.jump("cpu_park=off").cpus_online == "0-3"
        assert it.counts("teardown_parked", "teardown_psci") == (0, 3)
        assert (it.told("enabled"), it.came_up()) == ("0", (0, 3))
        assert min(it.counts("teardown_ns", "bringup_ns")) > 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [("crc", "wrong checksum"), ("mpidr", None), ("pen", "the pen is not set aside")],
)
def test_no_cpu_is_lost_with_a_record_that_is_not_true(
    start: Start, damage: str, said: str | None
) -> None:
    """Who is not called gives itself up after some seconds, and is started by PSCI."""
    with start(f"cpu_park={_GIVE_UP_S}") as it:
        it.put(_DAMAGE, damage)
        assert it.jump().cpus_online == "0-3"
        # With one false MPIDR, the others gave up while its CPU was waited for.
        assert it.came_up() == (0, 3)
        assert it.counts("bringup_waited") > (0,)
        assert it.told("record") == (said or "accepted")
        warnings = it.warnings()
        assert any("is on already, waiting" in text for text in warnings)
        assert said is None or f"cpu_park: record ignored: {said}" in warnings


@pytest.mark.patched("handover")
def test_no_cpu_is_lost_with_a_handover_that_is_refused(start: Start) -> None:
    with start(f"cpu_park={_GIVE_UP_S}") as it:
        it.put("/sys/kernel/debug/kho/test/corrupt", "version")
        assert it.jump().cpus_online == "0-3"
        assert (it.told("record"), it.came_up()) == ("none", (0, 3))


@pytest.mark.parametrize("mode", ["vhe", "nvhe"])
def test_cpus_parked_in_el2_come_back_in_el2(start: Start, mode: str) -> None:
    word = "kvm-arm.mode=nvhe" if mode == "nvhe" else ""
    with start(word, machine=",virtualization=on") as it:
        assert it.jump(word).cpus_online == "0-3"
        assert (it.told("pen"), it.came_up()) == ("freed", (3, 0))
        text = "\n".join(line.text for line in it.log())
        assert "CPU: All CPU(s) started at EL2" in text
        assert ("VHE mode" in text or "Virtualization Host Extensions" in text) is (mode == "vhe")
        # The word itself makes a line of that level; 7.3 misses a timer that QEMU does not have.
        fine = ("forced to 0", "without EL2 virtual timer")
        assert [text for text in it.warnings() if not any(part in text for part in fine)] == []


def test_kernels_of_different_builds_understand_each_other(
    start: Start, first_bundle: Path
) -> None:
    with start(share=first_bundle) as it:
        assert it.jump().cpus_online == "0-3"
        assert (it.told("record"), it.told("pen"), it.came_up()) == ("accepted", "freed", (3, 0))
        assert it.warnings() == []
