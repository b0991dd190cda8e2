# SPDX-License-Identifier: GPL-2.0-only
"""Preprocessor functions for kconfiglib, which imports this module by its ``KCONFIG_FUNCTIONS``."""

from __future__ import annotations

from sku_build.kconfig import parser


def _shell(kconfig: parser.Kconfig, _name: str, command: str) -> str:
    return parser.shell(kconfig, command)


functions = {"shell": (_shell, 1, 1)}
