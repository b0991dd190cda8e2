# SPDX-License-Identifier: GPL-2.0-only
"""From a kernel's log with its initcalls to the largest costs of the boot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sku_build.errors import CheckError
from sku_build.lab import guest, profile
from sku_build.lab.profile import Cost, Probe


def lines(*records: tuple[float, str]) -> list[guest.Line]:
    """Return records of the kernel's log from stamps in ms and texts."""
    return [guest.Line(7, 0, round(ms * 1000), text) for ms, text in records]


LOG = lines(
    (0, "Linux version 6.1.0"),
    (0, "Kernel command line: initcall_debug"),
    (5, "smp: Brought up 1 node, 2 CPUs"),
    (6, "calling  first+0x0/0xb8 @ 1"),
    (6.5, "NET: Registered PF_INET protocol family"),
    (9, "initcall first+0x0/0xb8 returned 0 after 4000 usecs"),
    (9, "calling  pci_driver_init+0x0/0x20 @ 1"),
    (29, "probe of 4010000000.pcie returned 0 after 19000 usecs"),
    (30, "probe of 0000:00:01.0 returned 0 after 400 usecs"),
    (30.5, "initcall pci_driver_init+0x0/0x20 returned -19 after 21500 usecs"),
    (31, "Freeing unused kernel memory: 704K"),
    (40, "Run /init as init process"),
    (41, "  with arguments:"),
    (99, "an application speaks"),
)


def test_the_costs_are_the_whole_boot_in_its_order() -> None:
    found = profile.costs(LOG, boot_ms=70)
    assert [(cost.what, cost.ms) for cost in found] == [
        ("before the kernel has a clock", 30.0),
        ("“Kernel command line: initcall_debug” … “smp: Brought up 1 node, 2 CPUs”", 5.0),
        ("“smp: Brought up 1 node, 2 CPUs” … first", 1.0),
        ("first", 3.0),
        ("pci_driver_init", 21.5),
        ("pci_driver_init … “Freeing unused kernel memory: 704K”", 0.5),
        ("“Freeing unused kernel memory: 704K” … “Run /init as init process”", 9.0),
    ]
    assert sum(cost.ms for cost in found) == pytest.approx(70)


def test_a_probe_is_listed_with_the_initcall_it_is_in_and_is_not_longer() -> None:
    (pci,) = [cost for cost in profile.costs(LOG, boot_ms=70) if cost.probes]
    assert pci == Cost(
        "pci_driver_init",
        "initcall",
        9.0,
        21.5,
        [Probe("4010000000.pcie", 19.0), Probe("0000:00:01.0", 0.4)],
    )
    log = lines(
        (0, "x"), (6, "calling  a+0x0/0x8 @ 1"), (7, "probe of d returned 0 after 4000 usecs")
    )
    log += lines(
        (8, "initcall a+0x0/0x8 returned 0 after 4000 usecs"), (9, "Run /i as init process")
    )
    (a,) = [cost for cost in profile.costs(log, boot_ms=9) if cost.what == "a"]
    assert a.probes == [Probe("d", 1.0)]


def test_an_initcall_whose_end_is_missing_ends_where_the_next_begins() -> None:
    log = lines(
        (1, "calling  lost+0x0/0x8 @ 1"),
        (5, "calling  next+0x0/0x8 @ 1"),
        (7, "initcall next+0x0/0x8 returned 0 after 0 usecs"),
        (8, "Run /init as init process"),
    )
    log = [guest.Line(6, 0, 0, "Booting"), *log]
    assert [(cost.what, cost.ms) for cost in profile.costs(log, boot_ms=8)][2:4] == [
        ("lost", 4.0),
        ("next", 2.0),
    ]


def test_a_line_that_a_process_wrote_is_not_the_kernels() -> None:
    forged = guest.Line(6, 1, 2000, "Run /init as init process")
    assert profile.costs([*LOG[:3], forged, *LOG[3:]], boot_ms=70) == profile.costs(LOG, boot_ms=70)


def test_the_largest_come_first_and_the_others_are_added_up() -> None:
    found = profile.profile(LOG, boot_ms=70, count=2)
    assert [cost.ms for cost in found.costs] == [30.0, 21.5]
    assert (found.others, found.others_ms, found.total_ms) == (5, 18.5, 70)
    table = profile.rows(found)
    assert table[0][:3] == ("before the kernel has a clock", "30.0 ms", "42.9%")
    assert table[1][4] == "4010000000.pcie 19.0, 0000:00:01.0 0.4"
    assert table[2][:3] == ("5 others", "18.5 ms", "26.4%")


@pytest.mark.parametrize(
    "log",
    [
        [],
        LOG[:-3],
        [line for line in LOG if not line.text.startswith(("calling", "initcall"))],
    ],
    ids=["empty", "no first process", "no initcalls"],
)
def test_a_log_that_shows_nothing_is_an_error_that_says_what_to_do(log: list[guest.Line]) -> None:
    with pytest.raises(CheckError) as raised:
        profile.profile(log, boot_ms=70, count=10)
    assert profile.CMDLINE in (raised.value.hint or "")


@given(st.lists(st.sampled_from(LOG), max_size=30), st.floats(0, 1e6))
def test_any_order_of_records_is_a_profile_or_an_error(
    log: list[guest.Line], boot_ms: float
) -> None:
    try:
        found = profile.costs(log, boot_ms=boot_ms)
    except CheckError:
        return
    assert all(cost.ms >= 0 for cost in found if cost.kind == "between")
