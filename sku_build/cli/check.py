# SPDX-License-Identifier: GPL-2.0-only
"""``sku check``: all series against all trees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sku_build import console
from sku_build.cli import options
from sku_build.errors import UserError
from sku_build.outcome import Outcome

if TYPE_CHECKING:
    from sku_build.check import Cell, CheckReport

# With more trees than this, each has a row of the table instead of a column.
_SIDE_BY_SIDE = 4
_OUTCOMES = [str(item) for item in Outcome if item is not Outcome.SKIPPED]
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("names", nargs=-1, shell_complete=options.complete_series)
@click.option(
    "--tree",
    "tree_names",
    multiple=True,
    metavar="TREE",
    shell_complete=options.complete_tree,
    help="Check against it; may be given several times  [default: all trees there are]",
)
@click.option(
    "--all-releases",
    is_flag=True,
    help="In place of a kernel line, every point release that the distribution still offers of it;"
    " of all lines, unless --tree names some.",
)
@click.option("--checkpatch/--no-checkpatch", default=True, show_default=True)
@click.option(
    "--board",
    "board_names",
    multiple=True,
    metavar="BOARD",
    shell_complete=options.complete_board,
    help="Also prove this board's configuration on every tree; may be given several times.",
)
@click.option(
    "--build", is_flag=True, help="With --board: compile every patch on its own, W=1 and sparse."
)
@click.option("--fix", is_flag=True, help="Mend what is mechanical: refresh files.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML.")
@click.option("--sarif", type=_FILE, metavar="FILE", help="Write SARIF, for code scanning.")
@click.option("--gitlab", type=_FILE, metavar="FILE", help="Write GitLab's code quality report.")
@click.option("--github", is_flag=True, help="Print GitHub's annotations.")
@options.JSON
def check(
    names: tuple[str, ...],
    tree_names: tuple[str, ...],
    all_releases: bool,
    checkpatch: bool,
    board_names: tuple[str, ...],
    build: bool,
    fix: bool,
    junit: Path | None,
    sarif: Path | None,
    gitlab: Path | None,
    github: bool,
    as_json: bool,
) -> None:
    """Check series NAMES (all when none is given) against every known tree, for CI.

    Does each go on each tree it is for, alone and with a board's others? Is it still needed? Is
    every file as git would write it? What does checkpatch say, and does a fragment decide every
    new symbol? Findings name file and line; the exit status is 3 when there are any but notes.
    """
    from sku_build.check import output, run_check

    if build and not board_names:
        raise UserError("--build needs a --board, whose configuration is built")
    with console.step("Checking"):
        report = run_check(
            names,
            tree_names=tree_names,
            all_releases=all_releases,
            with_checkpatch=checkpatch,
            board_names=board_names,
            build=build,
            fix=fix,
        )
    for path, form in ((junit, output.junit), (sarif, output.sarif), (gitlab, output.gitlab)):
        if path is not None:
            output.write(path, form(report))
    if as_json:
        console.emit_json(report)
    else:
        _show(report)
        for line in output.github(report) if github else ():
            console.say(line)
    if report.failed:
        click.get_current_context().exit(3)


def _show(report: CheckReport) -> None:
    if len(report.trees) > _SIDE_BY_SIDE:
        console.table("Patches on trees", ["tree", *_OUTCOMES, "fails"], _of_trees(report))
    else:
        columns = [_called(*item) for item in report.trees.items()]
        console.table("Series on trees", ["series", *columns], _of_series(report))
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in report.cells:
        if cell.reason:
            reasons.setdefault((cell.series, cell.reason), []).append(cell.tree)
    for (series, reason), names in reasons.items():
        console.say(f"{series} is not for {', '.join(names)}: {reason}")
    found = [
        [str(item.level), item.check, f"{item.file}:{item.line or 1}", item.message]
        for item in report.findings
    ]
    if found:
        console.table("Findings", ["level", "check", "where", "what"], found)
    for file in report.fixed:
        console.say(f"mended: {file}")
    bad = sum(item.level != "note" for item in report.findings)
    notes = len(report.findings) - bad
    console.say(
        f"{len(report.series)} series, {len(report.trees)} trees: {bad} findings, {notes} notes"
    )


def _of_series(report: CheckReport) -> list[list[str]]:
    """Return a row for each series, with a column for each tree."""
    rows = []
    for name in dict.fromkeys(cell.series for cell in report.cells):
        by_tree = {cell.tree: cell for cell in report.cells if cell.series == name}
        rows.append([name, *(_cell(by_tree.get(tree)) for tree in report.trees)])
    return rows


def _of_trees(report: CheckReport) -> list[list[str]]:
    """Return a row for each tree: patches by outcome, and which series and boards fail on it."""
    rows = []
    for tree, version in report.trees.items():
        mine = [cell for cell in report.cells if cell.tree == tree]
        patches = Counter(
            outcome
            for cell in mine
            if cell.series in report.series
            for outcome in cell.patches.values()
        )
        failing = [cell.series for cell in mine if cell.state == "fails"]
        counts = [str(patches[outcome] or "") for outcome in _OUTCOMES]
        rows.append([_called(tree, version), *counts, ", ".join(failing) or "none"])
    return rows


def _called(tree: str, version: str) -> str:
    return tree if tree == version else f"{tree} ({version})"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.state in ("not-for", "upstream"):
        return {"not-for": "-", "upstream": "has it"}[cell.state]
    counted = [f"{count} {kind}" for kind, count in cell.counts.items() if kind != "skipped"]
    return ("FAILS: " if cell.state == "fails" else "") + ", ".join(counted)
