# SPDX-License-Identifier: GPL-2.0-only
"""Allow ``python -m sku_build``."""

from sku_build.cli import main

main()
