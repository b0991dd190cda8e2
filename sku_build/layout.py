# SPDX-License-Identifier: GPL-2.0-only
"""Where things are: the data shipped with the toolkit, and the cache outside of it."""

from __future__ import annotations

import os
from pathlib import Path

from sku_build.errors import UserError


def data_root() -> Path:
    """Return the directory that holds ``boards``, ``configs``, ``patchsets`` and ``runtime``.

    ``SKU_DATA`` names another one; otherwise it is the checkout the package runs from, or the data
    installed with the wheel.
    """
    chosen = os.environ.get("SKU_DATA")
    if chosen:
        root = Path(chosen).expanduser().resolve()
        if not root.is_dir():
            raise UserError("SKU_DATA does not name a directory", where=root)
        return root
    package = Path(__file__).resolve().parent
    checkout = package.parent
    return checkout if (checkout / "boards").is_dir() else package / "data"


def cache_root() -> Path:
    """Return ``$SKU_CACHE``, or ``sku`` under the XDG cache directory; it is created."""
    chosen = os.environ.get("SKU_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(chosen).expanduser() if chosen else Path(xdg) / "sku"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create the cache directory: {error.strerror}",
            where=root,
            hint="set SKU_CACHE to a directory on a disk with 20 GB free",
        ) from error
    return root.resolve()


def cache_dir(name: str) -> Path:
    """Return (and create) one named directory in the cache."""
    path = cache_root() / name
    path.mkdir(parents=True, exist_ok=True)
    return path
