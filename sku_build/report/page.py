# SPDX-License-Identifier: GPL-2.0-only
"""The page: what its template is given, and how numbers are written in it."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence
from typing import Any

import jinja2
import msgspec

from sku_build import __version__
from sku_build.bench.comparison import Comparison, Report, Variant, now
from sku_build.errors import CheckError, UserError
from sku_build.history import Entry
from sku_build.lab.update_result import UpdateResult, Way
from sku_build.report import timeline
from sku_build.report.sources import Source
from sku_build.report.timeline import Part, Timeline
from sku_build.report.trends import trends

_TEMPLATE = "report.html.j2"
_THIN = "\N{NARROW NO-BREAK SPACE}"


class Waterfalls(msgspec.Struct, frozen=True, kw_only=True):
    """Several timelines on one scale, up to ``end_ms``, with its ``ticks``."""

    end_ms: float
    ticks: list[float]
    timelines: list[Timeline]


class Ablation(msgspec.Struct, frozen=True, kw_only=True):
    """What each series is worth: the ways to boot, and their parts on one scale."""

    variants: list[Variant]
    end_ms: float
    ours_ms: float | None
    boots: Waterfalls
    parts: list[str]


class Facts(msgspec.Struct, frozen=True):
    """The inputs of one result: a title, and what is to be known."""

    title: str
    facts: list[tuple[str, str]]


def number(value: float) -> str:
    """Return a number with as many digits as mean something, thousands set apart."""
    size = abs(value)
    digits = 0 if size >= 100 or not value else 1 if size >= 10 else 2 if size >= 1 else 3
    if size >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.{digits}f}".replace(",", _THIN).replace("-", "−")


def milliseconds(value: float) -> str:
    """Return a time as :func:`number` does, but with one digit at most, as times in a column."""
    return number(value) if abs(value) >= 100 else f"{value:.1f}".replace("-", "−")


def render(sources: Sequence[Source], entries: Sequence[Entry], problems: Sequence[str]) -> str:
    """Return the page of some results and of the history.

    ``problems`` are lines of the history that could not be read. Raises UserError naming the file
    of a result that cannot be drawn.
    """
    updates = [s for s in sources if isinstance(s.result, UpdateResult)]
    reports = [s.result for s in sources if isinstance(s.result, Report)]
    several = len(updates) > 1
    blackouts = _waterfalls(
        [line for source in updates for line in _timelines(source, sized=several)]
    )
    comparisons = [item for report in reports for item in report.comparisons]
    goals = [item.met for item in comparisons if item.met is not None]
    return _template().render(
        made=now(),
        version=__version__,
        headline=_headline(updates),
        goals_met=sum(goals),
        goals=len(goals),
        blackouts=blackouts,
        broken=[text for s in updates for text in _broken(s.result)],
        ablations=[
            _ablation(report) for report in reports if any(v.jump_ms for v in report.variants)
        ],
        notes=[text for report in reports for text in report.notes],
        reports=reports,
        trends=trends(entries),
        entries=entries,
        problems=problems,
        inputs=[_facts(source) for source in sources],
        Part=Part,
    )


def _timelines(source: Source, *, sized: bool) -> list[Timeline]:
    """Return the timelines of an update; ``sized`` when there are others to tell it from."""
    assert isinstance(source.result, UpdateResult)
    try:
        lines = [timeline.of_way(way) for way in source.result.ways]
    except CheckError as error:
        raise UserError(f"key ways: {error.message}", where=source.path) from error
    size = _size(source.result)
    return [
        msgspec.structs.replace(
            line,
            name=f"{line.name}, {size}" if sized else line.name,
            kernels=f"{line.kernels} · redis with {size}",
        )
        for line in lines
    ]


def _size(result: UpdateResult) -> str:
    return f"{result.data_mib} MiB{' in huge pages' if result.huge else ''}"


def _broken(result: UpdateResult | Report) -> list[str]:
    if not isinstance(result, UpdateResult):
        return []
    return [f"{way.way}: {text}" for way in result.ways for text in way.broken]


def _waterfalls(timelines: Sequence[Timeline]) -> Waterfalls:
    end, ticks = timeline.axis(timeline.end_ms(timelines))
    return Waterfalls(end_ms=end, ticks=ticks, timelines=list(timelines))


def _headline(updates: Sequence[Source]) -> list[tuple[str, str, str]]:
    """Return the numbers to begin with: a value, its unit, what it is; the latest update's."""
    found: list[tuple[str, str, str]] = []
    for source in updates[-1:]:
        result = source.result
        assert isinstance(result, UpdateResult)
        for way in result.ways:
            name = {Way.OURS: "ours", Way.ORDINARY: "the ordinary way"}[way.way]
            found.append((number(way.traffic.blackout_ms), "ms", f"client’s blackout, {name}"))
        if result.ratio is not None:
            found.append((number(result.ratio), "×", "ours ÷ ordinary"))
    return found


def _ablation(report: Report) -> Ablation:
    variants = [variant for variant in report.variants if variant.jump_ms]
    ours = next((variant for variant in variants if variant.name == "ours"), None)
    return Ablation(
        variants=variants,
        end_ms=max(max(variant.jump_ms) for variant in variants) or 1.0,
        ours_ms=statistics.median(ours.jump_ms) if ours else None,
        boots=_waterfalls([timeline.of_variant(v) for v in report.variants if v.steps]),
        parts=list(dict.fromkeys(step.name for v in report.variants for step in v.steps)),
    )


def _facts(source: Source) -> Facts:
    result = source.result
    if isinstance(result, Report):
        facts = [(key.replace("_", " "), _plain(value)) for key, value in result.inputs.items()]
        return Facts(f"bench {result.bench}", [("when", result.when), *facts])
    facts = [("board", result.board), ("redis holds", _size(result))]
    for way in result.ways:
        machine = way.machine
        facts += [
            (f"kernels, {way.way}", f"{way.first.release} → {way.second.release}"),
            (f"command line, {way.way}", way.second.cmdline),
            (
                f"machine, {way.way}",
                f"QEMU {machine.qemu} ({machine.accelerator}), {machine.cpu}, {machine.smp} CPUs, "
                f"{machine.memory_mib} MiB",
            ),
            (
                f"memory, {way.way}",
                f"{way.anonymous_kib >> 10} MiB, of it {way.huge_kib >> 10} MiB in huge pages, "
                f"{way.copied_kib >> 10} MiB copied",
            ),
        ]
    return Facts("lab update", facts)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def _percent(value: float, end: float) -> str:
    """Return where ``value`` is on a scale that ends at ``end``, as a length of CSS."""
    return f"{min(100.0, max(0.0, value / end * 100 if end else 0.0)):.3f}%"


def _spread(samples: Sequence[float]) -> str:
    if len(samples) < 2:
        return "one run"
    return f"{number(min(samples))} … {number(max(samples))}, {len(samples)} runs"


def _verdict(item: Comparison) -> tuple[str, str, str]:
    """Return how a goal was done: a class, a sign, a word."""
    return {
        True: ("met", "✓", "met"),
        False: ("missed", "✗", "missed"),
        None: ("none", "·", "no goal"),
    }[item.met]


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sku_build.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ms": milliseconds,
        "number": number,
        "median": statistics.median,
        "percent": _percent,
        "plain": "{:g}".format,
        "spread": _spread,
        "verdict": _verdict,
    }
    return environment.get_template(_TEMPLATE)
