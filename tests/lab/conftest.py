# SPDX-License-Identifier: GPL-2.0-only
"""Bundles that the lab's tests boot: built once, kept in the cache, and rebuilt when stale."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sku_build import board as boards
from sku_build import image, initramfs, layout, run
from sku_build import series as patch_series
from sku_build.board import Board
from sku_build.lab import kunit, qemu
from sku_build.tree import Tree

_HANDOVER = (
    *("deferred_init", "handover", "pid_reserve", "pin_mem", "cpu_park"),
    *("quick_kexec", "kept_initramfs", "device_state"),
)
_FOR_TESTS = (
    "CONFIG_DEBUG_FS=y",
    "CONFIG_KEXEC_HANDOVER_DEBUGFS=y",
    "CONFIG_KEXEC_HANDOVER_TEST=y",
    *(f"CONFIG_{symbol}=y" for symbol in kunit.symbols(_HANDOVER)),
    "CONFIG_ARM64_CPU_PARK_TEST=y",
    "CONFIG_DEVICE_STATE_KUNIT_TEST=y",
    "CONFIG_DEVICE_STATE_TEST=y",
)
_HANG = 'void _start(void) { for (;;) __asm__ volatile("wfe"); }\n'


@pytest.fixture(scope="session")
def qemu_virt() -> Board:
    """The quick board of the lab."""
    return boards.load("qemu-virt")


@pytest.fixture(scope="session")
def first_bundle(linux_6_1: Tree, qemu_virt: Board) -> Path:
    """A bundle of 6.1 for ``qemu-virt`` with the board's series."""
    return _built("first", linux_6_1, qemu_virt)


@pytest.fixture(scope="session")
def next_bundle(linux_6_1: Tree, qemu_virt: Board) -> Path:
    """The same kernel as :func:`first_bundle` under another release, to kexec into."""
    return _built("next", linux_6_1, qemu_virt, localversion="-next")


@pytest.fixture(scope="session")
def qemu_virt_acpi() -> Board:
    """The board of the lab that is like a server."""
    return boards.load("qemu-virt-acpi")


@pytest.fixture(scope="session")
def acpi_bundle(linux_6_1: Tree, qemu_virt_acpi: Board) -> Path:
    """A bundle of 6.1 for ``qemu-virt-acpi`` with the board's series."""
    return _built("acpi", linux_6_1, qemu_virt_acpi)


@pytest.fixture(scope="session")
def acpi_next_bundle(linux_6_1: Tree, qemu_virt_acpi: Board) -> Path:
    """The same kernel as :func:`acpi_bundle` under another release, to kexec into."""
    return _built("acpi-next", linux_6_1, qemu_virt_acpi, localversion="-next")


@pytest.fixture(scope="session")
def handover_bundle(linux_6_1: Tree, qemu_virt: Board) -> Path:
    """A bundle of 6.1 with the series, their test drivers and their unit tests."""
    series = patch_series.resolve(_HANDOVER)
    output = layout.cache_dir("test-bundles") / "handover"
    image.build(linux_6_1, qemu_virt, series=series, output=output, extra=_FOR_TESTS)
    return output


@pytest.fixture(scope="session")
def known_bundle(linux_6_1: Tree, qemu_virt: Board) -> Path:
    """As :func:`handover_bundle`, with the series ``pci_state_cache`` and its unit tests."""
    series = patch_series.resolve((*_HANDOVER, "pci_state_cache"))
    output = layout.cache_dir("test-bundles") / "known"
    extra = (*_FOR_TESTS, "CONFIG_PCI_STATE_CACHE_KUNIT_TEST=y")
    image.build(linux_6_1, qemu_virt, series=series, output=output, extra=extra)
    return output


@pytest.fixture(scope="session")
def hanging_bundle(first_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose kernel boots, and whose first process never says a word."""
    where = tmp_path_factory.mktemp("hanging")
    source, program, bundle = where / "hang.c", where / "hang", where / "bundle"
    source.write_text(_HANG)
    run.run(["aarch64-linux-gnu-gcc", "-static", "-nostdlib", "-o", program, source])
    bundle.mkdir()
    for name in ("Image", "metadata.json"):
        shutil.copyfile(first_bundle / name, bundle / name)
    initramfs.unpack(program, bundle / "initramfs", epoch=0)
    initramfs.pack(bundle / "initramfs", bundle / "initramfs.cpio")
    return bundle


def _built(name: str, tree: Tree, board: Board, *, localversion: str = "") -> Path:
    series = patch_series.resolve(board.series)
    output = layout.cache_dir("test-bundles") / name
    image.build(tree, board, series=series, output=output, localversion=localversion)
    return output


def machines(pid: int) -> list[int]:
    """Return the ids of the QEMUs that the process ``pid`` has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    started = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in started if _program(child) == qemu.PROGRAM]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:  # it ended meanwhile
        return ""


def is_running(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
