# SPDX-License-Identifier: GPL-2.0-only
"""What an update in the lab found out: which promises held, and where the time went."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from sku_build.lab.application import Census
from sku_build.lab.machine import PhaseTime
from sku_build.lab.results import FORMAT, KernelBoot, MachineRecord, elapsed_ms
from sku_build.lab.traffic import Traffic


class Way(enum.StrEnum):
    """How the kernel is replaced: with the memory kept in place, or dumped to the disk."""

    OURS = "ours"
    ORDINARY = "ordinary"


class Stamp(msgspec.Struct, frozen=True):
    """The counter when a phase began; the name of one that ended says so: ``thaw-end``."""

    phase: str
    counter: int


class Span(msgspec.Struct, frozen=True):
    """How long a phase of an update took on the guest's counter."""

    phase: str
    ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime says of an update that it did: ``/run/sku/report.json``.

    ``pages`` base pages were kept in place, ``huge`` of them in huge mappings, in
    ``extents`` runs that follow each other both in memory and in the process; CRIU's images took
    ``image_bytes``, ``pages_bytes`` of them copied memory. ``verified`` pages were compared with
    the checksums of the seal. Of the next kernel's ``jump_bytes`` the jump copied
    ``jump_copied_bytes``; a kernel without the series ``quick_kexec`` does not say. Of shared
    memory, ``shared_bytes`` were kept in place and ``shared_copied_bytes`` copied, for the reason
    ``shared_copied``.
    ``initramfs`` is ``kept``, or why the next kernel unpacked its archive; empty for a kernel that
    can only do that.
    """

    counter_hz: int
    stamps: list[Stamp]
    pages: int
    huge: int
    image_bytes: int
    pages_bytes: int
    extents: int | None = None
    verified: int = 0
    jump_bytes: int | None = None
    jump_copied_bytes: int | None = None
    initramfs: str = ""
    shared_bytes: int = 0
    shared_copied_bytes: int = 0
    shared_copied: str = ""


class WayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One update, one way. ``broken`` has a sentence for each promise that did not hold.

    Memory is in KiB: ``anonymous_kib`` the server's, ``huge_kib`` of it in huge pages, and
    ``copied_kib`` what CRIU wrote out and read back. ``report`` is the runtime's, where it has one.
    """

    way: Way
    machine: MachineRecord
    first: KernelBoot
    second: KernelBoot
    before: Census
    after: Census
    traffic: Traffic
    anonymous_kib: int
    huge_kib: int
    copied_kib: int
    spans: list[Span]
    broken: list[str]
    report: Report | None
    phases: list[PhaseTime]
    directory: str


class UpdateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab update``; ``ratio`` is ours ÷ ordinary, of the blackouts."""

    format: int = FORMAT
    kind: Literal["update"] = "update"
    board: str
    data_mib: int
    huge: bool
    ways: list[WayResult]
    ratio: float | None = None
    directory: str


# What a kernel prints on its console before it goes on in a state that nobody should trust.
_ALARM = re.compile(
    r"WARNING: |BUG: |Oops|Kernel panic|Call trace:|INFO: (?:task|rcu|possible)|"
    r"Bad page|pagealloc: (?:single|memory)|UBSAN: |KASAN: |kmemleak: [1-9]"
)


def alarms(console: str) -> list[str]:
    """Return the lines of a console log that no kernel prints when all is well.

    The console has what a kernel says between the last look at its log and the jump.
    """
    return [line.strip() for line in console.splitlines() if _ALARM.search(line)]


def broken_promises(
    before: msgspec.Struct, after: msgspec.Struct, traffic: Traffic, warnings: Sequence[str]
) -> list[str]:
    """Return a sentence for each thing that an update must leave alone, and did not.

    ``before`` and ``after`` are what the application was and is, of the same kind.
    """
    found = [
        f"{name} was {getattr(before, name)!r} and is {getattr(after, name)!r}"
        for name in before.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    ]
    if traffic.error is not None:
        found.append(f"the client's connection broke: {traffic.error}")
    if traffic.replies != traffic.requests:
        found.append(f"{traffic.requests - traffic.replies} requests were not answered")
    if traffic.wrong:
        found.append(f"{traffic.wrong} replies do not follow the one before: lost or done twice")
    found += [f"a kernel complained: {text}" for text in warnings]
    return found


def spans(stamps: Sequence[Stamp], hz: int) -> list[Span]:
    """Return how long each phase took: up to the next stamp, whatever that begins or ends."""
    return [
        Span(begin.phase, elapsed_ms(begin.counter, end.counter, hz))
        for begin, end in itertools.pairwise(stamps)
        if not begin.phase.endswith("-end")
    ]


def ratio(ways: Sequence[WayResult]) -> float | None:
    """Return our blackout ÷ the ordinary one; None unless both ways were gone."""
    blackout = {item.way: item.traffic.blackout_ms for item in ways}
    if len(blackout) != len(Way) or blackout[Way.ORDINARY] <= 0:
        return None
    return round(blackout[Way.OURS] / blackout[Way.ORDINARY], 4)


def rows(result: UpdateResult) -> list[tuple[str, ...]]:
    """Return the rows of the table for people: a property, and its value each way."""

    def row(name: str, text: Any) -> tuple[str, ...]:
        return (name, *(text(way) for way in result.ways))

    return [
        row("kernels", lambda way: f"{way.first.release} → {way.second.release}"),
        row("client's blackout", lambda way: f"{way.traffic.blackout_ms:.0f} ms"),
        row("longest wait for a reply", lambda way: f"{way.traffic.slowest_ms:.0f} ms"),
        row("a reply otherwise every", lambda way: f"{way.traffic.normal_ms:.1f} ms"),
        row("answered", lambda way: f"{way.traffic.replies} of {way.traffic.requests} requests"),
        row("connection", lambda way: way.traffic.error or f"the same, {way.after.connection}"),
        row("pid, threads", lambda way: f"{way.after.pid}, {len(way.after.tids)}"),
        row("keys", lambda way: str(way.after.keys)),
        row("digest", lambda way: way.after.digest[:16]),
        row("the application's memory", lambda way: _mib(way.anonymous_kib)),
        row("of it in huge pages", lambda way: _mib(way.huge_kib)),
        row("in runs of pages", lambda way: str((way.report and way.report.extents) or "-")),
        row("of it copied", lambda way: _mib(way.copied_kib)),
        row("promises broken", lambda way: str(len(way.broken) or "none")),
    ]


def _mib(kib: int) -> str:
    return f"{kib / 1024:.1f} MiB"
