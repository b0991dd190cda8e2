# SPDX-License-Identifier: GPL-2.0-only
"""From one kernel into the next, on one clock."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sku_build import metadata
from sku_build.board import Board
from sku_build.errors import PhaseTimeout
from sku_build.lab import GuestFailed, kexec, phases
from sku_build.lab.phases import Phase
from tests.lab.conftest import machines

pytestmark = pytest.mark.lab


def test_kexec_ends_in_the_second_kernel_and_the_counter_goes_on(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board
) -> None:
    result = kexec(first_bundle, next_bundle, board=qemu_virt)
    first, second = result.first, result.second
    assert first.release == metadata.read(first_bundle).release
    assert second.release == metadata.read(next_bundle).release
    assert first.release != second.release
    assert second.counter > first.counter
    assert second.counter_hz == first.counter_hz
    assert second.cpus == first.cpus == 2
    assert result.load_ms > 0
    # The second kernel's own time is a part of what the counter measured from the jump on.
    assert second.uptime_ms <= result.kexec_ms
    assert first.warnings == second.warnings == []
    assert machines(os.getpid()) == []


def test_a_profile_accounts_for_the_whole_time_from_the_jump_on(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board
) -> None:
    result = kexec(first_bundle, next_bundle, board=qemu_virt, costs=10)
    found = result.profile
    assert found is not None and len(found.costs) == 10
    assert found.total_ms == result.kexec_ms
    together = sum(cost.ms for cost in found.costs) + found.others_ms
    assert together == pytest.approx(result.kexec_ms, abs=0.1)
    assert "initcall_debug" in result.second.cmdline
    assert "initcall_debug" not in result.first.cmdline
    # What is logged for it does not cost the time of a console.
    console = (Path(result.directory) / "serial.log").read_text(errors="replace")
    assert " initcall " not in console


def test_a_second_kernel_that_cannot_be_loaded_is_reported_by_the_guest(
    first_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    """An Image that does not say its size has the right magic, and the guest refuses it."""
    broken = tmp_path / "broken"
    shutil.copytree(first_bundle, broken)
    data = bytearray((broken / "Image").read_bytes())
    data[16:24] = bytes(8)
    (broken / "Image").write_bytes(data)
    with pytest.raises(GuestFailed, match="in the phase load, .*kexec_file_load") as raised:
        kexec(first_bundle, broken, board=qemu_virt)
    assert "uncompressed arm64 Image" in (raised.value.hint or "")
    assert machines(os.getpid()) == []


def test_a_second_kernel_that_never_reports_is_named_as_such(
    first_bundle: Path, hanging_bundle: Path, qemu_virt: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(phases._LIMITS, Phase.SECOND_KERNEL, (20, 20))
    with pytest.raises(PhaseTimeout, match="the phase second-kernel did not end"):
        kexec(first_bundle, hanging_bundle, board=qemu_virt)
    assert machines(os.getpid()) == []
