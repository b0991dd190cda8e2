# SPDX-License-Identifier: GPL-2.0-only
"""``sku-init`` on its own: what it makes of commands that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import GuestFailed, guest
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.lab.machines import virtual_machine

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def talking(
    first_bundle: Path, qemu_virt: Board, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine whose guest has reported, for tests that talk to it."""
    cmdline = f"{qemu_virt.cmdline} sku.lab=poweroff"
    vm = virtual_machine(qemu_virt, first_bundle, cmdline, smp=1, memory_mib=512, share=None)
    with Machine(vm, tmp_path_factory.mktemp("talking")) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            machine.expect(guest.Init)
        yield machine
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


@pytest.mark.parametrize(
    "line", ["", "fly", "jump now", "load", "load ../x y z", "get x", "put /x", "x" * 10000]
)
def test_a_malformed_command_is_an_error_and_the_guest_goes_on(talking: Machine, line: str) -> None:
    with talking.phase(Phase.LOAD):
        talking.tell(line)
        with pytest.raises(GuestFailed, match="the guest reports: cannot"):
            talking.expect(guest.Kmsg)
        assert any("Linux version" in line.text for line in talking.kernel_log())


def test_a_file_of_the_guest_is_written_and_read(talking: Machine) -> None:
    with talking.phase(Phase.LOAD):
        talking.put("/proc/self/oom_score_adj", "-17")
        assert talking.get("/proc/self/oom_score_adj") == "-17\n"


def test_a_file_that_cannot_be_read_is_named_and_the_guest_goes_on(talking: Machine) -> None:
    with talking.phase(Phase.LOAD):
        for path, why in (("/nowhere", "No such file"), ("/dev/kmsg", "cannot take /dev/kmsg")):
            with pytest.raises(GuestFailed, match=why):
                talking.get(path)
        with pytest.raises(GuestFailed, match="cannot write to .*: Invalid argument"):
            talking.put("/proc/self/oom_score_adj", "nonsense")
        assert talking.get("/proc/cmdline").startswith("console=")


def test_a_jump_without_a_loaded_kernel_is_reported(talking: Machine) -> None:
    with talking.phase(Phase.JUMP):
        talking.tell("jump")
        with pytest.raises(GuestFailed, match="reboot into the loaded kernel: Invalid") as raised:
            talking.expect(guest.Init)
        assert raised.value.hint == "load a kernel first"
