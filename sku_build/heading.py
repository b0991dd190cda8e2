# SPDX-License-Identifier: GPL-2.0-only
"""Which function a line is in, by the rules git writes hunk headings with.

A hunk that applies without fuzz can still land in the wrong place: a twin function, an equal
error path. Its changed lines and context are then all right, and only the heading tells. The rules
here are those of git's userdiff.c: the ``cpp`` driver, which the kernel's .gitattributes asks
for, and the default one, for mails made without it. Neither knows C; they look at column one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sku_build.diff import Hunk

CHECKED_SUFFIXES = (".c", ".h", ".S")
"""The files whose headings name functions; elsewhere (Kconfig, Makefile) they are only hints."""

_HEADING_BYTES = 80  # xdiff's func_line buffer
_CPP = re.compile(r"^(?:::\s*)?[A-Za-z_]")
_CPP_LABEL = re.compile(r"^[ \t]*[A-Za-z_][A-Za-z_0-9]*:\s*(?:$|/[/*])")
_DEFAULT = re.compile(r"^[A-Za-z_$]")

_END = re.compile(r"^(?:SYM_\w*END\w*|END(?:PROC|PIPROC)?|EXPORT_SYMBOL\w*|MODULE_\w+)\s*\(")

_ATTRIBUTE = re.compile(
    r"\b__(?:attribute__|printf|scanf|section|aligned|acquires|releases|must_hold|counted_by)"
    r"\s*\((?:[^()]|\([^()]*\))*\)"
)
_CALL = re.compile(r"([A-Za-z_$][\w$]*)\s*\(\s*([\w$]*)")
_ASSIGNED = re.compile(r"([A-Za-z_$][\w$]*)\s*(?:\[[^\]]*\]\s*)*=")
_TAG = re.compile(r"\b(?:struct|union|enum)\s+([A-Za-z_]\w*)")


def is_heading_cpp(line: str) -> bool:
    """Return whether git's cpp driver takes ``line`` for a heading."""
    return bool(_CPP.match(line)) and not _CPP_LABEL.match(line)


def is_heading_default(line: str) -> bool:
    """Return whether git takes ``line`` for a heading where no driver is named."""
    return bool(_DEFAULT.match(line))


def truncate(line: str) -> str:
    """Return a heading as it appears behind ``@@``: 80 bytes of it, no white space at the end."""
    start = line.encode("utf-8", "surrogateescape")[:_HEADING_BYTES]
    return start.decode("utf-8", "ignore").rstrip()


def name(heading: str) -> str:
    """Return what a heading line defines: a function, a variable, a struct, or the whole line.

    Macros that define things (``SYSCALL_DEFINE2(splice``, ``SYM_FUNC_START(memcpy)``) are named by
    their first argument.
    """
    text = " ".join(_ATTRIBUTE.sub(" ", heading).split())
    call = _CALL.search(text)
    assigned = _ASSIGNED.search(text)
    if assigned and (not call or assigned.start() < call.start()):
        return assigned[1]
    if call:
        return call[2] if call[1].isupper() and call[2] else call[1]
    tag = _TAG.search(text)
    return tag[1] if tag else text


def same(mail_heading: str, tree_line: str) -> bool:
    """Return whether a mail's (truncated) heading and a line of the tree name the same thing."""
    found = truncate(tree_line)
    return found == mail_heading.rstrip() or name(found) == name(mail_heading)


def _ends_scope(line: str) -> bool:
    return line.startswith("}") or bool(_END.match(line))


def _is_declaration(lines: Sequence[str]) -> bool:
    """Return whether what begins on the first of ``lines`` ends without having had a body."""
    for line in lines:
        if "{" in line:
            return False
        if line.rstrip().endswith(";"):
            return True
    return False


def expected(hunk: Hunk, change: int = 0) -> str | None:
    """Return the heading of a change (counted from 0) as the hunk's author saw it, or None.

    A function that begins in the hunk itself is what the change is in; what git wrote behind ``@@``
    is then the function before. A closing brace or a whole declaration in front means that the
    change is between functions, where no heading holds.
    """
    before = hunk.before_change(change)
    for index in reversed(range(len(before))):
        if _ends_scope(before[index]):
            return None
        if is_heading_cpp(before[index]):
            return None if _is_declaration(before[index:]) else truncate(before[index])
    return hunk.heading or None


def enclosing(lines: Sequence[str], place: int) -> tuple[str, ...]:
    """Return the lines git may call the heading of line ``place`` (1-based) of a file.

    One by the cpp driver, one by the default rule where that is another. Empty when the place is
    outside of everything: after a closing brace, after a declaration, or at the file's top.
    """
    by_default: str | None = None
    for index in reversed(range(min(place - 1, len(lines)))):
        line = lines[index]
        if _ends_scope(line):
            return ()
        if by_default is None and is_heading_default(line):
            by_default = line
        if is_heading_cpp(line):
            if _is_declaration(lines[index : place - 1]):
                return ()
            return (line,) if by_default in (None, line) else (line, by_default or line)
    return (by_default,) if by_default else ()


def mismatch(hunk: Hunk, change: int, lines: Sequence[str], place: int) -> tuple[str, str] | None:
    """Return (what it was written for, where it landed) of a misplaced change, None if it is right.

    ``lines`` is the file before the change, ``place`` the line in it of the hunk's changed line
    number ``change``.
    """
    wanted = expected(hunk, change)
    if wanted is None:
        return None
    found = enclosing(lines, place)
    if not found or any(same(wanted, line) for line in found):
        return None
    return _shown(wanted), _shown(truncate(found[0]))


def _shown(heading: str) -> str:
    known = name(heading)
    return f"{known}()" if "(" in heading and known != heading else known
