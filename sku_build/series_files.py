# SPDX-License-Identifier: GPL-2.0-only
"""Several files of a series' directory changed in one step, whenever the process is killed.

The new files are written into ``.writing/`` and a manifest is put beside them last. With the
manifest there the change is decided, and whoever comes next finishes it; without it nothing was
changed. The directory itself stays, since a shell may be in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

_PENDING = ".writing"
_MANIFEST = "manifest.json"


class _Manifest(msgspec.Struct, frozen=True):
    """Staged name → the name it gets; the names that go."""

    written: dict[str, str]
    removed: list[str]


def replace(directory: Path, written: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
    """Write the files ``written`` (relative name → content) and remove ``removed``: all or none."""
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        _finish(directory)
        staging = directory / _PENDING
        staging.mkdir()
        names = {str(number): name for number, name in enumerate(written)}
        for staged, name in names.items():
            _write(staging / staged, written[name])
        draft = staging / f"{_MANIFEST}.new"
        _write(draft, msgspec.json.encode(_Manifest(names, list(removed))))
        draft.rename(staging / _MANIFEST)
        _finish(directory)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())


def finish(directory: Path) -> None:
    """Finish or forget a change of ``directory`` that was cut off; costs one look otherwise."""
    if (directory / _PENDING).exists():
        with _locked(directory):
            _finish(directory)


def _finish(directory: Path) -> None:
    staging = directory / _PENDING
    with contextlib.suppress(FileNotFoundError):
        manifest = msgspec.json.decode((staging / _MANIFEST).read_bytes(), type=_Manifest)
        for staged, name in manifest.written.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # moved before it was cut off
                (staging / staged).replace(directory / name)
        for name in manifest.removed:
            (directory / name).unlink(missing_ok=True)
        (staging / _MANIFEST).unlink()
    shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
