# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from sku_build import history
from sku_build.history import Entry, Measure
from sku_build.report.trends import SHOWN, trends
from tests.unit import report_samples as samples


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKU_CACHE", str(tmp_path))
    return tmp_path


def entry(
    when: str, ours: float, *, goal: float | None = 0.5, ordinary: float | None = 2.0
) -> Entry:
    measure = Measure(name="n", unit="ms", ours=ours, ordinary=ordinary, goal=goal)
    return Entry(format=1, when=when, run="bench t", board="b", measures=[measure])


def test_a_kept_run_is_in_the_history_and_the_latest_of_its_kind(cache: Path) -> None:
    history.keep(samples.bench())
    history.keep(samples.update())
    entries, problems = history.runs()
    assert problems == []
    assert {item.run for item in entries} == {"bench boot", "lab update"}
    assert [path.name for path in history.latest()] == ["bench-boot.json", "lab-update.json"]
    (bench,) = [item for item in entries if item.run == "bench boot"]
    assert (bench.release, bench.board, bench.machine) == ("6.1.192", "qemu-virt", "tcg, 4 CPUs")
    assert bench.measures[0].ratio == 0.5


def test_an_update_that_broke_promises_says_so_in_the_history(cache: Path) -> None:
    broken = samples.way(samples.Way.OURS, broken=["a", "b"])
    history.keep(samples.update(broken))
    ((item,), _) = history.runs()
    assert item.broken == 2
    assert (item.measures[0].ours, item.measures[0].ordinary) == (2500.0, None)


def test_a_line_that_was_cut_short_costs_no_other_run(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    history.append(entry("2026-01-01", 1.0), file)
    with file.open("ab") as cut:
        cut.write(b'{"format":1,"when":"2026')
    history.append(entry("2026-01-02", 2.0), file)
    entries, problems = history.read(file)
    assert [item.when for item in entries] == ["2026-01-01", "2026-01-02"]
    assert len(problems) == 1 and problems[0].startswith("line 2: ")


def test_a_line_of_a_later_format_is_named_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    line = json.loads(msgspec.json.encode(entry("2026-01-01", 1.0)))
    file.write_text(json.dumps(line | {"format": 2}) + "\n\n\xff\n", encoding="latin-1")
    entries, problems = history.read(file)
    assert entries == []
    assert problems[0] == "line 1: format 2, and this sku reads 1"
    assert problems[1].startswith("line 3: ")


def test_a_history_that_cannot_be_written_does_not_cost_the_run(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (history.directory() / "runs.jsonl").mkdir()
    history.keep(samples.bench())
    assert "not in the history" in capsys.readouterr().err


def test_a_trend_is_of_ratios_oldest_first_and_says_which_runs_met_the_goal() -> None:
    (trend,) = trends([entry("2026-01-01", 2.0), entry("2026-01-02", 0.5)])
    assert (trend.unit, trend.goal) == ("×", 0.5)
    assert [(p.value, p.met) for p in trend.points] == [(1.0, False), (0.25, True)]
    # Higher is drawn higher up, and the goal lies between them.
    first, last = trend.points
    assert trend.goal_y is not None
    assert first.x < last.x and first.y < trend.goal_y < last.y


def test_a_run_without_the_ordinary_way_is_a_trend_of_its_own() -> None:
    found = trends([entry("1", 2.0), entry("2", 2.0, ordinary=None, goal=None)])
    assert [(trend.unit, trend.latest.value) for trend in found] == [("×", 1.0), ("ms", 2.0)]


def test_a_goal_that_is_a_difference_is_drawn_as_one() -> None:
    measure = Measure(name="n", unit="ms", ours=7.0, ordinary=5.0, goal_difference=1.0)
    (trend,) = trends([Entry(format=1, when="1", run="r", measures=[measure])])
    assert (trend.unit, trend.latest.value, trend.latest.met) == ("ms", 2.0, False)


def test_only_the_latest_runs_are_drawn() -> None:
    (trend,) = trends([entry(f"{n:04}", float(n)) for n in range(SHOWN + 5)])
    assert len(trend.points) == SHOWN
    assert trend.latest.value == (SHOWN + 4) / 2
