# SPDX-License-Identifier: GPL-2.0-only
"""``sku report``."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import console, files, history
from sku_build import report as pages
from sku_build.cli import options
from sku_build.errors import UserError


@click.command()
@click.argument("results", metavar="[RESULT]…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="Where the page goes; an earlier one there is replaced.",
)
@options.JSON
def report(results: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Make one HTML page of RESULTs: where the blackout goes, what the benches measured.

    A RESULT is the result.json of `sku lab update` or the JSON of a bench, or the directory that
    holds it. Without one it is the latest of each kind. The history of past runs is always in.
    """
    chosen = results or history.latest()
    sources = [pages.load(path) for path in chosen]
    entries, problems = history.runs()
    if not sources and not entries:
        raise UserError(
            "there is no result yet",
            where=history.directory(),
            hint="`sku lab update` and `sku bench` leave one; or name its file",
        )
    for text in problems:
        console.warn(f"not in the history: {text}")
    page = pages.render(sources, entries, problems).encode()
    files.replace(output, page)
    if as_json:
        console.emit_json(
            {
                "output": output,
                "bytes": len(page),
                "results": [source.path for source in sources],
                "runs": len(entries),
                "unreadable": problems,
            }
        )
        return
    console.say(
        f"{output}: {len(page) / 1024:.0f} KiB, {len(sources)} results, {len(entries)} runs"
    )
