# SPDX-License-Identifier: GPL-2.0-only
"""How a command ends that had promises to keep."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sku_build import console
from sku_build.errors import CheckError
from sku_build.lab.chain import ChainResult
from sku_build.lab.unit import UnitResult


def conclude(
    result: ChainResult | UnitResult,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Print the result; raise CheckError with it, as JSON printed once, if a promise was broken."""
    if as_json and not result.broken:
        console.emit_json(result)
    elif not as_json:
        console.table(title, headings, rows)
        for text in result.broken:
            console.warn(text)
        console.note(f"result and logs: {result.directory}")
    if result.broken:
        raise CheckError(
            f"{len(result.broken)} promises broken, the first: {result.broken[0]}",
            where=result.directory,
            data=msgspec.to_builtins(result),
        )
