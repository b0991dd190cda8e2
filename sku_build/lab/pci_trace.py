# SPDX-License-Identifier: GPL-2.0-only
"""How often a guest accesses the configuration space of its PCI functions, as QEMU traces it."""

from __future__ import annotations

import dataclasses

# hw/pci/trace-events of QEMU 7.2. Reads of places where nothing is are not among them.
EVENTS = ("pci_cfg_read", "pci_cfg_write")


@dataclasses.dataclass(frozen=True, slots=True)
class Accesses:
    """Reads and writes that a function has answered."""

    reads: int = 0
    writes: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.reads + self.writes


def count(lines: list[str]) -> Accesses:
    """Return the accesses in what QEMU has logged."""
    words = [line.partition(" ")[0] for line in lines]
    return Accesses(*(words.count(event) for event in EVENTS))
