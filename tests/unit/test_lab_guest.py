# SPDX-License-Identifier: GPL-2.0-only
"""What the guest says, and what is made of it."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sku_build.errors import CheckError
from sku_build.lab import guest, results

_INIT = {
    "event": "init",
    "protocol": 1,
    "counter": 62_500_000,
    "counter_hz": 62_500_000,
    "release": "6.1.0",
    "version": "#1 SMP",
    "cmdline": "console=ttyAMA0",
    "cpus_online": "0-1",
    "cpus_possible": "0-3",
    "memory_kib": 2_000_000,
    "page_size": 4096,
    "uptime_ns": 900_000_000,
}


def _init(**changed: object) -> guest.Init:
    event = guest.decode(json.dumps(_INIT | changed).encode())
    assert isinstance(event, guest.Init)
    return event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not JSON\n",
        b'{"event":"init"}\n',
        b'{"event":"unheard-of"}\n',
        b'{"event":"jump","counter":"12"}\n',
        b'{"event":"jump","counter":1',
        b"\xff\xfe\n",
        json.dumps(_INIT | {"protocol": 2}).encode(),
    ],
)
def test_a_line_that_is_no_event_is_malformed_and_shown(line: bytes) -> None:
    with pytest.raises(guest.Malformed) as raised:
        guest.decode(line)
    assert str(raised.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(line: bytes) -> None:
    with contextlib.suppress(guest.Malformed):
        guest.decode(line)


@pytest.mark.parametrize(("cpus", "number"), [("0", 1), ("0-3", 4), ("0-3,8", 5), ("0,2-3,63", 4)])
def test_cpu_lists_are_counted(cpus: str, number: int) -> None:
    assert guest.count_cpus(cpus) == number


def test_a_cpu_list_that_is_none_is_a_problem_of_the_guest() -> None:
    with pytest.raises(CheckError, match="CPU list"):
        results.kernel_boot(_init(cpus_online=""), [], since=0, log="")


def test_boot_time_is_on_the_counter_and_starts_where_it_is_told() -> None:
    assert results.kernel_boot(_init(), [], since=0, log="").boot_ms == 1000.0
    assert results.kernel_boot(_init(), [], since=31_250_000, log="").boot_ms == 500.0


def test_a_counter_that_ran_backwards_is_refused() -> None:
    with pytest.raises(CheckError, match="virtual counter"):
        results.kernel_boot(_init(), [], since=62_500_001, log="")


def test_the_log_yields_deferred_times_secondary_cpus_and_warnings() -> None:
    lines = [
        guest.Line(6, 0, 100, "node 0 deferred pages initialised in 52ms"),
        guest.Line(6, 0, 101, "node 1 deferred pages initialised in 7ms"),
        guest.Line(6, 0, 200, "CPU1: Booted secondary processor 0x0000000001 [0x000f0510]"),
        guest.Line(4, 0, 300, "cacheinfo: something is missing"),
        guest.Line(3, 0, 400, "worse"),
        guest.Line(4, 0, 450, "known timer trouble"),
        guest.Line(5, 0, 500, "a notice"),
        guest.Line(3, 1, 600, "what a program wrote to /dev/kmsg is not the kernel's"),
    ]
    expected = [re.compile("^known .* trouble$")]
    boot = results.kernel_boot(_init(), lines, since=0, log="", expected=expected)
    assert boot.deferred_ms == [52, 7]
    assert boot.secondary_cpus == 1
    assert [line.text for line in boot.warnings] == ["cacheinfo: something is missing", "worse"]
    assert (boot.cpus, boot.cpus_possible) == (2, 4)


def test_lockdeps_introduction_is_no_warning_and_its_findings_are() -> None:
    texts = [
        "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
        *("... MAX_LOCKDEP_SUBCLASSES:  8", "... MAX_LOCK_DEPTH:          48"),
        *("... CLASSHASH_SIZE:          4096", "... CHAINHASH_SIZE:          32768"),
        " memory used by lock dependency info: 6493 kB",
        " memory used for stack traces: 4224 kB",
        " per task-struct memory footprint: 1920 bytes",
        "WARNING: possible circular locking dependency detected",
    ]
    lines = [guest.Line(4, 0, number, text) for number, text in enumerate(texts)]
    boot = results.kernel_boot(_init(), lines, since=0, log="")
    assert [line.text for line in boot.warnings] == texts[-1:]
