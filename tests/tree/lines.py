# SPDX-License-Identifier: GPL-2.0-only
"""The lines of kernels the tests go through, and which series each of them gets."""

from __future__ import annotations

from collections.abc import Sequence

from sku_build import composition
from sku_build.series import Series
from sku_build.tree import Tree

LINES = ("5.10", "6.1", "6.12", "7.3")


def those_for(tree: Tree, names: Sequence[str]) -> list[Series]:
    """Return the series ``names`` and what they require, without those not for this ``tree``."""
    return list(composition.compose(names, tree.kernel).series)
