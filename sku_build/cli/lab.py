# SPDX-License-Identifier: GPL-2.0-only
"""``sku lab``: boot what was built, and update it, in a virtual machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from sku_build import board as boards
from sku_build import console, history
from sku_build.board import Board
from sku_build.cli.chain import chain
from sku_build.cli.matrix import matrix
from sku_build.cli.options import APPEND, RUN_OUTPUT, TIMEOUT_FACTOR
from sku_build.cli.unit import unit
from sku_build.errors import CheckError
from sku_build.lab import (
    BootResult,
    KexecResult,
    Options,
    UpdateResult,
    Way,
    bundle,
    debug,
    profile,
    results,
    rootfs,
    scenario,
    update,
    update_result,
)

_SHOWN_WARNINGS = 20
_DEBUG_BOARD = "qemu-virt"


@click.group()
def lab() -> None:
    """Boot a bundle in QEMU, and jump from one kernel into the next."""


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every run has."""
    options: list[Callable[[Any], Any]] = [
        click.option("--board", "board_name", metavar="NAME", help="The bundle's, unless given."),
        APPEND,
        click.option("--memory", type=click.IntRange(min=128), metavar="MIB", help="Guest memory."),
        click.option("--smp", type=click.IntRange(min=1), metavar="N", help="Number of CPUs."),
        TIMEOUT_FACTOR,
        RUN_OUTPUT,
        click.option(
            "--fail-on-warnings",
            is_flag=True,
            help="Exit 3 if a kernel's log has one; update and debug always do.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


lab.add_command(chain)
lab.add_command(matrix)
lab.add_command(unit)


@lab.command("boot")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@_run_options
def boot_command(path: Path, **given: Any) -> None:
    """Boot BUNDLE, a directory that `sku build` made, and report how it came up."""
    board = _board(path, given["board_name"])
    with console.step(f"Booting {path} on {board.name}"):
        result = scenario.boot(path, board=board, options=_options(given))
    _finish(result, given)


@lab.command("kexec")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--profile",
    "costs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Have SECOND log its initcalls, and say the N largest costs of its boot.",
)
@_run_options
def kexec_command(first: Path, second: Path, costs: int | None, **given: Any) -> None:
    """Boot the bundle FIRST, and kexec from it into the bundle SECOND."""
    board = _board(first, given["board_name"])
    with console.step(f"Jumping from {first} into {second} on {board.name}"):
        result = scenario.kexec(first, second, board=board, options=_options(given), costs=costs)
    _finish(result, given)


@lab.command("update")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--way",
    type=click.Choice([*(way.value for way in Way), "both"]),
    default=Way.OURS.value,
    show_default=True,
    help="Keep the memory in place, dump it to the disk, or one after the other.",
)
@click.option(
    "--plain",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Go the ordinary way with this one, without our series, instead of FIRST and SECOND.",
)
@click.option(
    "--data-mib",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="How much redis holds.",
)
@click.option("--huge", is_flag=True, help="Let redis have transparent huge pages everywhere.")
@click.option("--verify", is_flag=True, help="Compare all memory with checksums, in our way.")
@click.option(
    "--tap",
    metavar="NAME",
    help="A tap device of this machine, with the address 10.0.2.2/24, to be the guest's network.",
)
@_run_options
def update_command(
    first: Path,
    second: Path,
    way: str,
    plain: Path | None,
    data_mib: int,
    huge: bool,
    verify: bool,
    **given: Any,
) -> None:
    """Replace the kernel FIRST by SECOND under a redis that this machine is a client of.

    Exit status 3 says that a promise was broken: a key lost or changed, the connection closed, a
    request lost or done twice, another process, a warning in a kernel's log.
    """
    board = _board(first, given["board_name"])
    with console.step(f"Updating {first} to {second} on {board.name}"):
        result = update.update(
            first,
            second,
            board=board,
            load=update.Load(data_mib, huge, verify),
            ways=list(Way) if way == "both" else [Way(way)],
            plain_path=plain,
            options=_options(given),
        )
    history.keep(result)
    broken = broken_promises(result)
    if not (broken and given["as_json"]):
        show_update(result, as_json=given["as_json"])
    if broken:
        raise CheckError(
            f"{len(broken)} promises broken, the first: {broken[0]}",
            where=result.directory,
            data=msgspec.to_builtins(result),
        )


@lab.command("debug")
@click.argument("path", metavar="[BUNDLE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--tree",
    "tree_name",
    default="6.1",
    show_default=True,
    help="The tree, when there is no BUNDLE and one is built.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How often the selftest of pin_mem is run.",
)
@click.option(
    "--data-mib",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="How much redis holds in the update.",
)
@_run_options
def debug_command(
    path: Path | None, tree_name: str, rounds: int, data_mib: int, **given: Any
) -> None:
    """Have a kernel that watches itself take memory out of tasks, and updated under redis.

    BUNDLE is built with the fragment `debug`; without one, it is built first. Exit status 3 says
    that the selftest failed, that a kernel complained or leaked, or that the update lost something.
    """
    if path is None:
        board = boards.load(given["board_name"] or _DEBUG_BOARD)
        path = debug.build(tree_name, board)
    else:
        board = _board(path, given["board_name"])
    with console.step(f"Watching {path} on {board.name}"):
        result = debug.debug(
            path,
            board=board,
            rounds=rounds,
            load=update.Load(data_mib),
            options=_options(given),
        )
    _show_debug(result, as_json=given["as_json"])
    if result.complaints:
        raise CheckError(
            f"{len(result.complaints)} complaints, the first: {result.complaints[0]}",
            where=result.directory,
            hint="serial.log and result.json there have all of them",
            data=msgspec.to_builtins(result),
        )


