# SPDX-License-Identifier: GPL-2.0-only
"""A program that keeps its memory by the kernel's own live update is not disturbed by ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sku_build import run
from sku_build.board import Board
from sku_build.lab import Options, bundle, update
from sku_build.lab import update_result as outcome
from sku_build.lab.phases import Phase
from sku_build.lab.update import SHARE, Load
from sku_build.tree import Tree
from sku_build.version import KernelVersion
from tests.lab.bundles import built

pytestmark = pytest.mark.lab

_LOAD = Load(data_mib=32)
_HOLD = (
    f"setsid {SHARE}/luo hold >/run/luo 2>&1 </dev/null & "
    "while ! test -s /run/luo; do sleep 0.1; done; cat /run/luo"
)


@pytest.fixture
def luo_bundle(linux: Tree, qemu_virt: Board, tmp_path: Path) -> Path:
    """A bundle whose kernel has /dev/liveupdate, and our program beside it."""
    if linux.kernel < KernelVersion.parse("7.3"):
        pytest.skip(f"{linux.version} has no live update of its own")
    made = built("luo", linux, qemu_virt, extra=["CONFIG_LIVEUPDATE=y"])
    seen = tmp_path / "seen"
    seen.mkdir()
    for name in (bundle.IMAGE, bundle.INITRAMFS, "metadata.json"):
        shutil.copyfile(made / name, seen / name)
    source = Path(__file__).with_name("luo.c")
    run.run(
        ["aarch64-linux-gnu-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", seen / "luo", source]
    )
    return seen


def test_memory_that_another_program_keeps_is_there_after_the_update(
    luo_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    options = Options(directory=tmp_path / "run", append="liveupdate=on")
    prepared = update.prepared(qemu_virt, _LOAD, options)
    item = bundle.load(luo_bundle, qemu_virt)
    with update.service(prepared, item, item, _LOAD) as (served, _):
        machine = served.machine
        before = served.census()
        with machine.phase(Phase.UPDATE):
            served.mount()
            assert machine.run(_HOLD).output.strip() == "held"
            served.jump()
        with machine.phase(Phase.CHECK):
            seen = served.client.stop(served.seconds)
            update.read_report(machine)
            served.mount()
            assert machine.run(f"{SHARE}/luo back").output.strip() == "all there"
        after = served.census()
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    assert outcome.broken_promises(before, after, seen, []) == []
