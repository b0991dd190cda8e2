# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's command line, and how long a phase may take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from sku_build.errors import UserError
from sku_build.lab import phases, qemu
from sku_build.lab.phases import Phase
from sku_build.lab.qemu import Accelerator
from tests.unit.lab_fakes import BOARD

_VM = qemu.VirtualMachine(
    machine="virt,gic-version=3,its=off",
    cpu="max,pauth-impdef=on",
    smp=2,
    memory_mib=2048,
    accelerator=Accelerator.TCG,
    kernel=Path("/b/Image"),
    initramfs=Path("/b/initramfs.cpio"),
    cmdline="console=ttyAMA0 a,b",
)
_PLACES = qemu.Places(Path("/s/qmp"), Path("/s/channel"), Path("/r/serial.log"))


def _values(argv: list[str], option: str) -> list[str]:
    return [value for name, value in zip(argv, argv[1:], strict=False) if name == option]


def test_the_boards_values_reach_qemu() -> None:
    argv = qemu.command(_VM, _PLACES)
    assert _values(argv, "-machine") == ["virt,gic-version=3,its=off"]
    assert _values(argv, "-cpu") == ["max,pauth-impdef=on"]
    assert _values(argv, "-smp") == ["2"]
    assert _values(argv, "-m") == ["2048M"]
    assert _values(argv, "-append") == ["console=ttyAMA0 a,b"]
    assert _values(argv, "-kernel") == ["/b/Image"]


def test_a_guest_gets_no_share_unless_one_is_given() -> None:
    assert not any("9p" in word for word in qemu.command(_VM, _PLACES))
    argv = qemu.command(dataclasses.replace(_VM, share=Path("/b/next")), _PLACES)
    (share,) = _values(argv, "-fsdev")
    assert "path=/b/next," in share
    assert share.endswith("readonly=on")


def test_a_comma_in_a_path_does_not_end_the_option() -> None:
    places = dataclasses.replace(_PLACES, serial_log=Path("/r,append=on/serial.log"))
    chardevs = _values(qemu.command(_VM, places), "-chardev")
    assert "file,id=serial,path=/r,,append=on/serial.log" in chardevs


def test_tcg_uses_a_thread_for_each_cpu_and_kvm_the_hosts_cpu() -> None:
    assert _values(qemu.command(_VM, _PLACES), "-accel") == ["tcg,thread=multi,tb-size=32"]
    argv = qemu.command(dataclasses.replace(_VM, accelerator=Accelerator.KVM), _PLACES)
    assert _values(argv, "-accel") == ["kvm"]
    assert _values(argv, "-cpu") == ["host"]


def test_a_clock_that_counts_instructions_needs_all_cpus_in_one_thread() -> None:
    argv = qemu.command(dataclasses.replace(_VM, icount=True), _PLACES)
    assert _values(argv, "-accel") == ["tcg,thread=single,tb-size=32"]
    assert _values(argv, "-icount") == ["shift=0,sleep=off"]
    assert "-icount" not in qemu.command(_VM, _PLACES)


def test_the_boards_devices_are_added() -> None:
    argv = qemu.command(dataclasses.replace(_VM, devices=("virtio-rng-pci",)), _PLACES)
    assert "virtio-rng-pci" in _values(argv, "-device")


def test_a_disk_is_left_as_it_is_and_only_this_machine_reaches_the_guests_port() -> None:
    argv = qemu.command(dataclasses.replace(_VM, disk=Path("/d,1"), guest_port=6379), _PLACES)
    (drive,) = _values(argv, "-drive")
    assert "snapshot=on" in drive
    assert "format=raw" in drive
    assert drive.endswith("file=/d,,1")
    (network,) = _values(argv, "-netdev")
    assert "restrict=on" in network
    assert "hostfwd=tcp:127.0.0.1:0-:6379" in network
    plain = qemu.command(_VM, _PLACES)
    assert _values(plain, "-drive") == _values(plain, "-netdev") == []


def test_a_boards_disks_and_cards_are_always_there_and_the_first_are_the_runs_own() -> None:
    vm = dataclasses.replace(_VM, disks=("d0", "d1"), nics=("n0", "n1"))
    idle = qemu.command(vm, _PLACES)
    assert all("driver=null-co" in drive for drive in _values(idle, "-drive"))
    assert not any("hostfwd" in network for network in _values(idle, "-netdev"))
    devices = _values(idle, "-device")
    assert {"d0,drive=disk0", "d1,drive=disk1", "n0,netdev=net0", "n1,netdev=net1"} <= set(devices)
    busy = qemu.command(dataclasses.replace(vm, disk=Path("/d"), guest_port=6379), _PLACES)
    assert _values(busy, "-device") == devices
    assert ["file=/d" in drive for drive in _values(busy, "-drive")] == [True, False]
    assert ["hostfwd" in network for network in _values(busy, "-netdev")] == [True, False]


@pytest.mark.parametrize(
    ("smp", "memory_mib", "sizes", "cpus"),
    [
        (4, 2048, [1024, 1024], ["cpus=0-1", "cpus=2-3"]),
        (3, 1700, [768, 932], ["cpus=0-0", "cpus=1-2"]),
    ],
)
def test_nodes_share_memory_and_cpus(
    smp: int, memory_mib: int, sizes: list[int], cpus: list[str]
) -> None:
    vm = dataclasses.replace(_VM, nodes=2, smp=smp, memory_mib=memory_mib)
    argv = qemu.command(vm, _PLACES)
    assert [text.rpartition("size=")[2] for text in _values(argv, "-object")] == [
        f"{size}M" for size in sizes
    ]
    assert [text.rpartition(",")[2] for text in _values(argv, "-numa")] == cpus
    assert _values(qemu.command(_VM, _PLACES), "-numa") == []


def test_firmware_starts_the_kernel_where_the_board_has_one() -> None:
    argv = qemu.command(dataclasses.replace(_VM, firmware=Path("/f.fd")), _PLACES)
    assert _values(argv, "-bios") == ["/f.fd"]
    assert _values(argv, "-kernel") == ["/b/Image"]
    assert "-bios" not in qemu.command(_VM, _PLACES)


def test_a_tap_device_takes_the_place_of_the_user_mode_network() -> None:
    machine = dataclasses.replace(_VM, guest_port=6379, tap="tap0")
    (network,) = _values(qemu.command(machine, _PLACES), "-netdev")
    assert network == "tap,id=net0,ifname=tap0,script=no,downscript=no"


def test_the_port_that_qemu_chose_is_read_from_what_it_says() -> None:
    said = (
        "Hub -1 (net):\r\n"
        "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
        "  TCP[HOST_FORWARD]  12       127.0.0.1 40123       10.0.2.15  6379     0     0\r\n"
    )
    assert qemu.forwarded_port(said) == 40123
    assert qemu.forwarded_port("Hub -1 (net):\r\n") is None


def test_a_board_without_a_qemu_part_cannot_be_booted() -> None:
    with pytest.raises(UserError, match=r"no \[qemu\] part"):
        qemu.qemu_part(msgspec.structs.replace(BOARD, qemu=None))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_limit_that_the_factor_stretches(phase: Phase) -> None:
    once = phases.limit(phase, Accelerator.TCG)
    assert 0 < phases.limit(phase, Accelerator.KVM) <= once
    assert phases.limit(phase, Accelerator.TCG, 3) == 3 * once
