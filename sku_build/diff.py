# SPDX-License-Identifier: GPL-2.0-only
"""Diffs as data: files, hunks and the lines they change, with their places."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator

from sku_build.errors import UserError

NO_BLOB = "0" * 40
_INDEX = re.compile(r"^index ([0-9a-f]+)\.\.([0-9a-f]+)(?: (\d+))?$")
_RENAME_FROM = re.compile(r"^(?:rename|copy) from (.+)$")
_RENAME_TO = re.compile(r"^(?:rename|copy) to (.+)$")
_GIT_HEADER = re.compile(r"^diff --git a/(.+) b/(.+)$")


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk; ``mark`` is "+", "-" or " ", ``text`` has no newline."""

    mark: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk; ``start`` is its first line in the old file (1-based), ``heading`` git's guess
    of the function it is in."""

    start: int
    heading: str
    lines: tuple[Line, ...]

    def old_lines(self) -> list[str]:
        """Return the lines the hunk expects to find."""
        return [line.text for line in self.lines if line.mark != "+"]

    def before_change(self, number: int) -> list[str]:
        """Return the old lines in front of the hunk's changed line ``number`` (from 0)."""
        found: list[str] = []
        left = number
        for line in self.lines:
            if line.mark != " ":
                if left == 0:
                    break
                left -= 1
            if line.mark != "+":
                found.append(line.text)
        return found

    def changes(self) -> Iterator[tuple[int, Line]]:
        """Yield each changed line with its place: the old file's line it is at or goes before."""
        place = self.start
        for line in self.lines:
            if line.mark != " ":
                yield place, line
            if line.mark != "+":
                place += 1


@dataclasses.dataclass(frozen=True, slots=True)
class FileDiff:
    """The change of one file; ``old_id``/``new_id`` are blob ids, None when the diff has none."""

    old_path: str | None
    new_path: str | None
    old_id: str | None
    new_id: str | None
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        """The name a person knows the file by: the new one, or the old one of a deleted file."""
        return self.new_path or self.old_path or ""

    def paths(self) -> set[str]:
        """Return every path the change reads or writes."""
        return {path for path in (self.old_path, self.new_path) if path}


def parse(text: str, *, where: str) -> tuple[FileDiff, ...]:
    """Parse the output of ``git diff``, or a mail's diff; ``where`` names it in errors.

    Raises UserError when the text is not a well-formed diff.
    """
    if "diff --git " not in text:
        return ()
    # Loaded late: half of the commands never look into a diff.
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    try:
        patch = PatchSet(io.StringIO(text, newline="\n"))
    except UnidiffParseError as error:
        raise UserError(
            f"the diff is damaged: {error}",
            where=where,
            hint="make the mail anew with `git format-patch --full-index`",
        ) from error
    return tuple(_file(item) for item in patch)


def _strip(name: str | None) -> str | None:
    if not name or name == "/dev/null":
        return None
    if name.startswith('"') and name.endswith('"'):
        name = _unquote(name[1:-1])
    return name[2:] if name[:2] in ("a/", "b/") else name


def _unquote(name: str) -> str:
    """Undo git's core.quotePath: C escapes, bytes in octal."""
    raw = name.encode("utf-8").decode("unicode_escape").encode("latin-1")
    return raw.decode("utf-8", "surrogateescape")


def _file(item: object) -> FileDiff:
    info = [str(line).rstrip("\n") for line in (getattr(item, "patch_info", None) or ())]
    old, new = (
        _strip(getattr(item, "source_file", None)),
        _strip(getattr(item, "target_file", None)),
    )
    ids: tuple[str | None, str | None] = (None, None)
    for line in info:
        if found := _INDEX.match(line):
            ids = (found[1], found[2])
        elif found := _RENAME_FROM.match(line):
            old = found[1]
        elif found := _RENAME_TO.match(line):
            new = found[1]
        elif line.startswith("new file mode"):
            old = None
        elif line.startswith("deleted file mode"):
            new = None
    hunks = tuple(
        Hunk(
            start=hunk.source_start if hunk.source_length else hunk.source_start + 1,
            heading=hunk.section_header.rstrip("\n"),
            lines=tuple(
                Line(line.line_type, line.value.removesuffix("\n"))
                for line in hunk
                if line.line_type in ("+", "-", " ")
            ),
        )
        for hunk in item  # type: ignore[attr-defined]
    )
    return FileDiff(old, new, ids[0], ids[1], hunks)
