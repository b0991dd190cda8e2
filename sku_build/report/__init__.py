# SPDX-License-Identifier: GPL-2.0-only
"""One HTML page that shows where the time of an update goes, and what the benches measured."""

from sku_build.report.page import render
from sku_build.report.sources import Source, load

__all__ = ["Source", "load", "render"]
