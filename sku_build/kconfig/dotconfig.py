# SPDX-License-Identifier: GPL-2.0-only
"""The format of ``.config``: reading, merging requests into one, comparing the result.

The format is that of ``conf_read_simple`` and ``conf_write`` in the kernel's
``scripts/kconfig/confdata.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sku_build.kconfig.model import Mismatch, Request

_LINE = re.compile(
    r"^(?:CONFIG_(?P<set>\w+)=(?P<value>.*)|# CONFIG_(?P<unset>\w+) is not set)$", re.MULTILINE
)


def parse(text: str) -> dict[str, str]:
    """Return symbol → value as written; a symbol that "is not set" is ``n``."""
    return {
        match["set"] or match["unset"]: match["value"] if match["set"] else "n"
        for match in _LINE.finditer(text)
    }


def line(symbol: str, value: str) -> str:
    """Return the line of a ``.config`` that gives ``symbol`` this value, without its newline."""
    return f"# CONFIG_{symbol} is not set" if value == "n" else f"CONFIG_{symbol}={value}"


def merge(base: str, requests: Iterable[Request]) -> str:
    """Return the text of ``base`` with the requests in place of its own lines for them.

    The requests come last: of several members of a choice, ``conf`` takes the last one that is y.
    """
    asked = {request.symbol: request.value for request in requests}
    kept = [line(symbol, value) for symbol, value in parse(base).items() if symbol not in asked]
    wanted = [line(symbol, value) for symbol, value in asked.items()]
    return "\n".join([*kept, *wanted]) + "\n"


def same_value(wanted: str, actual: str | None) -> bool:
    """Return whether two values mean the same; an absent symbol is as good as ``n``.

    Numbers are compared as such. A hexadecimal symbol may be asked for without its ``0x``, as
    ``conf`` allows it.
    """
    if actual is None or wanted == actual:
        return actual is not None or wanted == "n"
    hexadecimal = actual.lower().startswith("0x")
    try:
        return int(wanted, 16 if hexadecimal else 10) == int(actual, 16 if hexadecimal else 10)
    except ValueError:
        return False


def compare(requests: Sequence[Request], config: Mapping[str, str]) -> list[Mismatch]:
    """Return the requests that the resolved configuration does not hold, in their order."""
    return [
        Mismatch(request, config.get(request.symbol))
        for request in requests
        if not same_value(request.value, config.get(request.symbol))
    ]


def shown(value: str | None) -> str:
    """Return a value as a person reads it: ``absent`` for a symbol that is not there."""
    return "absent" if value is None else value
