# SPDX-License-Identifier: GPL-2.0-only
"""Run with sku.so preloaded: goes about a memfd as CRIU does, and says what comes of it.

``dump FD`` asks where the data of a memfd is, ``restore INODE`` makes one anew and opens the image
of its content, ``seal FD SEALS`` seals one. Prints what a call returns, and its errno after a
failure.
"""

from __future__ import annotations

import ctypes
import os
import sys

_SEEK_DATA = 3
_F_ADD_SEALS = 1033
_AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)
libc.lseek64.restype = ctypes.c_int64
libc.lseek64.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int]
libc.memfds_load.restype = ctypes.c_bool


def said(result: int) -> str:
    """Return ``result`` as a word, with errno if it is an error."""
    return str(result) if result >= 0 else f"{result} {os.strerror(ctypes.get_errno())}"


def main(what: str, *words: str) -> None:
    """Do ``what``."""
    assert libc.memfds_load()
    if what == "dump":
        print(said(libc.lseek64(int(words[0]), 0, _SEEK_DATA)))
    elif what == "seal":
        print(said(libc.fcntl64(int(words[0]), _F_ADD_SEALS, ctypes.c_long(int(words[1])))))
    else:
        made = libc.memfd_create(b"new", 0)
        image = f"pagemap-shmem-{words[0]}.img".encode()
        print(said(libc.openat64(_AT_FDCWD, image, os.O_RDONLY)))
        print(os.pread(made, 100, 0).decode())
        print(said(libc.openat64(_AT_FDCWD, image, os.O_RDONLY)))


main(*sys.argv[1:])
