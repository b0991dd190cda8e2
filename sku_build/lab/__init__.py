# SPDX-License-Identifier: GPL-2.0-only
"""The lab: a board's bundle booted in a virtual machine, and updated there."""

from sku_build.lab.machine import GuestFailed
from sku_build.lab.results import BootResult, KexecResult
from sku_build.lab.scenario import Options, boot, kexec
from sku_build.lab.update_result import UpdateResult, Way

__all__ = [
    "BootResult",
    "GuestFailed",
    "KexecResult",
    "Options",
    "UpdateResult",
    "Way",
    "boot",
    "kexec",
]
