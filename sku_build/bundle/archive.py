# SPDX-License-Identifier: GPL-2.0-only
"""A bundle as one tar archive: sorted, owned by root, of one date, the same bytes each time."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sku_build.errors import CheckError, UserError

SUFFIX = ".tar"


def is_archive(path: Path) -> bool:
    """Return whether ``path`` names an archive and not a directory."""
    return path.suffix == SUFFIX


def pack(root: Path, archive: Path, *, name: str, epoch: int) -> None:
    """Write the directory ``root`` to ``archive``, in which it is called ``name``.

    ``epoch`` is the date of all entries, in seconds since 1970. An earlier file is replaced in one
    step.
    """
    with tempfile.NamedTemporaryFile(
        prefix=f".{archive.name}.", dir=archive.parent, delete=False
    ) as sink:
        made = Path(sink.name)
        try:
            with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for path in (root, *sorted(root.rglob("*"))):
                    _add(tar, path, str(Path(name) / path.relative_to(root)), epoch)
            made.chmod(0o644)
            made.replace(archive)
        except BaseException:
            made.unlink(missing_ok=True)
            raise


def _add(tar: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = epoch
    entry.uname = entry.gname = "root"
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        return
    entry.size, entry.mode = path.stat().st_size, path.stat().st_mode & 0o777
    with path.open("rb") as content:
        tar.addfile(entry, content)


def unpack(archive: Path, into: Path) -> Path:
    """Unpack ``archive`` into the empty directory ``into``; return the bundle in it.

    Only files and directories below one top directory are taken: CheckError for anything else,
    UserError when it cannot be read.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(into, members=_plain(tar, archive), filter="data")
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"cannot read the archive: {error}", where=archive) from error
    tops = list(into.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise CheckError("there is not one directory in the archive", where=archive)
    return tops[0]


def _plain(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    for entry in tar:
        if not entry.isfile() and not entry.isdir():
            raise CheckError(f"{entry.name} is neither a file nor a directory", where=archive)
        yield entry
