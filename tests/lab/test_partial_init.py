# SPDX-License-Identifier: GPL-2.0-only
"""The series ``partial_init``: devices wait for their drivers, and in the end none is without."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import bundle, guest, update
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run
from sku_build.lab.update import Load

pytestmark = [pytest.mark.lab, pytest.mark.series("partial_init")]

_WAITING = "/sys/kernel/partial_init/waiting"
_SETTLE = "/sys/kernel/partial_init/settle"
_E1000E = "/sys/bus/pci/drivers/e1000e/bind"
_PROBE = "/sys/bus/pci/drivers_probe"
_NEEDED = "0000:01:00.0"
_OTHERS = ["0000:02:00.0", "0000:05:00.0", "0000:06:00.0"]
_ALL_WAIT = [f"pci {name} e1000e" for name in _OTHERS]
_WORDS = re.compile(r" partial_init\S*")


@dataclasses.dataclass(slots=True)
class Guest:
    """A machine that is jumped from one kernel to the next, and the number of the present one."""

    run: Run
    machine: Machine
    item: Bundle
    number: int = 1

    def jump(self, words: str) -> None:
        """Jump into the kernel again, with ``words`` in place of what the board says of waiting."""
        machine = self.machine
        with machine.phase(Phase.LOAD):
            cmdline = self.run.cmdline(dataclasses.replace(self.item, cmdline=self.plain))
            machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {cmdline} {words}")
            machine.expect(guest.Loaded)
        machine.jump()
        self.number += 1

    @property
    def plain(self) -> str:
        """The command line without a word of waiting."""
        return _WORDS.sub("", self.item.cmdline)

    @property
    def words(self) -> str:
        """What the board says of waiting."""
        return " ".join(word.strip() for word in _WORDS.findall(self.item.cmdline))

    def started(self) -> list[str]:
        """Wait for the kernel, and return what the lab has to complain of in its log."""
        init = self.run.started(self.machine, self.item)
        lines = self.run.log(self.machine, self.number)
        return [line.text for line in self.run.kernel(init, lines, self.number, since=0).warnings]

    def log(self) -> str:
        """Return the text of the kernel's log."""
        return "\n".join(line.text for line in self.run.log(self.machine, self.number))

    def waiting(self) -> list[str]:
        """Return the lines of what waits."""
        return self.machine.get(_WAITING).splitlines()

    def state(self) -> str:
        """Return how far it is."""
        return self.machine.get(_SETTLE).strip()

    def settled(self) -> None:
        """Wait until all have started, and see that nothing waits; the phase has a limit."""
        while self.state() != "settled":
            time.sleep(0.2)
        assert self.waiting() == []

    def devices(self) -> dict[str, tuple[str, str]]:
        """Return the vendor and device, and the driver, of each PCI function by its address."""
        rows = [line.split("\t") for line in self.machine.get("/proc/bus/pci/devices").splitlines()]
        return {row[0]: (row[1], row[-1].strip()) for row in rows}

    def addresses(self) -> set[str]:
        """Return the hardware addresses of the network cards, each of which must be there."""
        return {self.machine.get(f"/sys/class/net/eth{i}/address").strip() for i in range(4)}

    def driver(self, name: str) -> str | None:
        """Return the driver of a PCI function."""
        told = self.machine.get(f"/sys/bus/pci/devices/{name}/uevent")
        found = re.search(r"^DRIVER=(.*)$", told, re.MULTILINE)
        return found[1] if found else None

    def drivers(self) -> list[str | None]:
        """Return those of the four network cards, the needed one first."""
        return [self.driver(name) for name in (_NEEDED, *_OTHERS)]


