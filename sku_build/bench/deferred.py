# SPDX-License-Identifier: GPL-2.0-only
"""Initialising the memory map: with the series ``deferred_init`` against without it."""

from __future__ import annotations

from pathlib import Path

from sku_build import board as boards
from sku_build import console, image, lab, layout
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison, Report
from sku_build.lab.results import KernelBoot

SERIES = "deferred_init"
BOARD = "qemu-virt"


def measure(*, tree_name: str, memory_mib: int, smp: int, rounds: int) -> Report:
    """Boot a guest alternately with the plain kernel and with the series, ``rounds`` times each.

    Times are the kernel's own ("deferred pages initialised in N ms", all nodes added up) and the
    guest's counter at its first process.
    """
    tree, board = trees.ensure(tree_name), boards.load(BOARD)
    root = layout.cache_dir("bench") / f"deferred-{tree.name}"
    plain, patched = root / "plain", root / "patched"
    ours = image.build(tree, board, series=patch_series.resolve([SERIES]), output=patched)
    ordinary = image.build(tree, board, series=[], output=plain, localversion="-plain")
    options = lab.Options(memory_mib=memory_mib, smp=smp)

    samples: dict[Path, list[KernelBoot]] = {plain: [], patched: []}
    with console.progress("boots", rounds * 2) as advance:
        for done in range(rounds * 2):
            bundle = (plain, patched)[done % 2]
            result = lab.boot(bundle, board=board, options=options)
            samples[bundle].append(result.kernel)
            advance(done + 1, bundle.name)
    return Report(
        bench="deferred",
        inputs={
            "tree": tree.origin,
            "releases": [ordinary.release, ours.release],
            "memory_mib": memory_mib,
            "cpus": smp,
            "accelerator": result.machine.accelerator,
        },
        comparisons=[
            Comparison(
                name="deferred page initialisation",
                ours_is=f"all {smp} CPUs",
                ordinary_is="one thread a node",
                unit="ms",
                ours=[float(sum(kernel.deferred_ms)) for kernel in samples[patched]],
                ordinary=[float(sum(kernel.deferred_ms)) for kernel in samples[plain]],
            ),
            Comparison(
                name="power-on to first process",
                ours_is=f"all {smp} CPUs",
                ordinary_is="one thread a node",
                unit="ms",
                ours=[kernel.boot_ms for kernel in samples[patched]],
                ordinary=[kernel.boot_ms for kernel in samples[plain]],
            ),
        ],
    )
