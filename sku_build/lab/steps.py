# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a boot between the jump and the first process, on the clock of the jump."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sku_build.lab.results import Mark

# From one mark to another; the first starts at the jump. One whose marks are not there is left out.
_PARTS = (
    ("until its clock runs", None, "clock"),
    ("core, scheduler, timers", "clock", "cpus"),
    ("other CPUs", "cpus", "cpus-up"),
    ("subsystems and drivers", "cpus-up", "booted"),
    ("initramfs unpacked, beside it", "unpack", "unpacked"),
    ("to the first process", "booted", "init"),
    ("root file system mounted", "init", "root"),
)


class Step(msgspec.Struct, frozen=True):
    """A part of a boot; it begins and ends so many ms after the jump."""

    name: str
    begin_ms: float
    end_ms: float


def steps(marks: Sequence[Mark], reached: str, at_ms: float) -> list[Step]:
    """Return the parts of a boot, by when the kernel's log says that they began and ended.

    The log has a clock of its own, which starts after the jump; the two are set by one event that
    is on both: the mark ``reached``, which came ``at_ms`` after the jump. Without that mark, or
    when it came sooner than the kernel's clock says, nothing can be told.
    """
    log_us = {mark.name: mark.us for mark in marks}
    if reached not in log_us or log_us[reached] / 1000 > at_ms:
        return []
    offset_ms = at_ms - log_us[reached] / 1000
    at = {name: round(offset_ms + us / 1000, 3) for name, us in log_us.items()}
    return [
        Step(name, at[begin] if begin else 0.0, at[end])
        for name, begin, end in _PARTS
        if end in at and (begin is None or begin in at) and (begin is None or at[begin] <= at[end])
    ]
