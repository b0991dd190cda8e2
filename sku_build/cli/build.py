# SPDX-License-Identifier: GPL-2.0-only
"""``sku build``."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import board as boards
from sku_build import builddir, console, image, plan, verify
from sku_build import tree as trees
from sku_build.cli import options
from sku_build.metadata import Metadata
from sku_build.plan import Plan

_MIB = 1 << 20


@click.command()
@options.TREE
@options.BOARD
@options.SERIES
@options.NO_SERIES
@options.LLVM
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory to make  [default: out/BOARD-VERSION…]",
)
@click.option("--localversion", default="", help="Appended to the kernel release, such as -next.")
@click.option("--jobs", type=click.IntRange(min=1), help="Compilers at a time  [default: all CPUs]")
@click.option("--no-ccache", is_flag=True, help="Run every compiler, even where ccache is present.")
@options.FRAGMENT
@options.SET
@click.option("--sbom", is_flag=True, help="Add the kernel's own SBOM, where it has `make sbom`.")
@click.option("--verify", "verifying", is_flag=True, help="Build twice, elsewhere, and compare.")
@options.JSON
def build(
    tree_name: str,
    board_name: str,
    series_names: tuple[str, ...],
    no_series: bool,
    llvm: bool,
    output: Path | None,
    localversion: str,
    jobs: int | None,
    no_ccache: bool,
    fragments: tuple[str, ...],
    extra: tuple[str, ...],
    sbom: bool,
    verifying: bool,
    as_json: bool,
) -> None:
    """Build a board's kernel and initramfs, reproducibly, into a directory.

    The directory holds the uncompressed Image, System.map, config, the initramfs (unpacked and as
    a cpio archive), modules and device trees if the board has any, with --sbom what the kernel says
    of its sources and their licences, and metadata.json.
    """
    board = boards.load(board_name)
    tree = trees.ensure(tree_name)
    chosen = options.chosen_series(board, series_names, tree.kernel, no_series=no_series)
    planned = plan.make(
        tree,
        board,
        series=chosen.series,
        left_out=chosen.left_out,
        llvm=llvm,
        localversion=localversion,
        jobs=jobs,
        ccache=not no_ccache,
        extra=extra,
        fragments=fragments,
        sbom=sbom,
    )
    target = output or default_output(planned)
    metadata = image.carry_out(planned, target, strict=verifying)
    verification = None
    if verifying:
        work = builddir.find(planned.slot, planned.board.name, planned.toolchain.name)
        verification = verify.build_again(planned, target, metadata, work)
    if as_json:
        console.emit_json({"output": target, "metadata": metadata, "verification": verification})
        return
    _show(metadata, target)
    if verification:
        count = len(verification.compared)
        console.say(
            f"verified: all {count} artefacts came out the same in another directory, "
            f"without ccache ({verification.seconds:.0f} s)"
        )


def default_output(planned: Plan) -> Path:
    """Return ``out/BOARD-VERSION`` with what tells a variant from the ordinary build."""
    variant = "-llvm" if planned.toolchain.name == "llvm" else ""
    own = "".join(f"-{fragment}" for fragment in planned.fragments)
    name = f"{planned.board.name}-{planned.tree.version}{planned.localversion}{own}{variant}"
    return Path("out") / name


def _show(metadata: Metadata, output: Path) -> None:
    rows = [
        (artefact.path, f"{artefact.size / _MIB:.2f} MiB", artefact.sha256)
        for artefact in metadata.artefacts
        if not artefact.path.startswith("modules/")
    ]
    console.table(f"{output}: Linux {metadata.release}", ("file", "size", "sha256"), rows)
    modules = sum(artefact.path.endswith(".ko") for artefact in metadata.artefacts)
    if modules:
        console.say(f"and {modules} modules")
    outcome = "nothing to do" if metadata.reused else "built"
    console.say(f"{outcome}; again: {metadata.reproduce}")
