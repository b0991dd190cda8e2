# SPDX-License-Identifier: GPL-2.0-only
"""``sku bench``."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import console, history
from sku_build.bench import Report, boot, comparison, deferred, devices, initramfs, tool, update
from sku_build.cli import options

_VARIANT_COLUMNS = (
    "kernel",
    "command line",
    "jump to first process",
    "more than ours",
    "instructions",
)
_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the report, and the results and logs of every run, there.",
)


@click.group()
def bench() -> None:
    """Compare our way with the ordinary one, on this machine, in one run.

    A missed goal is told and is no error. `sku report` makes a page of the results, which are kept,
    and of those of past runs.
    """


def _show(report: Report, *, as_json: bool) -> None:
    history.keep(report)
    if as_json:
        console.emit_json(report)
        return
    inputs = ", ".join(f"{key} {value}" for key, value in report.inputs.items())
    columns = ("what", "ours", "ordinary", "ours ÷ ordinary", "goal", "")
    console.table(f"bench {report.bench}: {inputs}", columns, comparison.rows(report))
    for item in report.comparisons:
        console.say(f"{item.name}: {item.ours_is}, against {item.ordinary_is}")
    if report.variants:
        console.table("each way", _VARIANT_COLUMNS, comparison.variant_rows(report))
    for text in report.notes:
        console.say(f"note: {text}")


@bench.command("tool")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option("--board", default="qemu-virt", show_default=True, help="The board to build.")
@click.option(
    "--only",
    type=click.Choice(list(tool.PARTS)),
    multiple=True,
    help="Take this part; may be given more than once  [default: all]",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@options.JSON
def tool_command(
    tree_name: str, board: str, only: tuple[str, ...], rounds: int, as_json: bool
) -> None:
    """Compare applying, refreshing and checking all series with git's way, and quick builds with
    full ones. Builds a kernel twice.
    """
    report = tool.measure(tree_name=tree_name, board=board, rounds=rounds, only=only)
    _show(report, as_json=as_json)


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


@bench.command("initramfs")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option(
    "--mib",
    type=click.IntRange(min=1, max=1024),
    default=64,
    show_default=True,
    help="Files that are added to the initramfs; the guest gets five times as much and 1 GiB.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@options.TIMEOUT_FACTOR
@_OUTPUT
@options.JSON
def initramfs_command(
    tree_name: str,
    mib: int,
    rounds: int,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare a root made of kept files with unpacked archives, plain and compressed."""
    report = initramfs.measure(
        tree_name=tree_name,
        mib=mib,
        rounds=rounds,
        timeout_factor=timeout_factor,
        output=output,
    )
    _show(report, as_json=as_json)


@bench.command("devices")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option(
    "--only",
    type=click.Choice(devices.PARTS),
    multiple=True,
    help="Take this part; may be given more than once  [default: all]",
)
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True)
@options.TIMEOUT_FACTOR
@_OUTPUT
@options.JSON
def devices_command(
    tree_name: str,
    only: tuple[str, ...],
    rounds: int,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare what a kernel asks of devices that the one before knew, with asking again; how long
    SATA disks take, known from before and with each option that libata has for that; and what is
    done to the link of a NIC, kept and set up anew.
    """
    report = devices.measure(
        tree_name=tree_name,
        rounds=rounds,
        only=only,
        timeout_factor=timeout_factor,
        output=output,
    )
    _show(report, as_json=as_json)


@bench.command("update")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option(
    "--only",
    type=click.Choice(list(update.PARTS)),
    multiple=True,
    help="Take this part; may be given more than once  [default: all]",
)
@click.option(
    "--data-mib",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="What redis holds where both ways are compared, and where pages are counted.",
)
@click.option("--large-mib", type=click.IntRange(min=1), default=4096, show_default=True)
@click.option("--small-mib", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=1, show_default=True)
@options.TIMEOUT_FACTOR
@_OUTPUT
@options.JSON
def update_command(
    tree_name: str,
    only: tuple[str, ...],
    data_mib: int,
    large_mib: int,
    small_mib: int,
    rounds: int,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare updates under redis: a client's blackout, its growth, a page's cost, a boot's.

    Builds up to four kernels; the guest of LARGE MiB takes half as much again of this machine's
    memory. A run that loses something is an error, not a number.
    """
    report = update.measure(
        tree_name=tree_name,
        sizes=update.Sizes(data_mib, large_mib, small_mib),
        rounds=rounds,
        only=only,
        timeout_factor=timeout_factor,
        output=output,
    )
    _show(report, as_json=as_json)


@bench.command("boot")
@click.option("--tree", "tree_name", default="6.1", show_default=True, help="The tree.")
@click.option(
    "--only",
    type=click.Choice(boot.PARTS),
    multiple=True,
    help="Take this part; may be given more than once  [default: all]",
)
@click.option(
    "--memory",
    type=click.IntRange(min=512),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="Guest memory.",
)
@click.option(
    "--smp",
    type=click.IntRange(min=2),
    default=4,
    show_default=True,
    metavar="N",
    help="CPUs of the guest whose jumps are timed.",
)
@click.option(
    "--initramfs-mib",
    type=click.IntRange(min=0),
    default=32,
    show_default=True,
    help="How much the initramfs has besides the runtime.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Jumps of each kernel; medians are compared.",
)
@options.TIMEOUT_FACTOR
@_OUTPUT
@options.JSON
def boot_command(
    tree_name: str,
    only: tuple[str, ...],
    memory: int,
    smp: int,
    initramfs_mib: int,
    rounds: int,
    timeout_factor: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare jumps: an unpatched kernel's, ours, and ours with each series switched off.

    Builds three kernels. One guest jumps through all of them in each round; another one does so
    with one CPU and a clock that counts instructions, so that a busy host changes nothing.
    """
    report = boot.measure(
        tree_name=tree_name,
        settings=boot.Settings(smp=smp, memory_mib=memory, ballast_mib=initramfs_mib),
        rounds=rounds,
        only=only,
        timeout_factor=timeout_factor,
        output=output,
    )
    _show(report, as_json=as_json)
