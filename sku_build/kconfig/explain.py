# SPDX-License-Identifier: GPL-2.0-only
"""Why a request was lost: the cause, the reasons behind it, and where the symbol is defined.

Works on a parsed Kconfig tree with the resolved ``.config`` loaded, so that every value quoted is
the one in effect. kconfiglib has no type information, hence ``Any`` for its symbols.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kconfiglib import BOOL, HEX, INT, STRING, TRISTATE, TYPE_TO_STR, expr_value

from sku_build.kconfig.model import Cause, Mismatch, Problem, Reason, Request
from sku_build.kconfig.parser import Kconfig, definitions
from sku_build.kconfig.reasons import Reasoner

_TRI = {"n": 0, "m": 1, "y": 2}

Explained = tuple[Cause, list[Reason]]


def explain(kconfig: Kconfig, mismatch: Mismatch, requests: Mapping[str, Request]) -> Problem:
    """Explain one request that was not reached; ``requests`` are all of them, by symbol."""
    request = mismatch.request
    symbol = kconfig.syms.get(request.symbol)
    near: list[str] = []
    if symbol is None or not symbol.nodes:
        cause, reasons = _unknown(kconfig, request.symbol)
        near = _near(kconfig, request.symbol)
    else:
        cause, reasons = _explained(kconfig, symbol, request.value, Reasoner(requests))
    return Problem(
        symbol=request.symbol,
        wanted=request.value,
        actual=mismatch.actual,
        place=request.place,
        cause=cause,
        reasons=reasons,
        defined=definitions(symbol) if symbol is not None else [],
        did_you_mean=near,
    )


def _near(kconfig: Kconfig, name: str) -> list[str]:
    known = [symbol.name for symbol in kconfig.unique_defined_syms]
    return difflib.get_close_matches(name, known, n=3, cutoff=0.7)


def _unknown(kconfig: Kconfig, name: str) -> Explained:
    elsewhere = _other_architectures(Path(kconfig.srctree), name)
    text = "no Kconfig file of this kernel defines it"
    if elsewhere:
        text = "only defined for other architectures"
    return Cause.UNKNOWN, [Reason(text, elsewhere)]


def _other_architectures(source: Path, name: str) -> list[str]:
    definition = re.compile(rf"^\s*(?:menu)?config[ \t]+{name}[ \t]*$", re.MULTILINE)
    found = []
    for path in sorted(source.glob("arch/*/**/Kconfig*")):
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        match = definition.search(text)
        if match:
            line = text.count("\n", 0, match.end()) + 1
            found.append(f"{path.relative_to(source)}:{line}")
    return found


def _explained(kconfig: Kconfig, symbol: Any, wanted: str, reasoner: Reasoner) -> Explained:
    if symbol.name in kconfig.transitional:
        return Cause.TRANSITIONAL, _successors(kconfig, symbol)
    misfit = _misfit(symbol, wanted)
    if misfit:
        return Cause.TYPE, [Reason(misfit)]
    if wanted == "m" and kconfig.modules.tri_value == 0:
        text = "MODULES is n, so that nothing can be m"
        return Cause.DEPENDENCY, [Reason(text, definitions(kconfig.modules))]
    if symbol.orig_type in (BOOL, TRISTATE):
        if _TRI[wanted] < symbol.tri_value:
            return _too_high(symbol, _TRI[wanted], reasoner)
        return _too_low(symbol, _TRI[wanted], reasoner)
    return _other_value(symbol, wanted, reasoner)


def _successors(kconfig: Kconfig, symbol: Any) -> list[Reason]:
    heirs = [
        heir
        for heir in kconfig.unique_defined_syms
        if any(default is symbol for default, _ in heir.defaults)
    ]
    return [
        Reason(f"it only lives on as the default of {heir.name}: request that", definitions(heir))
        for heir in heirs
    ] or [Reason("it is transitional: read from old configurations, and never written")]


def _misfit(symbol: Any, wanted: str) -> str | None:
    kind = symbol.orig_type
    fits = {
        BOOL: wanted in ("y", "n"),
        TRISTATE: wanted in ("y", "m", "n"),
        STRING: wanted.startswith('"'),
        INT: re.fullmatch(r"-?[0-9]+", wanted) is not None,
        HEX: re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", wanted) is not None,
    }
    if fits.get(kind, True):
        return None
    return f"it is of type {TYPE_TO_STR[kind]}, which cannot be {wanted}"


def _too_low(symbol: Any, wanted: int, reasoner: Reasoner) -> Explained:
    # A dependency that is m lets a bool be y.
    needed = wanted if symbol.orig_type is TRISTATE else 1
    unmet = reasoner.unmet(symbol.direct_dep, needed)
    if unmet:
        return Cause.DEPENDENCY, unmet
    rival = symbol.choice.selection if symbol.choice and symbol.visibility else None
    if rival is not None and rival is not symbol:
        text = f"only one member of the choice can be y, and {rival.name} is"
        return Cause.CHOICE, [Reason(text, definitions(symbol.choice), [reasoner.origin(rival)])]
    return _invisible(symbol, needed, reasoner)


def _too_high(symbol: Any, wanted: int, reasoner: Reasoner) -> Explained:
    selectors = reasoner.selectors(symbol, wanted)
    if selectors:
        return Cause.SELECTED, selectors
    if symbol.choice:
        others = ", ".join(other.name for other in symbol.choice.syms if other is not symbol)
        text = f"one member of the choice has to be y: request another ({others})"
        return Cause.CHOICE, [Reason(text, definitions(symbol.choice))]
    return _invisible(symbol, max(wanted, 1), reasoner)


def _other_value(symbol: Any, wanted: str, reasoner: Reasoner) -> Explained:
    unmet = reasoner.unmet(symbol.direct_dep, 1)
    if unmet:
        return Cause.DEPENDENCY, unmet
    base = 16 if symbol.orig_type is HEX else 10
    limits = None if symbol.orig_type is STRING else _active_range(symbol, base)
    if symbol.visibility and limits and not limits[0] <= int(wanted, base) <= limits[1]:
        low, high = (hex(limit) if base == 16 else str(limit) for limit in limits)
        return Cause.RANGE, [Reason(f"its range is {low} to {high} here", definitions(symbol))]
    return _invisible(symbol, 1, reasoner)


def _active_range(symbol: Any, base: int) -> tuple[int, int] | None:
    for low, high, condition in symbol.ranges:
        if expr_value(condition):
            return _number(low.str_value, base), _number(high.str_value, base)
    return None


def _number(text: str, base: int) -> int:
    # conf uses strtoll(), to which an empty string is 0.
    return int(text, base) if text else 0


def _invisible(symbol: Any, needed: int, reasoner: Reasoner) -> Explained:
    hidden = reasoner.hidden(symbol, needed)
    if hidden:
        return Cause.INVISIBLE, hidden
    text = f"kconfiglib sees nothing in the way of it, and computes {symbol.str_value or 'nothing'}"
    return Cause.UNEXPLAINED, [Reason(text)]
