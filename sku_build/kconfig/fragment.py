# SPDX-License-Identifier: GPL-2.0-only
"""What fragments ask for: reading their lines, and finding where they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from sku_build.errors import UserError
from sku_build.kconfig.dotconfig import same_value, shown
from sku_build.kconfig.model import Place, Request, Waived
from sku_build.kconfig.template import Line

_VALUE = r'[ymn]|-?[0-9]+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*"'
_SET = re.compile(rf"^CONFIG_(?P<symbol>\w+)=(?P<value>{_VALUE})(?:\s+#\s*(?P<comment>.*))?$")
_UNSET = re.compile(r"^# CONFIG_(?P<symbol>\w+) is not set(?:\s+#\s*(?P<comment>.*))?$")
# conf takes `# CONFIG_X is not set` to the letter; anything near to it would be lost as a comment.
_ALMOST_UNSET = re.compile(r"^#\s*CONFIG_\w+\s+(is\s+)?(not\s+set|unset|disabled|off)\b")
_WAIVER = re.compile(r"^waiver\b\s*:?\s*(?P<reason>.*)$", re.IGNORECASE)
_FORMS = 'a line is CONFIG_X=y, =m, =n, =12, =0x1f or ="text", or `# CONFIG_X is not set`'


class Wanted(msgspec.Struct, frozen=True):
    """What all fragments together ask for, and the waived lines that yielded to others."""

    requests: list[Request]
    yielded: list[Waived]


def read_requests(lines: Iterable[Line]) -> list[Request]:
    """Read rendered lines; raises UserError naming file and line when one is not understood."""
    return [request for line in lines if (request := _read(line)) is not None]


def read_option(text: str) -> Request:
    """Read ``CONFIG_X=y`` as given on the command line; raises UserError."""
    line = Line(text.strip(), Place(f"--set {text.strip()}", 0))
    request = _read(line)
    if request is None:
        raise UserError(f"{text!r} does not ask for a symbol", where="--set", hint=_FORMS)
    return request


def _read(line: Line) -> Request | None:
    match = _SET.match(line.text) or _UNSET.match(line.text)
    if match:
        value = match.groupdict().get("value", "n")
        return Request(match["symbol"], value, line.place, _waiver(match["comment"], line.place))
    if line.text.startswith("#") and not _ALMOST_UNSET.match(line.text):
        return None
    raise UserError(f"not understood: {line.text}", where=str(line.place), hint=_FORMS)


def _waiver(comment: str | None, place: Place) -> str | None:
    match = _WAIVER.match(comment or "")
    if not match:
        return None
    if not match["reason"].strip():
        raise UserError(
            "a waiver needs a reason",
            where=str(place),
            hint="CONFIG_X=y # waiver: why this kernel may go without it",
        )
    return match["reason"].strip()


def combine(requests: Sequence[Request]) -> Wanted:
    """Reduce requests to one a symbol, in the order symbols first appear.

    A waived request yields to one that contradicts it (the later one, when both are waived).
    Raises UserError naming both places and both values for every other contradiction.
    """
    by_symbol: dict[str, list[Request]] = {}
    for request in requests:
        by_symbol.setdefault(request.symbol, []).append(request)
    contradictions = [text for group in by_symbol.values() if (text := _contradiction(group))]
    if contradictions:
        raise UserError(
            "fragments contradict each other: " + "; ".join(contradictions),
            hint="change one of the lines, or let one yield: CONFIG_X=y # waiver: reason",
        )
    kept = [_kept(group) for group in by_symbol.values()]
    yielded = [
        Waived(
            symbol=request.symbol,
            wanted=request.value,
            actual=None,
            place=request.place,
            waiver=request.waiver,
            yields_to=winner.place,
        )
        for winner, group in zip(kept, by_symbol.values(), strict=True)
        for request in group
        if request.waiver is not None and not same_value(request.value, winner.value)
    ]
    return Wanted(kept, yielded)


def _kept(group: Sequence[Request]) -> Request:
    firm = [request for request in group if request.waiver is None]
    return firm[0] if firm else group[-1]


def _contradiction(group: Sequence[Request]) -> str | None:
    first, *others = [request for request in group if request.waiver is None] or group[:1]
    for other in others:
        if not same_value(first.value, other.value):
            return (
                f"CONFIG_{first.symbol} is {shown(first.value)} at {first.place} "
                f"and {shown(other.value)} at {other.place}"
            )
    return None
