# SPDX-License-Identifier: GPL-2.0-only
"""Whether a bundle is what somebody trusted has signed: all of it, and nothing besides."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sku_build import metadata as records
from sku_build.bundle import archive, manifest, signature, sums
from sku_build.errors import CheckError, UserError


class Verified(msgspec.Struct, frozen=True):
    """A bundle that verifies: what it is, and the fingerprint of the key that signed it."""

    path: Path
    name: str
    release: str
    board: str
    files: int
    key: str
    sha256: str


def verify(path: Path, keys: Sequence[Path]) -> Verified:
    """Return what the bundle at ``path``, a directory or an archive, is.

    ``keys`` are public keys to trust, or directories of such. Raises CheckError when a file was
    changed, is missing or is not listed, when the signature is another's or none, and UserError
    when it is no bundle or there is no key.
    """
    trusted = signature.public_keys(keys)
    with _directory(path) as root:
        listed = root / sums.FILE_NAME
        if not listed.is_file():
            raise UserError(
                f"not a bundle: it has no {sums.FILE_NAME}",
                where=path,
                hint="`sku bundle make` makes one of a build",
            )
        text = listed.read_bytes()
        signed = root / sums.SIGNATURE
        if not signed.is_file():
            raise CheckError(
                "the bundle is not signed", where=path, hint="`sku bundle sign` signs it"
            )
        key = signature.verify(text, signed.read_bytes(), trusted, str(path))
        digests = sums.decode(text, str(listed))
        check_files(root, digests, str(path))
        about = _checked_manifest(root, digests, str(path))
        return Verified(
            path,
            about.name,
            about.release,
            about.board,
            len(digests),
            key,
            records.sha256(listed),
        )


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise UserError("there is no such bundle", where=path)
    with tempfile.TemporaryDirectory(prefix="sku-bundle-") as name:
        yield archive.unpack(path, Path(name))


def check_files(root: Path, digests: Mapping[str, str], where: str | None = None) -> None:
    """Raise CheckError unless ``root`` holds exactly the files of ``digests``, as they are there.

    ``where`` is what to call ``root``.
    """
    named = where or str(root)
    for name, digest in digests.items():
        path = root / name
        if not path.is_file() or path.is_symlink():
            raise CheckError(f"{name} is missing", where=named, hint=_AGAIN)
        if records.sha256(path) != digest:
            raise CheckError(f"{name} is not what was signed", where=named, hint=_AGAIN)
    own = {sums.FILE_NAME, sums.SIGNATURE}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if (path.is_symlink() or not path.is_dir()) and name not in digests and name not in own:
            raise CheckError(f"{name} is not listed in {sums.FILE_NAME}", where=named, hint=_AGAIN)


def _checked_manifest(root: Path, digests: Mapping[str, str], where: str) -> manifest.Manifest:
    if manifest.FILE_NAME not in digests:
        raise CheckError(f"the bundle has no {manifest.FILE_NAME}", where=where, hint=_AGAIN)
    about = manifest.decode((root / manifest.FILE_NAME).read_bytes(), where)
    told = {file.path: file.sha256 for file in about.files}
    if told != {name: digest for name, digest in digests.items() if name != manifest.FILE_NAME}:
        raise CheckError(
            f"{manifest.FILE_NAME} and {sums.FILE_NAME} do not tell of the same files", where=where
        )
    return about


_AGAIN = "fetch the bundle again; do not use it"
