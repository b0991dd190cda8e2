# SPDX-License-Identifier: GPL-2.0-only
"""What the next kernel asks of devices that the one before knew: handed over, or asked again."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import msgspec

from sku_build import board as boards
from sku_build import console, image, lab, layout
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison, Report
from sku_build.errors import CheckError
from sku_build.lab import bundle, guest, pci_trace, results
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.pci_trace import Accesses
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Run

BOARD = "qemu-virt-acpi"
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
    *, tree_name: str, rounds: int, timeout_factor: float = 1, output: Path | None = None
) -> Report:
    """Jump with what is known handed over, and with ``pci_state_cache=off``, in one guest.

    What is taken, each in a jump of its own, is the number of accesses to configuration space that
    a function answered, and the time, both from the jump's command to the first process. Raises
    CheckError when a function was not known again.
    """
    # What is counted is what all drivers ask as well.
    tree = trees.ensure(tree_name)
    board = msgspec.structs.replace(boards.load(BOARD), partial_init=None)
    built = layout.cache_dir("bench") / f"devices-{tree.name}"
    record = image.build(tree, board, series=patch_series.resolve(board.series), output=built)
    scenario = Run(
        "devices",
        board,
        lab.Options(timeout_factor=timeout_factor, directory=output),
    )
    ours, ordinary = _jumps(scenario, bundle.load(built, board), rounds)
    samples = {
        ("accesses to PCI configuration space", "accesses"): (ours.accesses, ordinary.accesses),
        ("writes to PCI configuration space", "accesses"): (ours.writes, ordinary.writes),
        ("from the jump to the first process", "ms"): (ours.ms, ordinary.ms),
    }
    return Report(
        bench="devices",
        inputs={"tree": tree.origin, "release": record.release, "rounds": rounds},
        comparisons=[
            Comparison(
                name=name,
                ours_is="known from the kernel before",
                ordinary_is="asked again",
                unit=unit,
                ours=of_ours,
                ordinary=of_ordinary,
            )
            for (name, unit), (of_ours, of_ordinary) in samples.items()
        ],
    )


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
    counting = pci_trace.counting(machine) if count else contextlib.nullcontext(Accesses())
    with machine.phase(Phase.SECOND_KERNEL), counting as accesses:
        machine.tell("jump")
        left = machine.expect(guest.Jump)
        init = scenario.started(machine, item)
    return Jumped(accesses, results.elapsed_ms(left.counter, init.counter, init.counter_hz))


def wait_until_saved(machine: Machine) -> int:
    """Wait until the guest's kernel has made what it will leave; return of how many functions."""
    with machine.phase(Phase.CHECK):
        while not (saved := int(machine.get(f"{_SYSFS}/saved"))):
            time.sleep(_POLL_S)
    return saved
