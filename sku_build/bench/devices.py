# SPDX-License-Identifier: GPL-2.0-only
"""What devices cost the next kernel that the one before knew: PCI functions, disks, a link."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import board as boards
from sku_build import console, image, lab, layout, partial_init
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench import disks, links
from sku_build.bench.comparison import Comparison, Report
from sku_build.errors import CheckError
from sku_build.lab import bundle, guest, pci_trace, results
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.pci_trace import Accesses
from sku_build.lab.phases import Phase
from sku_build.lab.qemu_trace import traced
from sku_build.lab.scenario import Run

BOARD = "qemu-virt-acpi"
PARTS = ("pci", "disks", "links")
_ON, _OFF = "pci_state_cache=1", "pci_state_cache=off"
_SYSFS = "/sys/kernel/pci_state_cache"
_POLL_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Jumped:
    """A jump to the first process: what it asked of devices, if counted, and how long it took."""

    accesses: Accesses
    ms: float


@dataclasses.dataclass(slots=True)
class _Side:
    """The samples of a way."""

    accesses: list[float] = dataclasses.field(default_factory=list)
    writes: list[float] = dataclasses.field(default_factory=list)
    ms: list[float] = dataclasses.field(default_factory=list)

    def add(self, counted: Jumped, timed: Jumped) -> None:
        self.accesses.append(counted.accesses.total)
        self.writes.append(counted.accesses.writes)
        self.ms.append(timed.ms)


def measure(
    *,
    tree_name: str,
    rounds: int,
    only: Sequence[str] = (),
    timeout_factor: float = 1,
    output: Path | None = None,
) -> Report:
    """Compare what is known of PCI functions with asking again, and ways to find SATA disks; and a
    NIC's link that is kept with one that is set up anew.

    ``only`` names the :data:`PARTS` to take, all without it. Raises CheckError when a function was
    not known again, a disk was not found, or a link was not kept.
    """
    # What is counted is what all drivers ask as well.
    tree = trees.ensure(tree_name)
    plain = boards.load(BOARD)
    series = patch_series.resolve(plain.series)
    board = msgspec.structs.replace(plain, partial_init=None)
    built = layout.cache_dir("bench") / f"devices-{tree.name}"
    record = image.build(tree, board, series=series, output=built)
    item = bundle.load(built, board)
    comparisons: list[Comparison] = []
    notes: list[str] = []
    if not only or "pci" in only:
        options = lab.Options(timeout_factor=timeout_factor, directory=_part(output, "pci"))
        comparisons += _pci(Run("devices", board, options), item, rounds)
    if not only or "disks" in only:
        # Here network cards must not be what the boot waits for.
        waiting = dataclasses.replace(item, cmdline=partial_init.cmdline(plain, series))
        found, notes = disks.measure(
            plain,
            waiting,
            rounds=rounds,
            timeout_factor=timeout_factor,
            output=_part(output, "disks"),
        )
        comparisons += found
    if not only or "links" in only:
        found, told = links.measure(
            built,
            board=BOARD,
            rounds=rounds,
            timeout_factor=timeout_factor,
            output=_part(output, "links"),
        )
        comparisons += found
        notes += told
    return Report(
        bench="devices",
        inputs={"tree": tree.origin, "release": record.release, "rounds": rounds},
        comparisons=comparisons,
        notes=notes,
    )


def _part(output: Path | None, name: str) -> Path | None:
    return output / name if output else None


def _pci(scenario: Run, item: Bundle, rounds: int) -> list[Comparison]:
    """Jump with what is known handed over, and with ``pci_state_cache=off``, in one guest.

    What is taken, each in a jump of its own, is the number of accesses to configuration space that
    a function answered, and the time, both from the jump's command to the first process.
    """
    ours, ordinary = _jumps(scenario, item, rounds)
    samples = {
        ("accesses to PCI configuration space", "accesses"): (ours.accesses, ordinary.accesses),
        ("writes to PCI configuration space", "accesses"): (ours.writes, ordinary.writes),
        ("from the jump to the first process", "ms"): (ours.ms, ordinary.ms),
    }
    return [
        Comparison(
            name=name,
            ours_is="known from the kernel before",
            ordinary_is="asked again",
            unit=unit,
            ours=of_ours,
            ordinary=of_ordinary,
        )
        for (name, unit), (of_ours, of_ordinary) in samples.items()
    ]


def _jumps(scenario: Run, item: Bundle, rounds: int) -> tuple[_Side, _Side]:
    ours, ordinary = _Side(), _Side()
    with scenario.machine(item, share=item.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            scenario.started(machine, item)
        with console.progress("rounds", rounds) as advance:
            for done in range(rounds):
                # A kernel that is switched off leaves nothing: one more, which does, in between.
                jump(scenario, machine, item, _ON, count=False)
                ours.add(
                    _known(scenario, machine, item, count=True),
                    _known(scenario, machine, item, count=False),
                )
                ordinary.add(
                    jump(scenario, machine, item, _OFF),
                    jump(scenario, machine, item, _OFF, count=False),
                )
                advance(done + 1, "done")
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return ours, ordinary


def _known(scenario: Run, machine: Machine, item: Bundle, *, count: bool) -> Jumped:
    """Jump as soon as there is something to leave, and see that the next kernel takes all of it."""
    known = wait_until_saved(machine)
    jumped = jump(scenario, machine, item, _ON, count=count)
    with machine.phase(Phase.CHECK):
        again = int(machine.get(f"{_SYSFS}/as_before"))
    if again != known:
        raise CheckError(f"of {known} functions {again} were known again", where=machine.serial_log)
    return jumped


def jump(
    scenario: Run, machine: Machine, item: Bundle, words: str, *, count: bool = True
) -> Jumped:
    """Jump into ``item``, with more ``words`` on its command line; count what it asks.

    Counting takes time: what is timed should not be counted.
    """
    with machine.phase(Phase.LOAD):
        machine.tell(
            f"load {bundle.IMAGE} {bundle.INITRAMFS} {scenario.cmdline(item)} {words}".rstrip()
        )
        machine.expect(guest.Loaded)
    nothing: contextlib.AbstractContextManager[list[str]] = contextlib.nullcontext([])
    counting = traced(machine, pci_trace.EVENTS) if count else nothing
    with machine.phase(Phase.SECOND_KERNEL), counting as lines:
        machine.tell("jump")
        left = machine.expect(guest.Jump)
        init = scenario.started(machine, item)
    ms = results.elapsed_ms(left.counter, init.counter, init.counter_hz)
    return Jumped(pci_trace.count(lines), ms)


def wait_until_saved(machine: Machine) -> int:
    """Wait until the guest's kernel has made what it will leave; return of how many functions."""
    with machine.phase(Phase.CHECK):
        while not (saved := int(machine.get(f"{_SYSFS}/saved"))):
            time.sleep(_POLL_S)
    return saved
