# SPDX-License-Identifier: GPL-2.0-only
"""Making a bundle of a finished build, and signing one that is there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from sku_build import bundledir, files
from sku_build import metadata as records
from sku_build.bundle import archive, content, manifest, provenance, sbom, signature, sums
from sku_build.bundle.manifest import Manifest
from sku_build.errors import UserError

_EPOCH = "SOURCE_DATE_EPOCH"


class Made(msgspec.Struct, frozen=True):
    """A bundle: where it is, its manifest's name, how many files it has, and the list's hash.

    ``sha256`` is that of ``SHA256SUMS``: two bundles with the same are the same. ``signed`` says
    whether there is a signature with it.
    """

    output: Path
    name: str
    files: int
    bytes: int
    sha256: str
    signed: bool


def make(build: Path, output: Path, *, key: Path | None = None) -> Made:
    """Make a bundle of the directory that ``sku build`` left, and sign it when there is a ``key``.

    ``output`` is a directory, or an archive when its name ends in ``.tar``; an earlier bundle there
    is replaced, at success only. Dates are those of ``SOURCE_DATE_EPOCH``, by default the build's.
    Raises UserError for a build that is not whole or an output that is something else, CheckError
    when a file is not as it was built.
    """
    metadata = manifest.checked(records.read(build), str(build))
    _check_output(output)
    target = output.absolute()
    epoch = _epoch(metadata.source_date_epoch)
    if not archive.is_archive(target):
        with bundledir.replacing(target) as root:
            made = _fill(build, metadata, root, key=key, epoch=epoch)
        return msgspec.structs.replace(made, output=output)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sku-bundle-", dir=target.parent) as directory:
        root = Path(directory, "bundle")
        root.mkdir()
        made = _fill(build, metadata, root, key=key, epoch=epoch)
        archive.pack(root, target, name=made.name, epoch=epoch)
    return msgspec.structs.replace(made, output=output)


def _check_output(output: Path) -> None:
    if not archive.is_archive(output):
        bundledir.check(output, mark=sums.FILE_NAME)
    elif output.is_dir():
        raise UserError("the output is a directory, and not an archive", where=output)


def _epoch(built: int) -> int:
    given = os.environ.get(_EPOCH)
    if given is None:
        return built
    if not given.isdecimal():
        raise UserError(f"{_EPOCH} is not a number of seconds: {given!r}")
    return int(given)


def _fill(
    build: Path, metadata: records.Metadata, root: Path, *, key: Path | None, epoch: int
) -> Made:
    parts = content.fill(build, metadata, root)
    about = manifest.of(metadata, parts)
    for name, value in (
        (sbom.FILE_NAME, sbom.document(about, root, parts)),
        (provenance.FILE_NAME, provenance.statement(about, parts)),
    ):
        (root / name).write_bytes(manifest.document(value))
    about = msgspec.structs.replace(about, files=content.listed(root))
    (root / manifest.FILE_NAME).write_bytes(manifest.encode(about))
    return _seal(root, about, key=key, epoch=epoch)


def _seal(root: Path, about: Manifest, *, key: Path | None, epoch: int) -> Made:
    listed = content.listed(root)
    text = sums.encode({file.path: file.sha256 for file in listed})
    (root / sums.FILE_NAME).write_bytes(text)
    if key is not None:
        (root / sums.SIGNATURE).write_bytes(signature.sign(text, key))
    content.settle(root, epoch)
    return Made(
        output=root,
        name=about.name,
        files=len(listed),
        bytes=sum(file.size for file in listed),
        sha256=records.sha256(root / sums.FILE_NAME),
        signed=key is not None,
    )


def sign(bundle: Path, key: Path) -> None:
    """Sign the bundle directory ``bundle`` with ``key``; an earlier signature is replaced.

    What is signed is the list of files; that the files are those of the list is seen to first.
    """
    from sku_build.bundle.verifying import check_files

    path = bundle / sums.FILE_NAME
    if not path.is_file():
        raise UserError(
            "not a bundle directory: it has no " + sums.FILE_NAME,
            where=bundle,
            hint="`sku bundle make` makes one; an archive is signed when it is made (--sign)",
        )
    text = path.read_bytes()
    check_files(bundle, sums.decode(text, str(path)))
    stamp = path.stat().st_mtime_ns
    files.replace(bundle / sums.SIGNATURE, signature.sign(text, key))
    for changed in (bundle / sums.SIGNATURE, bundle):
        os.utime(changed, ns=(stamp, stamp))
