# SPDX-License-Identifier: GPL-2.0-only
"""What the lab takes from a bundle directory, checked before a machine is started with it.

That is a directory of ``sku build``, or what ``sku bundle`` made of one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sku_build import arm64, metadata
from sku_build.board import Board
from sku_build.bundle import manifest
from sku_build.errors import UserError

IMAGE = "Image"
INITRAMFS = "initramfs.cpio"


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """The bootable part of a bundle; ``release`` is what ``uname -r`` will say, if known."""

    path: Path
    board: str
    cmdline: str
    release: str | None

    @property
    def image(self) -> Path:
        """The uncompressed kernel."""
        return self.path / IMAGE

    @property
    def initramfs(self) -> Path:
        """The uncompressed cpio archive."""
        return self.path / INITRAMFS


def board_name(path: Path) -> str:
    """Return the name of the board that the bundle at ``path`` was built for."""
    return _about(path).board


def _about(path: Path) -> metadata.Metadata | manifest.Manifest:
    packed = path / manifest.FILE_NAME
    if packed.is_file() and not (path / metadata.FILE_NAME).exists():
        return manifest.decode(packed.read_bytes(), str(packed))
    return metadata.read(path)


def load(path: Path, board: Board) -> Bundle:
    """Return the bundle at ``path``.

    Raises UserError when a file is missing, the build did not finish or was for another board, and
    CheckError when the Image is not an uncompressed arm64 one.
    """
    path = path.resolve()
    if not path.is_dir():
        raise UserError("there is no such bundle directory", where=path, hint=_BUILD)
    data = _about(path)
    if isinstance(data, metadata.Metadata) and data.status != "complete":
        raise UserError(f"the build of this bundle is {data.status}", where=path, hint=_BUILD)
    if data.board != board.name:
        raise UserError(
            f"the bundle was built for the board {data.board}, not for {board.name}",
            where=path,
            hint=f"`sku build --board {board.name}` builds one for it",
        )
    bundle = Bundle(path, data.board, data.cmdline, data.release)
    for file in (bundle.image, bundle.initramfs):
        if not file.is_file():
            raise UserError(f"the bundle has no {file.name}", where=path, hint=_BUILD)
    arm64.read_image_header(bundle.image)
    return bundle


_BUILD = "`sku build` makes a bundle directory, `--output` names it"
