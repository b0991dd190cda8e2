# SPDX-License-Identifier: GPL-2.0-only
"""The virtual machine a board is booted in, and QEMU's command line for it."""

from __future__ import annotations

import dataclasses
import enum
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from sku_build import board as boards
from sku_build import run
from sku_build.board import Board, QemuPart
from sku_build.errors import InfraError, UserError

PROGRAM = "qemu-system-aarch64"
GUEST_ADDRESS = "10.0.2.15"  # application.py gives it to the guest, as the user mode would
PORT_NAME = "org.sku.lab"  # runtime/lab.c looks for it
SHARE_TAG = "next"  # runtime/kexec.c mounts it
_EMPTY_DISK = "driver=null-co,size=1G,read-zeroes=on"
_VIRTIO_NIC = "virtio-net-pci,romfile="
_NODE_MIB = 128  # a section of memory: no section is in two nodes
_TRANSLATIONS_MIB = 32  # of all CPUs; see _tcg()
_TRANSLATIONS_CPU_MIB = 2  # no CPU has less


class Accelerator(enum.StrEnum):
    """What executes the guest's instructions."""

    TCG = "tcg"
    KVM = "kvm"


@dataclasses.dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine to be started: its size (``memory_mib`` in MiB), what it boots, what it has.

    CPUs and memory are divided between ``nodes`` NUMA nodes. ``firmware`` is a file that starts the
    kernel; ``disks`` and ``nics`` are as of :class:`sku_build.board.QemuPart`. ``share`` is a
    directory of the host that the guest may read. ``disk`` is a raw image; what the guest writes to
    it is kept aside, over a kexec too, and is gone with QEMU. ``guest_port`` is a TCP port of the
    guest that this machine, and nobody else, can reach through a free port; with ``tap``, the name
    of a tap device of this machine, it is reached at :data:`GUEST_ADDRESS`. ``icount`` has the
    guest's clock count instructions, one a ns, whatever else the host does; then one host thread
    executes all CPUs in turn, and only TCG can. ``memory`` is a file of this machine, made here,
    that is the guest's memory; not with more than one node. ``words`` are more of QEMU's words.
    """

    machine: str
    cpu: str
    smp: int
    memory_mib: int
    accelerator: Accelerator
    kernel: Path
    initramfs: Path
    cmdline: str
    nodes: int = 1
    firmware: Path | None = None
    devices: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    share: Path | None = None
    disk: Path | None = None
    guest_port: int | None = None
    tap: str | None = None
    icount: bool = False
    memory: Path | None = None
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where QEMU finds the lab (unix sockets) and leaves what it says (files)."""

    qmp: Path
    channel: Path
    serial_log: Path


def accelerator() -> Accelerator:
    """Return KVM where this host is arm64 and lets us use it, otherwise TCG."""
    usable = platform.machine() == "aarch64" and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return Accelerator.KVM if usable else Accelerator.TCG


def require() -> None:
    """Raise InfraError when QEMU is not installed."""
    if not run.have(PROGRAM):
        raise InfraError(
            f"{PROGRAM} is not installed",
            hint="`apt-get install qemu-system-arm`; `sku doctor` names all that is missing",
        )


def qemu_part(board: Board) -> QemuPart:
    """Return how the lab boots ``board``; raises UserError when it cannot."""
    if board.qemu is None:
        able = [name for name in boards.names() if boards.load(name).qemu]
        raise UserError(
            f"the lab cannot boot the board {board.name}: it has no [qemu] part",
            where=boards.boards_dir() / board.name / "board.toml",
            hint=f"boards that it can boot: {', '.join(able) or 'none'}",
        )
    return board.qemu


