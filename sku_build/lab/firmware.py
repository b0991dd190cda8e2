# SPDX-License-Identifier: GPL-2.0-only
"""Firmware for virtual machines: a file of a Debian package, fetched once into the cache."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

from sku_build import closure, console, layout, run
from sku_build.board import FirmwarePart
from sku_build.errors import UserError

_ARCHITECTURE = "amd64"  # whose package lists are read; firmware is of no architecture


def image(part: FirmwarePart) -> Path:
    """Return the file that ``part`` names, downloaded when the cache does not have it.

    Raises UserError when the suite has no such package, or that no such file, and InfraError
    without network.
    """
    directory = layout.cache_dir("firmware")
    target = directory / f"{part.suite}-{part.package}-{Path(part.path).name}"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            with console.step(f"firmware of {part.package} ({part.suite})"):
                _extract(part, target)
    return target


def _extract(part: FirmwarePart, target: Path) -> None:
    found = closure.resolve((part.package,), suite=part.suite, architecture=_ARCHITECTURE)
    files = {file.name.partition("_")[0]: file for file in closure.fetch(found)}
    with tempfile.TemporaryDirectory(prefix=".firmware-", dir=target.parent) as temporary:
        run.run(["dpkg-deb", "--extract", files[part.package], temporary])
        root = Path(temporary).resolve()
        made = (root / part.path).resolve()
        if not made.is_relative_to(root) or not made.is_file():
            raise UserError(
                f"the package {part.package} of {part.suite} has no such file",
                where=part.path,
                hint="see firmware.path in the board's [qemu] part",
            )
        made.replace(target)
