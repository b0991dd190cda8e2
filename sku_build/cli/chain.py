# SPDX-License-Identifier: GPL-2.0-only
"""``sku lab chain``: updates in a row."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import board as boards
from sku_build import console
from sku_build.cli import promises
from sku_build.cli.options import APPEND, JSON, RUN_OUTPUT, TIMEOUT_FACTOR
from sku_build.lab import Options, bundle, update
from sku_build.lab import chain as station


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="How many updates: to SECOND, back to FIRST, and so on.",
)
@click.option(
    "--data-mib",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="How much redis holds.",
)
@click.option("--huge", is_flag=True, help="In huge pages, wherever they can be.")
@click.option("--verify", is_flag=True, help="Compare all memory with checksums, each time.")
@APPEND
@TIMEOUT_FACTOR
@RUN_OUTPUT
@JSON
def chain(
    first: Path,
    second: Path,
    times: int,
    data_mib: int,
    huge: bool,
    verify: bool,
    append: str,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Replace the kernel several times, FIRST by SECOND and back, under one redis.

    Its client keeps its connection through all of them. Exit status 3 says that a promise was
    broken, and at which update.
    """
    board = boards.load(bundle.board_name(first))
    with console.step(f"Updating {times} times between {first} and {second} on {board.name}"):
        result = station.chain(
            first,
            second,
            board=board,
            times=times,
            load=update.Load(data_mib, huge, verify),
            options=Options(append=append, timeout_factor=timeout_factor, directory=output),
        )
    title = f"{times} updates under redis with {data_mib} MiB on {result.board}"
    promises.conclude(result, title, station.HEADINGS, station.rows(result), as_json=as_json)
