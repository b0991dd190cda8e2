# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts in the documentation, run as they are written.

An indented line that begins with ``$`` is typed into one shell; the lines below it are what that
prints, standard output and standard error together. In them ``…`` stands for any text of a line,
and a line of nothing else for any lines. Lines that end in a space are compared without it.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_INDENT = "    "
_MARK = "=== done ==="


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of a transcript, in which line it is, and what it is to print."""

    line: int
    command: str
    expected: tuple[str, ...]


def steps(text: str) -> list[Step]:
    """Return the commands in a document."""
    found: list[Step] = []
    expected: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(f"{_INDENT}$ "):
            if found and expected is not None:
                found[-1] = dataclasses.replace(found[-1], expected=tuple(expected))
            found.append(Step(number, line.removeprefix(f"{_INDENT}$ "), ()))
            expected = []
        elif line.startswith(_INDENT) and expected is not None:
            expected.append(line.removeprefix(_INDENT))
        elif line.strip() and found and expected is not None:
            found[-1] = dataclasses.replace(found[-1], expected=tuple(expected))
            expected = None
        elif expected:
            expected.append("")
    if found and expected is not None:
        found[-1] = dataclasses.replace(found[-1], expected=tuple(expected))
    return found


def run(commands: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> list[str]:
    """Type the commands into one shell; return what each printed."""
    # The mark is printed without changing what `$?` is for the next command.
    mark = f"__status=$?; echo '{_MARK}'; (exit $__status)"
    script = "".join(f"{command}\n{mark}\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=cwd,
        env=dict(env),
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.split(f"{_MARK}\n")[:-1]


def matches(expected: Sequence[str], printed: str) -> bool:
    """Return whether ``printed`` is what a transcript says, blank lines aside."""
    wanted = [line.rstrip() for line in expected if line.strip()]
    lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines() if line.strip())
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else _any(line) + r"\n" for line in wanted
    )
    return re.fullmatch(pattern, lines) is not None


def _any(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…")))
