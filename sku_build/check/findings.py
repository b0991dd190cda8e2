# SPDX-License-Identifier: GPL-2.0-only
"""What `sku check` finds, as data: one cell for each series and tree, and findings with a place."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from sku_build import git, layout
from sku_build.mail import Mail


class Level(enum.StrEnum):
    """How bad a finding is; a note is told and does not fail the check."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


# What each check promises; its name is the rule's id in SARIF and in annotations.
CHECKS = {
    "format": "The series and its mails are well formed",
    "origin": "A patch says where it comes from as its project asks",
    "applies": "Every patch goes on every tree that it is said to be for",
    "together": "The series of a board go on a tree together",
    "needed": "No tree has what a patch for it does",
    "refreshed": "Every file is as git would write it on some known tree",
    "checkpatch": "The kernel's own checkpatch.pl has no complaint",
    "config": "The series' fragment decides every symbol that its patches bring",
    "build": "Every patch compiles on its own, without a new warning",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing found. ``file`` is relative to the repository, ``line`` counts from 1.

    ``mend_on`` is the tree on which `sku check --fix` mends it by a refresh.
    """

    check: str
    level: Level
    series: str
    file: str
    message: str
    line: int | None = None
    tree: str | None = None
    mend_on: str | None = None


class Cell(msgspec.Struct, frozen=True):
    """A series, or a board with its series, on a tree.

    ``state`` is `clean`, `moved` (offsets or merges), `upstream`, `not-for` or `fails`; ``counts``
    is outcome → number of patches, ``patches`` file → outcome, of a board's as SERIES/FILE.
    ``reason`` is why it is not for this tree, where the series says so.
    """

    series: str
    tree: str
    state: str
    counts: dict[str, int] = {}
    patches: dict[str, str] = {}
    reason: str | None = None


class CheckReport(msgspec.Struct, frozen=True):
    """All that was checked and found; ``trees`` is name → version, ``fixed`` files mended."""

    trees: dict[str, str]
    series: list[str]
    checks: list[str]
    cells: list[Cell]
    findings: list[Finding]
    fixed: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether anything was found that is more than a note."""
        return any(item.level is not Level.NOTE for item in self.findings)


def place(path: Path) -> str:
    """Return a file of the data directory as CI names it: relative to its repository."""
    root = layout.data_root()
    prefix = git.git("rev-parse", "--show-prefix", cwd=root, check=False).stdout.strip()
    return prefix + str(path.relative_to(root))


def line_of_file(mail: Mail, path: str) -> int:
    """Return the line of a patch file at which its change of ``path`` begins; 1 if nowhere."""
    lines = mail.raw.decode("utf-8", "surrogateescape").splitlines()
    return next(
        (
            number
            for number, text in enumerate(lines, 1)
            if text.startswith("diff --git ") and text.endswith(f" b/{path}")
        ),
        1,
    )


def line_of_entry(text: str, file: str) -> int:
    """Return the line of a series.toml that names the patch ``file``; 1 if nowhere."""
    return next((n for n, line in enumerate(text.splitlines(), 1) if f'"{file}"' in line), 1)
