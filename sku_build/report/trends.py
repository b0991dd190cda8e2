# SPDX-License-Identifier: GPL-2.0-only
"""The history of past runs as small charts of one shape: one for each thing that was compared."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sku_build.history import Entry, Measure

SHOWN = 30  # the latest runs
_TOP, _BOTTOM, _LEFT, _RIGHT = 4.0, 36.0, 2.0, 98.0  # of a drawing of 100 by 40


class Point(msgspec.Struct, frozen=True):
    """One run: its value, whether it met the goal, and where it is drawn."""

    when: str
    release: str
    machine: str
    value: float
    met: bool | None
    x: float
    y: float


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one comparison, oldest first; ``unit`` is "×" for ratios, ours ÷ ordinary."""

    run: str
    name: str
    board: str
    unit: str
    goal: float | None
    goal_y: float | None
    points: list[Point]

    @property
    def low(self) -> float:
        """The smallest value."""
        return min(point.value for point in self.points)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(point.value for point in self.points)

    @property
    def latest(self) -> Point:
        """The latest run."""
        return self.points[-1]


def trends(entries: Sequence[Entry]) -> list[Trend]:
    """Return one trend for each comparison of each bench and board, in the order of the runs.

    Ratios where both ways were measured: they alone mean something from one machine to the next.
    Runs that measured a ratio and runs that did not are two trends.
    """
    grouped: dict[tuple[str, str, str, str], list[tuple[Entry, Measure]]] = {}
    for entry in entries:
        for measure in entry.measures:
            unit = "×" if _is_ratio(measure) else measure.unit
            if _value(measure) is not None:
                key = (entry.run, measure.name, entry.board, unit)
                grouped.setdefault(key, []).append((entry, measure))
    return [_trend(key, runs[-SHOWN:]) for key, runs in grouped.items()]


def _is_ratio(measure: Measure) -> bool:
    """Whether the ratio is what counts: not where the goal is a difference."""
    return measure.ratio is not None and measure.goal_difference is None


def _value(measure: Measure) -> float | None:
    if _is_ratio(measure):
        return measure.ratio
    if measure.goal_difference is not None and measure.ours is not None:
        return None if measure.ordinary is None else measure.ours - measure.ordinary
    return measure.ours


def _trend(key: tuple[str, str, str, str], runs: Sequence[tuple[Entry, Measure]]) -> Trend:
    run, name, board, unit = key
    values = [_value(measure) or 0.0 for _, measure in runs]
    latest = runs[-1][1]
    goal = latest.goal if unit == "×" else latest.goal_difference
    scale = [*values, *([] if goal is None else [goal])]
    # From zero, unless something is below it: half as high is to look half as high.
    low, high = min(0.0, *scale), max(0.0, *scale)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(_BOTTOM - (value - low) / span * (_BOTTOM - _TOP), 2)

    step = (_RIGHT - _LEFT) / max(1, len(values) - 1)
    return Trend(
        run=run,
        name=name,
        board=board,
        unit=unit,
        goal=goal,
        goal_y=None if goal is None else y(goal),
        points=[
            Point(
                when=entry.when,
                release=entry.release,
                machine=entry.machine,
                value=value,
                met=None if goal is None else value <= goal,
                x=round(_LEFT + number * step, 2) if len(values) > 1 else 50.0,
                y=y(value),
            )
            for number, ((entry, _), value) in enumerate(zip(runs, values, strict=True))
        ],
    )
