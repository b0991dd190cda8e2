# SPDX-License-Identifier: GPL-2.0-only
"""The phases of a run in the lab, and how long each may take."""

from __future__ import annotations

import enum

from sku_build.lab.qemu import Accelerator


class Phase(enum.StrEnum):
    """A stretch of a run that has a time-out of its own."""

    START = "start"
    FIRST_KERNEL = "first-kernel"
    APPLICATION = "application"
    LOAD = "load"
    DUMP = "dump"
    JUMP = "jump"
    SECOND_KERNEL = "second-kernel"
    RESTORE = "restore"
    UPDATE = "update"
    CHECK = "check"
    SHUTDOWN = "shutdown"


# Seconds under (TCG, KVM). An idle host needs a tenth of them: they are to tell a hang from a host
# that several runs share.
_LIMITS = {
    Phase.START: (30, 15),
    Phase.FIRST_KERNEL: (120, 30),
    Phase.APPLICATION: (240, 60),
    Phase.LOAD: (60, 20),
    Phase.DUMP: (240, 60),
    Phase.JUMP: (30, 10),
    Phase.SECOND_KERNEL: (120, 30),
    Phase.RESTORE: (240, 60),
    Phase.UPDATE: (240, 60),
    Phase.CHECK: (240, 60),
    Phase.SHUTDOWN: (30, 10),
}


def limit(phase: Phase, accelerator: Accelerator, factor: float = 1.0) -> float:
    """Return how many seconds ``phase`` may take, times ``factor``."""
    tcg, kvm = _LIMITS[phase]
    return factor * (kvm if accelerator is Accelerator.KVM else tcg)
