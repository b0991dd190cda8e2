# SPDX-License-Identifier: GPL-2.0-only
"""Where kconfiglib and the kernel's own ``conf`` compute different values from the same input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sku_build.kconfig import dotconfig
from sku_build.kconfig.model import Disagreement
from sku_build.kconfig.parser import Kconfig, value


def disagreements(
    kconfig: Kconfig, symbols: Iterable[str], config: Mapping[str, str]
) -> list[Disagreement]:
    """Compare the computed values of ``symbols`` with the resolved ``config``.

    The configuration that ``conf`` was given must be loaded into ``kconfig``. Symbols that the
    tree does not define are left out.
    """
    found = []
    for name in symbols:
        symbol = kconfig.syms.get(name)
        if symbol is None or not symbol.nodes:
            continue
        computed, resolved = value(symbol), config.get(name)
        if not dotconfig.same_value(computed or "n", resolved):
            found.append(Disagreement(name, computed, resolved, _known_cause(kconfig, symbol)))
    return found


def _known_cause(kconfig: Kconfig, symbol: Any) -> str | None:
    if symbol.name in kconfig.transitional or any(
        getattr(default, "name", None) in kconfig.transitional for default, _ in symbol.defaults
    ):
        return "transitional: conf carries the old symbol's value over, kconfiglib ignores it"
    if symbol.choice:
        return "choice: conf honours members set to n since 6.11, kconfiglib the default member"
    return None
