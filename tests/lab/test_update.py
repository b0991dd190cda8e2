# SPDX-License-Identifier: GPL-2.0-only
"""An update under redis: nothing is lost, whatever way it goes, and nothing when it goes wrong."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build import run
from sku_build.board import Board
from sku_build.errors import ExitCode, SkuError
from sku_build.lab import Options, Way, application, bundle, drill, guest, results, update
from sku_build.lab import update_result as outcome
from sku_build.lab.application import Census
from sku_build.lab.drill import NO_RESTORE, Fault
from sku_build.lab.drill import drill as drilled
from sku_build.lab.phases import Phase
from sku_build.lab.update import Load, Service
from sku_build.tree import Tree
from tests.lab.bundles import built

pytestmark = pytest.mark.lab

_ROLLED_BACK = {ExitCode.ROLLED_BACK, ExitCode.TIMED_OUT}
_KILLED = 128 + 9
# From a phase on, which block finds no memory: pid numbers, the first of the images, one of many.
_STARVED = (("detach", 1), ("seal", 1), ("seal", 20))
_CLI = f"redis-cli -p {application.PORT}"
_DRILL_MIB = 64
_UNSCALED = 1 << 16  # the largest window without scaling


@pytest.fixture(scope="session")
def plain_bundle(linux: Tree, qemu_virt: Board) -> Path:
    """The kernel that the ordinary way is gone with: none of our series but deferred_init."""
    return built("plain", linux, qemu_virt, ["deferred_init"], localversion="-plain")


def test_an_update_loses_nothing_and_copies_next_to_nothing(
    first_bundle: Path, next_bundle: Path, plain_bundle: Path, qemu_virt: Board
) -> None:
    result = update.update(
        first_bundle,
        next_bundle,
        board=qemu_virt,
        load=Load(data_mib=256),
        ways=list(Way),
        plain_path=plain_bundle,
    )
    ours, ordinary = result.ways
    assert ours.broken == ordinary.broken == []
    assert ours.first.release != ours.second.release
    assert ours.copied_kib < 0.05 * ours.anonymous_kib
    assert ordinary.copied_kib > 0.9 * ordinary.anonymous_kib
    assert ours.traffic.requests > 0
    assert ours.report is not None
    assert ours.report.jump_copied_bytes == 0


def test_huge_pages_stay_huge_and_are_verified(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board
) -> None:
    load = Load(data_mib=128, huge=True, verify=True)
    result = update.update(first_bundle, next_bundle, board=qemu_virt, load=load)
    (ours,) = result.ways
    assert ours.broken == []
    assert ours.report is not None
    assert ours.report.initramfs == "kept"
    assert ours.report.huge << 2 > 0.8 * ours.huge_kib > 0
    assert ours.report.verified == ours.report.pages
    assert "verify" in {span.phase for span in ours.spans}


def test_a_connection_with_window_scaling_keeps_its_window(
    first_bundle: Path, next_bundle: Path, tmp_path: Path
) -> None:
    """QEMU's user mode offers no scaling: here the client is this machine's kernel."""
    alone = ["unshare", "--map-root-user", "--net"]
    if run.run([*alone, "ip", "tuntap", "add", "tap0", "mode", "tap"], check=False).status:
        pytest.skip("no network namespace with a tap device can be had here")
    script = Path(__file__).with_name("behind_tap.py")
    done = run.run([*alone, sys.executable, script, first_bundle, next_bundle, tmp_path])
    result = json.loads(done.stdout)
    before, after = result["windows"]
    assert before > _UNSCALED
    assert after > _UNSCALED
    assert result["broken"] == []


@contextlib.contextmanager
def _serving(
    first: Path, second: Path, board: Board, directory: Path, *, memory: Path | None = None
) -> Iterator[tuple[Service, Census]]:
    """Yield a guest for updates that go wrong, one by one, and what it is to be after each."""
    load = Load(data_mib=_DRILL_MIB)
    prepared = update.prepared(board, load, Options(directory=directory, memory=memory))
    bundles = (bundle.load(path, board) for path in (first, second))
    with update.service(prepared, *bundles, load) as (service, _):
        with service.machine.phase(Phase.LOAD):
            service.mount()
        yield service, service.census()
        with service.machine.phase(Phase.SHUTDOWN):
            service.machine.power_off()


@pytest.fixture(scope="module")
def served(
    first_bundle: Path,
    next_bundle: Path,
    qemu_virt: Board,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Service, Census]]:
    """A guest with the board's kernel."""
    directory = tmp_path_factory.mktemp("drills")
    with _serving(first_bundle, next_bundle, qemu_virt, directory) as serving:
        yield serving


