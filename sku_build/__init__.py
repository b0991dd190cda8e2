# SPDX-License-Identifier: GPL-2.0-only
"""sku: a seamless kernel update toolkit."""

__version__ = "0.1.0"
