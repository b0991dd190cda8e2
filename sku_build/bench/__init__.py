# SPDX-License-Identifier: GPL-2.0-only
"""Comparisons: ours against the ordinary way, on the same machine, in one run.

Absolute times mean nothing from one machine to the next; a report holds them only so that the
ratios can be checked.
"""

from sku_build.bench.comparison import Comparison, Report

__all__ = ["Comparison", "Report"]
