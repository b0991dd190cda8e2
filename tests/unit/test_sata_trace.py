# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from sku_build.lab import sata_trace

_LOG = """\
ahci_reset ahci(0x55d0): HBA reset
ahci_reset_port ahci(0x55d0)[0]: reset port
ahci_port_write ahci(0x55d0)[3]: port write [reg:PxSCTL] @ 0x2c: 0x00000301
ahci_port_write ahci(0x55d0)[3]: port write [reg:PxSCTL] @ 0x2c: 0x00000300
ahci_port_write ahci(0x55d0)[1]: port write [reg:PxSCTL] @ 0x2c: 0x00000301
ahci_port_write ahci(0x55d0)[1]: port write [reg:PxCI] @ 0x38: 0x00000001
ide_exec_cmd IDE exec cmd: bus 0x55d1; state 0x55d2; cmd 0xec
ide_exec_cmd IDE exec cmd: bus 0x55d1; state 0x55d2; cmd 0xef
warning: nic net1 has no peer
"""


def test_resets_of_links_are_told_from_all_other_writes_to_ports() -> None:
    found = sata_trace.count(_LOG.splitlines())
    assert (found.controller, found.links, found.identified) == (1, [1, 3], 1)
