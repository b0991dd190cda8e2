# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a boot, from what its log says."""

from __future__ import annotations

import pytest

from sku_build.lab import guest, results
from sku_build.lab.results import Mark
from sku_build.lab.steps import Step, steps

LOG = [
    (0, "Booting Linux on physical CPU 0x0000000000 [0x000f0510]"),
    (51, "sched_clock: 57 bits at 63MHz, resolution 16ns, wraps every 4398046511096ns"),
    (226_494, "smp: Bringing up secondary CPUs ..."),
    (267_956, "smp: Brought up 1 node, 2 CPUs"),
    (1_043_613, "Unpacking initramfs..."),
    (1_209_216, "Freeing initrd memory: 712K"),
    (1_726_795, "Freeing unused kernel memory: 704K"),
    (1_729_777, "Run /init as init process"),
    (1_828_557, "EXT4-fs (vda): mounted filesystem with ordered data mode. Quota mode: disabled."),
    (1_900_000, "EXT4-fs (vdb): mounted filesystem with ordered data mode. Quota mode: disabled."),
]


def test_a_log_tells_when_each_part_began_and_ended() -> None:
    lines = [guest.Line(6, 0, us, text) for us, text in LOG]
    assert results.marks(lines) == [
        Mark("clock", 51),
        Mark("cpus", 226_494),
        Mark("cpus-up", 267_956),
        Mark("unpack", 1_043_613),
        Mark("unpacked", 1_209_216),
        Mark("booted", 1_726_795),
        Mark("init", 1_729_777),
        Mark("root", 1_828_557),
    ]


def test_the_older_word_for_unpacking_is_known_too() -> None:
    line = guest.Line(6, 0, 7, "Trying to unpack rootfs image as initramfs...")
    assert results.marks([line]) == [Mark("unpack", 7)]


def test_the_logs_clock_is_set_by_what_both_clocks_know() -> None:
    marks = [Mark("clock", 0), Mark("cpus", 100_000), Mark("init", 700_000)]
    assert steps(marks, "init", 750.0) == [
        Step("until its clock runs", 0.0, 50.0),
        Step("core, scheduler, timers", 50.0, 150.0),
    ]


@pytest.mark.parametrize("at_ms", [699.0, 750.0])
def test_clocks_that_cannot_be_set_tell_nothing(at_ms: float) -> None:
    marks = [Mark("clock", 0), Mark("init", 700_000)]
    assert bool(steps(marks, "init", at_ms)) is (at_ms >= 700)
    assert steps(marks, "root", at_ms) == []
