# SPDX-License-Identifier: GPL-2.0-only
"""The options that several commands have, with their completion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sku_build.errors import UserError

if TYPE_CHECKING:
    from sku_build.board import Board
    from sku_build.composition import Composition
    from sku_build.version import KernelVersion


def complete_series(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the series that start like ``incomplete``."""
    from sku_build import series

    return [name for name in series.names() if name.startswith(incomplete)]


def complete_tree(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the trees that start like ``incomplete``."""
    from sku_build import tree

    return [item.name for item in tree.all_trees() if item.name.startswith(incomplete)]


def complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the boards that start like ``incomplete``."""
    from sku_build import board

    return [name for name in board.names() if name.startswith(incomplete)]


def complete_fragment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the configuration fragments that start like ``incomplete``."""
    from sku_build.kconfig.resolve import fragments_dir

    suffix = ".config.j2"
    found = (path.name.removesuffix(suffix) for path in fragments_dir().glob(f"*{suffix}"))
    return sorted(name for name in found if name.startswith(incomplete))


JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
TREE = click.option(
    "--tree",
    "tree_name",
    required=True,
    metavar="TREE",
    shell_complete=complete_tree,
    help="A tree (`sku tree`).",
)
BOARD = click.option(
    "--board",
    "board_name",
    required=True,
    metavar="BOARD",
    shell_complete=complete_board,
    help="A board.",
)
SERIES = click.option(
    "--series",
    "series_names",
    multiple=True,
    metavar="SERIES",
    shell_complete=complete_series,
    help="A series to put on the tree instead of the board's; may be given several times, or "
    "once with commas.",
)
NO_SERIES = click.option("--no-series", is_flag=True, help="Take the tree as it is.")
SET = click.option(
    "--set",
    "extra",
    multiple=True,
    metavar="CONFIG_X=VALUE",
    help="Ask for a symbol as if a fragment did; may be given several times.",
)
FRAGMENT = click.option(
    "--fragment",
    "fragments",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_fragment,
    help="A fragment on top of the board's, such as debug; may be given several times.",
)
TIMEOUT_FACTOR = click.option(
    "--timeout-factor",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    metavar="F",
    help="Give every phase of a run F times as long.",
)
APPEND = click.option("--append", default="", metavar="TEXT", help="More kernel command line.")
RUN_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where result.json and the logs go; a directory in the cache, unless given.",
)
LLVM = click.option("--llvm", is_flag=True, help="Use clang and lld (LLVM=1).")


def chosen_series(
    board: Board | None,
    names: tuple[str, ...],
    version: KernelVersion,
    *,
    no_series: bool = False,
    nearest: bool = False,
) -> Composition:
    """Return the series that --series, --no-series and the board ask for, requirements included.

    Of a board's only those that are for the kernel ``version``; what is left out is said. Raises
    UserError when the options contradict each other or a series is not known.
    """
    from sku_build import composition, console, series

    if no_series and names:
        raise UserError("--series and --no-series contradict each other")
    listed = [name for item in names for name in item.split(",") if name]
    if listed or no_series or board is None:
        return composition.Composition(tuple(series.resolve(listed)))
    chosen = composition.of_board(board, version, nearest=nearest)
    for text in chosen.describe(board, version):
        console.warn(text)
    return chosen
