# SPDX-License-Identifier: GPL-2.0-only
"""The jump: an unpatched kernel's, ours, and ours with each series switched off in turn.

One guest jumps from kernel to kernel. What is measured is a jump from a kernel into the same one,
with the same command line: how it stops is as much its own as how it starts.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sku_build import board as boards
from sku_build import console, image, initramfs, layout, metadata
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench import boot_samples
from sku_build.bench.boot_samples import Sample
from sku_build.bench.comparison import Comparison, Report, Variant
from sku_build.board import Board
from sku_build.errors import UserError
from sku_build.lab import bundle, guest, qemu, results, steps
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run
from sku_build.tree import Tree

BOARD = "qemu-virt"
# The series that make the jump quick, and how the command line switches each off; None: only a
# build without it does.
SWITCHES: dict[str, str | None] = {
    "deferred_init": None,
    "quick_kexec": "kexec_in_place=off",
    "kept_initramfs": "kept_initramfs=off",
    "cpu_park": "cpu_park=off",
}
PARTS = ("jump", "instructions")
# With a root file system to go to, as an update has, the initramfs is a ramfs; so it is here.
_ROOT = "rootfstype=ramfs"
_ICOUNT_SLOWNESS = 4  # one thread of the host for all of it, and every instruction counted
_ICOUNT_ROUNDS = 2  # the same again is the same, but for what the devices do meanwhile


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """A way to jump: a build with these ``series``, and more command line; ``off`` is not in it."""

    name: str
    series: tuple[str, ...]
    off: str | None = None
    append: str = ""

    @property
    def build(self) -> str:
        """The name of the build, which ways that differ in the command line alone share."""
        if not self.series:
            return "plain"
        return f"without-{self.off}" if self.off and not self.append else "ours"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The guest: its CPUs and MiB of memory, and how many MiB its initramfs has besides ours."""

    smp: int = 4
    memory_mib: int = 2048
    ballast_mib: int = 32


def kernels(series: Sequence[str]) -> tuple[list[Kernel], list[str]]:
    """Return the ways to compare on a board with ``series``, and a sentence for each left out.

    They come in the order in which the guest takes them. The unpatched kernel is last: the kernel
    before it has to leave its CPUs as that one expects them, which is without ``cpu_park``.
    """
    everything = tuple(series)
    ways = [Kernel("ours", everything)]
    notes = []
    for name, switch in SWITCHES.items():
        if name not in series:
            notes.append(f"{name} is not among the board's series, so nothing shows its worth")
        elif switch is None:
            rest = tuple(item for item in everything if item != name)
            ways.append(Kernel(f"ours without {name}", rest, off=name))
        else:
            ways.append(Kernel(f"ours without {name}", everything, off=name, append=switch))
    return [*ways, Kernel("ordinary", ())], notes


def share(bundles: Mapping[str, Path], directory: Path, ballast_mib: int) -> None:
    """Fill ``directory`` with what the guest loads: an Image a build, and one initramfs for all.

    The initramfs is that of a bundle, with files of 1 MiB that cannot be compressed.
    """
    for name, path in bundles.items():
        shutil.copyfile(path / bundle.IMAGE, directory / name)
    root = directory / "root"
    shutil.copytree(next(iter(bundles.values())) / "initramfs", root)
    (root / "ballast").mkdir()
    numbers = random.Random(0)
    for number in range(ballast_mib):
        (root / "ballast" / str(number)).write_bytes(numbers.randbytes(1 << 20))
    initramfs.pack(root, directory / bundle.INITRAMFS)
    shutil.rmtree(root)


