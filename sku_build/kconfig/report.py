# SPDX-License-Identifier: GPL-2.0-only
"""Problems of a configuration in words, as an indented tree of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sku_build.kconfig.dotconfig import shown
from sku_build.kconfig.model import Cause, Disagreement, Problem, Reason, Waived

_HEADINGS = {
    Cause.UNKNOWN: "unknown symbol",
    Cause.TRANSITIONAL: "renamed",
    Cause.TYPE: "wrong type",
    Cause.DEPENDENCY: "unmet dependency",
    Cause.INVISIBLE: "not visible",
    Cause.SELECTED: "forced",
    Cause.CHOICE: "choice",
    Cause.RANGE: "out of range",
    Cause.UNEXPLAINED: "unexplained",
}


def describe(problem: Problem) -> list[str]:
    """Return the lines that tell what was lost, where it was asked for, and why it was lost."""
    head = f"CONFIG_{problem.symbol}: wanted {problem.wanted}, is {shown(problem.actual)}"
    lines = [f"{head}  ({problem.place})"]
    if problem.did_you_mean:
        lines.append(f"  did you mean {' or '.join(problem.did_you_mean)}?")
    if problem.defined:
        lines.append(f"  defined at {', '.join(problem.defined)}")
    heading = _HEADINGS[problem.cause]
    for reason in problem.reasons:
        first, *rest = _tree(reason)
        lines.append(f"  {heading}: {first}")
        lines += [f"    {line}" for line in rest]
    return lines


def _tree(reason: Reason) -> Iterator[str]:
    yield reason.text + (f"  ({', '.join(reason.where)})" if reason.where else "")
    for deeper in reason.because:
        first, *rest = _tree(deeper)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def summary(problems: Sequence[Problem], requested: int) -> str:
    """Return the message of the error that reports ``problems`` out of ``requested`` symbols."""
    lines = [line for problem in problems for line in describe(problem)]
    head = f"{len(problems)} of {requested} requested symbols did not come out as asked:"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def describe_waived(waived: Waived) -> str:
    """Return one line about a waived request that was missed."""
    what = f"CONFIG_{waived.symbol}={waived.wanted} at {waived.place}"
    if waived.yields_to is not None:
        return f"{what} yields to {waived.yields_to} (waiver: {waived.waiver})"
    return f"{what} is {shown(waived.actual)} (waiver: {waived.waiver})"


def describe_disagreement(item: Disagreement) -> str:
    """Return one line about a value on which kconfiglib is not of conf's opinion."""
    note = f" ({item.note})" if item.note else ""
    return (
        f"CONFIG_{item.symbol}: olddefconfig says {shown(item.olddefconfig)}, "
        f"kconfiglib computes {shown(item.kconfiglib)}{note}"
    )
