# SPDX-License-Identifier: GPL-2.0-only
"""The series ``pci_state_cache``: what was there is not asked again, and nothing is missed.

A program of ours is ``/bin/sh`` of the initramfs: it switches slots off behind the kernel's back,
and spoils what is handed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from sku_build import run
from sku_build.bench import devices
from sku_build.board import Board
from sku_build.lab import bundle, kunit
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run
from sku_build.tree import Tree
from tests.lab.bundles import built
from tests.lab.newc import Entry, pack

pytestmark = [pytest.mark.lab, pytest.mark.series("pci_state_cache")]

_SOON, _OFF = "pci_state_cache=1", "pci_state_cache=off"
# A kernel that does not look for cards that come and go, so that one can come unseen.
_BLIND = "pcie_ports=compat"
_FOR_TESTS = ("CONFIG_DEVMEM=y", "# CONFIG_STRICT_DEVMEM is not set")
_DEVICES = "/sys/bus/pci/devices"
# All that is known of a function: its whole configuration space, where it is, what drives it.
_FILES = ("config", "resource", "irq", "uevent", "numa_node")
_PORT, _CARD, _EMPTY_CARD = "0000:00:10.0", "0000:01:00.0", "0000:08:00.0"
# Slot control of QEMU's root port, and what a driver would write: indicators and power off, and on.
_SLOT_CONTROL, _POWER_OFF, _POWER_ON = "6c", "7c0", "140"
_SAME_S = 20.0

Started = tuple[Run, Machine, Bundle]
Start = Callable[..., contextlib.AbstractContextManager[Started]]


@pytest.fixture(scope="module")
def share(linux: Tree, qemu_virt_acpi: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with ``/dev/mem``, and with our program in its initramfs."""
    # All functions have their drivers before the first look.
    board = msgspec.structs.replace(qemu_virt_acpi, partial_init=None)
    made_from = built("acpi-pci", linux, board, extra=_FOR_TESTS)
    made = tmp_path_factory.mktemp("pci")
    source = Path(__file__).with_name("poke.c")
    run.run(["aarch64-linux-gnu-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", made / "sh", source])
    shell = Entry("bin/sh", stat.S_IFREG | 0o755, (made / "sh").read_bytes())
    more = pack((Entry("bin", stat.S_IFDIR | 0o755), shell))
    for name in (bundle.IMAGE, "metadata.json"):
        shutil.copyfile(made_from / name, made / name)
    archive = (made_from / bundle.INITRAMFS).read_bytes()
    (made / bundle.INITRAMFS).write_bytes(archive + more)
    return made


@pytest.fixture
def start(share: Path, qemu_virt_acpi: Board, tmp_path: Path) -> Start:
    """Return what starts a guest whose kernels have words on their command lines."""

    @contextlib.contextmanager
    def started(words: str) -> Iterator[Started]:
        scenario = Run("kexec", qemu_virt_acpi, Options(directory=tmp_path, append=words))
        item = bundle.load(share, qemu_virt_acpi)
        with scenario.machine(item, share=item.path) as machine:
            with machine.phase(Phase.FIRST_KERNEL):
                scenario.started(machine, item)
            yield scenario, machine, item
            with machine.phase(Phase.SHUTDOWN):
                machine.power_off()

    return started


def _told(machine: Machine, *names: str) -> tuple[int, ...]:
    with machine.phase(Phase.CHECK):
        return tuple(int(machine.get(f"/sys/kernel/pci_state_cache/{name}")) for name in names)


def _again(machine: Machine) -> tuple[int, ...]:
    """Return how many functions are known again, and how many are not."""
    return _told(machine, "as_before", "other")


def _run(machine: Machine, command: str) -> str:
    with machine.phase(Phase.CHECK):
        return machine.run(command).output


def _names(machine: Machine) -> list[str]:
    return sorted(_run(machine, f"list {_DEVICES}").split())


def _look(machine: Machine) -> dict[tuple[str, str], str]:
    """Return what is in the files of each function."""
    names = _names(machine)
    with machine.phase(Phase.CHECK):
        return {
            (name, file): machine.get(f"{_DEVICES}/{name}/{file}")
            for name in names
            for file in _FILES
        }


