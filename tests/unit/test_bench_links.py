# SPDX-License-Identifier: GPL-2.0-only
"""What is compared of a link that is kept and one that is set up anew; what pings say of it."""

from __future__ import annotations

from sku_build import board as boards
from sku_build.bench import links
from sku_build.bench.links import ANEW, KEPT, Jumped
from sku_build.lab.link_trace import Link
from sku_build.lab.ping import Pings


def _jumped(way: str, link: Link, carrier_ms: float, lost: tuple[int, int]) -> Jumped:
    pings = Pings(
        sent=100,
        answered=90,
        blackout_ms=2 * carrier_ms,
        lost_in_it=lost[0],
        lost_beside_it=lost[1],
    )
    return Jumped(
        way=way,
        taken_over=way == KEPT,
        link=link,
        receiving=[False],
        astray=0,
        pings=pings,
        carrier_ms=carrier_ms,
    )


_FOUND = [
    _jumped(KEPT, Link(mac_resets=4), 100.0, (7, 0)),
    _jumped(ANEW, Link(phy_resets=6, negotiations=3, lost=2), 200.0, (9, 1)),
    _jumped(KEPT, Link(mac_resets=4), 100.0, (1, 0)),
    _jumped(ANEW, Link(phy_resets=6, negotiations=3, lost=2), 200.0, (0, 1)),
]


def test_what_the_ways_did_is_compared_kept_to_anew() -> None:
    found = {
        item.name: (item.ours, item.ordinary, item.ratio) for item in links.comparisons(_FOUND)
    }
    assert found["link: resets of the PHY"] == ([0, 0], [6, 6], 0)
    assert found["link: negotiations begun"] == ([0, 0], [3, 3], 0)
    assert found["link: times it was lost"] == ([0, 0], [2, 2], 0)
    assert found["link: from the jump to the carrier"] == ([100, 100], [200, 200], 0.5)
    assert found["link: without a reply to pings"][2] == 0.5


def test_a_note_says_what_was_lost_and_when() -> None:
    assert links.notes(_FOUND) == [
        "link kept: of 200 pings, lost in the blackout: 8, beside it: 0",
        "link set up anew: of 200 pings, lost in the blackout: 9, beside it: 2",
    ]


def test_the_board_has_its_first_nic_alone_and_nothing_waits() -> None:
    board = links.one_nic(boards.load("qemu-virt-acpi"))
    assert board.qemu is not None
    assert [nic.rpartition("=")[2] for nic in board.qemu.nics] == ["52:54:00:12:34:56"]
    assert board.partial_init is None
