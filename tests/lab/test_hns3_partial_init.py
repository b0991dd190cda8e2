# SPDX-License-Identifier: GPL-2.0-only
"""The series ``hns3_partial_init``: the real driver, and a double that plays the firmware to it.

Two functions, one with a PHY and one with a fibre. The double is the device: it lives over the
jump, notes every command, and what would have taken a link down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sku_build.board import Board
from sku_build.lab import bundle, guest
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run
from sku_build.tree import Tree
from tests.lab import hns3_double as hns3
from tests.lab.bundles import built
from tests.lab.hns3_double import Command, Double

pytestmark = [pytest.mark.lab, pytest.mark.series("hns3_partial_init")]

# What of the board's series has to do with devices that are kept over a kexec.
_SERIES = (
    *("deferred_init", "handover", "pid_reserve", "pin_mem", "cpu_park"),
    *("quick_kexec", "kept_initramfs", "device_state", "hns3_partial_init"),
)
_SYMBOLS = (
    *("NET_VENDOR_HISILICON", "PHYLIB", "MARVELL_PHY"),
    *("HNS3", "HNS3_HCLGE", "HNS3_ENET", "HNS3_DOUBLE"),
)
_SHARED_MEMORY = "/dev/shm"
_ADDRESS = "52:54:00:00:92:"
_LINK_S = 20.0
_TAKEN_OVER = "taken over as the kernel before has left it"
_NOT_AS_LEFT = "not as the kernel before has left it: "
_ANEW = "initialising it from the start"
# What a function that is taken over is spared.
_SPARED = {hns3.CLEAR, hns3.LOOPBACK, hns3.TX_BUFFERS, hns3.RX_BUFFERS}


@dataclasses.dataclass(slots=True)
class Guest:
    """A guest with the functions of a double, and the number of its present kernel."""

    run: Run
    machine: Machine
    item: Bundle
    double: Double
    number: int = 1

    def started(self) -> list[Command]:
        """Wait for a kernel, and return the commands up to then."""
        with self.machine.phase(Phase.SECOND_KERNEL):
            self.run.started(self.machine, self.item)
        return self.double.taken()

    def said(self) -> list[str]:
        """Return the lines of the kernel's log that tell of the driver's functions."""
        with self.machine.phase(Phase.CHECK):
            lines = self.run.log(self.machine, self.number)
        return [line.text for line in lines if line.text.startswith("hns3 0000:")]

    def up(self) -> list[Command]:
        """Bring the interfaces up, wait for their links, and return the commands of that."""
        names = self.names()
        deadline = time.monotonic() + _LINK_S
        with self.machine.phase(Phase.CHECK):
            for name in names:
                self.machine.put(f"/sys/class/net/{name}/flags", "0x1003")
            while any(self._file(name, "carrier") != "1" for name in names):
                assert time.monotonic() < deadline, "no link"
                time.sleep(0.2)
        return self.double.taken()

    def names(self) -> list[str]:
        """Return the interfaces in the order of their functions, each of which must have one."""
        with self.machine.phase(Phase.CHECK):
            rows = self.machine.get("/proc/net/dev").splitlines()
            names = [row.partition(":")[0].strip() for row in rows if row.strip().startswith("eth")]
            found = {self._file(name, "address"): name for name in names}
        return [found[f"{_ADDRESS}{function.number:02x}"] for function in self.double.functions]

    def jump(self) -> list[Command]:
        """Jump into the kernel again, and return the commands of the shutdown and the start."""
        with self.machine.phase(Phase.LOAD):
            words = self.run.cmdline(self.item)
            self.machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {words}")
            self.machine.expect(guest.Loaded)
        self.double.taken()
        self.machine.jump()
        self.number += 1
        return self.started()

    def _file(self, name: str, file: str) -> str:
        return self.machine.get(f"/sys/class/net/{name}/{file}").strip()


@pytest.fixture
def booted(linux: Tree, qemu_virt_acpi: Board, tmp_path: Path) -> Iterator[Guest]:
    """A guest whose first kernel has come up; nothing was left to it."""
    machine = msgspec.structs.replace(qemu_virt_acpi.machine, nodes=1)
    board = msgspec.structs.replace(qemu_virt_acpi, partial_init=None, machine=machine)
    extra = [f"CONFIG_{symbol}=y" for symbol in _SYMBOLS]
    item = bundle.load(
        built("hns3", linux, board, series=_SERIES, for_tests=True, extra=extra), board
    )
    with contextlib.ExitStack() as stack:
        shared = tempfile.TemporaryDirectory(prefix="sku-hns3-", dir=_SHARED_MEMORY)
        place = Path(stack.enter_context(shared))
        double = stack.enter_context(Double(place, place / "ram"))
        # The driver gives the firmware 30 ms, and this host has other work: count instructions.
        options = Options(directory=tmp_path, memory=place / "ram", words=double.argv, icount=True)
        run = Run("kexec", board, options)
        guest_machine = stack.enter_context(run.machine(item, share=item.path))
        yield Guest(run, guest_machine, item, double)
        with guest_machine.phase(Phase.SHUTDOWN):
            guest_machine.power_off()


def _after_jump(commands: list[Command], function: int) -> list[Command]:
    """Return the commands of a function since the next kernel asked for the firmware's version."""
    mine = [command for command in commands if command.function == function]
    begins = [n for n, command in enumerate(mine) if command.opcode == hns3.FW_VERSION]
    return mine[begins[0] :]


