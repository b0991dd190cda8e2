# SPDX-License-Identifier: GPL-2.0-only
"""``sku bench``."""

from __future__ import annotations

import click

from sku_build import console
from sku_build.bench import Report, comparison, deferred, tool
from sku_build.cli import options


@click.group()
def bench() -> None:
    """Compare our way with the ordinary one, on this machine, in one run."""


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        console.emit_json(report)
        return
    inputs = ", ".join(f"{key} {value}" for key, value in report.inputs.items())
    columns = ("what", "ours", "ordinary", "ours ÷ ordinary", "goal", "")
    console.table(f"bench {report.bench}: {inputs}", columns, comparison.rows(report))
    for item in report.comparisons:
        console.say(f"{item.name}: {item.ours_is}, against {item.ordinary_is}")


@bench.command("tool")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option("--board", default="qemu-virt", show_default=True, help="The board to build.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@options.JSON
def tool_command(tree_name: str, board: str, rounds: int, as_json: bool) -> None:
    """Compare applying with git am, and quick builds with full ones. Builds a kernel twice."""
    _show(tool.measure(tree_name=tree_name, board=board, rounds=rounds), as_json=as_json)


@bench.command("deferred")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option("--memory", type=click.IntRange(min=6144), default=16384, show_default=True)
@click.option("--smp", type=click.IntRange(min=2), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@options.JSON
def deferred_command(tree_name: str, memory: int, smp: int, rounds: int, as_json: bool) -> None:
    """Compare the memory map's initialisation, serial and parallel, in guests of MEMORY MiB."""
    report = deferred.measure(tree_name=tree_name, memory_mib=memory, smp=smp, rounds=rounds)
    _show(report, as_json=as_json)
