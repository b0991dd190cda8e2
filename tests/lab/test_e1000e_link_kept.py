# SPDX-License-Identifier: GPL-2.0-only
"""The series ``e1000e_link_kept``: links stay up over jumps, and only those that are as they were.

The real driver, and QEMU's e1000e, which tells of each access to a PHY.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sku_build.bench import links
from sku_build.board import Board
from sku_build.lab import bundle, guest, kunit, link_trace
from sku_build.lab.bundle import Bundle
from sku_build.lab.link_trace import Link
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.qemu_trace import traced
from sku_build.lab.scenario import Options, Run
from sku_build.tree import Tree
from tests.lab.bundles import built

pytestmark = [pytest.mark.lab, pytest.mark.series("e1000e_link_kept")]

_FUNCTIONS = ("0000:01:00.0", "0000:02:00.0", "0000:05:00.0", "0000:06:00.0")
_WAITING = "/sys/kernel/partial_init"
_ALL_WAIT = "partial_init=e1000e sku.settle=no"
_LINK_S = 60.0
_NOT = "link not taken over: "


@dataclasses.dataclass(slots=True)
class Guest:
    """A guest, and the number of its present kernel."""

    run: Run
    machine: Machine
    item: Bundle
    number: int = 1

    def started(self) -> None:
        """Wait for a kernel."""
        self.run.started(self.machine, self.item)

    def load(self, words: str = "") -> None:
        """Load the kernel again, with more ``words`` on its command line."""
        cmdline = f"{self.run.cmdline(self.item)} {words}".rstrip()
        self.machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {cmdline}")
        self.machine.expect(guest.Loaded)

    def jump(self) -> Link:
        """Jump, bring all interfaces up, wait for their links; return what was done to them."""
        with self.machine.phase(Phase.LOAD):
            self.load()
        with (
            self.machine.phase(Phase.SECOND_KERNEL),
            traced(self.machine, link_trace.EVENTS) as lines,
        ):
            self.machine.tell("jump")
            self.machine.expect(guest.Jump)
            self.number += 1
            self.started()
            self.up()
        return link_trace.count(lines)

    def up(self) -> None:
        """Bring all interfaces up as soon as they are there, and wait for their links."""
        deadline = time.monotonic() + _LINK_S
        while len(names := self.names()) < len(_FUNCTIONS):
            assert time.monotonic() < deadline, names
            time.sleep(0.1)
        for name in names:
            self.machine.put(f"/sys/class/net/{name}/flags", "0x1003")
        for name in names:
            while self.machine.get(f"/sys/class/net/{name}/carrier").strip() != "1":
                assert time.monotonic() < deadline, "no link"
                time.sleep(0.1)

    def names(self) -> list[str]:
        """Return the names of the interfaces."""
        rows = self.machine.get("/proc/net/dev").splitlines()
        return sorted(
            row.partition(":")[0].strip() for row in rows if row.strip().startswith("eth")
        )

    def said(self) -> dict[str, str]:
        """Return what the kernel's log says of the link of each function, and of states."""
        with self.machine.phase(Phase.CHECK):
            lines = self.run.log(self.machine, self.number)
        found = {}
        for line in lines:
            if match := re.match(r"^e1000e (\S+): (?:\S+: )?(link (?:not )?taken .*)$", line.text):
                found[match[1]] = match[2]
            elif line.text.startswith("device_state: "):
                found["device_state"] = line.text.partition(": ")[2]
        return found

    def warnings(self) -> list[str]:
        """Return the lines of the kernel's log that must not be."""
        with self.machine.phase(Phase.CHECK):
            lines = self.run.log(self.machine, self.number)
        return [
            line.text
            for line in lines
            if line.level <= 4
            and not any(pattern.search(line.text) for pattern in self.run.expected)
        ]


@pytest.fixture(scope="module")
def kept_bundle(linux: Tree, qemu_virt_acpi: Board) -> Path:
    """A bundle with the board's series and their unit tests, in which nothing waits."""
    board = msgspec.structs.replace(qemu_virt_acpi, partial_init=None)
    return built("link-kept", linux, board, for_tests=True)


@pytest.fixture
def booted(kept_bundle: Path, qemu_virt_acpi: Board, tmp_path: Path) -> Iterator[Guest]:
    """A guest with four NICs whose first kernel has come up; their links are, too."""
    board = msgspec.structs.replace(qemu_virt_acpi, partial_init=None)
    run = Run("kexec", board, Options(directory=tmp_path))
    item = bundle.load(kept_bundle, board)
    with run.machine(item, share=item.path) as machine:
        found = Guest(run, machine, item)
        with machine.phase(Phase.FIRST_KERNEL):
            found.started()
            found.up()
        yield found
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def test_four_links_stay_up_over_jumps_and_no_phy_is_touched(booted: Guest) -> None:
    """Twice kept, once not, and kept again."""
    with booted.machine.phase(Phase.CHECK):
        lines = booted.run.log(booted.machine, 1)
    suites = kunit.suites("\n".join(line.text for line in lines))
    (suite,) = [suite for suite in suites if suite.name == "e1000e_link_kept"]
    assert (suite.cases, suite.failed, suite.skipped) == (7, [], [])
    assert booted.said() == {}

    all_taken = dict.fromkeys(_FUNCTIONS, links.TAKEN_OVER)
    for _ in range(2):
        kept = booted.jump()
        assert (booted.said(), booted.warnings()) == (all_taken, [])
        assert kept == Link(mac_resets=kept.mac_resets)
        assert kept.mac_resets >= 4 * len(_FUNCTIONS)

    with booted.machine.phase(Phase.CHECK):
        booted.machine.put("/sys/module/e1000e/parameters/keep_link", "N")
    anew = booted.jump()
    assert (booted.said(), booted.warnings()) == ({}, [])
    assert anew.switched_off >= len(_FUNCTIONS)
    assert anew.phy_resets >= len(_FUNCTIONS)
    assert anew.negotiations >= len(_FUNCTIONS)
    assert anew.lost >= len(_FUNCTIONS)

    assert booted.jump() == kept
    assert booted.said() == all_taken


