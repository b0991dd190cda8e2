# SPDX-License-Identifier: GPL-2.0-only
"""What can be said against a series without a kernel tree at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import PurePosixPath

import msgspec

from sku_build import layout, mail, origin_check
from sku_build.errors import UserError
from sku_build.mail import Mail
from sku_build.series import PatchEntry, Series, names, ranges
from sku_build.version import VersionRange


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: in which file of which series, and what; ``line`` where known."""

    series: str
    where: str
    message: str
    line: int | None = None


def check(series: Series) -> list[Problem]:
    """Return everything wrong with a series that :func:`sku_build.series.load` lets pass."""
    found = [*_entries(series), *_files(series), *_unavailable(series), *_mails(series)]
    name = series.name
    plain = [Problem(name, f"{name}/{where}", message) for where, message in found]
    return plain + [
        Problem(name, f"{name}/{entry.file}", problem.message, problem.line)
        for entry in series.patches
        for problem in origin_check.check(mail.load(series.directory / entry.file))
    ]


def overlap(first: VersionRange, second: VersionRange) -> bool:
    """Return whether a kernel version can lie in both ranges."""

    def starts_before_end(one: VersionRange, other: VersionRange) -> bool:
        return one.low is None or other.high is None or one.low < other.high

    return starts_before_end(first, second) and starts_before_end(second, first)


def _entries(series: Series) -> Iterator[tuple[str, str]]:
    known = names()
    for required in series.requires:
        if required not in known:
            yield "series.toml", f"key requires: there is no series {required!r}"
    template = f"{series.config}.config.j2"
    if series.config and not (layout.data_root() / "configs" / template).is_file():
        yield "series.toml", f"key config: there is no template configs/{template}"
    roots = (series.directory, layout.data_root())
    if series.docs and not any((root / series.docs).is_file() for root in roots):
        yield "series.toml", f"key docs: there is no file {series.docs}"


def _unavailable(series: Series) -> Iterator[tuple[str, str]]:
    """Yield the kernels that a series says it is not for, and has something for."""
    held = [("[[patch]]", text) for entry in series.patches for text in entry.kernels]
    held += [("[[upstream]]", text) for item in series.upstream for text in item.kernels]
    for number, entry in enumerate(series.unavailable):
        for bounds in ranges(entry.kernels):
            for table, text in dict.fromkeys(held):
                if overlap(bounds, VersionRange.parse(text)):
                    yield (
                        "series.toml",
                        f"key unavailable[{number}].kernels: {bounds} overlaps with {text} of a"
                        f" {table}",
                    )


def _files(series: Series) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the list of patches: doubled, forgotten, out of order."""
    listed = [entry.file for entry in series.patches]
    for file in sorted({file for file in listed if listed.count(file) > 1}):
        yield file, "is listed twice; one [[patch]] may hold several ranges"
    present = {
        str(path.relative_to(series.directory)) for path in series.directory.rglob("*.patch")
    }
    for file in sorted(present - set(listed)):
        yield file, "is in no [[patch]] of series.toml"
    by_directory: dict[str, list[PatchEntry]] = {}
    for entry in series.patches:
        by_directory.setdefault(str(PurePosixPath(entry.file).parent), []).append(entry)
    for entries in by_directory.values():
        yield from _order(series, entries)


def _order(series: Series, entries: Sequence[PatchEntry]) -> Iterator[tuple[str, str]]:
    numbers = [(entry.file, mail.load(series.directory / entry.file).number) for entry in entries]
    for file, number in numbers:
        if number is None:
            yield file, "the name does not begin with a number, such as 0001-"
    known = [(file, number) for file, number in numbers if number is not None]
    for (before, low), (after, high) in pairwise(known):
        if high < low:
            yield after, f"comes after {before} in series.toml, but its number is lower"


def _mails(series: Series) -> Iterator[tuple[str, str]]:
    mails: list[tuple[PatchEntry, Mail]] = []
    for entry in series.patches:
        patch = mail.load(series.directory / entry.file)
        mails.append((entry, patch))
        try:
            yield from ((entry.file, problem) for problem in mail.problems(patch))
        except UserError as error:
            yield entry.file, error.message
    for (one, first), (other, second) in combinations(mails, 2):
        if one.file == other.file or first.subject != second.subject:
            continue
        for low in ranges(one.kernels):
            for high in ranges(other.kernels):
                if overlap(low, high):
                    yield (
                        other.file,
                        f"is another form of {one.file} (same subject), and both are for some"
                        f" kernels: {low} and {high}",
                    )
