# SPDX-License-Identifier: GPL-2.0-only
"""From a finished build to what leaves the house: one directory or archive, listed and signed.

``manifest.json`` says what it was made from, ``SHA256SUMS`` lists every file, and the signature is
over that list. docs/bundle.md describes all of it.
"""

from __future__ import annotations

from sku_build.bundle.making import Made, make
from sku_build.bundle.verifying import Verified, verify

__all__ = ["Made", "Verified", "make", "verify"]
