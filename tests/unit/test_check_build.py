# SPDX-License-Identifier: GPL-2.0-only
"""What is built of a patch, and which complaint is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build.check import building
from sku_build.errors import UserError
from sku_build.outcome import Applied, Outcome, PatchOutcome
from sku_build.series import load
from sku_build.toolchain import Toolchain
from sku_build.tree import Tree

from .maintainer import FILE, Desk, demo_desk

desk = demo_desk


def test_the_directories_of_code_are_built() -> None:
    files = [
        "mm/pin_mem/device.c",
        "mm/pin_mem/Kconfig",
        "mm/Makefile",
        "arch/arm64/kernel/head.S",
        "kernel/internal.h",
        "include/linux/pin_mem.h",
        "Documentation/mm/index.rst",
        "tools/testing/selftests/x.c",
        "Makefile",
    ]
    assert building.targets(files) == ["arch/arm64/kernel/", "kernel/", "mm/", "mm/pin_mem/"]


def test_complaints_of_compiler_and_sparse_are_read() -> None:
    source = Path("/src/linux")
    log = [
        "  CC      mm/x.o",
        "/src/linux/mm/x.c:7:9: warning: unused variable 'a' [-Wunused-variable]",
        "../mm/x.c:8: warning: Function parameter or member 'b' not described in 'c'",
        "/src/linux/mm/x.c:12:5: error: undefined identifier 'd'",
        "/src/linux/mm/x.c:9:1: note: declared here",
    ]
    assert building.warnings(log, source) == {
        ("mm/x.c", "unused variable 'a' [-Wunused-variable]"): 7,
        ("../mm/x.c", "Function parameter or member 'b' not described in 'c'"): 8,
        ("mm/x.c", "undefined identifier 'd'"): 12,
    }


def test_only_what_a_patch_brings_is_held_against_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second patch warns in a line of its own; the first warning was there before."""
    series = load("demo")
    files = [entry.file for entry in series.patches]
    text = (series.directory / files[1]).read_text().splitlines()
    added = next(n for n, line in enumerate(text, 1) if line.startswith("+\t"))
    hunk = next(n for n, line in enumerate(text, 1) if line.startswith("@@"))
    start = int(text[hunk - 1].split("+")[1].split(",")[0])
    line = start + added - hunk - 1
    old = {(FILE, "old"): 3}
    said = {
        "base": old,
        "1": old,
        "2": {**old, (FILE, "new"): line, ("mm/else.c", "x"): 1},
        "3": {},
    }
    monkeypatch.setattr(building, "_build", lambda tree, commit, **_: said[commit])
    outcomes = [
        PatchOutcome("demo", file, "", Outcome.APPLIED, commit=str(number))
        for number, file in enumerate(files, 1)
    ]
    found = building._build_each(
        desk.tree(),
        Applied("linux", "base", "3", None, outcomes),
        {"demo": series},
        tmp_path,
        Toolchain("gcc", "arm64", "", False),
        ["demo"],
    )
    assert [(Path(item.file).name, item.line, item.message) for item in found] == [
        (files[1], added, f"{FILE}:{line}: new")
    ]


def test_what_a_series_requires_is_put_on_and_not_built_patch_by_patch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    series = load("demo")
    built: list[str] = []

    def build(tree: Tree, commit: str, **_: object) -> dict[tuple[str, str], int]:
        built.append(commit)
        return {}

    monkeypatch.setattr(building, "_build", build)
    required = [PatchOutcome("base", f"{n}", "", Outcome.APPLIED, commit=f"r{n}") for n in (1, 2)]
    after = PatchOutcome("later", "x", "", Outcome.APPLIED, commit="l")
    own = [
        PatchOutcome("demo", entry.file, "", Outcome.APPLIED, commit=entry.file)
        for entry in series.patches
    ]
    toolchain = Toolchain("gcc", "arm64", "", False)
    applied = Applied("linux", "base", "l", None, [*required, own[0], after, *own[1:]])
    building._build_each(desk.tree(), applied, {"demo": series}, tmp_path, toolchain, ["demo"])
    assert built == ["r2", *(item.commit for item in own)]


def test_a_build_needs_a_board(desk: Desk) -> None:
    from click.testing import CliRunner

    from sku_build.cli import cli

    assert isinstance(desk.tree(), Tree)
    with pytest.raises(UserError, match="--build needs a --board"):
        CliRunner().invoke(cli, ["check", "--build"], catch_exceptions=False, standalone_mode=False)