@pytest.fixture
def booted(acpi_bundle: Path, qemu_virt_acpi: Board, tmp_path: Path) -> Iterator[Guest]:
    """A machine whose first kernel was told nothing of waiting: an ordinary boot."""
    run = Run("kexec", qemu_virt_acpi, Options(directory=tmp_path))
    item = bundle.load(acpi_bundle, qemu_virt_acpi)
    first = Guest(run, None, item).plain  # type: ignore[arg-type]
    with run.machine(dataclasses.replace(item, cmdline=first), share=item.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            found = Guest(run, machine, item)
            assert found.started() == []
            assert found.drivers() == ["e1000e"] * 4
        yield found
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def test_in_the_end_everything_is_as_without_waiting(booted: Guest) -> None:
    with booted.machine.phase(Phase.FIRST_KERNEL):
        assert "partial_init" not in booted.log()
        devices, addresses = booted.devices(), booted.addresses()
        assert len(addresses) == 4

    booted.jump(f"{booted.words} sku.settle=no")
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == []
        assert booted.waiting() == _ALL_WAIT
        assert booted.state() == "waiting"
        assert booted.drivers() == ["e1000e", None, None, None]
        # Enumerated all the same, and nothing else is without its driver.
        found = booted.devices()
        without = {place for place in devices if found[place] != devices[place]}
        assert found.keys() == devices.keys()
        assert {found[place] for place in without} == {(devices[min(without)][0], "")}
        assert len(without) == 3
        booted.machine.put(_SETTLE, "1")
        booted.settled()
        assert (booted.devices(), booted.addresses()) == (devices, addresses)
        assert "3 devices start now" in booted.log()

    booted.jump(f"{booted.words} partial_init.timeout=3 sku.settle=no")
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == []
        booted.settled()
        assert (booted.devices(), booted.addresses()) == (devices, addresses)
        assert "not settled within 3 s; 3 devices start now" in booted.log()

    # By itself: nobody brought an application along.
    booted.jump(booted.words)
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == []
        booted.settled()
        assert (booted.devices(), booted.addresses()) == (devices, addresses)
        assert "not settled" not in booted.log()


def test_one_that_is_asked_for_goes_alone(booted: Guest) -> None:
    booted.jump(f"{booted.words} sku.settle=no")
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == []
        booted.machine.put(_E1000E, _OTHERS[1])
        assert booted.drivers() == ["e1000e", None, "e1000e", None]
        assert booted.waiting() == [_ALL_WAIT[0], _ALL_WAIT[2]]
        booted.machine.put(_PROBE, _OTHERS[2])
        assert booted.drivers() == ["e1000e", None, "e1000e", "e1000e"]
        assert booted.state() == "waiting"

    # While the last one still waits, and then one by the way to it, and by a glob.
    booted.jump("partial_init=pci:0000:00/12.0/*,pci:*:02:00.0,!e1000x sku.settle=no")
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == []
        # The bridges of the switch wait, too: what is below was found all the same.
        assert [line.split()[1] for line in booted.waiting() if line.endswith(" e1000e")] == _OTHERS
        assert any(line.endswith(" pcieport") for line in booted.waiting())
        booted.machine.put(f"/sys/bus/pci/devices/{_OTHERS[2]}/remove", "1")
        assert _ALL_WAIT[2] not in booted.waiting()
        booted.machine.put(_SETTLE, "1")
        booted.settled()
        assert [booted.driver(name) for name in _OTHERS[:2]] == ["e1000e"] * 2
        booted.machine.put("/sys/bus/pci/rescan", "1")
        assert booted.drivers() == ["e1000e"] * 4
        assert "Call trace" not in booted.log()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("partial_init=e1000e,[", "partial_init=e1000e,[: a [ without ]; nothing waits"),
        ("partial_init=e1000e,,ahci", "partial_init=e1000e,,ahci: an empty pattern; nothing waits"),
    ],
)
def test_a_bad_list_costs_one_line_and_nothing_else(booted: Guest, words: str, said: str) -> None:
    booted.jump(f"{words} sku.settle=no")
    with booted.machine.phase(Phase.SECOND_KERNEL):
        assert booted.started() == [f"partial_init: {said}"]
        assert booted.drivers() == ["e1000e"] * 4


def test_skuctl_says_what_waits_and_lets_it_go(
    acpi_bundle: Path, qemu_virt_acpi: Board, tmp_path: Path
) -> None:
    """Then an update into the same kernel, told to let wait what cannot be done without, too."""
    load = Load(data_mib=16)
    options = Options(directory=tmp_path, append="sku.settle=no")
    run = update.prepared(qemu_virt_acpi, load, options)
    first = bundle.load(acpi_bundle, qemu_virt_acpi)
    plain = _WORDS.sub("", first.cmdline)
    second = dataclasses.replace(first, cmdline=f"{plain} partial_init=ahci,e1000e")
    with update.service(run, first, second, load) as (service, _):
        machine = service.machine
        with machine.phase(Phase.LOAD):
            status = json.loads(machine.run("skuctl status --json").output)
            assert status["devices"] == "waiting"
            assert status["waiting"] == [
                {"bus": "pci", "device": name, "driver": "e1000e"} for name in _OTHERS
            ]
            told = machine.run("skuctl status").output.splitlines()
            assert told[1:] == [f"pci {name} waits for its driver, e1000e" for name in _OTHERS]
            machine.run("skuctl start")
            assert machine.run("skuctl status").output.strip() == "idle"
            status = json.loads(machine.run("skuctl status --json").output)
            assert (status["devices"], status["waiting"]) == ("settled", [])
            service.mount()
        with machine.phase(Phase.UPDATE):
            # Nothing is kept: what is looked at is how the next kernel gets at disk and network.
            machine.begin(
                service.command("--freezer command --freeze-command true --restore-command true")
            )
            run.started(machine, second)
            status = json.loads(machine.run("skuctl status --json").output)
            assert (status["phase"], status["failed"]) == ("idle", "")
            # A slow disk has more of them started than it needs.
            waiting = {item["device"] for item in status["waiting"]}
            assert waiting <= {*_OTHERS}, "the controller or the application's card waits"
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
