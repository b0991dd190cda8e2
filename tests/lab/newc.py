# SPDX-License-Identifier: GPL-2.0-only
"""Archives with entries that only root could make a directory of: owners, devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

_TRAILER = "TRAILER!!!"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What an initramfs has under ``name``; ``mode`` with the type, ``rdev`` major and minor.

    Entries with the same ``inode`` other than 0, and ``nlink`` of 2 or more, are hard links.
    """

    name: str
    mode: int
    data: bytes = b""
    owner: tuple[int, int] = (0, 0)
    mtime: int = 1_000_000_000
    rdev: tuple[int, int] = (0, 0)
    inode: int = 0
    nlink: int = 1


def pack(entries: Sequence[Entry]) -> bytes:
    """Return the entries as a cpio archive in newc format, of a multiple of 512 bytes.

    The format is that of Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    packed = b"".join(map(_packed, (*entries, Entry(_TRAILER, 0, mtime=0))))
    return packed + bytes(-len(packed) % 512)


def _packed(entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (
        *(entry.inode, entry.mode, *entry.owner, entry.nlink, entry.mtime, len(entry.data)),
        *(0, 0, *entry.rdev, len(name), 0),
    )
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
