# SPDX-License-Identifier: GPL-2.0-only
"""Where a kernel's boot spent its time, from the log of a kernel that ran with ``initcall_debug``.

Everything here is taken from the stamps of the log's records. The durations that the kernel prints
itself are in jiffies until it has a better clock, so they are believed for probes only, and no
further back than the initcall that they are in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from sku_build.errors import CheckError
from sku_build.lab import guest

# What a kernel needs on its command line: a record at both ends of each initcall and after each
# probe, and room for them. Records of this level (debug) do not go to the console.
CMDLINE = "initcall_debug log_buf_len=1M"

# init/main.c, trace_initcall_start_cb() and trace_initcall_finish_cb(); drivers/base/dd.c,
# really_probe_debug(); init/main.c, run_init_process()
_CALLING = re.compile(r"calling  (?P<name>\S+?)(?:\+0x\S+)? @ \d+$")
_RETURNED = re.compile(r"initcall (?P<name>\S+?)(?:\+0x\S+)? returned -?\d+ after \d+ usecs")
_PROBED = re.compile(r"probe of (?P<name>.+) returned -?\d+ after (?P<us>\d+) usecs$")
_FIRST_PROCESS = re.compile(r"Run \S+ as init process$")

_SHOWN = 48

Kind = Literal["no-clock", "initcall", "between"]


class Probe(msgspec.Struct, frozen=True):
    """The probe of a device, in ms; it may have waited, or run beside what it is listed with."""

    device: str
    ms: float


class Cost(msgspec.Struct, frozen=True):
    """A stretch of a boot: ``at_ms`` on the kernel's clock, and how long it took.

    ``no-clock`` is all before the kernel has one, back to the jump; ``initcall`` names a function,
    ``between`` the records of the log that nothing else came between. ``probes`` are those that
    ended in it.
    """

    what: str
    kind: Kind
    at_ms: float
    ms: float
    probes: list[Probe] = []


class Profile(msgspec.Struct, frozen=True):
    """The largest costs of a boot, largest first, and what the others come to together, in ms."""

    costs: list[Cost]
    others: int
    others_ms: float
    total_ms: float


def profile(lines: Sequence[guest.Line], *, boot_ms: float, count: int) -> Profile:
    """Return the ``count`` largest costs of a boot that took ``boot_ms`` to the first process.

    Raises CheckError when the log is not that of a kernel with :data:`CMDLINE`.
    """
    found = costs(lines, boot_ms=boot_ms)
    ordered = sorted(found, key=lambda cost: (-cost.ms, cost.at_ms))
    rest = ordered[count:]
    return Profile(ordered[:count], len(rest), round(sum(cost.ms for cost in rest), 3), boot_ms)


def costs(lines: Sequence[guest.Line], *, boot_ms: float) -> list[Cost]:
    """Return what a boot consists of, in its order; see :func:`profile`."""
    own = [line for line in lines if line.facility == 0]
    end = next((n for n, line in enumerate(own) if _FIRST_PROCESS.match(line.text)), None)
    if end is None or not any(_RETURNED.match(line.text) for line in own[:end]):
        raise CheckError(
            "the kernel's log does not show where the boot spent its time",
            hint="it begins too late or lacks the initcalls: is there room in the log, and is "
            f"`{CMDLINE}` on the kernel's command line?",
        )
    before = Cost("before the kernel has a clock", "no-clock", 0.0, _dark(own[end], boot_ms))
    return [before, *_stretches(own[: end + 1])]


def rows(found: Profile) -> list[tuple[str, ...]]:
    """Return the table for people: what, its share, when, and the probes in it."""
    shown = [
        (
            cost.what,
            f"{cost.ms:.1f} ms",
            _share(cost.ms, found.total_ms),
            f"{cost.at_ms:.1f} ms",
            ", ".join(f"{probe.device} {probe.ms:.1f}" for probe in cost.probes),
        )
        for cost in found.costs
    ]
    rest = f"{found.others} others"
    return [
        *shown,
        (rest, f"{found.others_ms:.1f} ms", _share(found.others_ms, found.total_ms), "", ""),
    ]


def _share(ms: float, total: float) -> str:
    return f"{ms / total:.1%}" if total > 0 else "–"


def _dark(first_process: guest.Line, boot_ms: float) -> float:
    """Return the part of the boot that the kernel's clock does not cover; its stamps are all 0."""
    return round(max(0.0, boot_ms - first_process.us / 1000), 3)


def _stretches(lines: Sequence[guest.Line]) -> Iterator[Cost]:
    """Cut the log, up to the first process, into initcalls and what is between two records."""
    calling: tuple[str, int] | None = None
    probes: list[Probe] = []
    previous = lines[0]
    for line in lines[1:]:
        if match := _PROBED.match(line.text):
            since = line.us - (calling[1] if calling else previous.us)
            probes.append(Probe(match["name"], min(int(match["us"]), since) / 1000))
        started, returned = _CALLING.match(line.text), _RETURNED.match(line.text)
        # An initcall that never said that it returned ends where the next one begins.
        ends = started or (calling and returned and returned["name"] == calling[0])
        if calling is None:
            yield from _between(previous, line, probes)
        elif ends:
            ms = (line.us - calling[1]) / 1000
            yield Cost(calling[0], "initcall", calling[1] / 1000, ms, probes)
        if calling is None or ends:
            probes = []
        if ends:
            calling = (started["name"], line.us) if started else None
        previous = line


def _between(first: guest.Line, last: guest.Line, probes: list[Probe]) -> Iterator[Cost]:
    if last.us > first.us:
        what = f"{_named(first.text)} … {_named(last.text)}"
        yield Cost(what, "between", first.us / 1000, (last.us - first.us) / 1000, probes)


def _named(text: str) -> str:
    """Return a record of the log as the end of a stretch: an initcall's name, or what it says."""
    if match := _CALLING.match(text) or _RETURNED.match(text):
        return match["name"]
    return f"“{text}”" if len(text) <= _SHOWN else f"“{text[: _SHOWN - 1]}…”"