def _expect_same(machine: Machine, before: dict[tuple[str, str], str]) -> None:
    """See that all functions are as they were; drivers may still be at work on them."""
    deadline = time.monotonic() + _SAME_S
    while (now := _look(machine)) != before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert now == before


def _slot(machine: Machine, value: str) -> None:
    _run(machine, f"config {_DEVICES}/{_PORT}/config {_SLOT_CONTROL} {value}")


def _take_out(machine: Machine) -> None:
    """Take the card out. Its driver would wait for ever for it, so it goes first."""
    with machine.phase(Phase.CHECK):
        machine.put(f"{_DEVICES}/{_CARD}/driver/unbind", _CARD)
    _slot(machine, _POWER_OFF)


def _plug(machine: Machine, driver: str, bus: str, **options: object) -> None:
    with machine.phase(Phase.CHECK):
        machine.monitor("device_add", driver=driver, bus=bus, **options)


def _warnings(scenario: Run, machine: Machine) -> list[str]:
    with machine.phase(Phase.CHECK):
        lines = scenario.log(machine, 2)
    expected = scenario.expected
    return [
        line.text
        for line in lines
        if line.level <= 4 and not any(pattern.search(line.text) for pattern in expected)
    ]


def test_what_was_there_is_known_again_and_is_as_an_ordinary_boot_has_it(start: Start) -> None:
    """Twice: the second time by what was itself known from before, and then read again."""
    with start(_SOON) as (scenario, machine, item):
        assert _told(machine, "as_before", "other", "empty") == (0, 0, 0)
        known = devices.wait_until_saved(machine)
        assert known == len(_names(machine)) > 12
        devices.jump(scenario, machine, item, _OFF)
        ordinary = _look(machine)
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (0, 0)
        assert devices.wait_until_saved(machine) == known
        for _ in range(2):
            devices.jump(scenario, machine, item, "")
            assert _again(machine) == (known, 0)
            assert _told(machine, "empty") > (20,)
            assert devices.wait_until_saved(machine) == known
            assert _told(machine, "found") == (0,)
            _expect_same(machine, ordinary)
            assert _warnings(scenario, machine) == []


def test_what_is_plugged_in_is_found_by_the_kernel_that_knew_all_others(start: Start) -> None:
    with start(_SOON) as (scenario, machine, item):
        known = devices.wait_until_saved(machine)
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known, 0)
        devices.wait_until_saved(machine)
        _plug(machine, "e1000e", "port4", romfile="")
        while _EMPTY_CARD not in _names(machine):
            time.sleep(0.5)
        # What was made before it came does not count any more.
        while devices.wait_until_saved(machine) == known:
            time.sleep(0.2)
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known + 1, 0)


def test_a_card_that_came_in_between_is_found_and_only_that_is_new(start: Start) -> None:
    with start(f"{_SOON} {_BLIND}") as (scenario, machine, item):
        known = devices.wait_until_saved(machine)
        _plug(machine, "e1000e", "port4", romfile="")
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known, 1)
        assert _EMPTY_CARD in _names(machine)
        assert devices.wait_until_saved(machine) == known + 1
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known + 1, 0)


def test_a_card_that_is_gone_or_another_one_is_never_taken_for_the_old_one(start: Start) -> None:
    """Another kind, and then one with the same IDs that has another capability."""
    with start(f"{_SOON} {_BLIND}") as (scenario, machine, item):
        known = devices.wait_until_saved(machine)
        _take_out(machine)
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known - 1, 0)
        assert _CARD not in _names(machine)
        assert devices.wait_until_saved(machine) == known - 1

        _slot(machine, _POWER_ON)
        _plug(machine, "e1000e", "port1", romfile="")
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known - 1, 1)

        for options in ({}, {"ats": True}):
            assert devices.wait_until_saved(machine) == known
            _take_out(machine)
            _plug(machine, "virtio-rng-pci", "port1", **options)
            _slot(machine, _POWER_ON)
            devices.jump(scenario, machine, item, "")
            assert _again(machine) == (known - 1, 1)
            found = _look(machine)
            assert "PCI_ID=1AF4:1044" in found[_CARD, "uevent"]
            assert "DRIVER=virtio-pci" in found[_CARD, "uevent"]
            assert _warnings(scenario, machine) == []

        # It is as a kernel has it that asks.
        devices.wait_until_saved(machine)
        devices.jump(scenario, machine, item, _OFF)
        _expect_same(machine, found)


