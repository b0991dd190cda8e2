# SPDX-License-Identifier: GPL-2.0-only
"""A double of hns3 functions: it plays the firmware to the real driver in a guest.

QEMU's ``ivshmem-doorbell`` lends its BAR 2, which is memory of ours, and its MSI-X; an option of
the series ``hns3_partial_init`` (``HNS3_DOUBLE``) has the driver bound to it. A register is memory,
and is looked at again and again: no access can be trapped. The command queue needs no more: a ring
in the guest's memory, whose file we have as well, its place, head and tail in registers. Each
command is noted. Registers and commands are those of the driver (Linux 6.1,
drivers/net/ethernet/hisilicon/hns3), what is said over the sockets is in QEMU's
docs/specs/ivshmem-spec.
"""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

BAR_SIZE = 1 << 20
RAM_BASE = 0x40000000  # of QEMU's machine virt
VECTORS = 8

_BASE_LOW, _BASE_HIGH, _DEPTH, _TAIL, _HEAD = 0x27000, 0x27004, 0x27008, 0x27010, 0x27014
_CLEARED_BY_ONES = 0x20700  # reset causes: memory would keep the ones
_DESCRIPTOR = 32
_READ, _NEXT = 1 << 3, 1 << 2
_IDLE_S = 0.0002

FW_VERSION, PF_STATUS, PF_RESOURCES, CONFIGURATION = 0x0001, 0x0022, 0x0023, 0x0025
MAC_MODE, LINK, SPEED, LOOPBACK, AUTONEG = 0x0301, 0x0307, 0x0309, 0x0315, 0x0304
TX_BUFFERS, RX_BUFFERS = 0x0901, 0x0902
QUEUE, RESET_QUEUE, ADDRESS_SPACE, MDIO = 0x0B20, 0x0B22, 0x1004, 0x1900
RAS_STATUS, MSIX_STATUS, SFP, CLEAR = 0x1510, 0x1513, 0x7104, 0x700B
ADDRESS_ADD, ADDRESS_REMOVE = 0x1000, 0x1001

