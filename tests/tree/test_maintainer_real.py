# SPDX-License-Identifier: GPL-2.0-only
"""The maintainer's verbs on real kernels: two point releases of a line, and the next line.

The series' files are copied; nothing of it touches the repository's own.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sku_build import apply, apt, rebase, rebase_state, refresh, series, series_diff, tree
from sku_build import distribution as debian
from sku_build.check import run_check
from sku_build.tree import Tree
from tests.unit.maintainer import contents

pytestmark = pytest.mark.tree

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data directory that `sku` works on, under git."""
    for name in ("boards", "configs", "docs", "patchsets"):
        shutil.copytree(ROOT / name, tmp_path / "data" / name)
    monkeypatch.setenv("SKU_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def older_6_1(linux_6_1: Tree) -> Tree:
    """The oldest point release of 6.1 that the distribution still has, or is known here."""
    for known in tree.all_trees():
        if known.kind == "distribution" and known.kernel.line == "6.1" and known.name != "6.1":
            return tree.find(known.name)
    source = debian.LINES["6.1"]
    versions = apt.versions(source.package, source.suite)
    other = [v for v in versions if v.split("-")[0] != linux_6_1.version]
    assert other, f"the distribution has {versions} only"
    return tree.add(f"6.1={other[-1]}")


def for_6_1(linux: Tree) -> list[str]:
    return [
        name for name in series.names() if series.select(series.load(name), linux.kernel).patches
    ]


def without_6_12(directory: Path) -> None:
    """Make a series what it was before it was carried to 6.12."""
    path = directory / "series.toml"
    head, *entries = path.read_text().split("[[patch]]\n")
    kept = [entry for entry in entries if 'file = "6.12/' not in entry]
    path.write_text("[[patch]]\n".join([head, *kept]).replace(', "6.12..6.13"', ""))
    shutil.rmtree(directory / "6.12")


def test_our_own_series_are_refreshed(data: Path, linux_6_1: Tree) -> None:
    before = contents(data / "patchsets")
    assert refresh.refresh(linux_6_1, for_6_1(linux_6_1)).changed == []
    assert contents(data / "patchsets") == before


def test_a_branch_of_all_series_gives_each_its_own_files(data: Path, linux_6_1: Tree) -> None:
    """Their lines differ on a branch with the others in front; the files do not."""
    names = for_6_1(linux_6_1)
    applied = apply.apply_series(linux_6_1, series.resolve(names), branch=None)
    done = refresh.refresh(linux_6_1, [], branch=applied.commit, base=linux_6_1.commit)
    assert {item.series for item in done.patches} == set(names)
    assert done.changed == []


def test_to_an_older_point_release_and_back(data: Path, linux_6_1: Tree, older_6_1: Tree) -> None:
    """What is rewritten for one point release is byte for byte as before after the way back."""
    assert older_6_1.version != linux_6_1.version
    before = contents(data / "patchsets")
    there = rebase.begin(older_6_1, ["handover"])
    assert there.done
    assert "rewritten" in {item.what for item in there.changes}
    tried = apply.try_series(older_6_1, series.resolve(["handover"]))
    # What is for 6.12 as well stays as it is while it fits; what is for 6.12 alone is left out.
    outcomes = {str(item.outcome) for item in tried.patches}
    assert outcomes <= {"applied", "applied-with-offset", "skipped"}
    left = refresh.refresh(older_6_1, ["handover"], dry_run=True).changed
    assert all(item.also_for for item in left)
    found = series_diff.compare(str(ROOT / "patchsets" / "handover"), "handover", tree=linux_6_1)
    assert found.same
    back = rebase.begin(linux_6_1, ["handover"])
    assert back.done
    assert contents(data / "patchsets") == before


def test_a_conflict_on_the_next_line_names_what_changed(
    data: Path, linux_6_1: Tree, linux_6_12: Tree
) -> None:
    without_6_12(data / "patchsets" / "handover")
    before = contents(data / "patchsets")
    if linux_6_12.name in rebase_state.under_way():
        pytest.skip("somebody's rebase onto 6.12 is under way in this cache")
    done = rebase.begin(linux_6_12, ["handover"])
    try:
        assert [step.how for step in done.steps][:2] == ["applied", "waiting"]
        assert done.note is not None
        # Whichever tree of that version the cache knows.
        between = rf"between {linux_6_1.version} \(\S+\) and {linux_6_12.version} \(\S+\)"
        assert re.search(between, done.note)
        assert "MEMBLOCK_RSRV_NOINIT" in done.note
        assert done.worktree is not None
        assert "<<<<<<<" in (done.worktree / "include/linux/memblock.h").read_text()
        assert (done.worktree / "include/linux/kexec_handover.h").is_file()
    finally:
        rebase.abort(linux_6_12.name)
    assert contents(data / "patchsets") == before


def test_our_own_series_have_no_finding(
    data: Path,
    linux_5_10: Tree,
    linux_6_1: Tree,
    older_6_1: Tree,
    linux_6_12: Tree,
    linux_7_3: Tree,
) -> None:
    trees = [linux_5_10, older_6_1, linux_6_1, linux_6_12, linux_7_3]
    report = run_check(tree_names=[item.name for item in trees])
    assert [item for item in report.findings if item.level != "note"] == []
    states = {(cell.series, cell.tree): cell.state for cell in report.cells}
    assert states["handover", "6.1"] == "clean"
    assert states["handover", "7.3"] == "upstream"
    assert states["handover", "5.10"] == "not-for"
    assert states["deferred_init", "5.10"] == "moved"
