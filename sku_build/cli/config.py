# SPDX-License-Identifier: GPL-2.0-only
"""``sku config``."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import msgspec

from sku_build import apply, async_probe, builddir, console, kconfig, layout
from sku_build import board as boards
from sku_build import tree as trees
from sku_build.cli import options
from sku_build.errors import UserError
from sku_build.kconfig import ConfigReport, Waived
from sku_build.kconfig import report as wording
from sku_build.toolchain import choose


@click.command()
@options.TREE
@options.BOARD
@options.SERIES
@options.NO_SERIES
@options.FRAGMENT
@options.SET
@options.LLVM
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the resolved .config to this file.",
)
@click.option(
    "--cross-check",
    is_flag=True,
    help="Compare with the values kconfiglib computes, even when nothing is to be explained.",
)
@options.JSON
def config(
    tree_name: str,
    board_name: str,
    series_names: tuple[str, ...],
    no_series: bool,
    fragments: tuple[str, ...],
    extra: tuple[str, ...],
    llvm: bool,
    output: Path | None,
    cross_check: bool,
    as_json: bool,
) -> None:
    """Configure a kernel for a board and prove that every requested symbol came out as asked.

    The requests are those of the board's fragments, of the series' and of --set. Each one that was
    lost is reported with its file and line and the reason, and the exit status is 3.
    """
    if output is not None and not output.absolute().parent.is_dir():
        raise UserError("the directory of --output does not exist", where=output.parent)
    board = boards.with_fragments(boards.load(board_name), fragments)
    toolchain = choose(board.arch, llvm=llvm)
    tree = trees.ensure(tree_name)
    chosen = options.chosen_series(board, series_names, tree.kernel, no_series=no_series)
    series = chosen.series
    applied = apply.apply_series(tree, series, branch=None)
    of = f"Linux {tree.version} for {board.name}"
    build = layout.cache_dir("config") / f"{tree.name}-{board.name}-{toolchain.name}"
    # A build under way would go on with the source that is switched here.
    with builddir.exclusive(tree.name, of=of), console.step(f"Configuring {of}"):
        source = trees.source_dir(tree, applied.commit, slot=tree.name)
        async_probe.check_source(source, board)
        report = kconfig.configure(
            source,
            build,
            board=board,
            series=series,
            toolchain=toolchain,
            version=tree.kernel,
            extra=extra,
            cross_check=cross_check,
        )
    if output is not None:
        _copy(build / ".config", output)
    if as_json:
        about = {"tree": tree.name, "version": tree.version, "board": board.name, "output": output}
        console.emit_json({**about, "left_out": chosen.left_out, **msgspec.structs.asdict(report)})
    else:
        _show(report, f"{board.name}, Linux {tree.version}", output)


def _copy(resolved: Path, output: Path) -> None:
    new = output.with_name(f".{output.name}.new")
    try:
        shutil.copyfile(resolved, new)
        new.replace(output)
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"cannot write to it: {error.strerror}", where=output) from error
    finally:
        new.unlink(missing_ok=True)


def _show(report: ConfigReport, title: str, output: Path | None) -> None:
    waived = {item.symbol: item for item in report.waived}
    rows = [
        (f"CONFIG_{item.symbol}", item.value, str(item.place), _state(waived.get(item.symbol)))
        for item in report.requested
    ]
    console.table(title, ("symbol", "value", "asked for at", "outcome"), rows)
    for item in report.waived:
        console.warn(f"waived: {wording.describe_waived(item)}")
    for disagreement in report.disagreements or ():
        console.warn(wording.describe_disagreement(disagreement))
    for warning in report.warnings:
        console.warn(f"conf: {warning}")
    for obstacle in report.obstacles:
        console.warn(f"not reproducible: {obstacle}")
    missed = sum(item.yields_to is None for item in report.waived)
    checked = "; kconfiglib computes the same" if report.disagreements == [] else ""
    console.say(
        f"{len(report.requested)} symbols requested, {len(report.requested) - missed} proven, "
        f"{missed} waived{checked}{'; nothing had changed' if report.reused else ''}; "
        f".config sha256 {report.sha256}"
    )
    if output is not None:
        console.say(f"written to {output}")


def _state(waived: Waived | None) -> str:
    if waived is None:
        return "as asked"
    return "as asked, another line yielded" if waived.yields_to else f"waived: is {waived.actual}"
