# SPDX-License-Identifier: GPL-2.0-only
"""Why a patch does not fit: both sides of it, and the commit that likely caused it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from sku_build import git, run
from sku_build.diff import FileDiff
from sku_build.errors import InfraError
from sku_build.outcome import Conflict
from sku_build.scratch import Scratch

_SIDE_LINES = 12
_MOST = 10
_SEARCH_SECONDS = 60.0
_MARKERS = re.compile(
    r"^<{7} .*?\n(?P<ours>.*?)^={7}\n(?P<theirs>.*?)^>{7} ", re.MULTILINE | re.DOTALL
)
_FAILED = re.compile(r"^error: patch failed: (?P<path>.+):(?P<line>\d+)$", re.MULTILINE)
_OTHER = re.compile(
    r"^(?:error: (?P<path>.+): (?P<why>does not exist in index|already exists in (?:index|working"
    r" directory))|CONFLICT \((?P<kind>[^)]+)\): (?P<text>.+))$",
    re.MULTILINE,
)
_NO_BASE = "lacks necessary blobs"


def with_others(found: Sequence[Conflict], files: Sequence[FileDiff], said: str) -> list[Conflict]:
    """Return ``found`` and what else `git am` ``said``: files missing, deleted or there already."""
    all_found = list(found)
    for other in _OTHER.finditer(said):
        if other["kind"] and other["kind"] != "content":
            path = next((item.path for item in files if item.path in other["text"]), "")
            all_found.append(Conflict(path, None, other["text"], ""))
        elif other["path"] and not any(item.file == other["path"] for item in all_found):
            all_found.append(Conflict(other["path"], None, other["why"], ""))
    return all_found[:_MOST]


def explain(conflicts: Sequence[Conflict], said: str) -> str:
    """Return one sentence for a report: where it failed, and why no merge helped."""
    places = dict.fromkeys(
        item.file + (f":{item.line}" if item.line else "") for item in conflicts if item.file
    )
    where = f"does not fit at {', '.join(places)}" if places else "does not fit"
    if _NO_BASE in said:
        where += (
            "; no 3-way merge was possible, because no tree in the cache has the files the patch"
            " was made for (`sku tree add` that tree)"
        )
    return where


def _cut(lines: Sequence[str]) -> str:
    more = [f"… {len(lines) - _SIDE_LINES} more lines"] if len(lines) > _SIDE_LINES else []
    return "\n".join([*lines[:_SIDE_LINES], *more])


def merge_conflicts(work: Scratch) -> list[Conflict]:
    """Return the places a failed 3-way merge left marked; to be called before the abort."""
    unmerged = work.git("diff", "--name-only", "--diff-filter=U", "-z").stdout
    found = []
    for path in filter(None, unmerged.split("\0")):
        text = work.text(path) or ""
        for block in _MARKERS.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            sides = (block[side].rstrip("\n").split("\n") for side in ("ours", "theirs"))
            found.append(Conflict(path, line, *map(_cut, sides)))
    return found


def misfits(work: Scratch, files: Sequence[FileDiff], said: str) -> list[Conflict]:
    """Return, for each hunk that git ``said`` fails, what it expected and what the tree has."""
    found = []
    for failed in _FAILED.finditer(said):
        path, start = failed["path"], int(failed["line"])
        hunk = next(
            (
                hunk
                for item in files
                for hunk in item.hunks
                if path in item.paths() and hunk.start == start
            ),
            None,
        )
        text = work.text(path)
        if hunk is None or text is None:
            continue
        lines, wanted = text.split("\n"), hunk.old_lines()
        line = _nearest(lines, wanted, start)
        ours = lines[line - 1 : line - 1 + len(wanted)]
        found.append(Conflict(path, line, _cut(ours), _cut(wanted)))
    return found


def _nearest(lines: Sequence[str], wanted: Sequence[str], start: int) -> int:
    """Return the line (1-based) where ``lines`` is most like ``wanted``; ``start`` if nowhere."""
    matcher = difflib.SequenceMatcher(None, lines, wanted, autojunk=False)
    best = matcher.find_longest_match()
    if best.size == 0 or not any(line.strip() for line in lines[best.a : best.a + best.size]):
        return min(start, max(1, len(lines)))
    return max(1, best.a - best.b + 1)


def likely_upstream(work: Scratch, files: Sequence[FileDiff], conflicts: Sequence[Conflict]) -> str:
    """Return the commit of the tree's history that likely caused a conflict, or why none is known.

    It is the last one that changed how often a line the patch expects, and the tree no longer has,
    is in the file (``git log -S``).
    """
    history = work.git("rev-list", "--max-count=2", work.base, check=False).stdout.split()
    if len(history) < 2:
        return "unknown: the tree has no history to search"
    for item in conflicts:
        line = _tell_tale(work, files, item)
        if not line:
            continue
        argv = ["log", "-1", "--format=%h %s", f"-S{line}", work.base, "--", item.file]
        try:
            said = run.run(
                git.command(*argv),
                cwd=work.path,
                env=git.environment(),
                timeout=_SEARCH_SECONDS,
                check=False,
            )
        except InfraError:
            return f"unknown: the search took longer than {_SEARCH_SECONDS:g} s"
        if said.stdout.strip():
            return said.stdout.strip()
    return "unknown: no commit of the tree's history changed the lines in question"


def _tell_tale(work: Scratch, files: Sequence[FileDiff], item: Conflict) -> str | None:
    """Return the line whose history tells most: one the tree lost, else one it gained."""
    hunks = [hunk for diff in files if item.file in diff.paths() for hunk in diff.hunks]
    if not hunks:
        return None
    there = set((work.git("show", f"{work.base}:{item.file}", check=False).stdout).split("\n"))
    wanted = [line for hunk in hunks for line in hunk.old_lines()]
    lost = [line for line in wanted if line not in there]
    known = {line.text for hunk in hunks for line in hunk.lines}
    gained = [line for line in item.ours.split("\n") if line in there and line not in known]
    lines = [line.strip() for line in lost or gained]
    return max((line for line in lines if len(line) > 3), key=len, default=None)