def command(vm: VirtualMachine, places: Places) -> list[str]:
    """Return the argument list that starts ``vm``, stopped before its first instruction.

    QEMU is the one that connects to the sockets. It pauses, and ends only when told to, so that an
    event about a panic or a reset is never lost to its own exit.
    """
    kvm = vm.accelerator is Accelerator.KVM
    argv = [
        PROGRAM,
        *("-no-user-config", "-nodefaults", "-display", "none", "-S"),
        *("-machine", f"{vm.machine}{',memory-backend=ram' if vm.memory else ''}"),
        *("-cpu", "host" if kvm else vm.cpu),
        *("-accel", "kvm" if kvm else _tcg(vm)),
        # A CPU that waits lets the clock jump to what it waits for.
        *(("-icount", "shift=0,sleep=off") if vm.icount else ()),
        *("-smp", str(vm.smp)),
        *("-m", f"{vm.memory_mib}M"),
        *_memory(vm),
        *_nodes(vm),
        *(("-bios", os.fspath(vm.firmware)) if vm.firmware else ()),
        *("-action", "reboot=shutdown,shutdown=pause,panic=pause"),
        *("-chardev", f"socket,id=qmp,path={_escaped(places.qmp)}"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"file,id=serial,path={_escaped(places.serial_log)}"),
        *("-serial", "chardev:serial"),
        *("-chardev", f"socket,id=lab,path={_escaped(places.channel)}"),
        *("-device", "virtio-serial-pci"),
        *("-device", f"virtserialport,chardev=lab,name={PORT_NAME}"),
        # Tells a panic at once, where the guest's kernel has CONFIG_PVPANIC_PCI.
        *("-device", "pvpanic-pci"),
    ]
    for device in vm.devices:
        argv += ["-device", device]
    argv += vm.words
    if vm.share is not None:
        share = f"local,id={SHARE_TAG},path={_escaped(vm.share)},security_model=none,readonly=on"
        argv += ["-fsdev", share]
        argv += ["-device", f"virtio-9p-pci,fsdev={SHARE_TAG},mount_tag={SHARE_TAG}"]
    for number, device in enumerate(vm.disks or ("virtio-blk-pci",) * (vm.disk is not None)):
        # Of one format always: QEMU would otherwise believe what the guest wrote to the image.
        root = f"format=raw,snapshot=on,file={_escaped(vm.disk)}" if vm.disk else ""
        drive = (number == 0 and root) or _EMPTY_DISK
        argv += ["-drive", f"if=none,id=disk{number},{drive}"]
        argv += ["-device", f"{device},drive=disk{number}"]
    for number, device in enumerate(vm.nics or (_VIRTIO_NIC,) * (vm.guest_port is not None)):
        network = _network(vm) if number == 0 else "user,restrict=on"
        kind, _, options = network.partition(",")
        argv += ["-netdev", f"{kind},id=net{number},{options}"]
        argv += ["-device", f"{device},netdev=net{number}"]
    argv += ["-kernel", os.fspath(vm.kernel), "-initrd", os.fspath(vm.initramfs)]
    return [*argv, "-append", vm.cmdline]


def _tcg(vm: VirtualMachine) -> str:
    """Return how TCG executes the guest.

    QEMU keeps what it translated of a kernel that is gone until it has no more room, and each store
    into a page with such translations is then searched for in them. Which pages the next kernel
    writes to is chance, so that its phases took from once to fifteen times as long. With little
    room, they are thrown away while the next kernel starts.
    """
    room = max(_TRANSLATIONS_MIB, _TRANSLATIONS_CPU_MIB * vm.smp)
    return f"tcg,thread={'single' if vm.icount else 'multi'},tb-size={room}"


def _memory(vm: VirtualMachine) -> list[str]:
    if vm.memory is None:
        return []
    kind = f"memory-backend-file,id=ram,size={vm.memory_mib}M,share=on"
    return ["-object", f"{kind},mem-path={_escaped(vm.memory)}"]


def _nodes(vm: VirtualMachine) -> Iterator[str]:
    """Yield the options that divide CPUs and memory between the nodes, as evenly as can be."""
    if vm.nodes == 1:
        return
    share = vm.memory_mib // vm.nodes // _NODE_MIB * _NODE_MIB
    for node in range(vm.nodes):
        size = share if node < vm.nodes - 1 else vm.memory_mib - share * node
        first, end = (vm.smp * number // vm.nodes for number in (node, node + 1))
        cpus = f",cpus={first}-{end - 1}" if first < end else ""
        yield from ("-object", f"memory-backend-ram,id=node{node},size={size}M")
        yield from ("-numa", f"node,nodeid={node},memdev=node{node}{cpus}")


def _network(vm: VirtualMachine) -> str:
    if vm.tap is not None:
        return f"tap,ifname={_escaped(Path(vm.tap))},script=no,downscript=no"
    # Port 0 is a free one of QEMU's choice, so no other run can be in the way.
    forward = f",hostfwd=tcp:127.0.0.1:0-:{vm.guest_port}" if vm.guest_port is not None else ""
    return f"user,restrict=on{forward}"


def forwarded_port(usernet: str) -> int | None:
    """Return the port of this machine in what QEMU's `info usernet` says, None without one.

    A line is: protocol[HOST_FORWARD], descriptor, address, port, guest's address, its port, …
    """
    found = re.search(r"^\s*TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s", usernet, re.MULTILINE)
    return int(found[1]) if found else None


def _escaped(path: Path) -> str:
    """Return a path as the value of a QEMU option: a comma is doubled."""
    return os.fspath(path).replace(",", ",,")
