# SPDX-License-Identifier: GPL-2.0-only
"""A maintainer's desk in small: a checkout, series for it, commits made as a person makes them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sku_build import apply, series, tree
from tests.conftest import SmallTree

HEAD = """\
# SPDX-License-Identifier: GPL-2.0-only
name = "{name}"
version = "1.0.0"
summary = "A test"
"""


def c_file(*names: str, body: str = "\treturn 0;\n") -> str:
    """Return a C file of functions ``names``, far enough apart for hunks of their own."""
    return "".join(
        f"int {name}(void)\n{{\n\tint {name}_a;\n\tint {name}_b;\n\tint {name}_c;\n\n{body}}}\n\n"
        f"/* {name}: 1 */\n/* {name}: 2 */\n/* {name}: 3 */\n/* {name}: 4 */\n\n"
        for name in names
    )


@dataclasses.dataclass
class Desk:
    """A checkout at ``linux``, known as the tree "linux", and the data directory ``data``."""

    linux: Path
    data: Path
    clock: int = 1700000000

    def git(self, *args: str) -> str:
        """Run git in the checkout as the author whose clock goes on a minute for each commit."""
        self.clock += 60
        date = f"{self.clock} +0000"
        who = {
            "GIT_AUTHOR_NAME": "Ann Author",
            "GIT_AUTHOR_EMAIL": "ann@example.org",
            "GIT_COMMITTER_NAME": "Ann Author",
            "GIT_COMMITTER_EMAIL": "ann@example.org",
            "GIT_COMMITTER_DATE": date,
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        if "--amend" not in args and args[0] == "commit":
            who["GIT_AUTHOR_DATE"] = date
        done = subprocess.run(
            ["git", *args],
            cwd=self.linux,
            env=os.environ | who,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that is in a file once."""
        text = (self.linux / path).read_text()
        assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
        (self.linux / path).write_text(text.replace(old, new))

    def commit(self, subject: str) -> str:
        """Commit all changes under ``subject``, signed off; return the id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--signoff", "-m", f"{subject}\n\nWhy.")
        return self.git("rev-parse", "HEAD")

    def amend(self) -> None:
        """Put all changes into the newest commit."""
        self.git("commit", "--quiet", "--all", "--amend", "--no-edit")

    def series(self, name: str, since: str, *, kernels: str = "6.1..6.2", toml: str = "") -> Path:
        """Make the series ``name`` of the commits since..HEAD, as a person would; return where."""
        path = self.data / "patchsets" / name
        path.mkdir(parents=True)
        made = self.git(
            *("format-patch", "--full-index", "--zero-commit", "--no-signature"),
            *("--output-directory", str(path), f"{since}..HEAD"),
        )
        entries = "".join(
            f'\n[[patch]]\nfile = "{Path(line).name}"\nkernels = ["{kernels}"]\n'
            for line in made.splitlines()
        )
        (path / "series.toml").write_text(HEAD.format(name=name) + toml + entries)
        return path

    def tree(self) -> tree.Tree:
        """Return the checkout as a tree, as it is now."""
        return tree.find("linux")


def contents(directory: Path) -> Mapping[str, bytes]:
    """Return every file below ``directory`` with what it holds."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


FILE = "mm/x.c"
FILES = {FILE: c_file("one", "two", "three", "four"), ".gitattributes": "*.c diff=cpp\n"}


@pytest.fixture
def demo_desk(small_tree: SmallTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A checkout with the series "demo" of three patches, and its branch "work" checked out."""
    data = tmp_path / "data"
    (data / "patchsets").mkdir(parents=True)
    monkeypatch.setenv("SKU_DATA", str(data))
    made = Desk(small_tree(files=FILES), data)
    tree.add(str(made.linux))
    base = made.git("rev-parse", "HEAD")
    for name in ("one", "two", "three"):
        made.edit(FILE, f"\tint {name}_b;\n", f"\tint {name}_b;\n\tint {name}_new;\n")
        made.commit(f"mm: add to {name}()")
    made.series("demo", base)
    made.git("checkout", "--quiet", "main")
    made.git("reset", "--quiet", "--hard", base)
    apply.apply_series(made.tree(), series.resolve(["demo"]), branch="work")
    made.git("checkout", "--quiet", "work")
    return made
