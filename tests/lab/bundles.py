# SPDX-License-Identifier: GPL-2.0-only
"""Bundles in the cache that the lab's tests boot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sku_build import composition, image, layout
from sku_build.board import Board
from sku_build.lab import debug, kunit
from sku_build.series import select
from sku_build.tree import Tree

# Whether the kernels watch themselves: KASAN, lockdep and the others of the fragment `debug`.
DEBUG = bool(os.environ.get("SKU_TEST_DEBUG"))
# What a series has for tests alone, besides its unit tests.
_TEST_DRIVERS = {
    "handover": ("CONFIG_KEXEC_HANDOVER_DEBUGFS=y", "CONFIG_KEXEC_HANDOVER_TEST=y"),
    "cpu_park": ("CONFIG_ARM64_CPU_PARK_TEST=y",),
    "kept_initramfs": ("CONFIG_INITRAMFS_KEPT_TEST=y",),
    "device_state": ("CONFIG_DEVICE_STATE_TEST=y",),
}


def built(
    name: str,
    tree: Tree,
    board: Board,
    series: Sequence[str] | None = None,
    *,
    for_tests: bool = False,
    extra: Sequence[str] = (),
    localversion: str = "",
) -> Path:
    """Return the bundle ``name`` of the cache, with those of the ``series`` that are for ``tree``.

    Without ``series`` they are the board's. ``for_tests`` adds their test drivers and unit tests,
    ``extra`` more symbols.
    """
    composed = composition.compose(board.series if series is None else series, tree.kernel).series
    # What a kernel has by itself has no tests of ours.
    names = [item.name for item in composed if select(item, tree.kernel).patches]
    line = f"{tree.name}-debug" if DEBUG else tree.name
    output = layout.cache_dir("test-bundles") / line / name
    image.build(
        tree,
        board,
        series=composed,
        output=output,
        localversion=localversion,
        fragments=[debug.FRAGMENT] if DEBUG else [],
        extra=(*(_for_tests(names) if for_tests else ()), *extra),
    )
    return output


def _for_tests(names: Sequence[str]) -> list[str]:
    drivers = [symbol for name in names for symbol in _TEST_DRIVERS.get(name, ())]
    units = [f"CONFIG_{symbol}=y" for symbol in kunit.symbols(names)]
    return ["CONFIG_DEBUG_FS=y", *drivers, *units]
