# SPDX-License-Identifier: GPL-2.0-only
"""What a patch says of its origin, line by line against a table: which fields, which values.

The tables are what the projects check themselves: openEuler's "Code for committing patch", SUSE's
header checks for kernel-source, Debian's DEP-3. What the fields mean together is checked on the
model they become (:data:`sku_build.origin.RULES`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from sku_build import origin
from sku_build.mail import Mail

_ID = r"[0-9a-f]{40}"
_URL = r"https?://\S+"
_TAG = r"v?\d+\.\d+(?:\.\d+)?(?:-rc\d+)?"
_ISSUE = r"(?:bsc|bnc|boo|jsc|fate|ltc|msft|git-fixes|CVE|XSA)\b\S*"


class Field(msgspec.Struct, frozen=True):
    """One field of a style; its whole value must match ``accepted``, told as ``allowed``."""

    name: str
    accepted: str
    allowed: str
    required: bool = False
    multi: bool = False


class OriginProblem(msgspec.Struct, frozen=True):
    """Something wrong with what a mail says of its origin, and in which line of the file."""

    line: int | None
    message: str


FIELDS: Mapping[str, tuple[Field, ...]] = {
    "openEuler": (
        Field("inclusion", r"[A-Za-z][\w.-]* inclusion", "`SOURCE inclusion`", required=True),
        Field("from", r"\S+-" + _TAG + r"\S*|\S+", "`from SOURCE-vN`"),
        Field("commit", _ID, "an id of 40 hex digits"),
        Field(
            "category",
            r"bugfix|feature|performance|doc(?:umentation)?|cleanup|security|test|other",
            "bugfix, feature, performance, doc, cleanup, security, test or other",
            required=True,
        ),
        Field("bugzilla", rf"{_URL}|NA|#?\w+", "a URL, an issue or NA", required=True),
        Field("CVE", r"(?:CVE-\d{4}-\d{4,}[ ,]*)+|NA", "CVE-YEAR-NUMBER or NA", required=True),
        Field("Reference", rf"{_URL}|NA", "a URL or NA", multi=True),
    ),
    "SUSE": (
        Field(
            "Patch-mainline",
            rf"{_TAG}.*|Queued in subsystem maintainer repository"
            r"|(?:Submitted|Not yet|Never), ?\S.*",
            "a release, `Queued in subsystem maintainer repository`, or `Submitted`, `Not yet` or"
            " `Never` with a comma and a reason",
            required=True,
        ),
        Field("Git-commit", rf"{_ID}(?: \(partial\))?", "40 hex digits, `(partial)` after them"),
        Field("Git-repo", r"(?:https?|git|ssh)://\S+|\S+@\S+:\S+", "the URL of a repository"),
        Field("Alt-commit", _ID, "an id of 40 hex digits", multi=True),
        Field(
            "References",
            rf"{_ISSUE}(?:[ ,]+{_ISSUE})*",
            "bsc#…, jsc#…, CVE-… or git-fixes",
            True,
            True,
        ),
    ),
    "DEP-3": (
        Field(
            "Origin",
            r"(?:upstream|backport|vendor|other)(?:, ?\S.*)?|\S+",
            "upstream, backport, vendor or other, then a comma and a place",
        ),
        Field("Forwarded", rf"no|not-needed|yes|{_URL}", "no, not-needed, yes or a URL"),
        Field(
            "Applied-Upstream", rf"{_TAG}.*|commit:\S+|{_URL}.*|{_ID}", "a release, commit or URL"
        ),
        Field("Last-Update", r"\d{4}-\d{2}-\d{2}", "a date such as 2026-01-31"),
        Field("Bug", rf"{_URL}|#\d+", "a URL", multi=True),
    ),
}
# Not told as `Name:` in openEuler's block; From: is the mail's own.
_OF_THE_BLOCK = ("inclusion", "from", "commit")
_BLOCK_FIELD = re.compile(
    r"^(?:(?P<kind>from|commit)[ \t]+(?P<rest>\S.*?)|(?P<inclusion>\S+ inclusion))\s*$"
)
_FIELD = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9-]*):[ \t]*(?P<value>.*?)[ \t]*$")


def check(mail: Mail) -> list[OriginProblem]:
    """Return all that is wrong with the origin that a mail states; nothing when it states none."""
    stated = mail.origin
    if stated is None:
        return []
    table = FIELDS[stated.style]
    said = _said(mail, stated.style, table)
    found = [*_against(table, said, stated.style)]
    first = min((line for lines in said.values() for line, _ in lines if line), default=None)
    found += [OriginProblem(first, message) for message in origin.problems(stated)]
    return found


def _against(
    table: tuple[Field, ...], said: Mapping[str, list[tuple[int | None, str]]], style: str
) -> Iterator[OriginProblem]:
    first = min((line for lines in said.values() for line, _ in lines if line), default=None)
    for field in table:
        lines = said.get(field.name, [])
        if field.required and not lines:
            yield OriginProblem(first, f"origin ({style}): there is no {field.name}")
        if len(lines) > 1 and not field.multi:
            yield OriginProblem(lines[1][0], f"origin ({style}): a second {field.name}")
        for line, value in lines:
            if not re.fullmatch(field.accepted, value):
                yield OriginProblem(
                    line,
                    f"origin ({style}): {field.name} is {value!r}; allowed: {field.allowed}",
                )


def _said(
    mail: Mail, style: str, table: tuple[Field, ...]
) -> dict[str, list[tuple[int | None, str]]]:
    """Return field → (line of the file, value) of what the table knows."""
    names = {item.name.lower(): item.name for item in table if item.name not in _OF_THE_BLOCK}
    found: dict[str, list[tuple[int | None, str]]] = {}
    for line, text in _lines(mail):
        if style == "openEuler" and (block := _BLOCK_FIELD.match(text)):
            name = block["kind"] or "inclusion"
            found.setdefault(name, []).append((line, block["rest"] or block["inclusion"]))
        elif (field := _FIELD.match(text)) and field["name"].lower() in names:
            found.setdefault(names[field["name"].lower()], []).append((line, field["value"]))
        elif style == "openEuler" and re.match(r"^-{8,}\s*$", text):
            break
    return found


def _lines(mail: Mail) -> Iterator[tuple[int | None, str]]:
    """Yield the lines in front of the diff with their numbers, None where the body is encoded."""
    encoding = mail.headers.get("content-transfer-encoding", "").lower()
    if encoding in ("base64", "quoted-printable"):
        for name, value in mail.headers.items():
            yield None, f"{name}: {value}"
        for text in mail.message.split("\n"):
            yield None, text
        return
    lines = mail.raw.decode("utf-8", "surrogateescape").splitlines()
    for number, text in enumerate(lines, 1):
        if text == "---" or text.startswith("diff --git "):
            return
        yield number, text
