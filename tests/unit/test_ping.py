# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from sku_build.lab.ping import pings

_MS = 1_000_000


def test_what_is_lost_in_the_blackout_is_told_from_what_is_lost_beside_it() -> None:
    sent = [number * 10 * _MS for number in range(10)]
    answered = {number: at + _MS for number, at in enumerate(sent) if number not in (1, 4, 5, 6)}
    found = pings(sent, answered)
    assert (found.sent, found.answered) == (10, 6)
    assert found.blackout_ms == 40
    assert (found.lost_in_it, found.lost_beside_it) == (3, 1)


def test_what_is_answered_late_is_not_lost() -> None:
    sent = [0, 10 * _MS, 20 * _MS, 30 * _MS]
    found = pings(sent, {0: 1 * _MS, 1: 50 * _MS, 2: 50 * _MS, 3: 51 * _MS})
    assert (found.blackout_ms, found.lost_in_it, found.lost_beside_it) == (49, 0, 0)


def test_a_stream_without_replies_has_no_blackout() -> None:
    found = pings([0, 10 * _MS], {})
    assert (found.blackout_ms, found.lost_in_it, found.lost_beside_it) == (0, 0, 2)
