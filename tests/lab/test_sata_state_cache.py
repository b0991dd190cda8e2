# SPDX-License-Identifier: GPL-2.0-only
"""The series ``sata_state_cache``: disks that were there are not reset, all others are.

QEMU's SATA ports take no disk while it runs. So but for one that grows it is not the disk that is
another one in the next kernel, but what is said of it: the state is changed in the guest's memory,
between the kernels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from sku_build.board import Board
from sku_build.lab import application, bundle, guest, kunit, sata_trace
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.qemu_trace import traced
from sku_build.lab.sata_trace import Resets
from sku_build.lab.scenario import Options, Run
from sku_build.tree import Tree
from tests.lab import sata_state
from tests.lab.bundles import built
from tests.lab.sata_state import Memory, State

pytestmark = [pytest.mark.lab, pytest.mark.series("sata_state_cache")]

_OFF = "libata.state_cache=0"
_PORTS = 6  # of QEMU's AHCI controller; disks are on the first four
_UNIT_TESTS = tuple(f"CONFIG_{symbol}=y" for symbol in kunit.symbols(["sata_state_cache"]))
_SLOW = 4.0  # jumps are many here, and hosts may be busy
# Each disk by the number that it says of itself, and what it holds: zeros, and the root.
_LOOK = (
    "for d in /sys/block/sd*; do "
    'echo "$(dd if=$d/device/vpd_pg80 bs=1 skip=4 2>/dev/null | tr -d " ") $(cat $d/size)"; '
    "done | sort; sha256sum /usr/sbin/criu"
)

Started = tuple[Run, Machine, Bundle]
Start = Callable[..., contextlib.AbstractContextManager[Started]]


@dataclasses.dataclass(frozen=True, slots=True)
class Jumped:
    """What a kernel did to the disks, and what it said."""

    resets: Resets
    lines: list[guest.Line]

    def has_said(self, what: str) -> bool:
        """Whether a line of the log has ``what`` in it."""
        return any(what in line.text for line in self.lines)


@pytest.fixture(scope="module")
def share(linux: Tree, qemu_virt_acpi: Board) -> Path:
    """A bundle with the series' unit tests."""
    return built("acpi-sata", linux, qemu_virt_acpi, extra=("CONFIG_DEBUG_FS=y", *_UNIT_TESTS))


@pytest.fixture
def start(share: Path, qemu_virt_acpi: Board, tmp_path: Path) -> Start:
    """Return what starts a guest with its root on a SATA disk, and more devices if wanted."""

    @contextlib.contextmanager
    def started(
        *, memory: Path | None = None, disks: tuple[str, ...] = (), words: tuple[str, ...] = ()
    ) -> Iterator[Started]:
        board, part = qemu_virt_acpi, qemu_virt_acpi.qemu
        assert part is not None
        board = msgspec.structs.replace(
            board,
            # Memory that is one file is of one node.
            machine=msgspec.structs.replace(board.machine, nodes=1),
            qemu=msgspec.structs.replace(part, disks=[*part.disks, *disks]),
        )
        options = Options(
            directory=tmp_path,
            append=f"root={part.root} rw init={application.AGENT}",
            memory=memory,
            timeout_factor=_SLOW,
            words=words,
        )
        scenario = Run("sata", board, options)
        item = bundle.load(share, board)
        disk = application.root_image()
        with scenario.machine(item, share=item.path, disk=disk) as machine:
            with machine.phase(Phase.FIRST_KERNEL):
                scenario.started(machine, item)
            yield scenario, machine, item
            with machine.phase(Phase.SHUTDOWN):
                machine.power_off()

    return started


def _jump(started: Started, words: str = "", between: Callable[[], object] | None = None) -> Jumped:
    """Jump with more ``words`` on the command line, and do something ``between`` the kernels."""
    scenario, machine, item = started
    with machine.phase(Phase.LOAD):
        machine.tell(
            f"load {bundle.IMAGE} {bundle.INITRAMFS} {scenario.cmdline(item)} {words}".rstrip()
        )
        machine.expect(guest.Loaded)
    with machine.phase(Phase.SECOND_KERNEL), traced(machine, sata_trace.EVENTS) as lines:
        machine.tell("jump")
        machine.expect(guest.Jump)
        if between:
            between()
        scenario.started(machine, item)
    with machine.phase(Phase.CHECK):
        return Jumped(sata_trace.count(lines), scenario.log(machine, 2))


def _look(machine: Machine) -> str:
    with machine.phase(Phase.CHECK):
        return machine.run(_LOOK).output


def _warnings(started: Started, jumped: Jumped) -> list[str]:
    expected = started[0].expected
    return [
        line.text
        for line in jumped.lines
        if line.level <= 4 and not any(pattern.search(line.text) for pattern in expected)
    ]


def test_the_unit_tests_pass(start: Start) -> None:
    with start() as (scenario, machine, _), machine.phase(Phase.CHECK):
        lines = scenario.log(machine, 1)
    suites = kunit.suites("\n".join(line.text for line in lines))
    (suite,) = [suite for suite in suites if suite.name == "sata_state_cache"]
    assert (suite.cases, suite.failed, suite.skipped) == (7, [], [])


