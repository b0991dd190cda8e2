# SPDX-License-Identifier: GPL-2.0-only
"""What goes from a build into a bundle, under which name and with which mode."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sku_build import layout
from sku_build import metadata as records
from sku_build.bundle.manifest import FileOf
from sku_build.bundle.sums import check_path
from sku_build.errors import CheckError
from sku_build.metadata import Metadata

CMDLINE = "cmdline"
# Of the build, besides its artefacts: initramfs.cpio holds the same, and is hashed.
_UNPACKED = "initramfs"
_UNITS = ("service", "target", "socket", "timer", "path", "conf")


def fill(build: Path, metadata: Metadata, target: Path) -> list[FileOf]:
    """Copy all that a bundle of the finished ``build`` holds to ``target``; return it, sorted.

    Raises CheckError when a file is not as the build left it.
    """
    for artefact in metadata.artefacts:
        source = build / artefact.path
        if not source.is_file() or records.sha256(source) != artefact.sha256:
            raise CheckError(
                f"{artefact.path} is not what was built",
                where=build,
                hint=f"build it again: {metadata.reproduce}",
            )
        _copy(source, target / check_path(artefact.path))
    for source in _files(build / _UNPACKED):
        _copy(source, target / source.relative_to(build))
    for source in units():
        _copy(source, target / "systemd" / source.name)
    # One line without its end, as skuctl hands it to the kernel.
    (target / CMDLINE).write_text(metadata.cmdline)
    return listed(target)


def units() -> list[Path]:
    """Return the systemd units that the runtime has."""
    directory = layout.data_root() / "runtime" / "systemd"
    return sorted(path for kind in _UNITS for path in directory.rglob(f"*.{kind}"))


def listed(root: Path) -> list[FileOf]:
    """Return every file below ``root``, sorted by path."""
    found = [
        FileOf(
            check_path(str(path.relative_to(root))),
            path.stat().st_size,
            "0755" if os.access(path, os.X_OK) else "0644",
            records.sha256(path),
        )
        for path in _files(root)
    ]
    return sorted(found, key=lambda file: file.path)


def _files(root: Path) -> Iterable[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def settle(root: Path, epoch: int) -> None:
    """Give everything below ``root`` modes that do not depend on the umask, and the date ``epoch``.

    ``epoch`` is in seconds since 1970.
    """
    for path in sorted(root.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    root.chmod(0o755)
    os.utime(root, (epoch, epoch))
