# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own live update: an update of ours uses it, and disturbs nobody else who does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build import run
from sku_build.board import Board
from sku_build.errors import ExitCode
from sku_build.lab import Options, bundle, drill, guest, update
from sku_build.lab import application as lab_application
from sku_build.lab import update_result as outcome
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Run
from sku_build.lab.update import SHARE, Load
from sku_build.lab.update_result import Report
from sku_build.tree import Tree
from sku_build.version import KernelVersion
from tests.lab.bundles import built

pytestmark = pytest.mark.lab

_LOAD = Load(data_mib=32)
_SHARED = 38 << 20  # bytes of shared memory that shared.c has
_SEEN = "/var/shared.seen"
_WAIT = f"until test -e {_SEEN}; do kill -0 $pid || exit 1; sleep 0.1; done"
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
    for name in ("luo", "shared"):
        source = Path(__file__).with_name(f"{name}.c")
        argv = ["aarch64-linux-gnu-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", seen / name]
        run.run([*argv, source])
    return seen


class _Application:
    """A guest that runs the program ``shared``, which tells what it sees of its memory."""

    def __init__(self, machine: Machine, kernel: Run, item: bundle.Bundle) -> None:
        self.machine = machine
        self.kernel = kernel
        self.item = item
        with machine.phase(Phase.FIRST_KERNEL):
            kernel.started(machine, item)
        self.pid = 0
        self.before = ""
        # CRIU wants a loopback interface.
        self.run(f"{update.MOUNT}; cp {SHARE}/shared /var/shared; ip link set lo up")

    def start(self, mapping: str = "shared") -> None:
        """Start the application anew, and have it look at its memory."""
        end = f"kill -9 -{self.pid}; " if self.pid else ""
        done = self.run(
            f"{end}rm -f {_SEEN}; setsid /var/shared run {_SEEN} {mapping} "
            f">/dev/null 2>&1 </dev/null & pid=$!; {_WAIT}; echo $pid"
        )
        self.pid = int(done.output)
        self.before = self.seen()

    def seen(self) -> str:
        """Have the application look at its memory, and return what it says."""
        command = f"pid={self.pid}; rm -f {_SEEN}; kill -USR1 $pid && {_WAIT} && cat {_SEEN}"
        return self.run(command).output.strip()

    def run(self, command: str, *, check: bool = True) -> guest.Ran:
        """Run a command in the guest."""
        with self.machine.phase(Phase.CHECK):
            return self.machine.run(command, check=check)

    def report(self) -> Report:
        """Return what the runtime says of the last update."""
        with self.machine.phase(Phase.CHECK):
            return update.read_report(self.machine)

    def skuctl(self, verb: str, *words: str, off: bool = False) -> str:
        """Return a command; ``off``: the next kernel has no live update."""
        next_kernel = update.next_kernel(self.kernel, self.item)
        if off:
            next_kernel = next_kernel.replace("liveupdate=on", "")
        return " ".join(["skuctl", verb, f"--pid {self.pid}", *words, next_kernel])

    def command(self, *words: str) -> str:
        """Return the command that updates the kernel, for :mod:`sku_build.lab.drill`."""
        return self.skuctl("update", *words)

    def jump(self) -> None:
        """Update the kernel."""
        with self.machine.phase(Phase.UPDATE):
            self.machine.run(update.MOUNT)
            update.jump(self.kernel, self.machine, self.command(), self.item)


@pytest.fixture
def application(luo_bundle: Path, qemu_virt: Board, tmp_path: Path) -> Iterator[_Application]:
    """A guest whose kernel has live update, with the application in it."""
    options = Options(directory=tmp_path / "run", append="liveupdate=on")
    prepared = update.prepared(qemu_virt, _LOAD, options)
    item = bundle.load(luo_bundle, qemu_virt)
    with prepared.machine(item, share=item.path, disk=lab_application.root_image()) as machine:
        started = _Application(machine, prepared, item)
        started.start()
        yield started
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def test_shared_memory_stays_in_place(application: _Application) -> None:
    assert "echo 1 seals 6 f 0 at 12345 owner 1 resized 1" in application.before
    said = application.run(application.skuctl("check")).output
    assert "38.0 MiB of shared memory stay in place" in said
    said = application.run(application.skuctl("check", off=True), check=False).output
    assert "38.0 MiB of shared memory will be copied: the next kernel does not take" in said
    assert "F_SEAL_WRITE is mapped shared" in said
    late = application.command("--pause-before jump --phase-timeout jump=2")
    undone = application.run(late, check=False)
    assert undone.status == ExitCode.TIMED_OUT, undone.output
    assert application.seen() == application.before
    application.run(drill.with_fault(application, drill.kill_update("jump")), check=False)
    assert application.seen() == application.before
    application.jump()
    report = application.report()
    assert application.seen() == application.before
    assert report.shared_bytes == _SHARED
    assert (report.shared_copied_bytes, report.shared_copied) == (0, "")
    assert 0 < report.image_bytes < 0.05 * _SHARED
    # What came back can go on: another update, from the second kernel.
    application.jump()
    assert application.seen() == application.before
    assert application.report().shared_bytes == _SHARED


def test_shared_memory_is_copied_while_another_program_has_the_device(
    application: _Application,
) -> None:
    busy = application.run(
        f"setsid {SHARE}/shared busy >/run/busy 2>&1 </dev/null & "
        "pid=$!; while ! test -s /run/busy; do sleep 0.1; done; echo $pid"
    )
    why = f"process {int(busy.output)} has /dev/liveupdate open"
    # What CRIU could not make again is refused before anything is touched.
    refused = application.run(application.command(), check=False)
    assert refused.status == ExitCode.CHECK
    assert "F_SEAL_WRITE is mapped shared" in refused.output
    application.start("private")
    said = application.run(application.skuctl("check")).output
    assert f"38.0 MiB of shared memory will be copied: {why}" in said
    application.jump()
    report = application.report()
    assert application.seen() == application.before
    assert (report.shared_bytes, report.shared_copied_bytes) == (0, _SHARED)
    assert why in report.shared_copied
    assert report.pages_bytes > 0.9 * _SHARED


def test_shared_memory_is_held_until_the_application_is_back(application: _Application) -> None:
    machine = application.machine
    with machine.phase(Phase.UPDATE):
        machine.begin(drill.with_fault(application, drill.NO_RESTORE))
        machine.expect(guest.Init)
        assert "criu" in machine.get(update.FAILED)
    application.run("skuctl rescue --output /run/rescued")
    sizes = application.run("stat -c %s /run/rescued/shared-*").output.split()
    assert sum(map(int, sizes)) == _SHARED
    application.run("mv /usr/sbin/criu.away /usr/sbin/criu; skuctl restore")
    assert application.run("pgrep -x sku-memfds", check=False).output == ""
    assert application.seen() == application.before


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
