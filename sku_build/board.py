# SPDX-License-Identifier: GPL-2.0-only
"""Boards: what a machine is, which series and configuration it takes, how it is booted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from sku_build import layout
from sku_build.decode import did_you_mean, load_toml
from sku_build.errors import UserError

Name = str


class ConfigPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the board's kernel configuration starts from, and the fragments put on top.

    ``base`` is a make target of the kernel (``allnoconfig``, ``defconfig``) and each of
    ``fragments`` a template ``configs/NAME.config.j2``.
    """

    base: str
    fragments: list[str]


class MachinePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts of the machine that templates and sizes are computed from."""

    cpus: int
    memory_gib: int
    nodes: int = 1
    page_kib: Literal[4, 16, 64] = 4


class FirmwarePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Firmware that starts the kernel: the file ``path`` of a Debian ``package`` of ``suite``."""

    suite: str
    package: str
    path: str


class QemuPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the lab boots the board: values of QEMU's -machine, -cpu, -smp and -m options.

    Without ``firmware`` QEMU starts the kernel itself.
    ``devices``, ``disks`` and ``nics`` are values of -device. The first disk holds the root file
    system, and the first network card is in the lab's network, in a run that has them; the other
    disks are empty, the other cards have a link to nobody. All are always there, but on a board
    that lists none: there a run gets a virtio device for what it needs. ``root`` is what the kernel
    is told of the root file system, a device or ``UUID=``.
    ``expected_warnings`` are regular expressions: a kernel log's warning that one of them is found
    in comes from the machine played here, and is no finding.
    """

    machine: str
    cpu: str
    smp: int
    memory_mib: int
    firmware: FirmwarePart | None = None
    root: str = "/dev/vda"
    devices: list[str] = []
    disks: list[str] = []
    nics: list[str] = []
    expected_warnings: list[str] = []


class PartialInitPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What devices wait for their drivers, on kernels with the series ``partial_init``.

    ``waits`` and ``needed`` are patterns of its ``partial_init=``: a device waits that one of the
    first fits and none of the second. ``timeout`` is in seconds.
    """

    waits: list[str]
    needed: list[str] = []
    timeout: int = 60


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``boards/NAME/board.toml``; ``cmdline`` is the command line of the built kernel.

    It gets the words of ``partial_init`` where there is one and the kernel has the series.
    """

    name: Name
    summary: str
    arch: Literal["arm64"]
    series: list[str]
    cmdline: str
    config: ConfigPart
    machine: MachinePart
    dtbs: list[str] = []
    modules: bool = False
    partial_init: PartialInitPart | None = None
    qemu: QemuPart | None = None


def boards_dir() -> Path:
    """Return the directory that holds one directory a board."""
    return layout.data_root() / "boards"


def names() -> list[Name]:
    """Return the names of all boards, sorted."""
    return sorted(path.parent.name for path in boards_dir().glob("*/board.toml"))


def with_fragments(board: Board, fragments: Sequence[str]) -> Board:
    """Return ``board`` with more configuration ``fragments``, after its own."""
    own = board.config
    config = msgspec.structs.replace(
        own, fragments=list(dict.fromkeys([*own.fragments, *fragments]))
    )
    return msgspec.structs.replace(board, config=config)


def load(name: Name) -> Board:
    """Return the board called ``name``; raises UserError when it is unknown or malformed."""
    if name not in names():
        known = ", ".join(names()) or "none"
        raise UserError(
            f"there is no board {name!r}",
            where=boards_dir(),
            hint=did_you_mean(name, names()) or f"the boards are: {known}",
        )
    path = boards_dir() / name / "board.toml"
    board = load_toml(path, Board)
    if board.name != name:
        raise UserError(f"key name: is {board.name!r}, but the directory is {name!r}", where=path)
    return board
