# SPDX-License-Identifier: GPL-2.0-only
"""Trees are known by name; the version comes from the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import distribution, layout, tree
from sku_build.cli.tree import tree as command
from sku_build.distribution import Source
from sku_build.errors import UserError
from sku_build.git import git
from sku_build.version import makefile_version
from tests.conftest import SmallTree, run_git


@pytest.fixture
def fake_debian(monkeypatch: pytest.MonkeyPatch, small_tree: SmallTree) -> list[str]:
    """Let every line of the distribution be a small tree; return the list of imports done."""
    imports: list[str] = []

    def import_line(line: str, repository: Path, *, version: str | None = None) -> Source:
        imports.append(line)
        kernel = version.partition("-")[0] if version else f"{line}.99"
        path = small_tree(kernel, name=f"debian-{len(imports)}")
        git("fetch", "--quiet", path, "HEAD", cwd=repository)
        commit = git("rev-parse", "FETCH_HEAD", cwd=repository).stdout.strip()
        return Source(f"linux-source-{line} {version or f'{kernel}-1'}", kernel, commit)

    monkeypatch.setattr(distribution, "import_line", import_line)
    return imports


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 192\nEXTRAVERSION =\n", "6.1.192"),
        ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 0\nEXTRAVERSION = -rc3\n", "6.12.0-rc3"),
        ("VERSION = 7\nPATCHLEVEL = 3\n", "7.3.0"),
        ("# SPDX\nVERSION=5\nPATCHLEVEL =10\nSUBLEVEL = 1\n\tVERSION = 9\n", "5.10.1"),
        ("all:\n\techo\n", None),
        ("VERSION = $(shell date)\nPATCHLEVEL = 1\n", None),
        ("", None),
    ],
)
def test_the_version_is_what_the_makefile_says(text: str, version: str | None) -> None:
    assert makefile_version(text) == version


def test_a_line_of_the_distribution_is_imported_once(fake_debian: list[str]) -> None:
    first = tree.add("6.1")
    assert (first.name, first.kind, first.version) == ("6.1", "distribution", "6.1.99")
    assert first.origin == "linux-source-6.1 6.1.99-1"
    assert tree.add("6.1") == tree.ensure("6.1") == tree.find("6.1") == first
    assert fake_debian == ["6.1"]


def test_a_point_release_of_a_line_is_a_tree_of_its_own(fake_debian: list[str]) -> None:
    newest = tree.add("6.1")
    older = tree.add("6.1=6.1.42-1")
    assert (older.name, older.version) == ("6.1.42-1", "6.1.42")
    assert tree.add("6.1=6.1.42-1") == older
    assert tree.find("6.1") == newest
    assert len(fake_debian) == 2
    with pytest.raises(UserError, match="there is a tree called '6.1.42-1' already"):
        tree.add("6.1=6.1.43-1", name="6.1.42-1")
    with pytest.raises(UserError, match="is kept for the distribution's tree"):
        tree.add("6.1=6.1.43-1", name="6.1")


def test_a_line_whose_commits_are_gone_is_imported_again(fake_debian: list[str]) -> None:
    tree.add("6.1")
    layout.cache_dir("trees.git").rename(layout.cache_root() / "lost")
    with pytest.raises(UserError, match="gone from the cache"):
        tree.find("6.1")
    assert tree.ensure("6.1").version == "6.1.99"
    assert fake_debian == ["6.1", "6.1"]


@pytest.mark.usefixtures("fake_debian")
def test_the_cache_may_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree.add("6.1")
    layout.cache_root().rename(tmp_path / "moved")
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "moved"))
    assert tree.find("6.1").repository == tmp_path / "moved" / "trees.git"


def test_an_import_that_fails_registers_nothing(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    def interrupted(line: str, repository: Path, *, version: str | None = None) -> Source:
        raise KeyboardInterrupt

    monkeypatch.setattr(distribution, "import_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tree.add("6.1")
    assert tree.all_trees() == []
    with pytest.raises(UserError, match="no tree called '6.1'") as caught:
        tree.find("6.1")
    assert caught.value.hint == "add it: `sku tree add 6.1`"


def test_unknown_names_and_versions_are_answered_with_what_there_is(small_tree: SmallTree) -> None:
    tree.add(str(small_tree()), name="mainline")
    with pytest.raises(UserError) as caught:
        tree.find("mainlne")
    assert caught.value.hint == "did you mean mainline?"
    with pytest.raises(UserError, match="'4.19' is neither") as caught:
        tree.add("4.19")
    assert "5.10, 6.1, 6.12, 7.3" in str(caught.value.hint)
    for nonsense in ("../x", "a/b", "", "-x", "a..b"):
        with pytest.raises(UserError, match="no tree called"):
            tree.find(nonsense)


def test_names_that_are_taken_or_malformed_are_refused(
    small_tree: SmallTree, fake_debian: list[str]
) -> None:
    path, other = small_tree(name="one"), small_tree(name="two")
    assert tree.add(str(path)) == tree.add(str(path)), "the same again is no collision"
    with pytest.raises(UserError, match=f"called 'one' already, from {path}"):
        tree.add(str(other), name="one")
    with pytest.raises(UserError, match="kept for the distribution"):
        tree.add(str(other), name="6.12")
    with pytest.raises(UserError, match="called 'one' already"):
        tree.add("6.1", name="one")
    for name in ("a b", "../up", ".hidden", "x.lock", "a..b", ""):
        with pytest.raises(UserError, match="cannot be the name"):
            tree.add(str(other), name=name)
    assert [entry.name for entry in tree.all_trees()] == ["one"]


def test_a_damaged_record_names_the_file(small_tree: SmallTree) -> None:
    tree.add(str(small_tree()), name="a")
    record = layout.cache_dir("trees") / "a.json"
    record.write_text(record.read_text()[:40])
    with pytest.raises(UserError, match="record of a tree is damaged") as caught:
        tree.find("a")
    assert caught.value.where == str(record)


def test_a_removed_tree_is_forgotten_and_its_checkout_is_not(small_tree: SmallTree) -> None:
    path = small_tree()
    tree.add(str(path), name="a")
    tree.remove("a")
    assert tree.all_trees() == []
    assert run_git(path, "status", "--porcelain") == ""
    with pytest.raises(UserError, match="no tree called 'a'"):
        tree.remove("a")


def test_the_command_adds_shows_lists_and_removes_as_json(small_tree: SmallTree) -> None:
    path = small_tree("6.1.5")

    def sku(*args: str) -> object:
        done = CliRunner().invoke(command, [*args, "--json"], catch_exceptions=False)
        return json.loads(done.stdout)

    added = sku("add", str(path), "--name", "mine")
    assert isinstance(added, dict)
    assert added["tree"]["version"] == "6.1.5"
    assert added["files"] == 2
    assert sku("show", "mine") == added
    assert sku("list") == [added["tree"]]
    assert sku("remove", "mine") == added["tree"]
    assert sku("list") == []


def test_the_command_wants_exactly_one_source(tmp_path: Path) -> None:
    for arguments in (["add"], ["add", "6.1", "--tarball", "x"]):
        with pytest.raises(UserError, match="either a kernel line or path"):
            CliRunner().invoke(command, arguments, catch_exceptions=False)
    archive = tmp_path / "linux.tar.xz"
    archive.touch()
    with pytest.raises(UserError, match="a file, not a git checkout") as caught:
        tree.add(str(archive))
    assert "--tarball" in str(caught.value.hint)


def test_people_see_a_table(small_tree: SmallTree) -> None:
    tree.add(str(small_tree("6.1.5")), name="mine")
    shown = CliRunner().invoke(command, ["list"], catch_exceptions=False).stdout
    assert "mine" in shown and "6.1.5" in shown and "checkout" in shown
