# SPDX-License-Identifier: GPL-2.0-only
"""What a guest does to its SATA controller and disks, as QEMU traces it."""

from __future__ import annotations

import dataclasses
import re

# hw/ide/trace-events of QEMU 7.2. A link is reset by DET=1 in the port's SControl (AHCI 1.3.1,
# 3.3.11); 0xec is IDENTIFY DEVICE (ACS-3, 7.12).
EVENTS = ("ahci_reset", "ahci_port_write", "ide_exec_cmd")
_CONTROLLER = re.compile(r"^ahci_reset ")
_LINK = re.compile(r"^ahci_port_write .*\[(\d+)\].*\[reg:PxSCTL\].* 0x[0-9a-f]*1$")
_IDENTIFY = re.compile(r"^ide_exec_cmd .* cmd 0xec$")


@dataclasses.dataclass(frozen=True, slots=True)
class Resets:
    """Resets of the controller, ports whose link was reset, and IDENTIFY commands."""

    controller: int = 0
    links: list[int] = dataclasses.field(default_factory=list)
    identified: int = 0


def count(lines: list[str]) -> Resets:
    """Return what QEMU has logged of a controller; a port is there once for each reset."""
    return Resets(
        sum(1 for line in lines if _CONTROLLER.match(line)),
        sorted(int(found[1]) for line in lines if (found := _LINK.match(line))),
        sum(1 for line in lines if _IDENTIFY.match(line)),
    )
