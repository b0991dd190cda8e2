# SPDX-License-Identifier: GPL-2.0-only
"""The lines of kernels the tests go through, and which series each of them gets."""

from __future__ import annotations

from collections.abc import Sequence

from sku_build import series
from sku_build.errors import UserError
from sku_build.series import Series
from sku_build.tree import Tree

LINES = ("5.10", "6.1", "6.12", "7.3")


def those_for(tree: Tree, names: Sequence[str]) -> list[Series]:
    """Return the series ``names`` and what they require, without those not for this ``tree``."""
    return [item for item in series.resolve(names) if _is_for(item, tree)]


def _is_for(item: Series, tree: Tree) -> bool:
    try:
        series.select(item, tree.kernel)
    except UserError:
        return False
    return True
