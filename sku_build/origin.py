# SPDX-License-Identifier: GPL-2.0-only
"""Where a patch comes from, read from whichever of three header styles its mail carries.

- openEuler's inclusion block at the head of the message ("Code for committing patch" of its kernel
  SIG): ``mainline inclusion``, ``from mainline-v5.13-rc1``, ``commit <id>``, ``category:``, …
- SUSE's ``Patch-mainline:``, ``Git-commit:``, ``Git-repo:``, ``References:`` (README.SUSE)
- Debian's DEP-3: ``Origin:``, ``Forwarded:``, ``Applied-Upstream:``, ``Bug:``
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import msgspec

_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_URL = re.compile(r"https?://\S+")
_RELEASE = re.compile(r"\bv?\d+\.\d+(?:\.\d+)?(?:-rc\d+)?\b")


class Status(enum.StrEnum):
    """How a patch stands to the mainline kernel, in SUSE's five steps."""

    MAINLINE = "mainline"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    NOT_YET = "not-yet"
    NEVER = "never"


class Origin(msgspec.Struct, frozen=True):
    """One model for all styles; ``since`` is the release or tag that has it, as written."""

    status: Status
    style: str
    commit: str | None = None
    partial: bool = False
    since: str | None = None
    url: str | None = None
    reason: str | None = None


class Rule(msgspec.Struct, frozen=True):
    """What an origin of some status must say and must not say (field names of Origin)."""

    requires: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


# SUSE's table, which is the strictest of the three; DEP-3 and openEuler name the same facts.
RULES: Mapping[Status, Rule] = {
    Status.MAINLINE: Rule(requires=("commit",)),
    Status.QUEUED: Rule(requires=("commit", "url")),
    Status.SUBMITTED: Rule(one_of=("url", "reason"), excludes=("commit",)),
    Status.NOT_YET: Rule(requires=("reason",), excludes=("commit",)),
    Status.NEVER: Rule(requires=("reason",), excludes=("commit",)),
}


def problems(origin: Origin) -> list[str]:
    """Return what contradicts :data:`RULES` in ``origin``, as sentences; empty when nothing."""
    rule = RULES[origin.status]
    head = f"origin ({origin.style}) says {origin.status}"
    found = [f"{head} but names no {field}" for field in rule.requires if not _has(origin, field)]
    found += [f"{head} and names a {field}" for field in rule.excludes if _has(origin, field)]
    if rule.one_of and not any(_has(origin, field) for field in rule.one_of):
        found.append(f"{head} but names neither {' nor '.join(rule.one_of)}")
    if origin.commit and not _COMMIT.fullmatch(origin.commit):
        found.append(f"{head}: commit {origin.commit} is not an id of 40 hex digits")
    return found


def _has(origin: Origin, field: str) -> bool:
    return bool(getattr(origin, field))


def read(headers: Mapping[str, str], message: str) -> Origin | None:
    """Return the origin a mail states, or None when it states none.

    ``headers`` are the mail's own header fields, names in lower case; ``message`` is its text
    without the diff. Fields of the SUSE and DEP-3 styles are found in either.
    """
    fields = {**_fields(message), **headers}
    return _openeuler(message) or _suse(fields) or _dep3(fields)


_FIELD = re.compile(r"^(?P<name>[A-Za-z][A-Za-z0-9-]*):[ \t]*(?P<value>.*\S)[ \t]*$", re.MULTILINE)


def _fields(message: str) -> dict[str, str]:
    return {found["name"].lower(): found["value"] for found in _FIELD.finditer(message)}


def _first(pattern: re.Pattern[str], text: str | None) -> str | None:
    found = pattern.search(text or "")
    return found.group() if found else None


_INCLUSION = re.compile(
    r"\A\s*(?P<source>[A-Za-z][\w.-]*) inclusion\n"
    r"(?P<body>.*?)(?:^-{8,}\s*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FROM = re.compile(r"^from[ \t]+(\S+)", re.MULTILINE)
_INCLUDED_COMMIT = re.compile(r"^commit[ \t]+(\S+)", re.MULTILINE)
_INCLUSION_STATUS = {
    "mainline": Status.MAINLINE,
    "stable": Status.MAINLINE,
    "maillist": Status.SUBMITTED,
}


def _openeuler(message: str) -> Origin | None:
    block = _INCLUSION.match(message)
    if not block:
        return None
    fields = _fields(block["body"])
    since = _FROM.search(block["body"])
    commit = _INCLUDED_COMMIT.search(block["body"])
    source = block["source"]
    return Origin(
        status=_INCLUSION_STATUS.get(source.lower(), Status.NOT_YET),
        style="openEuler",
        commit=commit[1] if commit else None,
        since=since[1] if since else None,
        url=_first(_URL, fields.get("reference")) or _first(_URL, fields.get("bugzilla")),
        reason=f"{source} inclusion, category {fields.get('category', 'not given')}",
    )


# "Alt-commit" and the like are left alone: they add nothing to the model.
_MAINLINE_STATUS = (
    (re.compile(r"^v?\d"), Status.MAINLINE),
    (re.compile(r"^queued", re.IGNORECASE), Status.QUEUED),
    (re.compile(r"^submitted", re.IGNORECASE), Status.SUBMITTED),
    (re.compile(r"^not yet", re.IGNORECASE), Status.NOT_YET),
    (re.compile(r"^never", re.IGNORECASE), Status.NEVER),
)


def _suse(fields: Mapping[str, str]) -> Origin | None:
    said = fields.get("patch-mainline")
    if said is None:
        return None
    status = next((value for start, value in _MAINLINE_STATUS if start.match(said)), Status.NOT_YET)
    commit = fields.get("git-commit")
    return Origin(
        status=status,
        style="SUSE",
        commit=commit.split()[0] if commit else None,
        partial="(partial)" in (commit or ""),
        since=said if status is Status.MAINLINE else None,
        url=fields.get("git-repo") or _first(_URL, said) or _first(_URL, fields.get("references")),
        reason=said.partition(",")[2].strip() or None,
    )


def _dep3(fields: Mapping[str, str]) -> Origin | None:
    said = fields.get("origin")
    forwarded = fields.get("forwarded")
    applied = fields.get("applied-upstream")
    if said is None and forwarded is None and applied is None:
        return None
    kind, _, rest = (said or "").partition(",")
    kind = kind.strip().lower()
    forward = (forwarded or "").lower()
    if kind in ("upstream", "backport") or applied:
        status = Status.MAINLINE
    elif forward.startswith("not-needed"):
        status = Status.NEVER
    elif forward in ("", "no"):
        status = Status.NOT_YET
    else:
        status = Status.SUBMITTED
    upstream = status is Status.MAINLINE
    return Origin(
        status=status,
        style="DEP-3",
        commit=(_first(_COMMIT, rest) or _first(_COMMIT, applied)) if upstream else None,
        since=_first(_RELEASE, applied) or (_first(_RELEASE, rest) if upstream else None),
        url=_first(_URL, said) or _first(_URL, forwarded) or _first(_URL, fields.get("bug")),
        reason=None if upstream else (f"Forwarded: {forwarded}" if forwarded else "not forwarded"),
    )
