# SPDX-License-Identifier: GPL-2.0-only
"""`sku series` and `sku apply`: look at patch series, check them, put them on a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from sku_build import console
from sku_build.cli import maintain, options
from sku_build.errors import CheckError, UserError

if TYPE_CHECKING:
    from sku_build.outcome import Applied, PatchOutcome


@click.group()
def series() -> None:
    """Look at patch series, check them, and keep them going from kernel to kernel."""


for command in maintain.COMMANDS:
    series.add_command(command)


@series.command("list")
@options.JSON
def list_series(as_json: bool) -> None:
    """List all series."""
    from sku_build import series as all_series

    found = [all_series.load(name) for name in all_series.names()]
    if as_json:
        console.emit_json(
            [
                {
                    "name": item.name,
                    "version": item.version,
                    "summary": item.summary,
                    "requires": item.requires,
                    "config": item.config,
                    "patches": len(item.patches),
                }
                for item in found
            ]
        )
        return
    rows = [
        [
            item.name,
            item.version,
            str(len(item.patches)),
            ", ".join(item.requires),
            item.config or "",
            item.summary,
        ]
        for item in found
    ]
    columns = ["series", "version", "patches", "requires", "config", "summary"]
    console.table("Patch series", columns, rows)


@series.command()
@click.argument("name", shell_complete=options.complete_series)
@options.JSON
def show(name: str, as_json: bool) -> None:
    """Show one series: its patches, their kernels and where they come from."""
    from sku_build import mail
    from sku_build import series as all_series

    item = all_series.load(name)
    mails = [mail.load(item.directory / entry.file) for entry in item.patches]
    if as_json:
        patches = [
            {
                "file": entry.file,
                "kernels": entry.kernels,
                "lines": all_series.lines_of(entry),
                "status": entry.status,
                "subject": patch.subject,
                "sha256": patch.digest,
                "origin": patch.origin,
                "files": sorted({path for file in patch.files for path in file.paths()}),
            }
            for entry, patch in zip(item.patches, mails, strict=True)
        ]
        sharing = all_series.sharing(item)
        console.emit_json({"series": item, "patches": patches, "sharing": sharing})
        return
    console.say(f"{item.name} {item.version}: {item.summary}")
    rows = []
    for entry, patch in zip(item.patches, mails, strict=True):
        origin = patch.origin
        stated = f"{origin.status} {origin.commit or origin.reason or ''}" if origin else ""
        status = entry.status or stated.strip()
        rows.append([entry.file, ", ".join(entry.kernels), patch.subject, status])
    console.table("Patches", ["file", "kernels", "subject", "status"], rows)
    console.say(str(all_series.sharing(item)))
    if item.upstream:
        upstream = [[", ".join(e.kernels), e.describe(), e.note or ""] for e in item.upstream]
        console.table("In the kernel itself", ["kernels", "commit", "note"], upstream)
    if item.unavailable:
        missing = [[", ".join(entry.kernels), entry.reason] for entry in item.unavailable]
        console.table("Not for", ["kernels", "why"], missing)
    if item.probes:
        probes = [[", ".join(entry.kernels), entry.path, entry.regex] for entry in item.probes]
        console.table("How a tree shows it", ["kernels", "file", "regex"], probes)


@series.command()
@click.argument("names", nargs=-1, shell_complete=options.complete_series)
@click.option(
    "--tree", "tree_name", shell_complete=options.complete_tree, help="Also try it on a tree."
)
@options.JSON
def check(names: tuple[str, ...], tree_name: str | None, as_json: bool) -> None:
    """Check series NAMES (all when none is given); with --tree, try them on a tree."""
    from sku_build import series as all_series
    from sku_build import series_check

    chosen = [all_series.load(name) for name in names or all_series.names()]
    problems = [found for item in chosen for found in series_check.check(item)]
    if problems:
        lines = "\n".join(
            f"  {found.where}{f':{found.line}' if found.line else ''}: {found.message}"
            for found in problems
        )
        raise CheckError(
            f"problems found in {len(chosen)} series: {len(problems)}\n{lines}",
            where=all_series.series_dir(),
            data={"problems": problems},
        )
    tried = _try(tree_name, [item.name for item in chosen]) if tree_name else None
    failed = [item for item in tried.patches if item.outcome.failed] if tried else []
    if as_json and not failed:
        checked = [item.name for item in chosen]
        console.emit_json({"checked": checked, "problems": [], "tried": tried})
    elif not as_json:
        console.say(f"{len(chosen)} series checked, no problem found")
        if tried:
            _print_outcomes(f"Tried on {tried.tree}, nothing kept", tried.patches)
    if tried and failed:
        from sku_build.outcome import failure

        raise failure(tried.tree, tried.patches)


def _try(tree_name: str, names: list[str]) -> Applied:
    from sku_build import apply as station
    from sku_build import series as all_series
    from sku_build import tree

    found = tree.ensure(tree_name)
    with console.step(f"trying {', '.join(names)} on {found.name} ({found.version})"):
        return station.try_series(found, all_series.resolve(names))


@click.command("apply")
@options.TREE
@click.option(
    "--board", "board_name", shell_complete=options.complete_board, help="Its series are taken."
)
@options.SERIES
@click.option("--branch", help="Make this branch in the tree's repository; it must not exist.")
@click.option("--nearest", is_flag=True, help="Out of range, try the nearest range's patches.")
@options.JSON
def apply(
    tree_name: str,
    board_name: str | None,
    series_names: tuple[str, ...],
    branch: str | None,
    nearest: bool,
    as_json: bool,
) -> None:
    """Put patch series on a tree: all of them, or none.

    Without --branch the result is only kept in the cache, where `sku build` finds it.
    """
    from sku_build import apply as station
    from sku_build import board as boards
    from sku_build import tree

    if bool(board_name) == bool(series_names):
        raise UserError("give either --board or --series", hint="`sku series list` names them all")
    board = boards.load(board_name) if board_name else None
    found = tree.ensure(tree_name)
    chosen = options.chosen_series(board, series_names, found.kernel, nearest=nearest)
    applied = station.apply_series(found, chosen.series, branch=branch, nearest=nearest)
    applied = msgspec.structs.replace(applied, left_out=list(chosen.left_out))
    for text in applied.notes:
        console.warn(text)
    if as_json:
        console.emit_json(applied)
        return
    _print_outcomes(f"{applied.tree} {found.version}", applied.patches)
    kept = f"branch {applied.branch}" if applied.branch else "kept in the cache"
    console.say(f"{applied.commit} ({kept})")


def _print_outcomes(title: str, patches: list[PatchOutcome]) -> None:
    from sku_build.outcome import summary

    rows = [
        [item.series, item.file, str(item.outcome), item.detail or "", (item.commit or "")[:12]]
        for item in patches
    ]
    columns = ["series", "patch", "outcome", "detail", "commit"]
    console.table(f"{title}: {summary(patches)}", columns, rows)
