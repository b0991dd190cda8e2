# SPDX-License-Identifier: GPL-2.0-only
"""Three header styles become one model, and a table says what each status must state."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import origin_check
from sku_build.mail import Mail
from sku_build.origin import Origin, Status, problems, read

COMMIT = "e4443149eef4ecb36a8b16d8b2d3bcd8fdb2ee4d"

OPENEULER = f"""mainline inclusion
from mainline-v5.13-rc1
commit {COMMIT}
category: bugfix
bugzilla: https://gitee.com/openeuler/kernel/issues/I1ABCD
CVE: NA

Reference: https://git.kernel.org/torvalds/c/{COMMIT}

--------------------------------

Upstream's own message, whose commit 0000000000000000000000000000000000000000 is not meant.
"""


def test_openeuler_inclusion_block_is_read() -> None:
    origin = read({}, OPENEULER)
    assert origin == Origin(
        status=Status.MAINLINE,
        style="openEuler",
        commit=COMMIT,
        since="mainline-v5.13-rc1",
        url=f"https://git.kernel.org/torvalds/c/{COMMIT}",
        reason="mainline inclusion, category bugfix",
    )
    assert problems(origin) == []


def test_a_vendors_own_inclusion_is_not_mainline() -> None:
    origin = read(
        {}, "hulk inclusion\ncategory: feature\nbugzilla: NA\nCVE: NA\n\n---------\n\nx\n"
    )
    assert origin is not None
    assert (origin.status, origin.commit) == (Status.NOT_YET, None)
    assert problems(origin) == []


@pytest.mark.parametrize("inside_message", [False, True])
def test_suse_fields_are_read_from_the_mail_header_or_the_message(inside_message: bool) -> None:
    fields = {
        "patch-mainline": "v6.5-rc7",
        "git-commit": f"{COMMIT} (partial)",
        "references": "bsc#1012628",
    }
    message = "".join(f"{name.title()}: {value}\n" for name, value in fields.items())
    origin = read({}, message) if inside_message else read(fields, "")
    assert origin == Origin(Status.MAINLINE, "SUSE", COMMIT, partial=True, since="v6.5-rc7")
    assert problems(origin) == []


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ("Queued in subsystem maintainer repository", Status.QUEUED, None),
        ("Submitted, 2024-01-02 - lkml", Status.SUBMITTED, "2024-01-02 - lkml"),
        ("Not yet, needs a board", Status.NOT_YET, "needs a board"),
        ("Never, our product only", Status.NEVER, "our product only"),
    ],
)
def test_suse_says_how_a_patch_stands(said: str, status: Status, reason: str | None) -> None:
    origin = read({"patch-mainline": said}, "")
    assert origin is not None
    assert (origin.status, origin.reason) == (status, reason)


def test_dep3_is_read() -> None:
    url = f"https://git.kernel.org/linus/{COMMIT}"
    origin = read({"origin": f"upstream, {url}", "applied-upstream": "6.2"}, "")
    assert origin == Origin(Status.MAINLINE, "DEP-3", COMMIT, since="6.2", url=url)
    forwarded = read({"forwarded": "https://lore.kernel.org/r/1@x", "origin": "vendor"}, "")
    assert forwarded is not None
    assert (forwarded.status, forwarded.url) == (Status.SUBMITTED, "https://lore.kernel.org/r/1@x")
    assert problems(forwarded) == []
    for said, status in (("no", Status.NOT_YET), ("not-needed", Status.NEVER)):
        found = read({"forwarded": said}, "")
        assert found is not None
        assert found.status is status


def test_a_mail_that_states_nothing_has_no_origin() -> None:
    assert read({"from": "a@b", "subject": "x"}, "mm: a message\n\nFixes: 12 (x)\n") is None


@pytest.mark.parametrize(
    ("origin", "complaint"),
    [
        (Origin(Status.MAINLINE, "SUSE"), "names no commit"),
        (Origin(Status.QUEUED, "SUSE", commit=COMMIT), "names no url"),
        (Origin(Status.SUBMITTED, "DEP-3"), "names neither url nor reason"),
        (Origin(Status.NEVER, "SUSE", commit=COMMIT, reason="x"), "and names a commit"),
        (Origin(Status.NOT_YET, "SUSE"), "names no reason"),
        (Origin(Status.MAINLINE, "SUSE", commit="e4443149"), "not an id of 40 hex digits"),
    ],
)
def test_an_origin_that_contradicts_itself_is_told(origin: Origin, complaint: str) -> None:
    assert [complaint in found for found in problems(origin)] == [True]


SUSE = f"""\
From: Ann Author <ann@example.org>
Subject: [PATCH] mm: do
Patch-mainline: v6.5-rc7
Git-commit: {COMMIT}
References: bsc#1012628 CVE-2024-1234

Why.
---
"""
DEP3 = f"""\
From: Ann Author <ann@example.org>
Subject: [PATCH] mm: do
Origin: upstream, https://git.kernel.org/linus/{COMMIT}
Last-Update: 2026-01-31

Why.
---
"""
EULER = "From: Ann Author <ann@example.org>\nSubject: [PATCH] mm: do\n\n" + OPENEULER


@pytest.mark.parametrize("text", [SUSE, DEP3, EULER])
def test_what_each_project_would_take_is_taken(text: str) -> None:
    assert origin_check.check(Mail(Path("x"), text.encode())) == []


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "complaint"),
    [
        (SUSE, "v6.5-rc7", "soon", 3, "Patch-mainline is 'soon'; allowed: a release"),
        (SUSE, f"Git-commit: {COMMIT}\n", "", 3, "says mainline but names no commit"),
        (SUSE, COMMIT, COMMIT[:12], 4, "Git-commit is 'e4443149eef4'; allowed: 40 hex digits"),
        (SUSE, "References: bsc#1012628 CVE-2024-1234\n", "", 3, "there is no References"),
        (SUSE, "bsc#1012628", "see-there", 5, "References is"),
        (SUSE, "\n\nWhy.", f"\nGit-commit: {COMMIT}\n\nWhy.", 6, "a second Git-commit"),
        (DEP3, "2026-01-31", "yesterday", 4, "Last-Update is 'yesterday'; allowed: a date"),
        (EULER, "category: bugfix", "category: stuff", 7, "category is 'stuff'; allowed: bugfix"),
        (EULER, "CVE: NA\n", "", 4, "there is no CVE"),
        (EULER, f"commit {COMMIT}", "commit 12ab", 6, "commit is '12ab'; allowed: an id"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    text: str, old: str, new: str, line: int, complaint: str
) -> None:
    assert text.count(old) >= 1
    found = origin_check.check(Mail(Path("x"), text.replace(old, new, 1).encode()))
    assert (line, True) in [(item.line, complaint in item.message) for item in found]
