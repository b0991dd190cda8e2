# SPDX-License-Identifier: GPL-2.0-only
"""What a guest does to the links of its e1000e NICs, as QEMU traces it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

# hw/net/trace-events of QEMU 7.2, in the order of the fields of Link. A PHY is reset by bit 15 of
# its register 0 (IEEE 802.3, 22.2.4.1) or by the MAC's CTRL.PHY_RST, switched off by bit 11.
EVENTS = (
    "e1000e_core_mdic_write",
    "e1000e_core_ctrl_phy_reset",
    "e1000e_core_ctrl_sw_reset",
    "e1000x_link_negotiation_start",
    "e1000x_link_negotiation_done",
)
# What is traced to see whether a NIC could write to memory: pci_cfg_write has the command register.
DMA_EVENTS = (
    "e1000e_rx_set_rctl",
    "pci_cfg_write",
    "e1000e_rx_set_rdt",
    "e1000e_rx_written_to_guest",
)
_CONTROL = re.compile(r"^e1000e_core_mdic_write .*PHY\[\d+\]\[0\] = 0x([0-9a-f]+)$")
_RESET, _OFF = 1 << 15, 1 << 11
_RECEIVE = re.compile(r"^e1000e_rx_set_rctl RCTL = 0x([0-9a-f]+)$")
_COMMAND = re.compile(r"^pci_cfg_write e1000e \S+ @0x4 <- 0x([0-9a-f]+)$")
_BUFFERS = re.compile(r"^e1000e_rx_set_rdt Setting RDT\[\d+\] = (\d+)$")
_ENABLED, _MASTER = 1 << 1, 1 << 2


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What was done to the NICs of a guest, all of them together.

    Resets of PHYs, PHYs switched off, resets of MACs, negotiations begun, and links that were lost
    and came again. QEMU loses a link while it negotiates, and for nothing else that is in here.
    """

    phy_resets: int = 0
    switched_off: int = 0
    mac_resets: int = 0
    negotiations: int = 0
    lost: int = 0


def count(lines: list[str]) -> Link:
    """Return what QEMU has logged of :data:`EVENTS`, with each link up at the end."""
    words = [line.partition(" ")[0] for line in lines]
    controls = [int(found[1], 16) for line in lines if (found := _CONTROL.match(line))]
    return Link(
        phy_resets=sum(bool(value & _RESET) for value in controls) + words.count(EVENTS[1]),
        # One that is off stays so in what else is written.
        switched_off=sum(value & (_RESET | _OFF | 1 << 9) == _OFF for value in controls),
        mac_resets=words.count(EVENTS[2]),
        negotiations=words.count(EVENTS[3]),
        lost=words.count(EVENTS[4]),
    )


def receiving(lines: list[str]) -> list[bool]:
    """Return, for each time that a guest's only NIC was let loose on memory, if it was receiving.

    ``lines`` are what QEMU has logged of :data:`DMA_EVENTS` since the NIC was receiving.
    """
    return list(_receiving(lines))


def _receiving(lines: list[str]) -> Iterator[bool]:
    enabled = master = True
    for line in lines:
        if found := _RECEIVE.match(line):
            enabled = bool(int(found[1], 16) & _ENABLED)
        elif found := _COMMAND.match(line):
            before, master = master, bool(int(found[1], 16) & _MASTER)
            if master and not before:
                yield enabled


def astray(lines: list[str]) -> int:
    """Return how many frames a guest's only NIC wrote to memory that no driver had given it.

    That is, from a reset of its MAC on, until it is told of buffers. ``lines`` are of
    :data:`EVENTS` and :data:`DMA_EVENTS`.
    """
    given, frames = True, 0
    for line in lines:
        if line.startswith(f"{EVENTS[2]} "):
            given = False
        elif found := _BUFFERS.match(line):
            given = given or int(found[1]) > 0
        elif line.startswith("e1000e_rx_written_to_guest ") and not given:
            frames += 1
    return frames
