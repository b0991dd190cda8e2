# SPDX-License-Identifier: GPL-2.0-only
"""The life of a series: `sku series refresh`, `rebase`, `diff`, `export`, `import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sku_build import console
from sku_build.cli import options

if TYPE_CHECKING:
    from sku_build.refresh import FileChange, Refreshed

_NAMES = click.argument("names", nargs=-1, shell_complete=options.complete_series)


@click.command()
@_NAMES
@options.TREE
@click.option(
    "--branch", metavar="REV", help="Take the commits up to REV of the tree's repository."
)
@click.option("--base", metavar="REV", help="The commit the branch starts from, where not known.")
@click.option("--split", is_flag=True, help="Leave files that other kernels use, add second ones.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@options.JSON
def refresh(
    names: tuple[str, ...],
    tree_name: str,
    branch: str | None,
    base: str | None,
    split: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the patch files of series NAMES anew; only what changed is written.

    With --branch, its commits become the files: changed, new, dropped and reordered patches
    included; without NAMES of every series that has commits there. Without --branch, each file is
    brought to the lines of the tree.
    """
    from sku_build import refresh as station
    from sku_build import series, tree
    from sku_build.errors import UserError

    if not names and branch is None:
        raise UserError("name a series, or give --branch", hint=", ".join(series.names()))
    found = tree.ensure(tree_name)
    done = station.refresh(found, names, branch=branch, base=base, split=split, dry_run=dry_run)
    if as_json:
        console.emit_json(done)
        return
    print_changes(done, dry_run=dry_run)


def _notes(item: FileChange) -> list[str]:
    was = [f"was {item.was}"] if item.was else []
    return was + ([f"also for {', '.join(item.also_for)}"] if item.also_for else [])


def print_changes(done: Refreshed, *, dry_run: bool = False) -> None:
    """Print what became of each patch that is not as it was, and the count of the rest."""
    changed = done.changed
    rows = [
        [
            item.series,
            item.file,
            item.what,
            "; ".join(_notes(item)),
        ]
        for item in changed
    ]
    if rows:
        console.table(f"Against {done.tree}", ["series", "patch", "what", "note"], rows)
    kept = len(done.patches) - len(changed)
    would = "would change" if dry_run else "changed"
    console.say(f"{len(changed)} of {len(done.patches)} patches {would}, {kept} are as they were")


COMMANDS = (refresh,)
