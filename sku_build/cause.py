# SPDX-License-Identifier: GPL-2.0-only
"""What changed under a patch that no longer fits: the lines then and now, and since which tree.

A tree of the distribution has no history to search. The file that the patch was made for is still
known by its blob id, so the change is told as a diff of the two files where the patch wants to go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sku_build import diff, git
from sku_build import tree as trees
from sku_build.errors import SkuError
from sku_build.mail import Mail
from sku_build.scratch import Scratch
from sku_build.tree import Tree

_NEAR = 3
_LINES = 24


def changes_under(work: Scratch, mail: Mail, onto: Tree) -> Iterator[str]:
    """Yield, for each file of ``mail`` that differs where the patch goes, a text that says how."""
    for item in mail.files:
        if item.old_path is None or item.old_id is None:
            continue
        now = git.resolve_blob(f"{work.base}:{item.old_path}", cwd=work.path)
        if now is None:
            yield f"{item.old_path}: the tree has no such file{_moved(work, item.old_path)}"
        elif now != item.old_id and work.has_blobs([item.old_id]):
            lines = _lines_under(work, item, now)
            since = _since(item, onto)
            if lines:
                cut = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
                shown = "\n".join(f"  {line}" for line in [*lines[:_LINES], *cut])
                yield f"{item.old_path}: changed under the patch{since}:\n{shown}"


def _lines_under(work: Scratch, item: diff.FileDiff, now: str) -> list[str]:
    """Return the changed lines, from the patch's base to the tree, that lie under its hunks."""
    shown = work.git("diff", "--no-ext-diff", "--unified=0", str(item.old_id), now).stdout
    spans = [(hunk.start, hunk.start + len(hunk.old_lines())) for hunk in item.hunks]
    lines = []
    for made in diff.parse(shown, where=item.path):
        for hunk in made.hunks:
            end = hunk.start + len(hunk.old_lines())
            if any(hunk.start <= high + _NEAR and low - _NEAR <= end for low, high in spans):
                lines += [f"{line.mark}{line.text}" for line in hunk.lines]
    return lines


def _since(item: diff.FileDiff, onto: Tree) -> str:
    """Return between which two known trees the lines that the patch expects went away."""
    fits: list[Tree] = []
    for tree in trees.all_trees():
        if tree.kernel > onto.kernel or tree.name == onto.name:
            continue
        try:
            found = trees.find(tree.name)
        except SkuError:  # a checkout that is gone
            continue
        text = git.read_file(found.commit, item.old_path or "", cwd=found.repository)
        if text is not None and _has_all(text, item.hunks):
            fits.append(found)
    if not fits:
        return ""
    return f" between {fits[-1].version} ({fits[-1].name}) and {onto.version} ({onto.name})"


def _has_all(text: str, hunks: Sequence[diff.Hunk]) -> bool:
    return all("\n".join(hunk.old_lines()) in text for hunk in hunks)


def _moved(work: Scratch, path: str) -> str:
    name = path.rpartition("/")[2]
    found = [known for known in work.current_blobs() if known.rpartition("/")[2] == name]
    return f"; there is {', '.join(sorted(found)[:3])}" if found else ""
