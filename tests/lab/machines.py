# SPDX-License-Identifier: GPL-2.0-only
"""A board's machine, for tests that say themselves what happens on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sku_build.board import Board
from sku_build.lab import qemu


def virtual_machine(
    board: Board, bundle: Path, cmdline: str, **changes: Any
) -> qemu.VirtualMachine:
    """Return the board's machine with the kernel of the directory ``bundle``, which it may read.

    ``changes`` are fields of :class:`sku_build.lab.qemu.VirtualMachine` that are to be otherwise.
    """
    part = qemu.qemu_part(board)
    fields: dict[str, Any] = {
        "machine": part.machine,
        "cpu": part.cpu,
        "smp": part.smp,
        "memory_mib": part.memory_mib,
        "accelerator": qemu.accelerator(),
        "kernel": bundle / "Image",
        "initramfs": bundle / "initramfs.cpio",
        "cmdline": cmdline,
        "devices": tuple(part.devices),
        "share": bundle,
    }
    return qemu.VirtualMachine(**(fields | changes))
