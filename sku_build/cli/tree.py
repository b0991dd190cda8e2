# SPDX-License-Identifier: GPL-2.0-only
"""``sku tree``: which kernel trees there are."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import console
from sku_build import tree as trees
from sku_build.cli import options
from sku_build.distribution import LINES
from sku_build.errors import UserError


@click.group()
def tree() -> None:
    """Add, list and show kernel trees."""


@tree.command()
@click.argument("spec", required=False)
@click.option("--tarball", type=click.Path(path_type=Path), help="A kernel source archive.")
@click.option("--name", help="What to call the tree; else its line, directory or version.")
@options.JSON
def add(spec: str | None, tarball: Path | None, name: str | None, as_json: bool) -> None:
    """Add a tree: a kernel LINE such as 6.1, the PATH of a git checkout, or an archive.

    A line comes from the distribution's source package, the newest one or, as 6.1=VERSION, that of
    a version. A checkout stays where it is and is only read; it gets nothing but the branches you
    ask for.
    """
    if (spec is None) == (tarball is None):
        raise UserError(
            "give either a kernel line or path, or --tarball FILE",
            hint="`sku tree add 6.1`, `sku tree add ~/linux`, `sku tree add --tarball FILE`",
        )
    if tarball is not None:
        _print(trees.add_tarball(tarball, name=name), as_json)
    elif spec is not None:
        _print(trees.add(spec, name=name), as_json)


@tree.command(name="list")
@options.JSON
def list_(as_json: bool) -> None:
    """List the trees."""
    known = trees.all_trees()
    if as_json:
        console.emit_json(known)
        return
    rows = [[entry.name, entry.kind, entry.version, entry.origin] for entry in known]
    if rows:
        console.table("Trees", ["name", "kind", "version", "origin"], rows)
    else:
        lines = ", ".join(LINES)
        console.note(f"no trees yet; `sku tree add LINE` adds one of the distribution's: {lines}")


@tree.command()
@click.argument("name")
@options.JSON
def show(name: str, as_json: bool) -> None:
    """Show one tree: its version, commit, place, and the branches made on it."""
    _print(trees.find(name), as_json)


@tree.command()
@click.argument("name")
@options.JSON
def remove(name: str, as_json: bool) -> None:
    """Forget a tree; a checkout itself and all branches are left as they are."""
    gone = trees.remove(name)
    if as_json:
        console.emit_json(gone)
    else:
        console.say(f"forgot the tree {gone.name} ({gone.origin})")


def _print(entry: trees.Tree, as_json: bool) -> None:
    summary = trees.summary(entry)
    if as_json:
        console.emit_json(summary)
        return
    made = [f"{name} ({commit[:12]})" for name, commit in summary.branches.items()]
    rows = [
        ["version", entry.version],
        ["kind", entry.kind],
        ["origin", entry.origin],
        ["commit", entry.commit],
        ["repository", str(entry.repository)],
        ["size", f"{summary.files} files, {summary.bytes / 1e6:.0f} MB"],
        ["branches made", ", ".join(made) or "none"],
    ]
    console.table(f"Tree {entry.name}", ["what", "value"], rows)
