# SPDX-License-Identifier: GPL-2.0-only
"""What is judged of a series itself: its form, whether it is refreshed, its configuration."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sku_build import board as boards
from sku_build import commit_mail, layout, series_check
from sku_build.check.findings import Finding, Level, place
from sku_build.check.matrix import Tried
from sku_build.errors import UserError
from sku_build.kconfig.resolve import wanted_of
from sku_build.mail import Mail
from sku_build.mail import load as load_mail
from sku_build.series import Series, ranges
from sku_build.tree import Tree
from sku_build.version import in_ranges

_SYMBOL = re.compile(r"^(?:menu)?config (\w+)$")
_PROMPT = re.compile(r"^\t(?:bool|tristate|int|hex|string|prompt) +\"")


def form(series: Series) -> Iterator[Finding]:
    """Yield what `sku series check` says of ``series``, as findings."""
    for problem in series_check.check(series):
        path = layout.data_root() / "patchsets" / problem.where
        check = "origin" if problem.message.startswith("origin (") else "format"
        yield Finding(
            check, Level.ERROR, series.name, place(path), problem.message, problem.line or 1
        )


def refreshed(series: Series, tried: Sequence[Tried]) -> Iterator[Finding]:
    """Yield the patches that on none of the trees are as git would write them there.

    Where only the blob ids are others (the same files changed elsewhere), it is a note.
    """
    for entry in series.patches:
        path = series.directory / entry.file
        old = load_mail(path)
        made = [(item.tree, item.made[entry.file]) for item in tried if entry.file in item.made]
        if not made or any(commit_mail.same_patch(old, mail) for _, mail in made):
            continue
        same = [(tree, mail) for tree, mail in made if commit_mail.same_change(old, mail)]
        names = ", ".join(tree.name for tree, _ in made)
        home = _home(old, same or made).name
        what = (
            f"its index lines name files of none of {names}"
            if same
            else f"it is not as git writes it on any of {names}"
        )
        yield Finding(
            "refreshed",
            Level.NOTE if same else Level.WARNING,
            series.name,
            place(path),
            f"{what}; `sku series refresh {series.name} --tree {home}`",
            line=1,
            mend_on=home,
        )


def _home(old: Mail, made: Sequence[tuple[Tree, Mail]]) -> Tree:
    """Return the tree whose form of a patch has most lines with the file; of equals the newest."""
    lines = set(old.raw.splitlines())

    def common(item: tuple[Tree, Mail]) -> int:
        return len(lines & set(item[1].raw.splitlines()))

    return max(reversed(made), key=common)[0]


def config(series: Series, trees: Sequence[Tree]) -> Iterator[Finding]:
    """Yield the symbols with a prompt that patches add and the series' fragment leaves open.

    Tests that KUNIT_ALL_TESTS switches on are left out. The fragment is read for a board that has
    the series, else for any.
    """
    names = boards.names()
    having = [name for name in names if series.name in boards.load(name).series] or names
    if not having or not trees:
        return
    told = set()
    for tree in reversed(trees):
        try:
            _, wanted = wanted_of(boards.load(having[0]), [series], tree.kernel, "gcc")
        except UserError as error:
            where = layout.data_root() / "configs" / f"{series.config}.config.j2"
            message = error.message
            yield Finding("config", Level.ERROR, series.name, place(where), message, 1, tree.name)
            return
        decided = {request.symbol for request in wanted.requests}
        for entry in series.patches:
            path = series.directory / entry.file
            if not in_ranges(tree.kernel, ranges(entry.kernels)):
                continue
            for symbol, line in _prompted(_lines(path)):
                if symbol in decided or symbol in told:
                    continue
                told.add(symbol)
                message = f"no fragment decides CONFIG_{symbol}: its default is taken"
                level = Level.NOTE if series.config else Level.WARNING
                yield Finding("config", level, series.name, place(path), message, line, tree.name)


def _prompted(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each symbol that a patch adds and that a person can set, with its line in the file."""
    for number, line in enumerate(lines, 1):
        found = _SYMBOL.match(line[1:]) if line.startswith("+") else None
        if not found:
            continue
        body = itertools.takewhile(
            lambda text: text.startswith("+") and not _SYMBOL.match(text[1:]), lines[number:]
        )
        prompt = next((text for text in body if _PROMPT.match(text[1:])), "")
        if prompt and "KUNIT_ALL_TESTS" not in prompt:
            yield found[1], number


def _lines(path: Path) -> list[str]:
    return load_mail(path).raw.decode("utf-8", "surrogateescape").splitlines()
