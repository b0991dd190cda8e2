# SPDX-License-Identifier: GPL-2.0-only
"""Bundles that the lab's tests boot: built once, kept in the cache, and rebuilt when stale."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sku_build import board as boards
from sku_build import composition, initramfs, run
from sku_build import tree as trees
from sku_build.board import Board
from sku_build.lab import debug, qemu, update_result
from sku_build.lab.machine import Machine
from sku_build.lab.scenario import Options, Run
from sku_build.series import select
from sku_build.tree import Tree
from tests.lab.bundles import DEBUG, built

_LINE = os.environ.get("SKU_TEST_LINE", "6.1")
_HANDOVER = (
    *("deferred_init", "handover", "pid_reserve", "pin_mem", "cpu_park"),
    *("quick_kexec", "kept_initramfs", "device_state", "partial_init"),
)
_HANG = 'void _start(void) { for (;;) __asm__ volatile("wfe"); }\n'


@pytest.fixture(scope="session")
def linux() -> Tree:
    """The kernel that is booted: 6.1, or the line in SKU_TEST_LINE."""
    return trees.ensure(_LINE)


@pytest.fixture(autouse=True)
def _series_is_for_this_kernel(request: pytest.FixtureRequest) -> None:
    """Skip the tests of a series that the kernel they are to run on does not get."""
    for marker in request.node.iter_markers("series"):
        tree: Tree = request.getfixturevalue("linux")
        left_out = composition.compose(marker.args, tree.kernel).left_out
        for item in left_out:
            pytest.skip(f"{item.series} on {tree.version}: {item.reason}")
    for marker in request.node.iter_markers("patched"):
        tree = request.getfixturevalue("linux")
        for series in composition.compose(marker.args, tree.kernel).series:
            if not select(series, tree.kernel).patches:
                pytest.skip(f"{series.name} on {tree.version}: the kernel's own has no test driver")


@pytest.fixture(autouse=True)
def _kernels_watch_themselves(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With SKU_TEST_DEBUG: give all guests what such a kernel needs, and read their consoles."""
    if not DEBUG:
        yield
        return
    machines: list[Machine] = []
    made, planned = Machine.__init__, Run.__init__

    def noted(self: Machine, *words: Any, **options: Any) -> None:
        made(self, *words, **options)
        machines.append(self)

    def slowed(self: Run, kind: str, board: Board, options: Options) -> None:
        planned(self, kind, board, debug.watching(options, board))

    monkeypatch.setattr(Machine, "__init__", noted)
    monkeypatch.setattr(Run, "__init__", slowed)
    yield
    consoles = [machine.serial_log.read_text(errors="replace") for machine in machines]
    assert not {line for console in consoles for line in update_result.alarms(console)}


@pytest.fixture(scope="session")
def qemu_virt() -> Board:
    """The quick board of the lab."""
    return boards.load("qemu-virt")


@pytest.fixture(scope="session")
def first_bundle(linux: Tree, qemu_virt: Board) -> Path:
    """A bundle for ``qemu-virt`` with the board's series."""
    return built("first", linux, qemu_virt)


@pytest.fixture(scope="session")
def next_bundle(linux: Tree, qemu_virt: Board) -> Path:
    """The same kernel as :func:`first_bundle` under another release, to kexec into."""
    return built("next", linux, qemu_virt, localversion="-next")


@pytest.fixture(scope="session")
def qemu_virt_acpi() -> Board:
    """The board of the lab that is like a server."""
    return boards.load("qemu-virt-acpi")


@pytest.fixture(scope="session")
def acpi_bundle(linux: Tree, qemu_virt_acpi: Board) -> Path:
    """A bundle for ``qemu-virt-acpi`` with the board's series."""
    return built("acpi", linux, qemu_virt_acpi)


@pytest.fixture(scope="session")
def acpi_next_bundle(linux: Tree, qemu_virt_acpi: Board) -> Path:
    """The same kernel as :func:`acpi_bundle` under another release, to kexec into."""
    return built("acpi-next", linux, qemu_virt_acpi, localversion="-next")


@pytest.fixture(scope="session")
def handover_bundle(linux: Tree, qemu_virt: Board) -> Path:
    """A bundle with the series, their test drivers and their unit tests."""
    return built("handover", linux, qemu_virt, _HANDOVER, for_tests=True)


@pytest.fixture(scope="session")
def known_bundle(linux: Tree, qemu_virt: Board) -> Path:
    """As :func:`handover_bundle`, with the series ``pci_state_cache`` and its unit tests."""
    return built("known", linux, qemu_virt, (*_HANDOVER, "pci_state_cache"), for_tests=True)


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
