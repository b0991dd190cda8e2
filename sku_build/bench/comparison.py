# SPDX-License-Identifier: GPL-2.0-only
"""The record of a comparison, and of a run of several."""

from __future__ import annotations

import datetime
import statistics
from typing import Any

import msgspec

from sku_build.errors import CheckError
from sku_build.lab.steps import Step

FORMAT = 1


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of our way and of the ordinary way, taken alternately where both can be repeated.

    ``ratio`` is median ÷ median, ``difference`` median less median, smaller is better. ``goal`` is
    the largest ratio we want to see, ``goal_difference`` the largest difference, in ``unit``.
    Raises CheckError when the ordinary way measured nothing to compare with.
    """

    name: str
    ours_is: str
    ordinary_is: str
    unit: str
    ours: list[float]
    ordinary: list[float]
    goal: float | None = None
    goal_difference: float | None = None
    ratio: float = 0.0
    difference: float = 0.0

    def __post_init__(self) -> None:
        ordinary = statistics.median(self.ordinary)
        if ordinary <= 0:
            raise CheckError(f"{self.name}: {self.ordinary_is} measured {ordinary:g} {self.unit}")
        ours = statistics.median(self.ours)
        msgspec.structs.force_setattr(self, "ratio", round(ours / ordinary, 4))
        msgspec.structs.force_setattr(self, "difference", round(ours - ordinary, 4))

    @property
    def met(self) -> bool | None:
        """Whether every goal was met; None without one."""
        goals = [(self.ratio, self.goal), (self.difference, self.goal_difference)]
        met = [value <= goal for value, goal in goals if goal is not None]
        return all(met) if met else None

    @property
    def goals(self) -> str:
        """What was aimed at, for people."""
        ratio = [] if self.goal is None else [f"≤ {self.goal:g}"]
        more = (
            [] if self.goal_difference is None else [f"≤ {self.goal_difference:g} {self.unit} more"]
        )
        return ", ".join(ratio + more) or "–"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to boot the next kernel: ``ordinary``, ``ours``, or ours without the series ``off``.

    ``jump_ms`` are times from the jump to the first process, ``instructions`` the median of how
    many were executed there (None where they were not counted); ``steps`` are the parts of the
    boot that took the median time, ``facts`` what its kernel says of how it came up.
    """

    name: str
    off: str | None = None
    release: str
    append: str = ""
    jump_ms: list[float]
    instructions: int | None = None
    steps: list[Step] = []
    facts: dict[str, str] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a bench measured, on what (``inputs``: trees, boards, releases, sizes).

    ``when`` is the time in UTC (ISO 8601). ``variants`` are what the comparisons of a boot were
    taken of, ``notes`` has a sentence for each that could not be, and for what else is to be known.
    """

    format: int = FORMAT
    bench: str
    when: str = msgspec.field(default_factory=now)
    inputs: dict[str, Any]
    comparisons: list[Comparison]
    variants: list[Variant] = []
    notes: list[str] = []


def rows(report: Report) -> list[tuple[str, ...]]:
    """Return the table for people: what was compared, both medians, the ratio and the goal."""
    return [
        (
            item.name,
            f"{statistics.median(item.ours):.2f} {item.unit}",
            f"{statistics.median(item.ordinary):.2f} {item.unit}",
            f"{item.ratio:.3f}",
            item.goals,
            {None: "", True: "met", False: "missed"}[item.met],
        )
        for item in report.comparisons
    ]


def variant_rows(report: Report) -> list[tuple[str, ...]]:
    """Return the table of the ways to boot: medians, and how much more each is than ours."""
    timed = [item for item in report.variants if item.name == "ours" and item.jump_ms]
    ours = statistics.median(timed[0].jump_ms) if timed else None
    return [
        (
            item.name,
            item.append or "–",
            f"{statistics.median(item.jump_ms):.1f} ms" if item.jump_ms else "–",
            f"{statistics.median(item.jump_ms) - ours:+.1f} ms" if item.jump_ms and ours else "–",
            f"{item.instructions / 1e6:.1f} million" if item.instructions is not None else "–",
        )
        for item in report.variants
    ]
