# SPDX-License-Identifier: GPL-2.0-only
"""What became of each patch: the seven outcomes, as data."""

from __future__ import annotations

import enum

import msgspec

from sku_build.composition import LeftOut
from sku_build.errors import CheckError


class Outcome(enum.StrEnum):
    """Every patch ends as exactly one of these; the last two are failures."""

    APPLIED = "applied"
    OFFSET = "applied-with-offset"
    MERGED = "merged-3way"
    UPSTREAM = "already-upstream"
    SKIPPED = "skipped"
    WRONG_FUNCTION = "wrong-function"
    CONFLICT = "conflict"

    @property
    def failed(self) -> bool:
        """Whether this outcome keeps the whole call from succeeding."""
        return self in (Outcome.WRONG_FUNCTION, Outcome.CONFLICT)


class HunkPlace(msgspec.Struct, frozen=True):
    """Where a hunk landed: ``line`` of the file before the patch, ``offset`` from the mail's."""

    file: str
    hunk: int
    line: int
    offset: int


class Conflict(msgspec.Struct, frozen=True):
    """One place where a patch and a tree disagree.

    ``ours`` is what the tree has, ``theirs`` what the patch has (what it wants after a 3-way merge;
    what it expected to find when no merge was possible). Both are cut to a few lines.
    """

    file: str
    line: int | None
    ours: str
    theirs: str


class PatchOutcome(msgspec.Struct, frozen=True):
    """What became of one patch; ``hunks`` has an entry for each hunk that moved.

    ``commit`` is None when the patch made none. ``upstream`` is the commit that likely caused a
    conflict, or why that cannot be said.
    """

    series: str
    file: str
    subject: str
    outcome: Outcome
    detail: str | None = None
    hunks: list[HunkPlace] = []
    commit: str | None = None
    conflicts: list[Conflict] = []
    upstream: str | None = None


class Applied(msgspec.Struct, frozen=True):
    """The result of applying series to a tree: the tip's id, and every patch's outcome.

    ``branch`` is None when the result was kept in the cache only. ``notes`` are warnings;
    ``left_out`` are series of a board that are not for this kernel.
    """

    tree: str
    base: str
    commit: str
    branch: str | None
    patches: list[PatchOutcome]
    notes: list[str] = []
    left_out: list[LeftOut] = []


def describe(item: PatchOutcome) -> str:
    """Return a failed patch as text for a person: what, where, both sides, the likely cause."""
    lines = [f"{item.series}/{item.file}: {item.outcome}: {item.detail}"]
    for place in item.conflicts:
        lines.append(f"  {place.file}" + (f", line {place.line}" if place.line else ""))
        for side, text in (("the tree", place.ours), ("the patch", place.theirs)):
            if text:
                lines += [f"    {side}:", *(f"      {line}" for line in text.split("\n"))]
    if item.upstream:
        lines.append(f"  likely changed by: {item.upstream}")
    return "\n".join(lines)


def failure(tree: str, patches: list[PatchOutcome]) -> CheckError:
    """Return the error that says which of ``patches`` do not go on ``tree``; all are its data."""
    failed = [item for item in patches if item.outcome.failed]
    told = "\n".join(describe(item) for item in failed).replace("\n", "\n  ")
    return CheckError(
        f"{len(failed)} of {len(patches)} patches do not go on {tree}, nothing was changed:"
        f"\n  {told}",
        hint="make a second patch file that fits this kernel, and give each its own `kernels`",
        data={"tree": tree, "patches": patches},
    )


def counts(patches: list[PatchOutcome]) -> dict[str, int]:
    """Return outcome → patches, without outcomes that no patch has."""
    found = {str(kind): sum(item.outcome is kind for item in patches) for kind in Outcome}
    return {kind: count for kind, count in found.items() if count}


def summary(patches: list[PatchOutcome]) -> str:
    """Return the outcomes counted, such as ``3 applied, 1 skipped``."""
    found = counts(patches)
    return ", ".join(f"{count} {kind}" for kind, count in found.items()) or "no patches"
