# SPDX-License-Identifier: GPL-2.0-only
"""The maintainer's verbs over all series, against git doing the same in a checkout."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sku_build import git
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison
from sku_build.bench.tool import sku, timed
from sku_build.errors import UserError
from sku_build.series import Series
from sku_build.tree import Tree


def chosen(tree: Tree) -> list[Series]:
    """Return the series that have patches for ``tree``, required ones first."""

    def has_patches(item: Series) -> bool:
        try:
            return bool(patch_series.select(item, tree.kernel).patches)
        except UserError:
            return False

    return [item for item in patch_series.resolve(patch_series.names()) if has_patches(item)]


def _mails(item: Series, tree: Tree) -> list[Path]:
    entries = patch_series.select(item, tree.kernel).patches
    return [item.directory / entry.file for entry in entries]


def _by_hand(tree: Tree, checkout: Path, series: Sequence[Series]) -> None:
    """Put each series, on what it requires, on the tree and write it out again, with git alone."""
    for item in series:
        required = [one for one in patch_series.resolve([item.name]) if one.name != item.name]
        git.git("checkout", "-q", "-f", "--detach", tree.commit, cwd=checkout)
        for one in required:
            git.git("am", "-q", "-3", *_mails(one, tree), cwd=checkout)
        start = git.resolve("HEAD", cwd=checkout)
        git.git("am", "-q", "-3", *_mails(item, tree), cwd=checkout)
        with tempfile.TemporaryDirectory(prefix="sku-bench-") as place:
            told = ("--full-index", "--zero-commit", "--no-signature", "-q", "-o", place)
            git.git("format-patch", *told, f"{start}..HEAD", cwd=checkout)


def _alternately(
    tree: Tree, rounds: int, ours: Callable[[], object], series: Sequence[Series]
) -> tuple[list[float], list[float]]:
    checkout = trees.source_dir(tree, tree.commit, slot="bench")
    samples: tuple[list[float], list[float]] = ([], [])
    try:
        for _ in range(rounds):
            samples[0].append(timed(ours))
            samples[1].append(timed(lambda: _by_hand(tree, checkout, series)))
    finally:
        shutil.rmtree(checkout / ".git" / "rebase-apply", ignore_errors=True)
        git.git("am", "--abort", cwd=checkout, check=False)
        git.git("checkout", "-q", "-f", "--detach", tree.commit, cwd=checkout, check=False)
    return samples


_BY_HAND = "git am -3 of each series on what it requires, and git format-patch, in a warm checkout"


def compare_refresh(tree: Tree, rounds: int) -> Comparison:
    """``sku series refresh`` of all series, with nothing to change, against git alone."""
    series = chosen(tree)
    names = [item.name for item in series]

    def ours() -> None:
        sku("series", "refresh", "--tree", tree.name, *names, "--dry-run")

    samples = _alternately(tree, rounds, ours, series)
    return Comparison(
        name="refresh all series",
        ours_is="sku series refresh, start-up and comparison included",
        ordinary_is=_BY_HAND,
        unit="s",
        ours=samples[0],
        ordinary=samples[1],
        goal=1.0,
    )


def compare_check(tree: Tree, rounds: int) -> Comparison:
    """``sku check`` of all series on one tree, without checkpatch, against git alone."""
    series = chosen(tree)
    names = [item.name for item in series]

    def ours() -> None:
        sku("check", *names, "--tree", tree.name, "--no-checkpatch", "--json", check=False)

    samples = _alternately(tree, rounds, ours, series)
    return Comparison(
        name="check all series",
        ours_is="sku check on one tree: alone, with each board's, refreshed, form, configuration",
        ordinary_is=_BY_HAND,
        unit="s",
        ours=samples[0],
        ordinary=samples[1],
        goal=1.5,
    )
