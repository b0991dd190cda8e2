# SPDX-License-Identifier: GPL-2.0-only
"""What takes a compiler: a board's configuration proved, and every patch built on its own.

A patch is built in the directories that its series' code lives in, with W=1 and sparse (C=1). A
warning counts when the commit before did not have it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from sku_build import apply, builddir, console, layout
from sku_build import board as boards
from sku_build import tree as trees
from sku_build.board import Board
from sku_build.check.findings import Finding, Level, place
from sku_build.errors import CheckError, UserError
from sku_build.kbuild import Kbuild, make
from sku_build.kconfig import configure
from sku_build.kconfig.model import ConfigReport
from sku_build.kconfig.report import describe
from sku_build.mail import load as load_mail
from sku_build.outcome import Applied
from sku_build.series import Series, load, resolve, select
from sku_build.toolchain import Toolchain, choose
from sku_build.tree import Tree

_WARNING = re.compile(r"^(?P<file>\S+?):(?P<line>\d+):(?:\d+:)? (?:warning|error): (?P<text>.+)$")
_NO_CODE = ("Documentation/", "include/", "tools/", "samples/", "scripts/")


def _members(board: Board, tree: Tree, chosen: Sequence[str]) -> list[Series]:
    found = []
    for name in board.series:
        if name in chosen:
            try:
                select(load(name), tree.kernel)
            except UserError:
                continue
            found.append(name)
    return resolve(found)


def check_board(name: str, tree: Tree, chosen: Sequence[str], *, build: bool) -> list[Finding]:
    """Prove the board's configuration on ``tree`` with those of its series that are ``chosen``.

    With ``build`` every patch of these is compiled too. Raises InfraError when a tool is missing;
    what does not go on the tree is left to the matrix, and nothing is found here.
    """
    board = boards.load(name)
    series = _members(board, tree, chosen)
    try:
        applied = apply.apply_series(tree, series, branch=None)
    except CheckError:
        return []
    toolchain = choose(board.arch)
    slot = f"check-{tree.name}"
    objects = layout.cache_dir("build") / f"check-{tree.name}-{name}" / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    with builddir.exclusive(slot, of=f"{name} on {tree.name}"):
        source = trees.source_dir(tree, applied.commit, slot=slot)
        try:
            configure(
                *(source, objects),
                board=board,
                series=series,
                toolchain=toolchain,
                version=tree.kernel,
            )
        except CheckError as error:
            return _lost(error, tree)
        if not build:
            return []
        shutil.copyfile(objects / ".config", objects / ".config.sku")
        by_name = {item.name: item for item in series}
        return _build_each(tree, applied, by_name, objects, toolchain, chosen)


def _lost(error: CheckError, tree: Tree) -> list[Finding]:
    report = msgspec.convert(error.data, ConfigReport)
    found = []
    for problem in report.problems:
        path = layout.data_root() / "configs" / PurePosixPath(problem.place.file).name
        found.append(
            Finding(
                *("config", Level.ERROR, path.name.partition(".")[0], place(path)),
                " ".join(line.strip() for line in describe(problem)),
                problem.place.line,
                tree.name,
            )
        )
    return found


def targets(files: Iterable[str]) -> list[str]:
    """Return the directories, as targets of make, that hold the compiled ones of ``files``."""
    found = set()
    for file in files:
        path = PurePosixPath(file)
        compiled = path.suffix in (".c", ".S", ".h") or path.name in ("Makefile", "Kbuild")
        if compiled and not file.startswith(_NO_CODE) and str(path.parent) != ".":
            found.add(f"{path.parent}/")
    return sorted(found)


def warnings(lines: Iterable[str], source: Path) -> dict[tuple[str, str], int]:
    """Return (file, text) → line of all that compiler and sparse complain of in a build log."""
    found: dict[tuple[str, str], int] = {}
    for line in lines:
        match = _WARNING.match(line)
        if match:
            path = Path(os.path.normpath(match["file"]))
            name = str(path.relative_to(source)) if path.is_relative_to(source) else str(path)
            found.setdefault((name, match["text"]), int(match["line"]))
    return found


def _build_each(
    tree: Tree,
    applied: Applied,
    series: Mapping[str, Series],
    objects: Path,
    toolchain: Toolchain,
    chosen: Collection[str],
) -> list[Finding]:
    """Build what the first patch of the ``chosen`` series stands on, then each of their patches.

    Return what each brought. What the series require is not built patch by patch.
    """
    made = [item for item in applied.patches if item.commit]
    first = next((n for n, item in enumerate(made) if item.series in chosen), len(made))
    mine = [item for item in made[first:] if item.series in chosen]
    mails = {item.commit: series[item.series].directory / item.file for item in mine}
    touched = {
        commit: {path for diff in load_mail(mail).files for path in diff.paths()}
        for commit, mail in mails.items()
    }
    where = targets(path for files in touched.values() for path in files)
    base = made[first - 1].commit if first else applied.base
    assert base is not None
    build = functools.partial(_build, tree, where=where, objects=objects, toolchain=toolchain)
    before = build(base, title=f"{tree.name}: what the patches stand on")
    found: list[Finding] = []
    for item in mine:
        assert item.commit is not None
        path = mails[item.commit]
        try:
            said = build(item.commit, title=f"{tree.name}: {item.file}")
        except CheckError as error:
            told = f"does not compile on {tree.name}: {error.message} ({error.where})"
            found.append(
                Finding("build", Level.ERROR, item.series, place(path), told, 1, tree.name)
            )
            continue
        found += [
            Finding(
                *("build", Level.WARNING, item.series, place(path), f"{file}:{line}: {text}"),
                _line_in(path, file, line),
                tree.name,
            )
            for (file, text), line in said.items()
            if (file, text) not in before and file in touched[item.commit]
        ]
        before = before | said
    return found


def _line_in(path: Path, file: str, line: int) -> int:
    """Return the line of a patch file that adds ``line`` of the new ``file``; 1 when none does."""
    lines = load_mail(path).raw.decode("utf-8", "surrogateescape").splitlines()
    inside, at = False, 0
    for number, text in enumerate(lines, 1):
        if text.startswith("diff --git "):
            inside = text.endswith(f" b/{file}")
        elif inside and (start := re.match(r"^@@ -\S+ \+(\d+)", text)):
            at = int(start[1])
        elif inside and at and text[:1] in ("+", " ", ""):
            if at == line:
                return number
            at += 1
    return 1


def _build(
    tree: Tree,
    commit: str,
    *,
    where: Sequence[str],
    objects: Path,
    toolchain: Toolchain,
    title: str,
) -> dict[tuple[str, str], int]:
    source = trees.source_dir(tree, commit, slot=f"check-{tree.name}")
    shutil.copyfile(objects / ".config.sku", objects / ".config")
    there = [name for name in where if (source / name).is_dir()]
    kernel = Kbuild(
        source=source,
        objects=objects,
        toolchain=toolchain,
        epoch=0,
        localversion="",
        jobs=os.cpu_count() or 1,
    )
    log = objects.parent / "check.log"
    with console.step(f"build {title}"):
        make(kernel, ["olddefconfig"], title="configure", log=log, total=None)
        make(kernel, there, title=title, log=log, total=None, extra={"W": "1", "C": "1"})
    with log.open(encoding="utf-8", errors="replace") as lines:
        return warnings((line.rstrip("\n") for line in lines), source)
