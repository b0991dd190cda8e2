# SPDX-License-Identifier: GPL-2.0-only
"""What pages that are kept cost the next kernel's boot, when there are many and none is beside one.

Counted, not timed: the guest has one CPU, and its clock counts a ns for every instruction. What is
looked for is less than a busy host's noise.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from sku_build import console
from sku_build.bench.comparison import Comparison
from sku_build.board import Board
from sku_build.errors import CheckError
from sku_build.lab import bundle, guest, results
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run

PAGES = 1_000_000
MEMORY_MIB = 10240  # twice as many pages, and room beside them
SLOWNESS = 12  # of handing out two million pages in one thread, against what the time-outs are for
_KHO = "/sys/kernel/debug/kho"


def compare(
    path: Path, board: Board, options: Options, *, rounds: int, pages: int = PAGES
) -> Comparison:
    """Compare jumps of the bundle at ``path``, which has the handover's test driver, into itself.

    Every second page of ``2 * pages`` is kept in one jump, none in the next, ``rounds`` times each.
    """
    run = Run("scattered", board, dataclasses.replace(options, smp=1, icount=True))
    kernel = bundle.load(path, board)
    samples: dict[bool, list[float]] = {False: [], True: []}
    with run.machine(kernel, share=kernel.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            run.started(machine, kernel)
        with console.progress("jumps", 2 * rounds) as advance:
            for number in range(2 * rounds):
                kept = pages if number % 2 else 0
                samples[bool(kept)].append(_jump(run, machine, kernel, pages=kept))
                advance(number + 1, "with scattered pages" if kept else "without")
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return Comparison(
        name=f"boot with {pages} scattered pages kept",
        ours_is="from the jump to the first process, every second page preserved, counted",
        ordinary_is="the same with nothing preserved",
        unit="ms",
        ours=samples[True],
        ordinary=samples[False],
        goal_difference=50,
    )


def _jump(run: Run, machine: Machine, kernel: Bundle, *, pages: int) -> float:
    """Jump into the same kernel; return how long its first process took to come, in ms."""
    with machine.phase(Phase.LOAD):
        if pages:
            machine.put(f"{_KHO}/test/keep", f"{pages} 2 0")
        machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {run.cmdline(kernel)}")
        machine.expect(guest.Loaded)
    jump = machine.jump()
    with machine.phase(Phase.SECOND_KERNEL):
        init = run.started(machine, kernel)
    if pages:
        with machine.phase(Phase.CHECK):
            intact(machine.get(f"{_KHO}/test/verify"), machine.serial_log, pages=pages)
    return results.elapsed_ms(jump.counter, init.counter, init.counter_hz)


def intact(verdict: str, where: Path, *, pages: int = PAGES) -> None:
    """Raise CheckError unless the test driver got back every page as it was.

    Reading its verdict also frees them, so that there is room for the next ones.
    """
    told = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", verdict)}
    expected = {"blocks": pages, "lost": 0, "wrong": 0, "twice": 0}
    if not verdict.startswith("ok ") or told | expected != told:
        raise CheckError(f"the preserved pages are not intact: {verdict.strip()}", where=where)