class Jumper:
    """A guest that jumps from kernel to kernel, of a directory that :func:`share` filled."""

    def __init__(self, run: Run, machine: Machine, bundles: Mapping[str, Bundle]) -> None:
        self._run, self._machine, self._bundles = run, machine, bundles
        self._running: Kernel | None = None
        self._logs = 0

    def measure(self, kernel: Kernel) -> Sample:
        """Return what a jump from ``kernel`` into itself is like; first get there if need be."""
        if self._running != kernel:
            self._jump(kernel)
        return self._jump(kernel)

    def _jump(self, kernel: Kernel) -> Sample:
        run, machine = self._run, self._machine
        found = self._bundles[kernel.build]
        cmdline = " ".join([found.cmdline, _ROOT, kernel.append]).rstrip()
        item = dataclasses.replace(found, cmdline=cmdline)
        # What is loaded is told by the kernel that loads it.
        asked = boot_samples.LOADED if self._running else {}
        with machine.phase(Phase.LOAD):
            machine.tell(f"load {kernel.build} {bundle.INITRAMFS} {run.cmdline(item)}")
            machine.expect(guest.Loaded)
            loaded = self._facts(asked, self._running)
        jump = machine.jump()
        with machine.phase(Phase.SECOND_KERNEL):
            init = run.started(machine, item)
            lines = machine.kernel_log()
            self._running = kernel
            booted = self._facts(boot_samples.BOOTED, kernel)
        self._logs += 1
        log = f"kernel-{self._logs:03}-{kernel.name.replace(' ', '-')}.log"
        text = "".join(f"<{line.level}>[{line.us / 1e6:12.6f}] {line.text}\n" for line in lines)
        (run.directory / log).write_text(text, encoding="utf-8")
        found_boot = results.kernel_boot(
            init, lines, since=jump.counter, log=log, expected=run.expected
        )
        return Sample(boot=found_boot, facts=loaded | booted)

    def _facts(self, files: Mapping[str, tuple[str, str]], kernel: Kernel | None) -> dict[str, str]:
        series = kernel.series if kernel else ()
        return {
            name: self._machine.get(path).strip()
            for name, (owner, path) in files.items()
            if owner in series
        }


def jumps(
    ways: Sequence[Kernel],
    bundles: Mapping[str, Path],
    *,
    board: Board,
    settings: Settings,
    rounds: int,
    options: Options,
) -> dict[str, list[Sample]]:
    """Return ``rounds`` samples of each way by its name, all taken in one guest, in turn.

    ``bundles`` are the builds of the ways by :attr:`Kernel.build`. Raises as
    :func:`sku_build.lab.scenario.kexec`.
    """
    loaded = {name: bundle.load(path, board) for name, path in bundles.items()}
    run = Run("boot-bench", board, options)
    samples: dict[str, list[Sample]] = {kernel.name: [] for kernel in ways}
    with tempfile.TemporaryDirectory(prefix="sku-bench-") as files:
        share(bundles, Path(files), settings.ballast_mib)
        first = loaded[ways[0].build]
        with run.machine(first, share=Path(files)) as machine:
            with machine.phase(Phase.FIRST_KERNEL):
                run.started(machine, first)
            jumper = Jumper(run, machine, loaded)
            with console.progress("jumps", rounds * len(ways)) as advance:
                for done in range(rounds * len(ways)):
                    kernel = ways[done % len(ways)]
                    samples[kernel.name].append(jumper.measure(kernel))
                    advance(done + 1, kernel.name)
            with machine.phase(Phase.SHUTDOWN):
                machine.power_off()
    return samples


def _built(tree: Tree, board: Board, kernel: Kernel) -> Path:
    """Build the kernel of a way, under a release of its own, unless that is there."""
    output = layout.cache_dir("bench") / f"boot-{tree.name}" / kernel.build
    image.build(
        tree,
        board,
        series=patch_series.resolve(kernel.series),
        output=output,
        localversion="" if kernel.build == "ours" else f"-{kernel.build.replace('_', '-')}",
    )
    return output


def _inputs(
    tree: Tree, board: Board, settings: Settings, rounds: int, bundles: Mapping[str, Path]
) -> dict[str, Any]:
    built = [metadata.read(path) for path in bundles.values()]
    return {
        "tree": tree.origin,
        "board": board.name,
        "series": board.series,
        "releases": [item.release for item in built],
        "accelerator": qemu.accelerator(),
        "cpus": settings.smp,
        "host_cpus": len(os.sched_getaffinity(0)),
        "memory_mib": settings.memory_mib,
        "image_mib": [_mib(path / bundle.IMAGE) for path in bundles.values()],
        "initramfs_mib": settings.ballast_mib + _mib(bundles["ours"] / bundle.INITRAMFS),
        "rounds": rounds,
    }