def _swap(machine: Machine, slot: int, address: str, **options: object) -> None:
    """Put another NIC into a root port's slot, to the same network."""
    machine.put(f"/sys/bus/pci/slots/{slot}/power", "0")
    machine.monitor(
        "device_add",
        driver="e1000e",
        bus=f"port{slot}",
        netdev=f"net{slot - 1}",
        romfile="",
        mac=address,
        **options,
    )


def _settled(machine: Machine) -> None:
    machine.put(f"{_WAITING}/settle", "1")
    while machine.get(f"{_WAITING}/settle").strip() != "settled":
        time.sleep(0.2)


def test_a_nic_that_is_another_one_and_a_link_that_was_lost_are_set_up_anew(
    booted: Guest,
) -> None:
    """All four were left. They wait in the next kernel, and three of them change meanwhile."""
    machine = booted.machine
    with machine.phase(Phase.LOAD):
        booted.load(_ALL_WAIT)
    machine.jump()
    booted.number += 1
    with machine.phase(Phase.SECOND_KERNEL):
        booted.started()
        assert booted.names() == []
        _swap(machine, 1, "52:54:00:12:34:66")
        _swap(machine, 2, "52:54:00:12:34:57", subsys=0x4711)
        machine.monitor("set_link", name="net2", up=False)
        while len(machine.get(f"{_WAITING}/waiting").splitlines()) < len(_FUNCTIONS):
            time.sleep(0.2)
        with traced(machine, link_trace.EVENTS) as lines:
            _settled(machine)
        machine.monitor("set_link", name="net2", up=True)
        booted.up()
    assert link_trace.count(lines).phy_resets >= 3
    said = booted.said()
    assert "e1000e-link of 0000:00/11.0/00.0 not used: it is of" in said.pop("device_state")
    assert said == {
        _FUNCTIONS[0]: _NOT + "the address",
        _FUNCTIONS[2]: _NOT + "the link was lost",
        _FUNCTIONS[3]: links.TAKEN_OVER,
    }
    # Each is as good as any from then on.
    kept = booted.jump()
    assert booted.said() == dict.fromkeys(_FUNCTIONS, links.TAKEN_OVER)
    assert kept == Link(mac_resets=kept.mac_resets)


def test_what_was_not_left_is_not_missed(booted: Guest) -> None:
    """An interface that is down, and one that is opened only after another driver had it."""
    machine = booted.machine
    with machine.phase(Phase.CHECK):
        down = booted.names()[0]
        machine.put(f"/sys/class/net/{down}/flags", "0x1002")
    booted.jump()
    said = booted.said()
    assert sorted(said.values()) == [links.TAKEN_OVER] * 3
    assert booted.warnings() == []

    # Taken once, and bound again before it was opened: what was left was of another time.
    with machine.phase(Phase.LOAD):
        booted.load()
    machine.jump()
    booted.number += 1
    with machine.phase(Phase.SECOND_KERNEL):
        booted.started()
        driver = "/sys/bus/pci/drivers/e1000e"
        with traced(machine, link_trace.EVENTS) as lines:
            machine.put(f"{driver}/unbind", _FUNCTIONS[1])
            machine.put(f"{driver}/bind", _FUNCTIONS[1])
            booted.up()
    assert link_trace.count(lines).phy_resets > 0
    said = booted.said()
    assert _FUNCTIONS[1] not in said
    assert sorted(said.values()) == [links.TAKEN_OVER] * 3


def test_who_is_pinged_loses_nothing_but_in_the_blackout_and_writes_nowhere_meanwhile(
    kept_bundle: Path, qemu_virt_acpi: Board, tmp_path: Path
) -> None:
    if not links.can_be_had():
        pytest.skip("no network namespace with a tap device can be had here")
    kept, anew = links.jumps(
        kept_bundle, board=qemu_virt_acpi.name, rounds=1, timeout_factor=2, output=tmp_path
    )
    assert (kept.taken_over, anew.taken_over) == (True, False)
    assert kept.link == Link(mac_resets=kept.link.mac_resets)
    assert anew.link.lost > 0
    assert kept.pings.lost_beside_it == 0
    # The next kernel lets the NIC write before it resets it: nothing may be received then.
    assert kept.receiving
    assert not any(kept.receiving)
    assert any(anew.receiving)
    # Nor when it is receiving again, and its ring is not there yet.
    assert (kept.astray, anew.astray) == (0, 0)
