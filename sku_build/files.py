# SPDX-License-Identifier: GPL-2.0-only
"""Files that are replaced in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sku_build.errors import UserError


def replace(path: Path, content: bytes) -> None:
    """Give the file ``path`` a new content, so that a reader sees the old or the new, whole.

    Raises UserError when that cannot be done; the old one is left then.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write there: {error.strerror}", where=path) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
