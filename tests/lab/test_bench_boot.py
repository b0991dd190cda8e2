# SPDX-License-Identifier: GPL-2.0-only
"""What is compared is what it is called: each series works, and its switch turns it off."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import metadata
from sku_build.bench import boot, boot_samples
from sku_build.bench.boot import Settings
from sku_build.board import Board
from sku_build.lab.scenario import Options

pytestmark = pytest.mark.lab

_CPUS = 2


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
    # What the kernels say of themselves is what the ways are called.
    off = {way.name: way.off for way in ways}
    assert boot_samples.idle(samples, off, cpus=_CPUS) == []
    told = {name for sample in samples["ours"] for name in sample.facts}
    facts = {**boot_samples.LOADED, **boot_samples.BOOTED}
    assert told == {n for n, (series, _) in facts.items() if series in qemu_virt.series}


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
    # At most 1 % apart in four runs; by time it is a quarter on a busy host.
    assert abs(one - other) < 0.05 * one
