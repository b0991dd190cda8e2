# SPDX-License-Identifier: GPL-2.0-only
"""Kernel configuration: fragments in, a proven ``.config`` out, and the reasons when it is not.

:func:`configure` is the station; see ``configs/README.md`` for the language of fragments.
"""

from sku_build.kconfig.model import (
    ConfigReport,
    Disagreement,
    Obstacle,
    Place,
    Problem,
    Request,
    Waived,
)
from sku_build.kconfig.reproducible import reproducibility_problems
from sku_build.kconfig.resolve import configure

__all__ = [
    "ConfigReport",
    "Disagreement",
    "Obstacle",
    "Place",
    "Problem",
    "Request",
    "Waived",
    "configure",
    "reproducibility_problems",
]
