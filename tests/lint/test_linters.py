# SPDX-License-Identifier: GPL-2.0-only
"""Linters are tests: a finding fails the build like any broken promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPDX = "SPDX-License-Identifier: GPL-2.0-only"


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--no-fix", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda command: " ".join(command[:2]),
)
def test_linter_is_silent(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_starts_with_its_licence() -> None:
    def has_licence(path: Path) -> bool:
        # JSON has no comments: REUSE's file beside it says it.
        beside = path.with_name(f"{path.name}.license")
        with (beside if beside.exists() else path).open(encoding="utf-8", errors="replace") as text:
            return SPDX in text.readline() + text.readline()

    # A patch is a mail: git reads its first line.
    files = [path for path in tracked_files() if path.suffix not in {".patch", ".mbox"}]
    assert files
    bare = [
        str(path.relative_to(ROOT))
        for path in files
        if path.stat().st_size > 0 and not has_licence(path)
    ]
    assert bare == []