@pytest.mark.parametrize("phase", drill.PHASES)
def test_an_update_that_is_killed_leaves_everything_as_it_was(
    served: tuple[Service, Census], phase: str
) -> None:
    service, before = served
    done = drilled(service, before, drill.with_fault(service, drill.kill_update(phase)))
    assert (done.status, done.wrong) == (_KILLED, []), done.output


@pytest.mark.parametrize("phase", drill.WITH_CRIU)
def test_an_update_whose_criu_is_killed_is_undone(
    served: tuple[Service, Census], phase: str
) -> None:
    service, before = served
    done = drilled(service, before, drill.with_fault(service, drill.kill_criu(phase)))
    assert done.status in _ROLLED_BACK, done.output
    assert done.wrong == []


def test_an_update_that_takes_too_long_is_undone(served: tuple[Service, Census]) -> None:
    service, before = served
    command = service.command("--pause-before", "seal", "--timeout", "5")
    done = drilled(service, before, command)
    assert (done.status, done.wrong) == (ExitCode.TIMED_OUT, []), done.output


def test_a_kernel_that_was_loaded_beforehand_goes_with_the_update_that_is_undone(
    served: tuple[Service, Census],
) -> None:
    service, before = served
    with service.machine.phase(Phase.LOAD):
        loaded = service.machine.run(f"skuctl load {service.next_kernel}")
        assert "the jump copies nothing" in loaded.output
        assert service.machine.get("/sys/kernel/kexec_loaded").strip() == "1"
        assert service.machine.get("/sys/kernel/kept_initramfs/next").startswith("kept: ")
    command = f"skuctl update --pid {service.pid} --phase-timeout seal=1 --pause-before seal"
    done = drilled(service, before, command)
    assert (done.status, done.wrong) == (ExitCode.TIMED_OUT, []), done.output
    again = drilled(service, before, command)
    assert (again.status, again.wrong) == (ExitCode.CHECK, []), again.output
    assert "no next kernel is loaded" in again.output


def test_an_image_that_is_none_ends_the_update_before_it_begins(
    served: tuple[Service, Census],
) -> None:
    service, before = served
    with service.machine.phase(Phase.LOAD):
        service.machine.run("head -c 1000000 /bundle/Image | tr 'A' 'B' >/run/Image")
    command = service.command().replace("/bundle/Image", "/run/Image")
    done = drilled(service, before, command)
    assert done.status in {ExitCode.USER, ExitCode.CHECK, *_ROLLED_BACK}, done.output
    assert done.wrong == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("va_bits 48", "va_bits 39", "va_bits is 48 here, and 39 there"),
        ("pin_mem 1", "pin_mem 9", "pin_mem is 1 here, and 9 there"),
        ("pid_reserve 1", "pid_reserve 9", "pid_reserve is 1 here, and 9 there"),
        (r"\[kho reads\]", "[who reads]", "it does not say what it reads"),
    ],
)
def test_a_next_kernel_that_cannot_read_what_this_one_writes_is_refused(
    served: tuple[Service, Census], old: str, new: str, why: str
) -> None:
    service, before = served
    with service.machine.phase(Phase.LOAD):
        service.machine.run(f"LC_ALL=C sed 's/{old}/{new}/' /bundle/Image >/run/Image")
        # `skuctl load` looks, too: afterwards nobody has the Image any more.
        words = service.next_kernel.replace("/bundle/Image", "/run/Image")
        loaded = service.machine.run(f"skuctl load {words}", check=False)
        assert (loaded.status, why in loaded.output) == (ExitCode.CHECK, True), loaded.output
    command = service.command().replace("/bundle/Image", "/run/Image")
    done = drilled(service, before, command)
    assert (done.status, done.wrong) == (ExitCode.CHECK, []), done.output
    assert why in done.output


def test_a_next_kernel_that_takes_nothing_over_is_refused(served: tuple[Service, Census]) -> None:
    service, before = served
    done = drilled(service, before, service.command().replace("kho=on", "kho=off"))
    assert done.status in {ExitCode.USER, ExitCode.CHECK, *_ROLLED_BACK}, done.output
    assert done.wrong == []


