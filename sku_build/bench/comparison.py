# SPDX-License-Identifier: GPL-2.0-only
"""The record of a comparison, and of a run of several."""

from __future__ import annotations

import statistics
from typing import Any

import msgspec

from sku_build.errors import CheckError


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


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a bench measured, on what (``inputs``: trees, boards, releases, sizes)."""

    format: int = 1
    bench: str
    inputs: dict[str, Any]
    comparisons: list[Comparison]


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
