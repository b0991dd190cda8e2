# SPDX-License-Identifier: GPL-2.0-only
"""What of a board's devices waits for its drivers: board.toml to command line.

The words are those of the series ``partial_init``; a list with a fault in it the kernel would
refuse as a whole, so the same faults are looked for here (drivers/base/partial_init/patterns.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sku_build import board as boards
from sku_build.board import Board, PartialInitPart
from sku_build.errors import UserError
from sku_build.series import Series

SERIES = "partial_init"
# PARTIAL_INIT_PATTERNS_MAX, with the NUL.
_LIST_MAX = 1023
_TIMEOUT_MAX = 3600

# A glob: a character, one after a backslash, or a class with its end; of those that names have,
# without the comma.
_CHARACTER = r"[!-+\--~]"
_CLASS = rf"\[(?:!{_CHARACTER}|(?!!){_CHARACTER})(?:(?!\]){_CHARACTER})*\]"
_PATTERN = re.compile(rf"(?!!)(?:(?![\\\[]){_CHARACTER}|\\{_CHARACTER}|{_CLASS})+")
_GLOB = re.compile(r"[*?\[\\]")


def cmdline(board: Board, series: Iterable[Series]) -> str:
    """Return the board's command line for a kernel with ``series``.

    Raises UserError for patterns that the kernel would refuse.
    """
    part = board.partial_init
    if part is None or SERIES not in {item.name for item in series}:
        return board.cmdline
    check(board)
    words = f"{SERIES}={_list(part)} {SERIES}.timeout={part.timeout}"
    return f"{board.cmdline} {words}".lstrip()


def drivers(board: Board) -> dict[str, list[str]]:
    """Return the names of drivers that the board's patterns are, by the key; globs are none.

    Raises UserError as :func:`cmdline`.
    """
    part = board.partial_init
    if part is None:
        return {}
    check(board)
    return {
        f"key {SERIES}.{key}": [
            pattern for pattern in patterns if ":" not in pattern and not _GLOB.search(pattern)
        ]
        for key, patterns in (("waits", part.waits), ("needed", part.needed))
    }


def check(board: Board) -> None:
    """Raise UserError when the kernel would refuse what the board says of waiting devices."""
    part = board.partial_init
    wrong = None if part is None else _wrong(part)
    if wrong is not None:
        raise UserError(
            f"key {SERIES}.{wrong}",
            where=boards.boards_dir() / board.name / "board.toml",
            hint="docs/partial_init.md has the patterns",
        )


def _list(part: PartialInitPart) -> str:
    return ",".join([*part.waits, *(f"!{pattern}" for pattern in part.needed)])


def _wrong(part: PartialInitPart) -> str | None:
    if not part.waits:
        return "waits: is empty, nothing would wait"
    for key, patterns in (("waits", part.waits), ("needed", part.needed)):
        for pattern in patterns:
            if not _PATTERN.fullmatch(pattern):
                return f"{key}: {pattern!r} is no pattern for a driver or a device"
    if len(_list(part)) > _LIST_MAX:
        return f"waits: the kernel takes {_LIST_MAX} characters, and these are {len(_list(part))}"
    if not 1 <= part.timeout <= _TIMEOUT_MAX:
        return f"timeout: is {part.timeout}, and must be 1 to {_TIMEOUT_MAX} seconds"
    return None
