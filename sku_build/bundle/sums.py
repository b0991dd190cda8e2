# SPDX-License-Identifier: GPL-2.0-only
"""``SHA256SUMS``: the list of all files of a bundle, in the format of ``sha256sum``.

It is what is signed: the target checks it without reading JSON, and anybody with
``sha256sum --check`` can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sku_build.errors import CheckError, UserError

FILE_NAME = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"

# What runtime/bundle.c takes: nothing that sha256sum would escape, no way out of the directory.
_NAME = r"[A-Za-z0-9_+@=,~][A-Za-z0-9._+@=,:~-]*"
_PATH = re.compile(f"{_NAME}(/{_NAME})*")
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def check_path(path: str) -> str:
    """Return ``path`` if it can be listed; UserError otherwise."""
    if not _PATH.fullmatch(path):
        raise UserError(
            "a file of this name cannot be part of a bundle",
            where=path,
            hint="letters, digits and . _ + @ = , : ~ - only, and no leading dot or dash",
        )
    return path


def encode(digests: Mapping[str, str]) -> bytes:
    """Return the list of ``digests``, SHA-256 in hexadecimal by path, sorted by bytes."""
    return "".join(f"{digests[path]}  {check_path(path)}\n" for path in sorted(digests)).encode()


def decode(data: bytes, where: str) -> dict[str, str]:
    """Return the digests by path; CheckError, naming ``where``, when it is no such list."""
    digests: dict[str, str] = {}
    last = ""
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if not match or not _PATH.fullmatch(match[2]) or match[2] <= last:
            raise CheckError("it is not a sorted list of hashes", where=f"{where}:{number}")
        last = match[2]
        digests[last] = match[1]
    if not digests or not data.endswith(b"\n"):
        raise CheckError("the list of hashes is empty or cut off", where=where)
    return digests
