# SPDX-License-Identifier: GPL-2.0-only
"""``sku lab matrix``: all kernel lines, and an update from each to each."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sku_build import console, files
from sku_build.cli import options
from sku_build.distribution import LINES
from sku_build.errors import CheckError
from sku_build.lab import Options
from sku_build.lab import matrix as station


@click.command()
@click.option(
    "--tree",
    "tree_names",
    multiple=True,
    metavar="TREE",
    shell_complete=options.complete_tree,
    help="Try it; may be given several times  [default: the four supported lines]",
)
@click.option(
    "--board",
    "board_name",
    default="qemu-virt",
    show_default=True,
    shell_complete=options.complete_board,
)
@click.option(
    "--result",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/matrix.json"),
    show_default=True,
    metavar="FILE",
    help="Where the results go.",
)
@click.option(
    "--document",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="A Markdown file whose table of the results is made anew, such as README.md.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the logs of all guests there.",
)
@click.option(
    "--changed",
    is_flag=True,
    help="Take over from the results that are there what went well and would be the same again:"
    " lines whose patches, configuration, runtime and board have not changed, and the updates"
    " between them.",
)
@click.option("--again", is_flag=True, help="Run nothing: read the results that are there.")
@options.TIMEOUT_FACTOR
@options.JSON
def matrix(
    tree_names: tuple[str, ...],
    board_name: str,
    result: Path,
    document: Path | None,
    output: Path | None,
    changed: bool,
    again: bool,
    timeout_factor: float,
    as_json: bool,
) -> None:
    """Try every kernel line: apply, config, build, boot, and an update from each to each.

    Exit status 3 says that something of it failed; the results have all of it.
    """
    if again:
        found = station.read(result)
    else:
        found = station.run(
            tree_names or tuple(LINES),
            board_name=board_name,
            output=output,
            options=Options(timeout_factor=timeout_factor),
            earlier=station.read(result) if changed and result.exists() else None,
        )
        encoded = msgspec.json.format(msgspec.json.encode(found), indent=2)
        files.replace(result, encoded + b"\n")
    if document is not None:
        text = station.replace_section(document.read_text(encoding="utf-8"), found, str(result))
        files.replace(document, text.encode())
    if found.failures:
        raise CheckError(
            f"{len(found.failures)} of the matrix failed, the first: {found.failures[0]}",
            where=result,
            data=msgspec.to_builtins(found),
        )
    if as_json:
        console.emit_json(found)
    else:
        console.say(station.table(found))
