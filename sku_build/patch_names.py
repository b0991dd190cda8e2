# SPDX-License-Identifier: GPL-2.0-only
"""The file names of a series' patches, which change only where the order of the patches asks it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from sku_build.mail import Mail
from sku_build.series import PatchEntry, Series
from sku_build.version import VersionRange

_NUMBER = re.compile(r"^(\d+)-")


def number_of(name: str) -> int | None:
    """Return the number that a patch's file name begins with."""
    found = _NUMBER.match(PurePosixPath(name).name)
    return int(found[1]) if found else None


def names(series: Series, wanted: Sequence[tuple[PatchEntry | None, Mail | None]]) -> list[str]:
    """Return a name for each of the ``wanted`` patches, in order, numbers never going down.

    A patch keeps its name unless it was moved: the longest run of patches that are still in order
    does. What is new or moved gets the number of the patch in front of it, or the next one where
    that is free.
    """
    numbers = [number_of(entry.file) if entry else None for entry, _ in wanted]
    staying = _longest_run(numbers)
    taken = {entry.file for entry in series.patches}
    found: list[str] = []
    last, directory = 0, _directory(wanted)
    for place, (entry, mail) in enumerate(wanted):
        if entry is not None and (place in staying or numbers[place] is None):
            found.append(entry.file)
            last = numbers[place] or last
            directory = PurePosixPath(entry.file).parent
            continue
        following = next((numbers[i] for i in sorted(staying) if i > place), None)
        last = last + 1 if following is None or last + 1 < following else max(last, 1)
        bare = PurePosixPath(entry.file).name if entry else mail.path.name if mail else "patch"
        rest = _NUMBER.sub("", bare)
        found.append(_free(str(directory / f"{last:04}-{rest}"), taken | set(found)))
    return found


def for_line(series: Series, name: str, line: VersionRange) -> str:
    """Return the name of the second form of the patch ``name``, for one kernel line."""
    taken = {entry.file for entry in series.patches}
    return _free(str(PurePosixPath(str(line.low)) / PurePosixPath(name).name), taken)


def _directory(wanted: Sequence[tuple[PatchEntry | None, Mail | None]]) -> PurePosixPath:
    first = next((entry.file for entry, _ in wanted if entry), "")
    return PurePosixPath(first).parent


def _free(name: str, taken: set[str]) -> str:
    path, count = PurePosixPath(name), 2
    while str(path) in taken:
        path = PurePosixPath(name).with_name(f"{PurePosixPath(name).stem}-{count}.patch")
        count += 1
    return str(path)


def _longest_run(numbers: Sequence[int | None]) -> set[int]:
    """Return the places of a longest subsequence of ``numbers`` that never goes down."""
    runs: list[list[int]] = [[]]
    for place, number in enumerate(numbers):
        if number is not None:
            fitting = [run for run in runs if not run or (numbers[run[-1]] or 0) <= number]
            longest: list[int] = max(fitting, key=len)
            runs.append([*longest, place])
    return set(sorted(runs, key=len)[-1])
