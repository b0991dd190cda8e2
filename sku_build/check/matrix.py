# SPDX-License-Identifier: GPL-2.0-only
"""Series put on trees, one after the other; nothing of it is kept."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from sku_build import apply, commit_mail, composition
from sku_build import series as all_series
from sku_build.board import Board
from sku_build.check.findings import Cell, Finding, Level, line_of_entry, line_of_file, place
from sku_build.errors import CheckError, UserError
from sku_build.mail import Mail
from sku_build.mail import load as load_mail
from sku_build.outcome import Outcome, PatchOutcome
from sku_build.patching import apply_all
from sku_build.series import Series
from sku_build.tree import Tree


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """A series on a tree: the cell, each patch's outcome, and what git makes of each patch there.

    ``made`` is file → mail, of the series' own patches; empty when something failed.
    """

    cell: Cell
    series: Series
    tree: Tree
    outcomes: list[PatchOutcome]
    made: dict[str, Mail]
    findings: list[Finding]


def try_series(tree: Tree, series: Series) -> Tried:
    """Put ``series`` on ``tree``, on top of what it requires and nothing else."""
    try:
        wanted = all_series.resolve([series.name])
        jobs = apply.plan(tree, wanted, nearest=False)
    except UserError:  # no patch for this kernel, of it or of what it requires
        cell = Cell(series.name, tree.name, "not-for", reason=_reason(tree, series))
        return Tried(cell, series, tree, [], {}, [])
    made: dict[str, Mail] = {}
    with apply.workshop(tree, jobs) as work:
        try:
            outcomes = apply_all(work, jobs)
        except (UserError, CheckError) as error:
            return _contradiction(tree, series, error)
        own = [item for item in outcomes if item.series == series.name]
        if not any(item.outcome.failed for item in outcomes) and work.tip() != work.root:
            objects = [work.path / ".git" / "objects", *apply.objects(tree)]
            mails = commit_mail.of_commits(work.root, work.tip(), objects=objects)
            by_commit = {item.commit: item.mail for item in mails}
            made = {item.file: by_commit[item.commit] for item in own if item.commit}
    each = {item.file: str(item.outcome) for item in own}
    cell = Cell(series.name, tree.name, _state(outcomes, own), _counts(own), each)
    found = [finding for item in own for finding in _judge(tree, series, item)]
    return Tried(cell, series, tree, own, made, found)


def try_board(tree: Tree, board: Board, chosen: Sequence[str]) -> Tried | None:
    """Put all series of ``board`` on ``tree`` together, as a build does; None when none is for it.

    Only what fails together and not alone is worth telling, so the caller compares.
    """
    names = [name for name in board.series if name in chosen and _is_for(tree, name)]
    if len(names) < 2:
        return None
    jobs = apply.plan(tree, all_series.resolve(names), nearest=False)
    with apply.workshop(tree, jobs) as work:
        outcomes = apply_all(work, jobs)
    name = f"board {board.name}"
    each = {f"{item.series}/{item.file}": str(item.outcome) for item in outcomes}
    cell = Cell(name, tree.name, _state(outcomes, outcomes), _counts(outcomes), each)
    return Tried(cell, jobs[0].series, tree, outcomes, {}, [])


def _reason(tree: Tree, series: Series) -> str | None:
    left = composition.compose([series.name], tree.kernel).left_out
    return next((item.reason for item in left if item.series == series.name), None)


def _is_for(tree: Tree, name: str) -> bool:
    try:
        apply.plan(tree, all_series.resolve([name]), nearest=False)
    except UserError:
        return False
    return True


def _counts(outcomes: Sequence[PatchOutcome]) -> dict[str, int]:
    counted = Counter(item.outcome for item in outcomes)
    return {str(kind): counted[kind] for kind in Outcome if counted[kind]}


def _state(everything: Sequence[PatchOutcome], own: Sequence[PatchOutcome]) -> str:
    kinds = {item.outcome for item in own}
    if any(item.outcome.failed for item in everything):
        return "fails"
    if kinds & {Outcome.OFFSET, Outcome.MERGED}:
        return "moved"
    if Outcome.APPLIED in kinds:
        return "clean"
    return "upstream" if Outcome.UPSTREAM in kinds else "not-for"


def _contradiction(tree: Tree, series: Series, error: UserError | CheckError) -> Tried:
    path = series.directory / "series.toml"
    finding = Finding(
        "applies", Level.ERROR, series.name, place(path), error.message, line=1, tree=tree.name
    )
    return Tried(Cell(series.name, tree.name, "fails"), series, tree, [], {}, [finding])


def _judge(tree: Tree, series: Series, item: PatchOutcome) -> list[Finding]:
    path = series.directory / item.file
    if item.outcome.failed:
        where = item.conflicts[0].file if item.conflicts else ""
        message = f"{item.outcome} on {tree.name} ({tree.version}): {item.detail}"
        if item.upstream and not item.upstream.startswith("unknown"):
            message += f"; likely changed by {item.upstream}"
        line = line_of_file(load_mail(path), where)
        return [Finding("applies", Level.ERROR, series.name, place(path), message, line, tree.name)]
    entry = next((entry for entry in series.patches if entry.file == item.file), None)
    selected = entry in all_series.select(series, tree.kernel).patches
    probed = item.detail is not None and item.detail.startswith("the tree has the feature")
    if item.outcome is Outcome.UPSTREAM and selected and not probed:
        toml = series.directory / "series.toml"
        line = line_of_entry(toml.read_text(encoding="utf-8"), item.file)
        message = (
            f"{item.file} is not needed on {tree.name} ({tree.version}): {item.detail};"
            " narrow its `kernels`, or add a [[probe]]"
        )
        return [
            Finding("needed", Level.WARNING, series.name, place(toml), message, line, tree.name)
        ]
    return []
