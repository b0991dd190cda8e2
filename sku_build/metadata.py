# SPDX-License-Identifier: GPL-2.0-only
"""``metadata.json``: what a build was made from, by what, how long it took and what came out.

It is written when the build starts and replaced at every step, so that a build that was killed
still tells what it was; docs/metadata.md describes it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Literal

import msgspec

from sku_build import files
from sku_build.composition import LeftOut
from sku_build.errors import UserError
from sku_build.kconfig.model import Waived
from sku_build.outcome import PatchOutcome

FILE_NAME = "metadata.json"
FORMAT = 2


class Artefact(msgspec.Struct, frozen=True):
    """One file of the bundle directory; ``path`` is relative to it, ``size`` is in bytes."""

    path: str
    size: int
    sha256: str


class InputRecord(msgspec.Struct, frozen=True):
    """A file that a build was made from.

    ``kind`` is ``patch``, ``fragment``, ``board``, ``runtime`` or ``toolchain``; ``path`` is
    relative to the toolkit's data, of a program of the toolchain its name alone.
    """

    kind: str
    path: str
    sha256: str


class TreeRecord(msgspec.Struct, frozen=True):
    """Where the source came from; ``base`` is its commit, ``commit`` the one with the series on."""

    name: str
    kind: str
    version: str
    origin: str
    base: str
    commit: str


class SeriesRecord(msgspec.Struct, frozen=True):
    """A patch series and its version."""

    name: str
    version: str


class ConfigRecord(msgspec.Struct, frozen=True):
    """The resolved configuration; ``waived`` are the lost symbols a fragment allowed to be lost.

    ``requested`` counts the symbols asked for; all but the waived ones came out as asked.
    """

    base: str
    fragments: list[str]
    extra: list[str]
    sha256: str
    requested: int
    waived: list[Waived]


class ImageRecord(msgspec.Struct, frozen=True):
    """The header of the Image; ``image_size`` and ``text_offset`` are in bytes."""

    text_offset: int
    image_size: int
    page_kib: int | None
    efi_stub: bool


class CcacheRecord(msgspec.Struct, frozen=True):
    """How many compilations ccache answered, and how many it had to run."""

    hits: int
    misses: int


class HostRecord(msgspec.Struct, frozen=True):
    """The machine that built: what can matter for the result, nothing that identifies it."""

    machine: str
    system: str
    cpus: int


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``metadata.json``.

    ``timings`` are seconds by step; ``reproduce`` is the command that builds the same again;
    ``fingerprint`` is a hash over all inputs, by which a build with nothing to do is known.
    ``reused`` says that this call had nothing to do (never so in the file).
    """

    format: int = FORMAT
    status: Literal["building", "complete", "failed", "interrupted"]
    step: str
    error: str | None = None
    sku: str
    started: str
    reproduce: str
    board: str
    arch: str
    cmdline: str
    tree: TreeRecord
    series: list[SeriesRecord]
    left_out: list[LeftOut] = []
    patches: list[PatchOutcome]
    localversion: str
    release: str | None = None
    source_date_epoch: int
    toolchain: dict[str, str]
    inputs: list[InputRecord] = []
    config: ConfigRecord | None = None
    image: ImageRecord | None = None
    ccache: CcacheRecord | None = None
    timings: dict[str, float] = {}
    artefacts: list[Artefact] = []
    host: HostRecord
    fingerprint: str
    reused: bool = False


def host() -> HostRecord:
    """Return the facts of this host."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    return HostRecord(
        machine=platform.machine(),
        system=release.get("PRETTY_NAME", platform.system()),
        cpus=len(os.sched_getaffinity(0)),
    )


def write(metadata: Metadata, path: Path) -> None:
    """Replace the file ``path`` in one step, so that a reader sees the old or the new, whole."""
    files.replace(path, msgspec.json.format(msgspec.json.encode(metadata), indent=2) + b"\n")


def read(bundle: Path) -> Metadata:
    """Return the metadata of the bundle directory ``bundle``; UserError when it has none."""
    path = bundle / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Metadata)
    except FileNotFoundError as error:
        raise UserError(
            "not a bundle: it has no metadata.json",
            where=bundle,
            hint="`sku build --output` makes one",
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"cannot read it: {error}", where=path) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def artefacts(bundle: Path) -> list[Artefact]:
    """Return every regular file of a bundle directory, sorted, but metadata.json and the log.

    The unpacked initramfs is left out: initramfs.cpio is the same, and is in.
    """
    left_out = {bundle / FILE_NAME, bundle / "build.log"}
    unpacked = bundle / "initramfs"
    return [
        Artefact(str(path.relative_to(bundle)), path.stat().st_size, sha256(path))
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and path not in left_out
        and not path.is_relative_to(unpacked)
    ]


def fingerprint(**inputs: object) -> str:
    """Return one hash over everything a build is made from (anything msgspec can encode)."""
    return hashlib.sha256(msgspec.json.encode(inputs, order="sorted", enc_hook=str)).hexdigest()


def tree_fingerprint(directory: Path) -> str:
    """Return a hash over the names and contents of all files below ``directory``."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(directory)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def up_to_date(bundle: Path, wanted: str) -> Metadata | None:
    """Return the metadata of ``bundle`` if it was built from ``wanted`` and nothing was altered.

    ``wanted`` is a :func:`fingerprint`. Sizes are compared before contents.
    """
    try:
        metadata = read(bundle)
    except UserError:
        return None
    if metadata.status != "complete" or metadata.fingerprint != wanted:
        return None
    for artefact in metadata.artefacts:
        path = bundle / artefact.path
        if not path.is_file() or path.stat().st_size != artefact.size:
            return None
    if any(sha256(bundle / artefact.path) != artefact.sha256 for artefact in metadata.artefacts):
        return None
    if not (bundle / "initramfs" / "init").is_file():
        return None
    return msgspec.structs.replace(metadata, reused=True)