def test_disks_that_were_there_are_not_reset_and_hold_what_they_held(start: Start) -> None:
    """Twice: the second time, none of them was reset by the kernel that leaves them either."""
    with start() as started:
        machine = started[1]
        ordinary = _look(machine)
        assert [f"SKU-{number}" in ordinary for number in range(4)] == [True] * 4
        for _ in range(2):
            jumped = _jump(started)
            assert (jumped.resets.controller, jumped.resets.links) == (0, [])
            assert jumped.resets.identified >= 4
            assert _warnings(started, jumped) == []
            assert _look(machine) == ordinary


def test_who_is_switched_off_resets_and_leaves_nothing(start: Start) -> None:
    """A kernel without the series, after one with it and before one."""
    with start() as started:
        for words in (_OFF, ""):
            jumped = _jump(started, words)
            assert (jumped.resets.controller, jumped.resets.links) == (1, list(range(_PORTS)))
            assert _warnings(started, jumped) == []
        assert _jump(started).resets.links == []


@dataclasses.dataclass(frozen=True, slots=True)
class Spoilt:
    """What is changed, which links are reset for it, and what is said."""

    name: str
    change: Callable[[State], None]
    reset: list[int]
    said: tuple[str, ...]
    sound: bool = True


def _flip(disk: int, field: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[state.at(disk, field)] ^= 1

    return change


def _many(state: State) -> None:
    state.set(sata_state.NUMBER, 0x7F000004)


def _other_port(port: int) -> Callable[[State], None]:
    """The last disk was on another port, and there was nothing on its own."""

    def change(state: State) -> None:
        before = state.port(3)
        state.set(state.at(3, sata_state.PORT), port)
        state.set(sata_state.EMPTY, (state.empty() | 1 << before) & ~(1 << port))

    return change


_ALL = list(range(_PORTS))
_IGNORED = "state of disks ignored: "
_SPOILT = (
    Spoilt(
        "checksum",
        _flip(1, sata_state.SERIAL),
        _ALL,
        ("sata-disks of 0000:00/14.0 not used: wrong checksum",),
        sound=False,
    ),
    Spoilt("number", _many, _ALL, (f"{_IGNORED}wrong length",)),
    Spoilt("kind", _flip(2, sata_state.SIGNATURE), _ALL, (f"{_IGNORED}not a disk",)),
    Spoilt("serial", _flip(1, sata_state.SERIAL), [1], ("ata2: not as it was: serial number",)),
    Spoilt("model", _flip(0, sata_state.MODEL), [0], ("ata1: not as it was: model",)),
    Spoilt("firmware", _flip(3, sata_state.FIRMWARE), [3], ("ata4: not as it was: firmware",)),
    Spoilt("size", _flip(2, sata_state.BLOCKS), [2], ("ata3: not as it was: size",)),
    Spoilt(
        "removed and added",
        _other_port(5),
        [3, 5],
        ("port 3 is not as it was: link", "port 5 is not as it was: link"),
    ),
)


def _expect_reset(started: Started, memory: Memory, case: Spoilt) -> None:
    """Jump with a state spoilt as in ``case``: what was to be reset is, and nothing else."""
    states = memory.states()
    jumped = _jump(started, between=lambda: memory.spoil(states, case.change, sound=case.sound))
    assert jumped.resets.links == case.reset, case.name
    assert jumped.resets.controller == (case.reset == _ALL), case.name
    assert [said for said in case.said if not jumped.has_said(said)] == [], case.name


def test_what_is_not_as_it_was_is_reset_and_only_that(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "memory"
    with start(memory=path) as started, Memory(path) as memory:
        ordinary = _look(started[1])
        for case in _SPOILT:
            _expect_reset(started, memory, case)
            assert _look(started[1]) == ordinary, case.name


def test_a_disk_that_has_grown_is_reset_and_has_its_new_size(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 64 << 20)
    words = (
        *("-drive", f"if=none,id=more,format=raw,file={disk}"),
        *("-device", "ide-hd,bus=sata.4,drive=more,serial=SKU-4"),
    )
    with start(words=words) as started:
        machine = started[1]
        assert "SKU-4 131072" in _look(machine)
        jumped = _jump(
            started, between=lambda: machine.monitor("block_resize", device="more", size=96 << 20)
        )
        assert (jumped.resets.controller, jumped.resets.links) == (0, [4])
        assert jumped.has_said("ata5: not as it was: size")
        assert "SKU-4 196608" in _look(machine)
        assert _jump(started).resets.links == []


def test_what_is_no_disk_is_reset_and_the_disks_beside_it_are_not(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "memory"
    with start(memory=path, disks=("ide-cd,bus=sata.4",)) as started, Memory(path) as memory:
        for _ in range(2):
            jumped = _jump(started)
            assert (jumped.resets.controller, jumped.resets.links) == (0, [4])
            assert jumped.has_said("ata5.00: ATAPI: QEMU DVD-ROM")
            assert _warnings(started, jumped) == []
        in_its_place = Spoilt(
            "a disk where it is", _other_port(4), [3, 4], ("port 4 is not as it was: signature",)
        )
        _expect_reset(started, memory, in_its_place)