def _opcodes(commands: list[Command]) -> set[int]:
    return {command.opcode for command in commands}


def _lost(booted: Guest) -> list[list[str]]:
    """Return what took the links of the functions down since the last call."""
    found = [function.lost for function in booted.double.functions]
    for function in booted.double.functions:
        function.lost = []
    return found


def test_links_stay_up_over_a_jump_and_functions_start_side_by_side(booted: Guest) -> None:
    commands = booted.started()
    with booted.machine.phase(Phase.CHECK):
        log = [line.text for line in booted.run.log(booted.machine, 1)]
    assert any("ok 1 test_what_was_left_is_believed" in text for text in log)
    assert not any("not ok" in text for text in log)
    firsts = [[c.function for c in commands].index(number) for number in (0, 1)]
    lasts = [max(n for n, c in enumerate(commands) if c.function == number) for number in (0, 1)]
    assert max(firsts) < min(lasts), "one after the other"
    names = booted.names()
    assert names == sorted(names)
    full = [_after_jump(commands, number) for number in (0, 1)]
    assert all(_opcodes(part) >= _SPARED for part in full)
    booted.up()
    ordinary = _lost(booted)
    assert "PHY reset" in ordinary[0]

    for _ in range(2):
        commands = booted.jump()
        said = booted.said()
        assert sum(_TAKEN_OVER in text for text in said) == 2, said
        for number in (0, 1):
            kept = _after_jump(commands, number)
            assert not _opcodes(kept) & (_SPARED | {hns3.SPEED, hns3.AUTONEG})
            assert len(kept) < len(full[number])
        assert [function.found for function in booted.double.functions] == [0, 0]
        booted.up()
        assert _lost(booted) == [[], []]


def test_whatever_is_not_as_it_was_is_initialised_as_ever(booted: Guest) -> None:
    booted.started()
    booted.up()
    first, second = booted.double.functions

    def comes(expected: list[str | None]) -> list[Command]:
        """Jump; see what is said of each function, None for one that is taken over; links up."""
        _lost(booted)
        commands = booted.jump()
        said = booted.said()
        for number, what in enumerate(expected):
            mine = " ".join(text for text in said if f":18.{number}: " in text)
            assert (_TAKEN_OVER in mine) == (what is None), said
            assert what is None or what in mine, said
            cleared = hns3.CLEAR in _opcodes(_after_jump(commands, number))
            assert cleared == (what is not None)
        booted.up()
        return commands

    first.firmware += 1
    comes([_NOT_AS_LEFT + "the firmware's version", None])
    comes([None, None])
    # Steps that fail when it was taken over: all of it, once more.
    first.fails.add(hns3.PF_STATUS)
    second.fails.add(hns3.ADDRESS_SPACE)
    comes([_ANEW, _ANEW])
    comes([None, None])
