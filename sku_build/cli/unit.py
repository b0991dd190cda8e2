# SPDX-License-Identifier: GPL-2.0-only
"""``sku lab unit``: an update under a unit of systemd."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import board as boards
from sku_build import console
from sku_build.cli import promises
from sku_build.cli.options import APPEND, JSON, RUN_OUTPUT, TIMEOUT_FACTOR
from sku_build.lab import Options, bundle
from sku_build.lab import unit as station


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--data-mib",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="How much the database holds.",
)
@APPEND
@TIMEOUT_FACTOR
@RUN_OUTPUT
@JSON
def unit(
    first: Path,
    second: Path,
    data_mib: int,
    append: str,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Replace the kernel FIRST by SECOND under MariaDB, a unit of a real systemd.

    Exit status 3 says that a promise was broken: systemd has another main process or state of the
    unit, a unit has failed, the client's connection closed, a row lost or changed, or the unit does
    not restart as it should afterwards.
    """
    board = boards.load(bundle.board_name(first))
    options = Options(append=append, timeout_factor=timeout_factor, directory=output)
    with console.step(f"Updating {first} to {second} under a unit on {board.name}"):
        result = station.update(first, second, board=board, data_mib=data_mib, options=options)
    title = f"update under {result.unit} with {data_mib} MiB on {result.board}"
    promises.conclude(result, title, ("", ""), station.rows(result), as_json=as_json)
