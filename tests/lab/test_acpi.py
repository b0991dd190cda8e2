# SPDX-License-Identifier: GPL-2.0-only
"""The board that is like a server: firmware, ACPI tables, nodes, real devices, over every jump."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from sku_build import metadata
from sku_build.board import Board
from sku_build.lab import bundle, guest, update
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run
from sku_build.lab.update import Load

pytestmark = pytest.mark.lab

_DEVICES = {
    "a disk": (r"sd \S+: \[sd[a-d]\] Attached SCSI disk", 4),
    "a network card": (r"e1000e \S+ eth[0-3]: \(PCI Express:2.5GT/s:Width x1\)", 4),
    "a root port or a port of the switch": (r"PCI bridge to \[bus 0", 8),
}


def _look(run: Run, machine: Machine, init: guest.Init, number: int) -> None:
    """See that all of the machine is there, and that the kernel does not complain."""
    while machine.get("/sys/kernel/partial_init/settle").strip() != "settled":
        time.sleep(0.2)
    lines = run.log(machine, number)
    assert run.kernel(init, lines, number, since=0).warnings == []
    text = "\n".join(line.text for line in lines)
    assert "ACPI: RSDP" in text
    assert "Machine model" not in text  # no device tree that describes it
    assert machine.get("/sys/devices/system/node/has_memory").strip() == "0-1"
    assert init.cpus_online == "0-3"
    interrupts = machine.get("/proc/interrupts")
    assert re.search(r"ITS-MSI .*eth|ITS-MSI .*ahci|ITS-MSI .*virtio", interrupts), interrupts
    for what, (pattern, count) in _DEVICES.items():
        assert len(set(re.findall(rf"^.*{pattern}.*$", text, re.MULTILINE))) == count, what


def test_all_of_the_machine_is_there_after_every_jump(
    acpi_bundle: Path, qemu_virt_acpi: Board, tmp_path: Path
) -> None:
    """Twice: the second jump is out of a kernel that firmware did not start."""
    run = Run("kexec", qemu_virt_acpi, Options(directory=tmp_path))
    item = bundle.load(acpi_bundle, qemu_virt_acpi)
    with run.machine(item, share=item.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            _look(run, machine, run.started(machine, item), 1)
        for number in (2, 3):
            with machine.phase(Phase.LOAD):
                machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {run.cmdline(item)}")
                machine.expect(guest.Loaded)
            machine.jump()
            with machine.phase(Phase.SECOND_KERNEL):
                _look(run, machine, run.started(machine, item), number)
                # The conduit to the firmware is the FADT's here.
                assert machine.get("/sys/kernel/cpu_park/bringup_parked").strip() == "3"
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def test_an_update_with_the_root_on_a_sata_disk_loses_nothing(
    acpi_bundle: Path, acpi_next_bundle: Path, qemu_virt_acpi: Board
) -> None:
    result = update.update(
        acpi_bundle, acpi_next_bundle, board=qemu_virt_acpi, load=Load(data_mib=64)
    )
    (ours,) = result.ways
    assert ours.broken == []
    assert ours.second.release == metadata.read(acpi_next_bundle).release
    assert ours.copied_kib < 0.05 * ours.anonymous_kib
    assert any("ich9-ahci" in word for word in ours.machine.argv)
    assert not any("virtio-blk" in word for word in ours.machine.argv)
