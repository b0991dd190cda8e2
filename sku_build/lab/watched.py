# SPDX-License-Identifier: GPL-2.0-only
"""An update our way with a look at the guest before it and after it, while it still runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from sku_build.lab import update
from sku_build.lab import update_result as outcome
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.results import KernelBoot
from sku_build.lab.scenario import Run
from sku_build.lab.traffic import Traffic
from sku_build.lab.update import Load
from sku_build.lab.update_result import Report

T = TypeVar("T")
U = TypeVar("U")

Look = Callable[[Machine], T]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """An update: both kernels, what the client saw, and a sentence for each broken promise."""

    first: KernelBoot
    second: KernelBoot
    traffic: Traffic
    report: Report
    broken: list[str]


def watched(
    run: Run,
    first: Bundle,
    second: Bundle,
    load: Load,
    *,
    before: Look[T],
    after: Look[U],
) -> tuple[Watched, T, U]:
    """Update the kernel under redis, and return what ``before`` and ``after`` saw of the guest.

    Both are called in the phase ``check``, with the application at rest: ``before`` under the first
    kernel, the second bundle mounted, ``after`` under the second. Raises as
    :func:`sku_build.lab.update.update`.
    """
    with update.service(run, first, second, load) as (served, init):
        machine = served.machine
        with machine.phase(Phase.CHECK):
            served.mount()
            seen_before = before(machine)
        census = served.census()
        with machine.phase(Phase.UPDATE):
            lines, next_init = served.jump()
        with machine.phase(Phase.CHECK):
            traffic = served.client.stop(served.seconds)
            report = update.read_report(machine)
        next_census = served.census()
        with machine.phase(Phase.CHECK):
            seen_after = after(machine)
            next_lines = run.log(machine, 2)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    kernels = update.both_kernels(run, (init, lines), (next_init, next_lines), report)
    complaints = update.complaints(machine, *kernels)
    done = Watched(
        first=kernels[0],
        second=kernels[1],
        traffic=traffic,
        report=report,
        broken=outcome.broken_promises(census, next_census, traffic, complaints),
    )
    return done, seen_before, seen_after
