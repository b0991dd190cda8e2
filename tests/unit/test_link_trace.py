# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from sku_build.lab import link_trace

# As the ordinary shutdown, probe and open of a NIC has it, shortened.
_LOG = """\
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x1940
e1000e_core_ctrl_sw_reset Doing SW reset
e1000e_core_mdic_write MDIC WRITE: PHY[0][22] = 0x0
e1000e_core_mdic_write MDIC WRITE: PHY[0][16] = 0x9940
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x9940
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x1b40
e1000x_link_negotiation_start Start link auto negotiation
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x1940
e1000e_core_ctrl_phy_reset Doing PHY reset
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x1140
e1000e_core_mdic_write MDIC WRITE: PHY[0][0] = 0x1340
e1000x_link_negotiation_start Start link auto negotiation
e1000x_link_negotiation_done Auto negotiation is completed
warning: nic net1 has no peer
"""
_LOOSE = """\
pci_cfg_write e1000e 01:00.0 @0x4 <- 0x403
e1000e_rx_set_rctl RCTL = 0x40002
pci_cfg_write pcie-root-port 00:10.0 @0x4 <- 0x407
pci_cfg_write e1000e 01:00.0 @0x4 <- 0x406
pci_cfg_write e1000e 01:00.0 @0x4 <- 0x407
e1000e_rx_set_rctl RCTL = 0x0
pci_cfg_write e1000e 01:00.0 @0x44 <- 0x0
pci_cfg_write e1000e 01:00.0 @0x4 <- 0x403
pci_cfg_write e1000e 01:00.0 @0x4 <- 0x407
"""


def test_what_is_done_to_a_link_is_told_from_what_else_is_written_to_phys() -> None:
    assert link_trace.count(_LOG.splitlines()) == link_trace.Link(
        phy_resets=2, switched_off=2, mac_resets=1, negotiations=2, lost=1
    )
    assert link_trace.count([]) == link_trace.Link()


def test_a_nic_is_seen_to_receive_each_time_that_it_is_let_loose() -> None:
    assert link_trace.receiving(_LOOSE.splitlines()) == [True, False]
    assert link_trace.receiving([]) == []


_ASTRAY = """\
e1000e_rx_written_to_guest Received packet written to guest (ICR causes 1)
e1000e_core_ctrl_sw_reset Doing SW reset
e1000e_rx_set_rctl RCTL = 0x4008002
e1000e_rx_written_to_guest Received packet written to guest (ICR causes 1)
e1000e_rx_set_rdt Setting RDT[0] = 0
e1000e_rx_written_to_guest Received packet written to guest (ICR causes 1)
e1000e_rx_set_rdt Setting RDT[0] = 240
e1000e_rx_written_to_guest Received packet written to guest (ICR causes 1)
"""


def test_frames_that_are_written_before_there_are_buffers_are_astray() -> None:
    assert link_trace.astray(_ASTRAY.splitlines()) == 2
    assert link_trace.astray([]) == 0
