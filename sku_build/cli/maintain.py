# SPDX-License-Identifier: GPL-2.0-only
"""The life of a series: `sku series refresh`, `rebase`, `diff`, `export`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sku_build import console
from sku_build.cli import options

if TYPE_CHECKING:
    from sku_build.rebase import Rebased
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


@click.command()
@_NAMES
@click.option(
    "--onto",
    metavar="TREE",
    shell_complete=options.complete_tree,
    help="The tree to carry the series to; may be left out where one rebase is under way.",
)
@click.option("--continue", "action", flag_value="continue", help="Go on: it is resolved.")
@click.option("--skip", "action", flag_value="skip", help="Leave this patch out for this tree.")
@click.option("--abort", "action", flag_value="abort", help="Give up; no series has changed.")
@click.option("--status", "action", flag_value="status", help="Say where it stands.")
@options.JSON
def rebase(names: tuple[str, ...], onto: str | None, action: str | None, as_json: bool) -> None:
    """Carry series NAMES (all when none is given), and what they require, to another tree.

    Every patch ends as one of `sku apply`'s outcomes. A conflict waits in a worktree, with a note
    of what likely caused it; --continue goes on from there. The files of the series change at the
    end, all at once: a patch that had to be changed by hand gets a second file where its file is
    for other kernel lines too.
    """
    from sku_build import branch, series, tree
    from sku_build import rebase as station
    from sku_build.errors import CheckError, UserError

    if action and names:
        raise UserError(f"--{action} goes on with the series that the rebase was begun with")
    if action == "abort":
        gone = station.abort(onto)
        console.say(f"the rebase onto {gone} is given up; no series has changed")
        return
    if action == "status":
        done = station.status(onto)
    elif action == "skip":
        done = station.skip(onto)
    elif action == "continue":
        done = station.proceed(onto)
    else:
        if onto is None:
            raise UserError("give --onto TREE", hint="`sku tree list` names the trees")
        target = branch.unpatched(tree.ensure(onto))
        done = station.begin(target, names or series.names())
    if done.done or action == "status":
        _print_rebase(done, as_json=as_json)
        return
    waiting = next(step for step in done.steps if step.how == "waiting")
    if not as_json:
        _print_rebase(done, as_json=False)
    raise CheckError(
        f"{waiting.series}/{waiting.file} does not go onto {done.onto}:\n\n{done.note}",
        where=done.worktree,
        data=done,
    )


def _print_rebase(done: Rebased, *, as_json: bool) -> None:
    if as_json:
        console.emit_json(done)
        return
    rows = []
    for step in done.steps:
        said = step.outcome if step.how in ("applied", "upstream") else None
        how = said.outcome if said else step.how
        detail = (said.detail if said else None) or ""
        rows.append([step.series, step.file, str(how), detail])
    if not rows:
        console.say(f"{done.onto} needs no patch of these series")
        return
    console.table(f"Onto {done.onto}", ["series", "patch", "outcome", "detail"], rows)
    for item in done.changes:
        if item.what != "kept":
            console.say(f"{item.series}/{item.file}: {item.what}")


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--tree", "tree_name", shell_complete=options.complete_tree, help="Compare on it.")
@options.JSON
def diff(before: str, after: str, tree_name: str | None, as_json: bool) -> None:
    """Compare two versions of a series, patch by patch.

    A version is NAME (as it is now), NAME@REVISION (as committed, such as pin_mem@HEAD), or a
    directory with a series.toml.
    """
    from sku_build import series_diff, tree

    found = series_diff.compare(before, after, tree=tree.ensure(tree_name) if tree_name else None)
    if as_json:
        console.emit_json(found)
    else:
        console.say(found.text.rstrip("\n"))


@click.command()
@click.argument("name", shell_complete=options.complete_series)
@options.TREE
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR"
)
@click.option("-v", "--reroll", type=click.IntRange(min=1), default=1, help="The posting's number.")
@click.option("--since", metavar="VERSION", help="Tell what changed, as `sku series diff` does.")
@click.option("--to", multiple=True, metavar="ADDRESS")
@click.option("--cc", multiple=True, metavar="ADDRESS")
@options.JSON
def export(
    name: str,
    tree_name: str,
    output: Path,
    reroll: int,
    since: str | None,
    to: tuple[str, ...],
    cc: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write series NAME as mails with a cover letter, ready for `git send-email DIR/*.patch`."""
    from sku_build import export as station
    from sku_build import series, series_diff, tree

    found = tree.ensure(tree_name)
    changes = series_diff.compare(since, name, tree=found) if since else None
    done = station.export(
        found, series.load(name), output, reroll=reroll, to=to, cc=cc, diff=changes
    )
    if as_json:
        console.emit_json(done)
        return
    for file in done.files:
        console.say(str(done.output / file))


@click.command("import")
@click.argument("name")
@click.argument("source")
@options.TREE
@click.option("--requires", multiple=True, metavar="SERIES", help="A series it is written on.")
@click.option("--kernels", multiple=True, metavar="RANGE", help="[default: the tree's line]")
@click.option("--summary", help="One line for series.toml  [default: the cover letter's subject]")
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The senders' public keys  [default: patatt's own]",
)
@click.option("--require-attestation", is_flag=True, help="Refuse mails without a valid signature.")
@click.option("--update", is_flag=True, help="Take the mails for the next version of NAME.")
@options.JSON
def import_(
    name: str,
    source: str,
    tree_name: str,
    requires: tuple[str, ...],
    kernels: tuple[str, ...],
    summary: str | None,
    keyring: Path | None,
    require_attestation: bool,
    update: bool,
    as_json: bool,
) -> None:
    """Make the series NAME of patch mails: SOURCE is a directory, an mbox, or a message-id.

    The mails are put on the tree they were made for and written as git gives them back, so that
    later merges find their base. b4 gets a message-id and collects the trailers of replies; a
    patatt signature is checked where there is one.
    """
    from sku_build import branch, import_series, tree

    done = import_series.import_series(
        branch.unpatched(tree.ensure(tree_name)),
        name,
        source,
        requires=requires,
        kernels=kernels,
        summary=summary,
        keyring=keyring,
        require_attestation=require_attestation,
        update=update,
    )
    if as_json:
        console.emit_json(done)
        return
    attested = {item.subject: item for item in done.attestations}
    rows = []
    for item in done.patches:
        who = attested.get(item.subject)
        by = f"{who.result} {who.identity or ''}".strip() if who else ""
        rows.append([item.file, str(item.outcome), item.detail or "", by])
    console.table(f"Series {done.series}", ["patch", "outcome", "detail", "signature"], rows)
    for text in done.notes:
        console.warn(text)
    for problem in done.problems:
        place = problem.where + (f":{problem.line}" if problem.line else "")
        console.warn(f"{place}: {problem.message}")
    console.say(str(done.directory))


COMMANDS = (refresh, rebase, diff, export, import_)