def _mib(path: Path) -> float:
    return round(path.stat().st_size / (1 << 20), 2)


def _options(
    settings: Settings, output: Path | None, name: str, factor: float, *, icount: bool = False
) -> Options:
    return Options(
        memory_mib=settings.memory_mib,
        smp=1 if icount else settings.smp,
        timeout_factor=factor * (_ICOUNT_SLOWNESS if icount else 1),
        directory=output / name if output else None,
        icount=icount,
    )


def variants(
    ways: Sequence[Kernel],
    timed: Mapping[str, Sequence[Sample]],
    counted: Mapping[str, Sequence[Sample]],
) -> list[Variant]:
    """Return the ways for the report, the ordinary one first, with the parts of the median boot."""
    found = []
    for kernel in sorted(ways, key=lambda item: item.name != "ordinary"):
        times, counts = timed.get(kernel.name, ()), counted.get(kernel.name, ())
        typical = boot_samples.median_sample(times or counts)
        found.append(
            Variant(
                name=kernel.name,
                off=kernel.off,
                release=typical.boot.release,
                append=kernel.append,
                jump_ms=[sample.boot.boot_ms for sample in times],
                instructions=boot_samples.median_instructions(counts),
                steps=steps.steps(typical.boot.marks, "init", typical.boot.boot_ms),
                facts=typical.facts,
            )
        )
    return found


def crowded(cpus: int, host_cpus: int) -> list[str]:
    """Return a sentence when ``cpus`` CPUs of a guest have to share ``host_cpus`` of the host."""
    if cpus <= host_cpus:
        return []
    return [
        f"{cpus} CPUs of the guest share {host_cpus} of this machine: where QEMU executes WFE as "
        "nothing (TCG), parked CPUs take time from the one that boots; "
        f"`--smp {max(2, host_cpus)}` gives each its own"
    ]


def measure(
    *,
    tree_name: str,
    settings: Settings,
    rounds: int,
    only: Sequence[str] = (),
    timeout_factor: float = 1,
    output: Path | None = None,
) -> Report:
    """Take the parts of :data:`PARTS`, or those in ``only``, each in a guest of its own.

    ``output`` keeps the logs of every jump, and the report. Raises UserError for a guest that
    cannot be, and whatever the build and the lab raise.
    """
    if settings.smp < 2:
        raise UserError("one CPU has no others to bring up", hint="give --smp 2 or more")
    tree, board = trees.ensure(tree_name), boards.load(BOARD)
    ways, notes = kernels(board.series)
    bundles = {kernel.build: _built(tree, board, kernel) for kernel in ways}
    taken: dict[str, dict[str, list[Sample]]] = {}
    for part in PARTS:
        if only and part not in only:
            continue
        icount = part == "instructions"
        with console.step("Counting instructions" if icount else "Jumping"):
            taken[part] = jumps(
                ways,
                bundles,
                board=board,
                settings=settings,
                rounds=min(rounds, _ICOUNT_ROUNDS) if icount else rounds,
                options=_options(settings, output, part, timeout_factor, icount=icount),
            )
    timed, counted = taken.get("jump", {}), taken.get("instructions", {})
    comparisons: list[Comparison] = []
    off = {kernel.name: kernel.off for kernel in ways}
    notes += boot_samples.idle(timed, off, cpus=settings.smp)
    if timed:
        comparisons += boot_samples.timed(timed, switches=SWITCHES, cpus=settings.smp, notes=notes)
    if counted:
        comparisons += boot_samples.counted(counted, notes=notes)
    inputs = _inputs(tree, board, settings, rounds, bundles)
    if timed:
        notes += crowded(inputs["cpus"], inputs["host_cpus"])
    notes += boot_samples.warnings([*timed.values(), *counted.values()])
    report = Report(
        bench="boot",
        inputs=inputs,
        comparisons=comparisons,
        variants=variants(ways, timed, counted),
        notes=notes,
    )
    if output:
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
        (output / "report.json").write_bytes(encoded + b"\n")
    return report
