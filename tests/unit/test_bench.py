# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sku_build import metadata
from sku_build.bench import Comparison, Report, initramfs, scattered, update
from sku_build.bench.comparison import rows
from sku_build.errors import CheckError, UserError
from sku_build.lab import guest, qemu
from sku_build.lab import update_result as outcome
from sku_build.lab.update_result import Stamp
from sku_build.tree import Tree
from tests.unit import lab_fakes, report_samples

_HZ = 1_000_000_000


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


@pytest.mark.parametrize(("goal", "met"), [(3.0, True), (2.0, False)])
def test_a_goal_may_be_how_much_more_it_is(goal: float, met: bool) -> None:
    item = msgspec.structs.replace(comparison([5.0], [2.5]), goal_difference=goal)
    assert (item.difference, item.met) == (2.5, met)
    (row,) = rows(Report(bench="t", inputs={}, comparisons=[item]))
    assert row[-2:] == (f"≤ {goal:g} s more", "met" if met else "missed")


def test_every_goal_must_be_met() -> None:
    item = msgspec.structs.replace(comparison([5.0], [2.5], goal=2.0), goal_difference=1.0)
    assert item.met is False


def _report(*stamps: tuple[str, int], pages: int = 1000, huge: int = 0) -> outcome.Report:
    return outcome.Report(
        counter_hz=_HZ,
        stamps=[Stamp(*stamp) for stamp in stamps],
        pages=pages,
        huge=huge,
        image_bytes=0,
        pages_bytes=0,
    )


def test_what_a_page_costs_is_both_phases_and_nothing_between() -> None:
    report = _report(
        *(("freeze", 0), ("detach", 5_000), ("dump", 305_000), ("kernel-jump", 9_000_000)),
        *(("attach", 20_000_000), ("thaw", 21_000_000), ("thaw-end", 22_000_000)),
    )
    assert update.per_page_ns(report) == 1300


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (_report(("detach", 0), ("dump", 1)), "no phase attach"),
        (_report(("detach", 0), ("attach", 1), ("thaw", 2), pages=0), "no page"),
    ],
)
def test_an_update_that_kept_nothing_is_no_measure(report: outcome.Report, said: str) -> None:
    with pytest.raises(CheckError, match=said):
        update.per_page_ns(report)


@pytest.mark.parametrize(
    "verdict",
    [
        "none",
        "ok blocks 1000000 order 0 lost 1 wrong 0 twice 0",
        "ok blocks 999999 order 0 lost 0 wrong 0 twice 0",
        "bad blocks 1000000 order 0 lost 0 wrong 0 twice 0",
        "ok blocks 1000000 order 0",
    ],
)
def test_a_boot_that_lost_a_page_is_no_measure(verdict: str, tmp_path: Path) -> None:
    scattered.intact("ok blocks 1000000 order 0 lost 0 wrong 0 twice 0", tmp_path)
    with pytest.raises(CheckError, match="not intact"):
        scattered.intact(verdict, tmp_path)


def test_a_run_that_broke_a_promise_is_an_error_and_no_number() -> None:
    update.kept([], "ours", "here")
    with pytest.raises(CheckError, match="keys was 9 and is 8") as caught:
        update.kept(["keys was 9 and is 8"], "ours", "here")
    assert caught.value.where == "here"


def test_what_does_not_grow_is_refused_before_anything_is_built() -> None:
    with pytest.raises(UserError, match="256 MiB is not more than 256 MiB"):
        update.measure(tree_name="none", sizes=update.Sizes(1, 256, 256), rounds=1)


def test_the_report_of_an_update_names_the_kernels_and_their_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKU_CACHE", str(tmp_path))

    def build(tree: object, board: object, *, localversion: str, **_: object) -> metadata.Metadata:
        found = metadata.read(lab_fakes.bundle(tmp_path / f"b{localversion}"))
        image = metadata.Artefact("Image", 8 << 20, "")
        return msgspec.structs.replace(found, release=f"6.1.9{localversion}", artefacts=[image])

    monkeypatch.setattr(update.image, "build", build)
    tree = Tree("6.1", "tarball", "6.1.9", "", "an origin", tmp_path)
    board = msgspec.structs.replace(lab_fakes.BOARD, series=[])
    bench = update.Bench(
        tree, board, update.Sizes(64, 128, 32), rounds=3, timeout_factor=1, output=None
    )
    assert bench.running and bench.next
    assert bench.inputs == {
        "tree": "an origin",
        "board": "fake",
        "series": [],
        "releases": ["6.1.9", "6.1.9-next"],
        "image_mib": {"running": 8.0, "next": 8.0},
        "data_mib": {"data_mib": 64, "large_mib": 128, "small_mib": 32},
        "accelerator": qemu.accelerator(),
        "cpus": 2,
        "rounds": 3,
    }


def test_a_blackout_comes_with_the_longest_wait_for_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Taken(update.Bench):
        def __init__(self) -> None:
            self.sizes, self.rounds = update.Sizes(256), 2

        def ways(self, *_: object) -> list[outcome.WayResult]:
            return [report_samples.way(way) for way in outcome.Way]

    blackout, longest = update.compare_blackouts(Taken())
    assert (blackout.name, blackout.ours, blackout.ordinary) == (
        "blackout at 256 MiB",
        [2500.0, 2500.0],
        [12_000.0, 12_000.0],
    )
    assert (longest.name, longest.ours, longest.ordinary, longest.goal) == (
        "longest wait for a reply at 256 MiB",
        [2510.0, 2510.0],
        [21_000.0, 21_000.0],
        None,
    )


def _line(us: int, text: str) -> guest.Line:
    return guest.Line(level=6, facility=0, us=us, text=text)


def test_unpacking_ends_when_the_archive_is_freed() -> None:
    lines = [
        _line(1_000, "Unpacking initramfs..."),
        _line(3_000, "kept_initramfs: 3 files, 5 pages, 9 us"),
        _line(4_500, "Freeing initrd memory: 712K"),
    ]
    assert initramfs.unpacking_ms(lines) == 3.5
    with pytest.raises(CheckError, match="does not say"):
        initramfs.unpacking_ms(lines[:2])


def test_the_files_of_a_bench_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        initramfs.fill(tmp_path / name, 3)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert sum(map(len, one.values())) == 3 << 20
