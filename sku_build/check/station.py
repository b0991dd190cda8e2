# SPDX-License-Identifier: GPL-2.0-only
"""The matrix, checked: all cells, then all rules, then what is mechanical mended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from sku_build import board as boards
from sku_build import branch, console, distribution, layout, refresh
from sku_build import series as all_series
from sku_build import tree as trees
from sku_build.check import checkpatch, matrix, rules
from sku_build.check.findings import CHECKS, Cell, CheckReport, Finding, Level, place
from sku_build.check.matrix import Tried
from sku_build.errors import SkuError, UserError
from sku_build.outcome import PatchOutcome
from sku_build.series import Series
from sku_build.tree import Tree

_NOTHING = (
    "with this board: it has neither a patch for this kernel nor an [[unavailable]] that says why,"
    " so the board cannot be built on it"
)


def known_trees(names: Sequence[str]) -> list[Tree]:
    """Return the trees ``names`` (all registered ones when empty), without series, by version."""
    found = []
    for name in names or [tree.name for tree in trees.all_trees()]:
        try:
            found.append(branch.unpatched(trees.ensure(name) if names else trees.find(name)))
        except SkuError as error:
            if names:
                raise
            console.warn(f"the tree {name} is left out: {error.message}")
    if not found:
        raise UserError("there is no tree to check against", hint="`sku tree add 6.1`, for one")
    return sorted(found, key=lambda tree: (tree.kernel, tree.name))


def released_trees(names: Sequence[str]) -> list[Tree]:
    """Return every point release that the distribution offers of the lines in ``names`` (of all).

    Other trees in ``names``, such as a vendor's checkout, come with them as they are. Raises
    UserError when one is not known, InfraError when a release cannot be had.
    """
    lines = [name for name in names or distribution.LINES if name in distribution.LINES]
    found = [tree for line in lines for tree in trees.releases(line)]
    found += [branch.unpatched(trees.find(name)) for name in names if name not in lines]
    return sorted(found, key=lambda tree: (tree.kernel, tree.name))


def run_check(
    names: Sequence[str] = (),
    *,
    tree_names: Sequence[str] = (),
    all_releases: bool = False,
    with_checkpatch: bool = True,
    board_names: Sequence[str] = (),
    build: bool = False,
    fix: bool = False,
) -> CheckReport:
    """Check the series ``names`` against the trees ``tree_names``; all there are by default.

    ``all_releases`` puts every point release that is offered in a kernel line's place.
    For each of ``board_names`` the configuration is proved on every tree, and with ``build`` every
    patch of its series compiled. ``fix`` refreshes what is not refreshed, and checks again. Raises
    UserError when a series or a tree is not known.
    """
    chosen = [all_series.load(name) for name in names or all_series.names()]
    against = (released_trees if all_releases else known_trees)(tree_names)
    report = _check(chosen, against, with_checkpatch=with_checkpatch)
    fixed = _fix(report, chosen, against) if fix else []
    if fixed:
        chosen = [all_series.load(item.name) for item in chosen]
        report = _check(chosen, against, with_checkpatch=with_checkpatch)
    from sku_build.check import building

    found = list(report.findings)
    for board in board_names:
        for tree in against:
            names = [item.name for item in chosen]
            found += building.check_board(board, tree, names, build=build)
    checks = [*report.checks, *(["build"] if build and board_names else [])]
    return msgspec.structs.replace(
        report, findings=sorted(found, key=_order), checks=checks, fixed=fixed
    )


def _check(
    chosen: Sequence[Series], against: Sequence[Tree], *, with_checkpatch: bool
) -> CheckReport:
    pairs = [(tree, series) for series in chosen for tree in against]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        tried = list(pool.map(lambda pair: matrix.try_series(*pair), pairs))
        together = _boards(chosen, against, tried)
        found = [finding for item in tried for finding in item.findings] + together[1]
        for series in chosen:
            mine = [item for item in tried if item.series.name == series.name]
            found += [*rules.form(series), *rules.refreshed(series, mine)]
            found += rules.config(series, against)
        if with_checkpatch:
            for said in pool.map(lambda item: list(checkpatch.check(item, against)), chosen):
                found += said
    skipped = {"build"} | (set() if with_checkpatch else {"checkpatch"})
    return CheckReport(
        trees={tree.name: tree.version for tree in against},
        series=[item.name for item in chosen],
        checks=[name for name in CHECKS if name not in skipped],
        cells=[item.cell for item in tried] + together[0],
        findings=sorted(found, key=_order),
    )


def _order(item: Finding) -> tuple[int, str, int, str, str]:
    return (list(Level).index(item.level), item.file, item.line or 0, item.check, item.message)


def _boards(
    chosen: Sequence[Series], against: Sequence[Tree], tried: Sequence[Tried]
) -> tuple[list[Cell], list[Finding]]:
    """Return the boards' cells, and what fails of a board's series only when put on together."""
    names = [item.name for item in chosen]
    failing = {(item.series.name, item.tree.name) for item in tried if item.cell.state == "fails"}
    silent = {
        (item.series.name, item.tree.name)
        for item in tried
        if item.cell.state == "not-for" and item.cell.reason is None
    }
    cells, found = [], []
    for name in boards.names():
        board = boards.load(name)
        for tree in against:
            found += [
                _together(name, tree, member, _NOTHING)
                for member in board.series
                if (member, tree.name) in silent
            ]
            if any((member, tree.name) in failing for member in board.series):
                continue
            item = matrix.try_board(tree, board, names)
            if item is None:
                continue
            cells.append(item.cell)
            bad = [outcome for outcome in item.outcomes if outcome.outcome.failed]
            found += [_together(name, tree, each.series, _clash(each)) for each in bad]
    return cells, found


def _together(board: str, tree: Tree, series: str, detail: str) -> Finding:
    path = layout.data_root() / "boards" / board / "board.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next((n for n, text in enumerate(lines, 1) if f'"{series}"' in text), 1)
    message = f"{series} does not go on {tree.name} {detail}"
    return Finding("together", Level.ERROR, series, place(path), message, line, tree.name)


def _clash(outcome: PatchOutcome) -> str:
    return f"after the board's other series: {outcome.detail or outcome.outcome}"


def _fix(report: CheckReport, chosen: Sequence[Series], against: Sequence[Tree]) -> list[str]:
    """Refresh the files that need it, each on the tree it stands nearest to; return them."""
    fixed: list[str] = []
    for series in chosen:
        for tree in against:
            stale = {item.file for item in report.findings if item.mend_on == tree.name}
            wanted = {
                entry.file
                for entry in series.patches
                if place(series.directory / entry.file) in stale
            }
            if wanted:
                done = refresh.refresh(tree, [series.name], only=wanted)
                fixed += [place(series.directory / item.file) for item in done.changed]
    return fixed