@dataclasses.dataclass(frozen=True, slots=True)
class Spoilt:
    """What is changed in the state, how many functions are then known again, what is said."""

    what: str
    all_known: bool
    said: tuple[str, ...] = ()


_SPOILT = (
    Spoilt("data", False, ("device_state: pci-enumeration of 0000:00 not used: wrong checksum",)),
    Spoilt("nr", False, ("pci_state_cache: 0000:00: ignored: wrong length",)),
    Spoilt("parent", False, ("pci_state_cache: 0000:00: ignored: bad parent",)),
    # Sizes that no BAR has are not believed, whoever vouches for them; the rest is.
    Spoilt("bars", True),
)


def test_what_is_spoilt_is_refused_and_changes_nothing(start: Start) -> None:
    with start(_SOON) as (scenario, machine, item):
        known = devices.wait_until_saved(machine)
        devices.jump(scenario, machine, item, _OFF)
        ordinary = _look(machine)
        devices.jump(scenario, machine, item, "")
        for case in _SPOILT:
            devices.wait_until_saved(machine)
            _run(machine, f"spoil {case.what}")
            devices.jump(scenario, machine, item, "")
            assert _again(machine) == (known if case.all_known else 0, 0), case.what
            assert tuple(_warnings(scenario, machine)) == case.said
            _expect_same(machine, ordinary)

        # Capabilities where there are none: only functions that have none at all are known again.
        devices.wait_until_saved(machine)
        _run(machine, "spoil caps")
        devices.jump(scenario, machine, item, "")
        as_before, other = _again(machine)
        assert (as_before < 4, as_before + other) == (True, known)
        assert _warnings(scenario, machine) == []
        _expect_same(machine, ordinary)


def test_who_is_switched_off_asks_and_leaves_nothing(start: Start) -> None:
    with start(_SOON) as (scenario, machine, item):
        known = devices.wait_until_saved(machine)
        ours = devices.jump(scenario, machine, item, "").accesses
        assert _told(machine, "as_before") == (known,)
        devices.wait_until_saved(machine)
        ordinary = devices.jump(scenario, machine, item, _OFF).accesses
        # Less is asked; how much less is for `sku bench devices` to say.
        assert 0 < ours.reads < ordinary.reads
        assert 0 < ours.writes < ordinary.writes
        devices.jump(scenario, machine, item, "")
        assert _told(machine, "as_before", "other", "empty") == (0, 0, 0)


def test_before_it_is_made_and_while_it_is_made_anew_nothing_is_left(start: Start) -> None:
    with start("pci_state_cache=600") as (scenario, machine, item):
        assert _told(machine, "saved") == (0,)
        devices.jump(scenario, machine, item, _SOON)
        assert _again(machine) == (0, 0)
        devices.wait_until_saved(machine)
        # A bridge is removed, which breaks what was made.
        with machine.phase(Phase.CHECK):
            machine.put(f"{_DEVICES}/0000:00:13.0/remove", "1")
        assert _told(machine, "saved") == (0,)


def test_the_unit_tests_pass_and_a_device_tree_is_no_different(
    known_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    scenario = Run("kexec", qemu_virt, Options(directory=tmp_path, append=f"kho=on {_SOON}"))
    item = bundle.load(known_bundle, qemu_virt)
    with scenario.machine(item, share=item.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            scenario.started(machine, item)
            lines = scenario.log(machine, 1)
        suites = kunit.suites("\n".join(line.text for line in lines))
        (suite,) = [suite for suite in suites if suite.name == "pci_state_cache"]
        assert (suite.cases, suite.failed, suite.skipped) == (7, [], [])
        known = devices.wait_until_saved(machine)
        assert known > 2
        devices.jump(scenario, machine, item, "")
        assert _again(machine) == (known, 0)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
