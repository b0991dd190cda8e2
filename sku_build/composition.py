# SPDX-License-Identifier: GPL-2.0-only
"""What of a board's series a kernel gets, and what it goes without."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from sku_build import series as patch_series
from sku_build.board import Board
from sku_build.series import Series
from sku_build.version import KernelVersion


class LeftOut(msgspec.Struct, frozen=True):
    """A series that a board has and a kernel does not get, and why."""

    series: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Composition:
    """The series that go on a kernel, in their order, and those of the board that do not."""

    series: tuple[Series, ...]
    left_out: tuple[LeftOut, ...] = ()

    def describe(self, board: Board, version: KernelVersion) -> list[str]:
        """Return a line for each series that is left out."""
        return [
            f"{board.name} on {version} goes without {item.series}: {item.reason}"
            for item in self.left_out
        ]


def of_board(board: Board, version: KernelVersion, *, nearest: bool = False) -> Composition:
    """Return what of the board's series a kernel ``version`` gets.

    A series that says that it is not for this kernel (``[[unavailable]]``) is left out, and so is
    every series that requires one of these; with ``nearest`` none is. A series with neither patch
    nor reason stays in, and is an error when it is put on. Raises UserError for an unknown series.
    """
    return compose(board.series, version, nearest=nearest)


def compose(names: Sequence[str], version: KernelVersion, *, nearest: bool = False) -> Composition:
    """Do the same as :func:`of_board` for any series ``names`` and those that they require."""
    taken: list[Series] = []
    left: dict[str, LeftOut] = {}
    for item in patch_series.resolve(names):
        reason = None if nearest else _reason(item, version, left)
        if reason is None:
            taken.append(item)
        else:
            left[item.name] = LeftOut(item.name, reason)
    return Composition(tuple(taken), tuple(left.values()))


def _reason(item: Series, version: KernelVersion, left: dict[str, LeftOut]) -> str | None:
    missing = [name for name in item.requires if name in left]
    if missing:
        return f"it needs {', '.join(missing)}"
    unavailable = patch_series.unavailable(item, version)
    return unavailable.reason if unavailable else None
