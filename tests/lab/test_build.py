# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are really built: a small one several times, the lab's board once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from sku_build import arm64, builddir, image, metadata, plan, verify
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.board import Board, ConfigPart, MachinePart
from sku_build.builddir import BuildDirectory
from sku_build.plan import Plan
from sku_build.tree import Tree

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]

# allnoconfig, with what makes a build depend on its directory if anything does (debug
# information, the paths in warnings), and a module.
SYMBOLS = (
    *("CONFIG_DEBUG_KERNEL=y", "CONFIG_DEBUG_INFO_DWARF4=y", "CONFIG_PRINTK=y", "CONFIG_BUG=y"),
    *("CONFIG_DEBUG_BUGVERBOSE=y", "CONFIG_MODULES=y", "CONFIG_CRC7=m"),
)
SMALL = Board(
    name="small",
    summary="the least that builds",
    arch="arm64",
    series=[],
    cmdline="",
    config=ConfigPart("allnoconfig", []),
    machine=MachinePart(cpus=1, memory_gib=1),
    modules=True,
)


def small_plan(*, llvm: bool = False) -> Plan:
    return plan.make(trees.ensure("6.1"), SMALL, series=[], llvm=llvm, extra=SYMBOLS)


class Small:
    """The small kernel, built from nothing: the plan, the work done, and what came out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan = small_plan()
        self.work = BuildDirectory(root / "work")
        self.bundle = root / "bundle"
        self.bundle.mkdir()
        self.metadata = image.build_into(
            self.plan, self.work, slot=self.plan.slot, bundle=self.bundle
        )


@pytest.fixture(scope="module")
def small(linux_6_1: Tree, tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("small"))


def test_a_small_kernel_is_a_whole_bundle(small: Small) -> None:
    header = arm64.read_image_header(small.bundle / "Image")
    assert header.page_kib == 4
    modules = list(small.bundle.glob("modules/lib/modules/*/kernel/lib/crc7.ko"))
    assert len(modules) == 1
    assert small.metadata.release == modules[0].relative_to(small.bundle).parts[3]
    assert "+" not in small.metadata.release
    arm64.check_elf(small.bundle / "initramfs" / "init")


def test_the_first_estimate_is_right_within_a_factor_of_two(small: Small) -> None:
    counted = msgspec.json.decode((small.work.root / "counted.json").read_bytes())["steps"]
    fresh = BuildDirectory(small.root / "fresh")
    with fresh.in_use():
        guessed = fresh.expected_steps((small.bundle / "config").read_text())
    assert guessed is not None
    assert counted / 2 < guessed < counted * 2, f"{guessed} guessed, {counted} counted"


def test_no_path_of_this_machine_is_in_the_image_or_a_module(small: Small) -> None:
    paths = [str(small.root).encode(), str(trees.cache_repository().parent).encode()]
    for file in (small.bundle / "Image", *small.bundle.rglob("*.ko")):
        data = file.read_bytes()
        assert not [path for path in paths if path in data], file


def test_ccache_answers_a_build_in_another_directory(small: Small, tmp_path: Path) -> None:
    if not small.plan.toolchain.ccache:
        pytest.skip("ccache is not installed")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    again = image.build_into(
        small.plan,
        BuildDirectory(tmp_path / "other" / "place"),
        slot=small.plan.slot,
        bundle=bundle,
    )
    assert again.ccache is not None
    assert again.ccache.hits > 20 * again.ccache.misses
    assert again.artefacts == small.metadata.artefacts


def test_building_twice_in_different_directories_gives_the_same_bytes(small: Small) -> None:
    outcome = verify.build_again(small.plan, small.bundle, small.metadata, small.work)
    assert {"Image", "System.map", "config", "initramfs.cpio"} <= set(outcome.compared)
    assert any(path.endswith(".ko") for path in outcome.compared)


def test_a_killed_llvm_build_leaves_no_output_tells_what_it_was_and_can_be_resumed(
    linux_6_1: Tree, tmp_path: Path
) -> None:
    chosen = small_plan(llvm=True)
    work = builddir.find(chosen.slot, SMALL.name, "llvm")
    shutil.rmtree(work.root, ignore_errors=True)
    output = tmp_path / "out"
    script = (
        "from tests.lab import test_build as t; from sku_build import image; import pathlib, sys;"
        "image.carry_out(t.small_plan(llvm=True), pathlib.Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", script, output], cwd=ROOT) as child:
        wait_for(lambda: work.objects.is_dir() and not work.is_fresh, child)
        os.kill(child.pid, signal.SIGKILL)
    killed = metadata.read(work.root)
    assert (killed.status, killed.step) == ("building", "kernel")
    assert killed.tree.commit == chosen.applied.commit
    assert not output.exists()

    resumed = image.carry_out(chosen, output)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert resumed.toolchain["name"] == "llvm"
    assert "clang" in resumed.toolchain["cc"]
    assert b"clang version" in (output / "Image").read_bytes()


def wait_for(condition: object, child: subprocess.Popen[bytes]) -> None:
    assert callable(condition)
    end = time.monotonic() + 600
    while not condition():
        assert child.poll() is None, "the build ended by itself"
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_labs_board_is_built_with_its_series(first_bundle: Path) -> None:
    built = metadata.read(first_bundle)
    assert {item.name for item in built.series} >= {"deferred_init"}
    assert built.patches
    assert not any(item.outcome.failed for item in built.patches)
    assert built.tree.commit != built.tree.base
    assert "CONFIG_ARM64_PARALLEL_MEMMAP_INIT=y" in (first_bundle / "config").read_text()


def test_building_the_labs_board_again_is_nothing_to_do(
    linux_6_1: Tree, qemu_virt: Board, first_bundle: Path
) -> None:
    before = metadata.read(first_bundle)
    series = patch_series.resolve(qemu_virt.series)
    again = image.build(linux_6_1, qemu_virt, series=series, output=first_bundle)
    assert again.reused
    assert metadata.read(first_bundle) == before