_COPPER, _FIBRE = 2, 1
_PHY_ID = (0x0141, 0x0DD0)  # Marvell 88E1510
_PHY = {0: 0x1140, 1: 0x796D, 2: _PHY_ID[0], 3: _PHY_ID[1], 4: 0x0DE1, 5: 0xCDE1, 6: 0x000D}
_PHY |= {9: 0x0300, 10: 0x3C00, 15: 0x3000, 17: 0xAC48}
_PAGE, _CONTROL, _MODE_PAGE, _MODE = 22, 0, 18, 20
_RESET, _RESTART, _POWER_DOWN = 1 << 15, 1 << 9, 1 << 11


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command: of which function, its opcode, whether it only asks, when (ns), its data."""

    function: int
    opcode: int
    asks: bool
    when: int
    data: bytes


@dataclasses.dataclass(slots=True)
class Function:
    """A function, as it stays over a kexec: what was set, and what it answers."""

    number: int
    copper: bool
    bar: mmap.mmap
    listener: socket.socket
    firmware: int = 0x01080C03
    mac_mode: int = 0
    page: int = 0
    phy: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    addresses: set[bytes] = dataclasses.field(default_factory=set)
    found: int = 0  # addresses, when a driver began
    lost: list[str] = dataclasses.field(default_factory=list)  # what took the link down
    fails: set[int] = dataclasses.field(default_factory=set)  # opcodes that fail, once each

    def register(self, offset: int) -> int:
        """Return a register of 32 bits."""
        return int(struct.unpack_from("<I", self.bar, offset)[0])

    def set(self, offset: int, value: int) -> None:
        """Write a register of 32 bits."""
        struct.pack_into("<I", self.bar, offset, value)

    def answer(self, opcode: int, asks: bool, data: bytearray, second: bytearray | None) -> None:
        """Do a command: change its data to what the firmware would answer."""
        does = _ANSWERS.get((opcode, asks))
        if does is not None:
            does(self, data, second)


def _version(function: Function, data: bytearray, _: bytearray | None) -> None:
    function.found = len(function.addresses)
    struct.pack_into("<6I", data, 0, function.firmware, 0, 0, 0, 0, 0)


def _status(_function: Function, data: bytearray, _: bytearray | None) -> None:
    data[16] = 1  # its reset is done


def _resources(_function: Function, data: bytearray, _: bytearray | None) -> None:
    # Queues, buffer in units of 128 bytes, vectors of the network: first and number, of RDMA, …
    struct.pack_into("<9H", data, 0, 2, 0xC00, 0, 4, 0, 0, 0x80, 0x140, 0)


def _configuration(function: Function, data: bytearray, second: bytearray | None) -> None:
    address = bytes((0x52, 0x54, 0, 0, 0x92, function.number))
    low, high = struct.unpack("<IH", address)
    medium, speed = (_COPPER, 0) if function.copper else (_FIBRE, 2)
    struct.pack_into("<4I", data, 8, 1 << 8 | 64 << 16, 1 | medium << 8 | 2048 << 16, low, 0)
    struct.pack_into("<I", data, 20, high | speed << 16 | 2 << 24)
    if second is not None:
        struct.pack_into("<4I", second, 8, 0, 1 if function.copper else 4, 0, 0)


def _mac_mode(function: Function, data: bytearray, _: bytearray | None) -> None:
    was, function.mac_mode = function.mac_mode, struct.unpack_from("<I", data)[0]
    if was & ~function.mac_mode:
        function.lost.append("MAC off")


def _mac_mode_asked(function: Function, data: bytearray, _: bytearray | None) -> None:
    struct.pack_into("<I", data, 0, function.mac_mode)


def _link(function: Function, data: bytearray, _: bytearray | None) -> None:
    data[0] = 1 if function.mac_mode else 0


def _loopback(_function: Function, data: bytearray, _: bytearray | None) -> None:
    data[2] = 3  # done, and well


def _sfp(_function: Function, data: bytearray, _: bytearray | None) -> None:
    struct.pack_into("<IBBBBIIBB", data, 0, 25000, 1, 0, 0, 0, 4, 0, 0, 1)


def _ready(_function: Function, data: bytearray, _: bytearray | None) -> None:
    data[3] = 1


def _space(_function: Function, data: bytearray, _: bytearray | None) -> None:
    struct.pack_into("<I", data, 4, 256)


def _errors(_function: Function, data: bytearray, _: bytearray | None) -> None:
    struct.pack_into("<2I", data, 0, 10, 4)  # descriptors of the port, and of the function


def _address(function: Function, data: bytearray, _: bytearray | None) -> None:
    function.addresses.add(bytes(data[4:10]))


def _address_asked(function: Function, data: bytearray, _: bytearray | None) -> None:
    data[1] = bytes(data[4:10]) not in function.addresses  # 1: no such entry


def _address_removed(function: Function, data: bytearray, _: bytearray | None) -> None:
    data[1] = bytes(data[4:10]) not in function.addresses
    function.addresses.discard(bytes(data[4:10]))


def _cleared(function: Function, _data: bytearray, _: bytearray | None) -> None:
    if function.mac_mode:
        function.lost.append("resources cleared")
    function.addresses.clear()


def _taken(what: str) -> Callable[[Function, bytearray, bytearray | None], None]:
    def lost(function: Function, _data: bytearray, _: bytearray | None) -> None:
        if function.mac_mode:
            function.lost.append(what)

    return lost


def _mdio(function: Function, data: bytearray, _: bytearray | None) -> None:
    """Do what is in the first byte: 2 reads, 1 writes a register of the PHY."""
    number, value = data[2] & 0x1F, struct.unpack_from("<H", data, 6)[0]
    # The page is one for all pages; most pages of a real one have other registers.
    place = (0 if number == _PAGE else function.page, number)
    if data[0] >> 3 & 3 == 2:
        default = _PHY.get(number, 0) if function.page in (0, 1) else 0
        found = function.page if number == _PAGE else function.phy.get(place, default)
        struct.pack_into("<HH", data, 8, found, 0)
    elif number == _PAGE:
        function.page = value & 0xFF
    else:
        function.phy[place] = _phy_written(function, place, value)


def _phy_written(function: Function, place: tuple[int, int], value: int) -> int:
    """Note what takes a link down, and return what the register then has."""
    if place == (_MODE_PAGE, _MODE):
        if value & _RESET:
            function.lost.append("PHY reset")
        return value & ~_RESET
    if place != (0, _CONTROL):
        return value
    for bit, what in ((_RESET, "reset"), (_RESTART, "restarted"), (_POWER_DOWN, "off")):
        if value & bit:
            function.lost.append(f"PHY {what}")
    return value & ~(_RESET | _RESTART)


_ANSWERS: dict[tuple[int, bool], Callable[[Function, bytearray, bytearray | None], None]] = {
    (FW_VERSION, True): _version,
    (PF_STATUS, True): _status,
    (PF_RESOURCES, True): _resources,
    (CONFIGURATION, True): _configuration,
    (MAC_MODE, False): _mac_mode,
    (MAC_MODE, True): _mac_mode_asked,
    (LINK, True): _link,
    (LOOPBACK, False): _taken("serdes"),
    (LOOPBACK, True): _loopback,
    (SPEED, False): _taken("speed"),
    (CLEAR, False): _cleared,
    (ADDRESS_ADD, False): _address,
    (ADDRESS_ADD, True): _address_asked,
    (ADDRESS_REMOVE, False): _address_removed,
    (TX_BUFFERS, False): _taken("buffers"),
    (SFP, True): _sfp,
    (RESET_QUEUE, True): _ready,
    (ADDRESS_SPACE, False): _space,
    (RAS_STATUS, True): _errors,
    (MSIX_STATUS, True): _errors,
    (MDIO, False): _mdio,
    (MDIO, True): _mdio,
}


class Double:
    """Functions that are there as long as the ``with`` block; number 0 has a PHY, others fibres.

    ``memory`` is the file that becomes the guest's memory, ``directory`` takes the sockets.
    """

    def __init__(self, directory: Path, memory: Path, functions: int = 2) -> None:
        self.functions: list[Function] = []
        self._directory, self._memory, self._count = directory, memory, functions
        self._commands: list[Command] = []
        self._stop = threading.Event()
        self._ram: mmap.mmap | None = None
        self._threads: list[threading.Thread] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for number in range(self._count):
            descriptor = os.memfd_create(f"hns3-{number}")
            os.ftruncate(descriptor, BAR_SIZE)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.fspath(self._path(number)))
            listener.listen(1)
            bar = mmap.mmap(descriptor, BAR_SIZE)
            self.functions.append(Function(number, number == 0, bar, listener))
            self._begin(self._lend, self.functions[-1], descriptor)
        self._begin(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for function in self.functions:
            with contextlib.suppress(OSError):
                function.listener.shutdown(socket.SHUT_RDWR)
            function.listener.close()
        for thread in self._threads:
            thread.join()
        self._stack.close()

    @property
    def argv(self) -> tuple[str, ...]:
        """What QEMU has to be told of the functions, all of one device."""
        words: list[str] = []
        for number in range(self._count):
            words += ["-chardev", f"socket,id=hns3-{number},path={self._path(number)}"]
            device = f"ivshmem-doorbell,chardev=hns3-{number},vectors={VECTORS},bus=pcie.0"
            words += ["-device", f"{device},addr=0x18.{number:#x},multifunction=on"]
        return tuple(words)

    def taken(self) -> list[Command]:
        """Return the commands since the last call, in the order in which they came."""
        commands, self._commands = self._commands, []
        return commands

    def _path(self, number: int) -> Path:
        return self._directory / f"hns3-{number}"

    def _begin(self, what: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _lend(self, function: Function, descriptor: int) -> None:
        """Tell QEMU the version and its number; give it the memory and the vectors."""
        try:
            peer, _ = function.listener.accept()
        except OSError:  # nobody came
            os.close(descriptor)
            return
        self._stack.callback(peer.close)
        for number in (0, 1):
            peer.sendall(struct.pack("<q", number))
        socket.send_fds(peer, [struct.pack("<q", -1)], [descriptor])
        os.close(descriptor)
        for _ in range(VECTORS):
            event = os.eventfd(0, os.EFD_NONBLOCK)
            socket.send_fds(peer, [struct.pack("<q", 1)], [event])
            os.close(event)

    def _serve(self) -> None:
        """Look at each function's queue until the end."""
        while not self._stop.is_set():
            done = [self._look(function) for function in self.functions]
            if not any(done):
                time.sleep(_IDLE_S)

    def _look(self, function: Function) -> bool:
        function.set(_CLEARED_BY_ONES, 0)
        head, tail = function.register(_HEAD), function.register(_TAIL)
        entries = (function.register(_DEPTH) & 0xFFFF) << 3
        if head == tail or entries == 0:
            return False
        base = function.register(_BASE_LOW) | function.register(_BASE_HIGH) << 32
        while head != tail:
            places = list(self._places(base, entries, head, tail))
            self._answer(function, places)
            head = (head + len(places)) % entries
        function.set(_HEAD, head)
        return True

    def _places(self, base: int, entries: int, head: int, tail: int) -> Iterator[int]:
        """Yield where in memory the descriptors of the command at ``head`` are."""
        while head != tail:
            place = base - RAM_BASE + head * _DESCRIPTOR
            yield place
            if not struct.unpack_from("<H", self.ram, place + 2)[0] & _NEXT:
                return
            head = (head + 1) % entries

    @property
    def ram(self) -> mmap.mmap:
        """The guest's memory; its file is there when the guest is."""
        if self._ram is None:
            with self._memory.open("r+b") as file:
                self._ram = mmap.mmap(file.fileno(), 0)
        return self._ram

    def _answer(self, function: Function, places: list[int]) -> None:
        opcode, flags = struct.unpack_from("<2H", self.ram, places[0])
        asks = bool(flags & _READ)
        data = [bytearray(self.ram[place + 8 : place + _DESCRIPTOR]) for place in places]
        asked = bytes(data[0])
        failed = opcode in function.fails
        if failed:
            function.fails.discard(opcode)
        else:
            function.answer(opcode, asks, data[0], data[1] if len(data) > 1 else None)
        for place, answer in zip(places, data, strict=True):
            self.ram[place + 8 : place + _DESCRIPTOR] = bytes(answer)
            struct.pack_into("<H", self.ram, place + 4, 7 if failed else 0)
        self._commands.append(Command(function.number, opcode, asks, time.monotonic_ns(), asked))
