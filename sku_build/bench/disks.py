# SPDX-License-Identifier: GPL-2.0-only
"""What SATA disks cost the next kernel: reset and asked, as its options say, or handed over."""

from __future__ import annotations

import dataclasses
import re
import statistics
from pathlib import Path

from sku_build import console, lab
from sku_build.bench.comparison import Comparison
from sku_build.board import Board
from sku_build.errors import CheckError
from sku_build.lab import application, bundle, guest, results, sata_trace
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.qemu_trace import traced
from sku_build.lab.sata_trace import Resets
from sku_build.lab.scenario import Run

_ATTACHED = re.compile(r"^sd \S+ \[sd\w+\] Attached SCSI disk")
_OFF = "libata.state_cache=0"
_OURS, _ORDINARY = "handed over", "ordinary"
_QUICKEST = "no delay"  # of the kernel's own options that do not take away more than they save
# Each way, and what is on the command line for it.
WAYS = {
    _OURS: "",
    _ORDINARY: _OFF,
    "no reset": f"libata.force=norst {_OFF}",
    _QUICKEST: f"libata.force=nodbdelay {_OFF}",
    "no host reset": f"libahci.skip_host_reset=1 {_OFF}",
    "no reset, no delay": f"libata.force=norst,nodbdelay {_OFF}",
    "all three": f"libata.force=norst,nodbdelay libahci.skip_host_reset=1 {_OFF}",
}


@dataclasses.dataclass(slots=True)
class Way:
    """The samples of a way, in ms from the jump, and what it did to the disks in its last jump."""

    name: str
    words: str
    disks_ms: list[float] = dataclasses.field(default_factory=list)
    root_ms: list[float] = dataclasses.field(default_factory=list)
    resets: Resets = dataclasses.field(default_factory=Resets)


def measure(
    board: Board, item: Bundle, *, rounds: int, timeout_factor: float, output: Path | None
) -> tuple[list[Comparison], list[str]]:
    """Jump in each way in turn, in one guest whose root is on a SATA disk.

    The guest has one CPU and a clock that counts instructions, one a ns, and jumps over what the
    CPU waits for. Raises CheckError when a disk did not come up, or was reset in our way.
    """
    options = lab.Options(
        append=f"root={board.qemu.root if board.qemu else ''} rw init={application.AGENT}",
        timeout_factor=4 * timeout_factor,
        directory=output,
        smp=1,
        icount=True,
    )
    scenario = Run("devices-disks", board, options)
    ways = [Way(name, words) for name, words in WAYS.items()]
    with scenario.machine(item, share=item.path, disk=application.root_image()) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            scenario.started(machine, item)
        with console.progress("rounds", rounds) as advance:
            for done in range(rounds):
                # Ours needs a kernel before it that leaves something.
                _jump(scenario, machine, item, Way("before", ""))
                for way in ways:
                    _jump(scenario, machine, item, way)
                advance(done + 1, "done")
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return comparisons(ways), [note(way) for way in ways]


def _jump(scenario: Run, machine: Machine, item: Bundle, way: Way) -> None:
    with machine.phase(Phase.LOAD):
        machine.tell(
            f"load {bundle.IMAGE} {bundle.INITRAMFS} {scenario.cmdline(item)} {way.words}".rstrip()
        )
        machine.expect(guest.Loaded)
    with machine.phase(Phase.SECOND_KERNEL), traced(machine, sata_trace.EVENTS) as lines:
        machine.tell("jump")
        left = machine.expect(guest.Jump)
        init = scenario.started(machine, item)
    way.resets = sata_trace.count(lines)
    with machine.phase(Phase.CHECK):
        logged = scenario.log(machine, 2)
    root_ms = results.elapsed_ms(left.counter, init.counter, init.counter_hz)
    attached = [line.us for line in logged if _ATTACHED.match(line.text)]
    if len(attached) != len(scenario.part.disks):
        raise CheckError(
            f"{way.name}: {len(attached)} of {len(scenario.part.disks)} disks are there",
            where=machine.serial_log,
        )
    if way.name == _OURS and way.resets.links:
        raise CheckError(
            f"ports that were as before were reset: {way.resets.links}", where=machine.serial_log
        )
    # The log's clock begins some time after the jump; both tell when the first process ran.
    way.disks_ms.append(root_ms - (init.uptime_ns / 1e6 - max(attached) / 1e3))
    way.root_ms.append(root_ms)


def comparisons(ways: list[Way]) -> list[Comparison]:
    """Compare each way with the ordinary one, and ours with the quickest option of the kernel."""
    by_name = {way.name: way for way in ways}
    ordinary, ours = by_name[_ORDINARY], by_name[_OURS]
    found = [item for way in ways if way is not ordinary for item in _to(way, ordinary)]
    return [*found, *_to(ours, by_name[_QUICKEST], goal=1.0)]


def _to(way: Way, other: Way, goal: float | None = None) -> list[Comparison]:
    """Compare a way with another one: to the last disk, and to the root."""
    against = "" if other.name == _ORDINARY else f" against {other.name}"
    return [
        Comparison(
            name=f"SATA disks, {way.name}{against}: to {what}",
            ours_is=way.words or "known from the kernel before",
            ordinary_is="reset and asked" if other.name == _ORDINARY else other.words,
            unit="ms",
            ours=ours,
            ordinary=theirs,
            goal=goal,
        )
        for what, ours, theirs in (
            ("the last disk", way.disks_ms, other.disks_ms),
            ("the root's first process", way.root_ms, other.root_ms),
        )
    ]


def note(way: Way) -> str:
    """Return a sentence on what a way did to controller and disks."""
    resets = way.resets
    return (
        f"SATA disks, {way.name}: the last one after {statistics.median(way.disks_ms):.1f} ms; "
        f"resets of the controller: {resets.controller}, of links: {len(resets.links)}; "
        f"IDENTIFY commands: {resets.identified}"
    )
