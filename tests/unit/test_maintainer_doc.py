# SPDX-License-Identifier: GPL-2.0-only
"""docs/maintainer.md is run as it is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import SmallTree, run_git

from . import transcript
from .maintainer import Desk, c_file

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "maintainer.md"
FILE = "mm/count.c"
REPLY = """\
From: Rev Iewer <rev@example.net>
To: Ann Author <ann@example.org>
Subject: Re: [PATCH 1/3] mm: count hits
Date: Wed, 15 Nov 2023 18:00:00 +0000
Message-Id: <reply@example.net>
In-Reply-To: <{parent}>
References: <{parent}>

Reviewed-by: Rev Iewer <rev@example.net>
"""


@pytest.fixture
def home(small_tree: SmallTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with what the document takes for granted: two checkouts and a thread of mails."""
    place = tmp_path / "home"
    text = c_file("hit", "miss", "drop")
    older = Desk(small_tree("6.1.5", {FILE: text}, name="home/linux-6.1"), tmp_path)
    newer = small_tree("6.12.3", {FILE: text}, name="home/linux-6.12")
    (newer / FILE).write_text(text.replace("\tint miss_b;\n", "\tlong miss_b;\n"))
    run_git(newer, "commit", "--quiet", "--all", "-m", "mm: make miss_b long")
    for name, subject in (("hit", "hits"), ("miss", "misses"), ("drop", "drops")):
        older.edit(FILE, f"\tint {name}_b;\n", f"\tint {name}_b;\n\tint {name}_count;\n")
        older.commit(f"mm: count {subject}")
    older.git("config", "branch.main.description", "Count what the cache does")
    thread = older.git(
        *("format-patch", "--stdout", "--thread", "--cover-letter"),
        *("--cover-from-description=subject", "HEAD~3..main"),
    )
    older.git("reset", "--quiet", "--hard", "HEAD~3")
    first = thread.index("Subject: [PATCH 1/3]")
    parent = thread[thread.rindex("Message-Id: <", 0, first) :].split("<")[1].split(">")[0]
    reply = f"From mboxrd@z Thu Jan  1 00:00:00 1970\n{REPLY.format(parent=parent)}\n"
    (place / "counters.mbox").write_text(f"{thread}\n\n{reply}")
    return place


def test_the_maintainers_transcript_holds(home: Path) -> None:
    told = transcript.steps(DOCUMENT.read_text(encoding="utf-8"))
    assert len(told) > 15
    programs = Path(sys.executable).parent
    env = {
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "GIT_AUTHOR_NAME": "Mia Maintainer",
        "GIT_AUTHOR_EMAIL": "mia@example.org",
        "GIT_COMMITTER_NAME": "Mia Maintainer",
        "GIT_COMMITTER_EMAIL": "mia@example.org",
    }
    printed = transcript.run([step.command for step in told], cwd=home, env=env)
    assert len(printed) == len(told)
    for step, said in zip(told, printed, strict=True):
        place = f"{DOCUMENT.name}:{step.line}: $ {step.command}"
        assert transcript.matches(step.expected, said), f"{place}\nprinted:\n{said}"


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a … c"], "a big c\n", True),
        (["a", "…", "z"], "a\nb\nc\nz\n", True),
        (["a"], "a\nb\n", False),
        (["a", "…"], "b\n", False),
        ([], "something\n", False),
    ],
)
def test_a_transcript_that_is_wrong_is_found(expected: list[str], printed: str, fits: bool) -> None:
    assert transcript.matches(expected, printed) is fits
