# SPDX-License-Identifier: GPL-2.0-only
"""What is compared is what it is called: each series works, and its switch turns it off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sku_build import metadata
from sku_build.bench import boot
from sku_build.bench.boot import Settings
from sku_build.bench.boot_samples import Sample
from sku_build.board import Board
from sku_build.lab.scenario import Options

pytestmark = pytest.mark.lab

_CPUS = 2
# How a kernel says that a series did its work.
_WORKS: dict[str, Callable[[Sample], bool]] = {
    "quick_kexec": lambda sample: sample.copied == 0,
    "kept_initramfs": lambda sample: sample.facts["initramfs"] == "kept",
    "cpu_park": lambda sample: sample.facts["parked"] == str(_CPUS - 1),
}


def test_each_series_works_unless_it_is_switched_off(
    first_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    ways = [way for way in boot.kernels(qemu_virt.series)[0] if way.build == "ours"]
    samples = boot.jumps(
        ways,
        {"ours": first_bundle},
        board=qemu_virt,
        settings=Settings(ballast_mib=4),
        rounds=1,
        options=Options(directory=tmp_path, smp=_CPUS, memory_mib=1024),
    )
    release = metadata.read(first_bundle).release
    for way in ways:
        (sample,) = samples[way.name]
        assert (sample.boot.release, sample.boot.cpus) == (release, _CPUS)
        assert sample.boot.warnings == []
        for series, works in _WORKS.items():
            if series in way.series:
                assert works(sample) is (series != way.off), (way.name, series, sample.facts)


def test_a_clock_that_counts_instructions_shows_the_same_jump_twice(
    first_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    (ours, *_), _ = boot.kernels(qemu_virt.series)
    samples = boot.jumps(
        [ours],
        {"ours": first_bundle},
        board=qemu_virt,
        settings=Settings(ballast_mib=4),
        rounds=2,
        options=Options(directory=tmp_path, smp=1, memory_mib=1024, icount=True),
    )
    one, other = (sample.instructions for sample in samples["ours"])
    # 0.2 % apart in one run; by time it is a third on a busy host.
    assert abs(one - other) < 0.05 * one
