# SPDX-License-Identifier: GPL-2.0-only
"""Real kernels, booted: what they report, and how a boot that goes wrong ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sku_build import metadata
from sku_build.board import Board
from sku_build.errors import PhaseTimeout
from sku_build.lab import GuestFailed, Options, boot, phases
from sku_build.lab.phases import Phase
from tests.lab.conftest import is_running, machines

pytestmark = pytest.mark.lab


def test_a_boot_reports_the_kernel_that_was_built(
    first_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    result = boot(first_bundle, board=qemu_virt, options=Options(directory=tmp_path))
    kernel = result.kernel
    assert kernel.release == metadata.read(first_bundle).release
    assert kernel.cmdline.startswith(qemu_virt.cmdline)
    assert (kernel.cpus, kernel.secondary_cpus) == (2, 1)
    assert 0.8 * (2 << 20) < kernel.memory_kib < 2 << 20
    assert 0 < kernel.uptime_ms <= kernel.boot_ms
    assert len(kernel.deferred_ms) == 1
    assert kernel.warnings == []
    # A serial line is slow: only what must be seen at once goes there, and all of it into the log.
    console = (tmp_path / "serial.log").read_text()
    assert "reboot: Power down" in console
    assert "Linux version" not in console
    assert "Linux version" in (tmp_path / "kernel-1.log").read_text()
    assert machines(os.getpid()) == []


def test_the_size_of_the_guest_can_be_chosen(first_bundle: Path, qemu_virt: Board) -> None:
    options = Options(smp=4, memory_mib=1024, append="sku.test=1")
    kernel = boot(first_bundle, board=qemu_virt, options=options).kernel
    assert kernel.cpus == 4
    assert kernel.memory_kib < 1 << 20
    assert "sku.test=1" in kernel.cmdline


def test_a_guest_that_never_reports_is_ended_and_the_phase_is_named(
    hanging_bundle: Path, qemu_virt: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(phases._LIMITS, Phase.FIRST_KERNEL, (20, 20))
    with pytest.raises(PhaseTimeout, match="the phase first-kernel did not end") as raised:
        boot(hanging_bundle, board=qemu_virt, options=Options(append="loglevel=7"))
    assert "as init process" in raised.value.message
    assert machines(os.getpid()) == []


def test_a_panic_is_named_long_before_the_time_is_over(
    first_bundle: Path, qemu_virt: Board
) -> None:
    begin = time.monotonic()
    with pytest.raises(GuestFailed, match="Kernel panic - not syncing"):
        boot(first_bundle, board=qemu_virt, options=Options(append="rdinit=/missing"))
    assert time.monotonic() - begin < phases.limit(Phase.FIRST_KERNEL, phases.Accelerator.TCG) / 2
    assert machines(os.getpid()) == []


def test_killing_the_command_outright_leaves_no_qemu(hanging_bundle: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sku_build", "lab", "boot", hanging_bundle]
    serial_log = tmp_path / "serial.log"
    with subprocess.Popen([*argv, "--output", tmp_path]) as command:
        # Before the guest runs, QEMU ends by itself when nobody answers on its sockets.
        _wait_until(lambda: serial_log.is_file() and serial_log.stat().st_size > 0)
        (qemu,) = machines(command.pid)
        os.kill(command.pid, signal.SIGKILL)
    _wait_until(lambda: not is_running(qemu))


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