def test_data_can_be_had_from_a_next_kernel_that_cannot_restore(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    with _serving(first_bundle, next_bundle, qemu_virt, tmp_path) as (service, _):
        machine = service.machine
        with machine.phase(Phase.UPDATE):
            machine.begin(drill.with_fault(service, NO_RESTORE))
            machine.expect(guest.Init)
        with machine.phase(Phase.CHECK):
            assert "criu" in machine.get(update.FAILED)
            machine.run("skuctl rescue --output /var/rescued")
            found = machine.run("cat /var/rescued/* | grep -a -o 'value:[0-9]*' | sort -u | wc -l")
    assert int(found.output) >= 0.99 * application.keys_in(_DRILL_MIB)


def test_memory_that_is_not_there_and_a_record_that_is_damaged(
    handover_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    """Before the jump nothing is lost; after it, what is lost is said, and the machine runs."""
    with _serving(handover_bundle, handover_bundle, qemu_virt, tmp_path) as (service, before):
        machine = service.machine
        for phase, nth in _STARVED:
            command = drill.with_fault(service, drill.no_memory(phase, nth))
            done = drilled(service, before, command)
            assert (done.status, done.wrong) == (ExitCode.ROLLED_BACK, []), done.output
            assert "Cannot allocate memory" in done.output
        with machine.phase(Phase.UPDATE):
            machine.run(drill.damaged_record("pin_mem-0"))
            machine.begin(service.command())
            machine.expect(guest.Init)
        with machine.phase(Phase.CHECK):
            said = results.unexpected(machine.kernel_log(), service.run.expected)
            assert [line.text for line in said] == [
                "pin_mem: record pin_mem-0 refused: the head has no magic"
            ]
            failed = machine.get(update.FAILED)
            assert "lost" in failed
            assert "skuctl rescue" not in failed
            assert machine.run("pgrep -x redis-server", check=False).status == 1


def test_a_restore_that_began_too_early_is_begun_again(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    with _serving(first_bundle, next_bundle, qemu_virt, tmp_path) as (service, before):
        machine = service.machine
        with machine.phase(Phase.UPDATE):
            service.client.start()
            machine.begin(drill.with_fault(service, drill.RESTORE_TOO_EARLY))
            machine.expect(guest.Init)
        with machine.phase(Phase.CHECK):
            seen = service.client.stop(service.seconds)
            starts = machine.get(drill.STARTS_OF_CRIU).split()
        assert outcome.broken_promises(before, service.census(), seen, []) == []
    assert starts == ["restore", "restore"]


def test_memory_that_is_not_what_was_sealed_is_given_to_nobody_unasked(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    shared, memory = shutil.copytree(next_bundle, tmp_path / "next"), tmp_path / "memory"
    with _serving(first_bundle, shared, qemu_virt, tmp_path, memory=memory) as (service, before):
        machine = service.machine
        with machine.phase(Phase.UPDATE):
            machine.begin(drill.with_fault(service, drill.waits("jump"), "--verify"))
            assert drill.spoil(service, b"value:4711")
            machine.expect(guest.Init)
        with machine.phase(Phase.CHECK):
            assert "is not what was sealed" in machine.get(update.FAILED)
            assert machine.run("skuctl restore", check=False).status == ExitCode.NOT_ROLLED_BACK
            assert machine.run("pgrep -x redis-server", check=False).status == 1
            machine.run("skuctl restore --no-verify")
            assert int(machine.run("pgrep -x redis-server").output) == service.pid
            held = machine.run(f"{_CLI} dbsize; {_CLI} get key:4711; {_CLI} get key:4712")
    size, spoilt, sound = (line.strip('"\x00') for line in held.output.split())
    assert int(size) == before.keys
    assert spoilt != "value:4711"
    assert sound == "value:4712"


def test_a_fault_is_met_in_the_guests_shell(served: tuple[Service, Census]) -> None:
    """The drill itself: an update that never gets to the phase is told apart."""
    service, before = served
    fault = Fault("jump", "true")
    command = application.script("drill", fault.phase, shlex.quote(fault.action), "false")
    assert drilled(service, before, command).status == 125


def test_a_bundle_without_our_series_is_refused_as_the_first(
    plain_bundle: Path, next_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    with pytest.raises(SkuError, match="pin_mem"):
        update.update(
            plain_bundle,
            next_bundle,
            board=qemu_virt,
            load=Load(data_mib=16),
            options=Options(directory=tmp_path),
        )
