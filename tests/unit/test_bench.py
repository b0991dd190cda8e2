# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import pytest

from sku_build.bench import Comparison, Report
from sku_build.bench.comparison import rows
from sku_build.errors import CheckError


def comparison(ours: list[float], ordinary: list[float], goal: float | None = None) -> Comparison:
    return Comparison(
        name="n", ours_is="a", ordinary_is="b", unit="s", ours=ours, ordinary=ordinary, goal=goal
    )


def test_the_ratio_is_of_medians_so_that_one_slow_run_does_not_count() -> None:
    assert comparison([1.0, 1.0, 50.0], [2.0, 2.0, 0.1]).ratio == 0.5


@pytest.mark.parametrize(("goal", "met"), [(0.5, True), (0.49, False), (None, None)])
def test_a_goal_is_the_largest_ratio_wanted(goal: float | None, met: bool | None) -> None:
    item = comparison([1.0], [2.0], goal)
    assert item.met is met
    (row,) = rows(Report(bench="t", inputs={}, comparisons=[item]))
    assert row[-1] == {True: "met", False: "missed", None: ""}[met]


def test_nothing_measured_is_no_ratio() -> None:
    with pytest.raises(CheckError, match="measured 0 s"):
        comparison([1.0], [0.0])
