# SPDX-License-Identifier: GPL-2.0-only
"""`sku check`: every series against every known tree, for CI.

`findings` has the data, `matrix` puts series on trees, `rules` judges, `output` writes what CI
engines read.
"""

from sku_build.check.findings import Cell, CheckReport, Finding, Level
from sku_build.check.station import run_check

__all__ = ["Cell", "CheckReport", "Finding", "Level", "run_check"]
