# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel leaves of SATA disks, read and spoilt in the guest's memory between two kernels."""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

# include/linux/kho/abi/device_state.h: magic, version and checksum of the head, next, name, place,
# identity, mark, length, checksum of the data; then the data.
_MAGIC, _NAME = b"DEVSTATE", b"sata-disks\0"
_NAME_AT, _MARK_AT, _LENGTH_AT, _CRC_AT, _DATA_AT = 24, 248, 256, 264, 272
_PAGE = 4096
_WAIT_S = 60.0
# drivers/ata/libata-state-cache.h: a head of 8 bytes, and disks.
NUMBER, EMPTY, _DISKS_AT, _DISK = 0, 4, 8, 104
PORT, SIGNATURE, BLOCKS, SERIAL, FIRMWARE, MODEL = 0, 8, 16, 24, 44, 52


class State(bytearray):
    """The data: the number of disks, a bit for each empty port, and the disks."""

    def at(self, disk: int, field: int) -> int:
        """Return where a field of a disk is."""
        return _DISKS_AT + _DISK * disk + field

    def port(self, disk: int) -> int:
        """Return the port of a disk."""
        return self._number(self.at(disk, PORT))

    def empty(self) -> int:
        """Return the bits of the empty ports."""
        return self._number(EMPTY)

    def set(self, at: int, value: int) -> None:
        """Write a number of 32 bits."""
        struct.pack_into("<I", self, at, value)

    def _number(self, at: int) -> int:
        (value,) = struct.unpack_from("<I", self, at)
        return int(value)


class Memory:
    """The memory of a guest: a file of this machine that it shares with QEMU."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._map.close()

    def states(self) -> list[int]:
        """Return where states of SATA disks are that will be sealed; of earlier kernels, they are.

        Pages that were given up may still lie around, and are not told from others.
        """
        found, at = [], -1
        while (at := self._map.find(_NAME, at + 1)) >= 0:
            begin = at - _NAME_AT
            is_state = begin % _PAGE == 0 and self._map[begin : begin + 8] == _MAGIC
            if is_state and not self._is_sealed(begin):
                found.append(begin)
        return found

    def spoil(self, states: list[int], change: Callable[[State], None], *, sound: bool) -> None:
        """Wait until one of ``states`` is sealed, and ``change`` its data.

        With ``sound``, the checksum is made right again. Raises TimeoutError when none is sealed.
        """
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            for state in states:
                data = self._data(state)
                # A page that was given up may be anything by now.
                if self._is_sealed(state) and self._crc(state, data) == self._sum(state):
                    return self._change(state, State(data), change, sound=sound)
        raise TimeoutError("no state of SATA disks was sealed")

    def _change(
        self, state: int, data: State, change: Callable[[State], None], *, sound: bool
    ) -> None:
        change(data)
        self._write(state + _DATA_AT, bytes(data))
        if sound:
            self._write(state + _CRC_AT, struct.pack("<I", self._crc(state, bytes(data))))

    def _data(self, state: int) -> bytes:
        (length,) = struct.unpack_from("<Q", self._map, state + _LENGTH_AT)
        return bytes(self._map[state + _DATA_AT : state + _DATA_AT + min(length, _PAGE)])

    def _sum(self, state: int) -> int:
        (crc,) = struct.unpack_from("<I", self._map, state + _CRC_AT)
        return int(crc)

    def _is_sealed(self, state: int) -> bool:
        return any(self._map[state + _MARK_AT : state + _LENGTH_AT])

    def _crc(self, state: int, data: bytes) -> int:
        """Return the kernel's checksum of a state: version, texts, length and data."""
        head = bytes(self._map[state : state + _DATA_AT])
        summed = head[8:12] + head[_NAME_AT:_MARK_AT] + head[_LENGTH_AT:_CRC_AT] + data
        return zlib.crc32(summed) ^ 0xFFFFFFFF

    def _write(self, at: int, data: bytes) -> None:
        self._map[at : at + len(data)] = data
