# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from sku_build.lab import pci_trace

_LOG = """\
pci_cfg_read e1000e 01:00.0 @0x0 -> 0x10d38086
pci_cfg_write e1000e 01:00.0 @0x10 <- 0xffffffff
pci_cfg_read pcie-root-port 00:10.0 @0x8 -> 0x6040000
pci_update_mappings_add d=0x55 00:10.0 0,0x0+0x1000
pci_cfg_reads nothing
warning: nic net1 has no peer
"""


def test_reads_and_writes_are_told_apart_from_all_else_that_qemu_says() -> None:
    found = pci_trace.count(_LOG.splitlines())
    assert (found.reads, found.writes, found.total) == (2, 1, 3)
    assert pci_trace.count([]).total == 0
