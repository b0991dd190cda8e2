# SPDX-License-Identifier: GPL-2.0-only
"""Patches are mails: what is read from them, and what is wrong with some."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sku_build import mail
from sku_build.diff import Hunk, Line
from sku_build.errors import UserError

OLD, NEW = "1" * 40, "2" * 40
DIFF = f"""diff --git a/mm/x.c b/mm/x.c
index {OLD}..{NEW} 100644
--- a/mm/x.c
+++ b/mm/x.c
@@ -10,3 +10,4 @@ static int alpha(void)
 \tint a;
 \tint b;
+\tint c;
 }}
"""
MAIL = f"""From {NEW} Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Date: Tue, 2 Jan 2024 03:04:05 +0000
Subject: [PATCH 1/2] mm: count a third thing

The reason for it.

Signed-off-by: Ann Author <ann@example.org>
---
 mm/x.c | 1 +

{DIFF}-- 
2.39.5

"""  # noqa: W291


def write(tmp_path: Path, text: str | bytes, name: str = "0001-x.patch") -> mail.Mail:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return mail.load(path)


def test_message_and_diff_are_taken_apart(tmp_path: Path) -> None:
    patch = write(tmp_path, MAIL)
    assert patch.subject == "mm: count a third thing"
    assert patch.message.strip().splitlines()[0] == "The reason for it."
    assert "mm/x.c | 1 +" not in patch.message
    assert patch.number == 1
    (item,) = patch.files
    assert (item.path, item.old_id, item.new_id) == ("mm/x.c", OLD, NEW)
    (hunk,) = item.hunks
    assert hunk.heading == "static int alpha(void)"
    assert hunk.old_lines() == ["\tint a;", "\tint b;", "}"]
    assert [(place, line.text) for place, line in hunk.changes()] == [(12, "\tint c;")]
    assert list(mail.problems(patch)) == []


def test_encoded_and_crlf_mails_mean_the_same(tmp_path: Path) -> None:
    plain = write(tmp_path, MAIL)
    head, _, body = MAIL.partition("\n\n")
    encoded = head + "\nContent-Transfer-Encoding: base64\nContent-Type: text/plain; charset=utf-8"
    payload = base64.encodebytes(body.encode()).decode()
    for form in (f"{encoded}\n\n{payload}", MAIL.replace("\n", "\r\n")):
        patch = write(tmp_path, form, "0002-y.patch")
        assert patch.files == plain.files
        assert patch.subject == plain.subject
        assert list(mail.problems(patch)) == []


def test_a_folded_and_encoded_subject_is_read(tmp_path: Path) -> None:
    folded = MAIL.replace(
        "Subject: [PATCH 1/2] mm: count a third thing",
        "Subject: [PATCH] =?UTF-8?q?mm:=20=C3=A9tude?=\n =?UTF-8?q?=20of=20things?=",
    )
    assert write(tmp_path, folded).subject == "mm: étude of things"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (OLD, OLD[:12], "no full blob ids"),
        ("mm: count", "Count", "no subsystem prefix"),
        ("Signed-off-by: Ann Author", "Acked-by: Ann Author", "no Signed-off-by"),
        ("Date: ", "X-Date: ", "no Date: header"),
        (DIFF, "", "no diff"),
        ("2.39.5\n", f"2.39.5\nFrom {OLD} Mon Sep 17 00:00:00 2001\n", "holds 2 mails"),
    ],
)
def test_what_git_or_a_reviewer_would_miss_is_told(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    found = list(mail.problems(write(tmp_path, MAIL.replace(before, after))))
    assert [complaint in problem for problem in found] == [True]


def test_renames_new_deleted_and_quoted_paths_are_known(tmp_path: Path) -> None:
    text = MAIL.replace(
        DIFF,
        f"""diff --git a/old.c b/new.c
similarity index 100%
rename from old.c
rename to new.c
diff --git a/gone.c b/gone.c
deleted file mode 100644
index {OLD}..{"0" * 40}
--- a/gone.c
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/tool b/tool
old mode 100644
new mode 100755
diff --git "a/\\303\\251.c" "b/\\303\\251.c"
new file mode 100644
index {"0" * 40}..{NEW}
--- /dev/null
+++ "b/\\303\\251.c"
@@ -0,0 +1 @@
+x
""",
    )
    files = write(tmp_path, text).files
    assert [(item.old_path, item.new_path) for item in files] == [
        ("old.c", "new.c"),
        ("gone.c", None),
        ("tool", "tool"),
        (None, "é.c"),
    ]


def test_a_damaged_diff_names_the_file(tmp_path: Path) -> None:
    patch = write(tmp_path, MAIL.replace("@@ -10,3 +10,4 @@", "@@ -10,9 +10,4 @@"))
    with pytest.raises(UserError) as caught:
        _ = patch.files
    assert caught.value.where is not None
    assert caught.value.where.endswith("0001-x.patch")


def test_a_missing_mail_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the patch"):
        mail.load(tmp_path / "0001-none.patch")


def test_each_change_is_placed_in_the_old_file() -> None:
    marks = (" a", "+b", "+c", "-d", " e", "-f")
    hunk = Hunk(7, "", tuple(Line(text[0], text[1:]) for text in marks))
    assert [(place, line.text) for place, line in hunk.changes()] == [
        (8, "b"),
        (8, "c"),
        (8, "d"),
        (10, "f"),
    ]
    assert hunk.before_change(3) == ["a", "d", "e"]
