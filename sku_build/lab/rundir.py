# SPDX-License-Identifier: GPL-2.0-only
"""The directory that a run leaves: its result, and the logs of all that took part."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sku_build import layout
from sku_build.errors import UserError

RESULT = "result.json"
SERIAL_LOG = "serial.log"
QEMU_LOG = "qemu.log"
_KEPT_RUNS = 20


def kernel_log(number: int) -> str:
    """Return the name of the file for the log of the kernel that ran as ``number``, from 1."""
    return f"kernel-{number}.log"


def create(kind: str, chosen: Path | None) -> Path:
    """Return a directory for a run, without a trace of an earlier one.

    Without a ``chosen`` one it is a new one in the cache, where the oldest runs make room for it.
    """
    if chosen is None:
        return _create_in_cache(kind)
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the directory: {error.strerror}", where=chosen) from error
    for name in (RESULT, SERIAL_LOG, QEMU_LOG, kernel_log(1), kernel_log(2)):
        (chosen / name).unlink(missing_ok=True)
    return chosen.resolve()


def _create_in_cache(kind: str) -> Path:
    runs = layout.cache_dir("lab")
    by_age = sorted(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in by_age[: -(_KEPT_RUNS - 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=runs))