def _show_debug(result: debug.DebugResult, *, as_json: bool) -> None:
    """Print the result, unless an error that holds it follows: JSON is printed once."""
    if as_json:
        if not result.complaints:
            console.emit_json(result)
        return
    title = f"a kernel that watches itself on {result.board}"
    console.table(title, ("", ""), debug.rows(result))
    for text in result.complaints[:_SHOWN_WARNINGS]:
        console.warn(text)
    console.note(f"result and logs: {result.directory}")


@lab.command("rootfs")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also copy the image there; the one in the cache is replaced in time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rootfs_command(output: Path | None, as_json: bool) -> None:
    """Make the root file system of the lab's guest: Debian with CRIU, nftables and redis."""
    made = rootfs.image()
    if output:
        rootfs.copy_image(made.path, output)
    packages = made.closure.packages
    if as_json:
        console.emit_json(
            {
                "image": output or made.path,
                "suite": made.closure.suite,
                "architecture": made.closure.architecture,
                "bytes": made.size,
                "packages": {package.package: package.version for package in packages},
            }
        )
        return
    asked = [(p.package, p.version) for p in packages if p.package in made.closure.wanted]
    console.table(f"{made.closure.suite} {made.closure.architecture}", ("asked for", ""), asked)
    console.say(f"{len(packages)} packages, {made.size >> 20} MiB on the disk")
    console.say(str(output or made.path))


def _board(path: Path, name: str | None) -> Board:
    return boards.load(name or bundle.board_name(path))


def _options(given: dict[str, Any]) -> Options:
    return Options(
        append=given["append"],
        memory_mib=given["memory"],
        smp=given["smp"],
        timeout_factor=given["timeout_factor"],
        directory=given["output"],
        tap=given.get("tap"),
    )


def _show(result: BootResult | KexecResult, *, as_json: bool) -> None:
    if as_json:
        console.emit_json(result)
        return
    names = ("first kernel", "second kernel")[: len(result.kernels)]
    machine = result.machine
    console.table(f"{result.kind} on {result.board}", ("", *names), results.summary(result))
    console.say(
        f"QEMU {machine.qemu} ({machine.accelerator}), {machine.smp} CPUs, {machine.memory_mib} MiB"
    )
    if isinstance(result, KexecResult):
        console.say(
            f"load {result.load_ms:.1f} ms; kexec, from the jump to the next first process, "
            f"{result.kexec_ms:.1f} ms"
        )
        if result.profile:
            title = f"the {len(result.profile.costs)} largest costs from the jump on"
            columns = ("what", "took", "share", "from", "probes in it, ms")
            console.table(title, columns, profile.rows(result.profile))
    rows = [(p.phase, f"{p.seconds:.2f} s", f"{p.limit:g} s") for p in result.phases]
    console.table("phases, on the host's clock", ("phase", "took", "may take"), rows)
    for release, line in results.warnings(result)[:_SHOWN_WARNINGS]:
        console.warn(f"{release}: [{line.us / 1e6:.6f}] {line.text}")
    console.note(f"result and logs: {result.directory}")


def broken_promises(result: UpdateResult) -> list[str]:
    """Return what each way broke, for people."""
    return [f"{item.way}: {text}" for item in result.ways for text in item.broken]


def show_update(result: UpdateResult, *, as_json: bool) -> None:
    """Print what an update was like, each way."""
    if as_json:
        console.emit_json(result)
        return
    size = f"{result.data_mib} MiB{' in huge pages' if result.huge else ''}"
    title = f"update under redis with {size} on {result.board}"
    columns = ("", *(item.way for item in result.ways))
    console.table(title, columns, update_result.rows(result))
    for item in result.ways:
        rows = [(span.phase, f"{span.ms:.1f} ms") for span in item.spans]
        console.table(f"{item.way}: phases, on the guest's clock", ("phase", "took"), rows)
        for text in item.broken:
            console.warn(f"{item.way}: {text}")
    if result.ratio is not None:
        console.say(f"blackout, ours ÷ ordinary: {result.ratio:.3f}")
    console.note(f"result and logs: {result.directory}")


def _finish(result: BootResult | KexecResult, given: dict[str, Any]) -> None:
    """Print the result, unless an error that holds it follows: JSON is printed once."""
    found = results.warnings(result) if given["fail_on_warnings"] else []
    if not (found and given["as_json"]):
        _show(result, as_json=given["as_json"])
    if found:
        raise CheckError(
            f"{len(found)} warnings in the kernels' logs, the first: {found[0][1].text}",
            where=result.directory,
            hint="the files kernel-1.log and kernel-2.log there are the whole logs",
            data=msgspec.to_builtins(result),
        )
