# SPDX-License-Identifier: GPL-2.0-only
"""Where the hunks of a patch landed, and whether that is the function they were written for."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

from sku_build import heading
from sku_build.diff import FileDiff, Line
from sku_build.outcome import HunkPlace


@dataclasses.dataclass(frozen=True, slots=True)
class Landing:
    """One hunk of a mail in a tree.

    ``file`` is the tree's name of it, ``number`` counts from 1 within the mail's file, ``change``
    is the index of the hunk's changed line that was found, ``place`` the line of the file
    before the patch where that change is, ``offset`` how many lines that is from where the
    mail has it.
    """

    source: FileDiff
    file: str
    number: int
    change: int
    place: int
    offset: int

    def moved(self) -> HunkPlace:
        """Return the landing as data for a report."""
        return HunkPlace(self.file, self.number, self.place, self.offset)


def direct(files: Sequence[FileDiff], offsets: Mapping[tuple[str, int], int]) -> list[Landing]:
    """Return the landings of a patch that applied as it is, by what `git apply -v` said."""
    found = []
    for item in files:
        for number, hunk in enumerate(item.hunks, 1):
            offset = offsets.get((item.path, number), 0)
            place = next((place for place, _ in hunk.changes()), hunk.start)
            found.append(Landing(item, item.path, number, 0, place + offset, offset))
    return found


def merged(files: Sequence[FileDiff], result: Sequence[FileDiff]) -> list[Landing]:
    """Return the landings of a patch that went through a 3-way merge.

    ``result`` is the diff of the commit it became. The changed lines of both are aligned; a hunk
    none of whose lines is in the result was in the tree already and has no landing.
    """
    found = []
    by_path = {path: item for item in result for path in item.paths()}
    spare = [item for item in result if not item.paths() & {p for f in files for p in f.paths()}]
    for item in files:
        target = by_path.get(item.path) or by_path.get(item.old_path or "")
        if target is None and len(spare) == 1:
            target = spare[0]  # the tree has the file under another name
        if target is not None:
            found += _aligned(item, target)
    return found


def _aligned(item: FileDiff, target: FileDiff) -> list[Landing]:
    wanted = [
        (number, index, place, line)
        for number, hunk in enumerate(item.hunks, 1)
        for index, (place, line) in enumerate(hunk.changes())
    ]
    made = [change for hunk in target.hunks for change in hunk.changes()]
    matcher = difflib.SequenceMatcher(
        None, [line for *_, line in wanted], [line for _, line in made], autojunk=False
    )
    found: dict[int, tuple[Line, Landing]] = {}
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            number, index, place, line = wanted[block.a + step]
            there, _ = made[block.b + step]
            landing = Landing(
                item, target.old_path or target.path, number, index, there, there - place
            )
            # A lone brace or blank line matches anywhere; a line with words in it is believed.
            if number not in found or not (_telling(found[number][0]) or not _telling(line)):
                found[number] = (line, landing)
    return [landing for _, landing in found.values()]


def _telling(line: Line) -> bool:
    return sum(character.isalnum() for character in line.text) > 2


def wrong_functions(landings: Sequence[Landing], texts: Mapping[str, str | None]) -> list[str]:
    """Return a sentence for each hunk that landed in a function it was not written for.

    ``texts`` holds the files as they were before the patch, by the tree's name.
    """
    found = []
    split: dict[str, list[str]] = {}
    for landing in landings:
        text = texts.get(landing.file)
        if text is None or not landing.file.endswith(heading.CHECKED_SUFFIXES):
            continue
        lines = split.setdefault(landing.file, text.split("\n"))
        hunk = landing.source.hunks[landing.number - 1]
        wrong = heading.mismatch(hunk, landing.change, lines, landing.place)
        if wrong:
            found.append(
                f"hunk {landing.number} of {landing.file} was written for {wrong[0]}, landed in "
                f"{wrong[1]} (line {landing.place}, offset {landing.offset:+d})"
            )
    return found
