# SPDX-License-Identifier: GPL-2.0-only
"""What a way to find disks is compared with, and what is said of what it did."""

from __future__ import annotations

from sku_build.bench import disks
from sku_build.bench.disks import Way
from sku_build.lab.sata_trace import Resets


def test_each_way_is_compared_with_the_ordinary_one_and_ours_with_the_quickest_option() -> None:
    ways = [
        Way("handed over", "", [22.0], [40.0]),
        Way("no delay", "libata.force=nodbdelay", [100.0, 300.0, 110.0], [200.0]),
        Way("ordinary", "off", [220.0], [400.0]),
        Way("no reset", "libata.force=norst", [220.0], [100.0]),
    ]
    found = {item.name: (item.ours_is, item.ratio, item.met) for item in disks.comparisons(ways)}
    known, option = "known from the kernel before", "libata.force=nodbdelay"
    assert found == {
        "SATA disks, handed over: to the last disk": (known, 0.1, None),
        "SATA disks, handed over: to the root's first process": (known, 0.1, None),
        "SATA disks, no delay: to the last disk": (option, 0.5, None),
        "SATA disks, no delay: to the root's first process": (option, 0.5, None),
        "SATA disks, no reset: to the last disk": ("libata.force=norst", 1.0, None),
        "SATA disks, no reset: to the root's first process": ("libata.force=norst", 0.25, None),
        "SATA disks, handed over against no delay: to the last disk": (known, 0.2, True),
        "SATA disks, handed over against no delay: to the root's first process": (known, 0.2, True),
    }


def test_a_note_says_what_was_reset_and_how_often_disks_were_asked() -> None:
    way = Way("no delay", "", [100.0], [200.0], Resets(1, [0, 1, 1], 4))
    assert disks.note(way) == (
        "SATA disks, no delay: the last one after 100.0 ms; resets of the controller: 1, "
        "of links: 3; IDENTIFY commands: 4"
    )
