# SPDX-License-Identifier: GPL-2.0-only
"""A user's checkout gets the one branch that was asked for, and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sku_build import git, tree
from sku_build.errors import UserError
from sku_build.tree import Tree
from tests.conftest import SmallTree, run_git


def commit_on(base: Tree, text: str = "changed\n") -> str:
    """Make a commit on a tree in the cache repository, as applying a series does."""
    env, cache = tree.object_env(base), tree.cache_repository()
    blob = git.git("hash-object", "-w", "--stdin", cwd=cache, stdin=text).stdout.strip()
    listing = git.git("ls-tree", base.commit, cwd=cache, env=env).stdout
    listing += f"100644 blob {blob}\tnew.c\n"
    made = git.git("mktree", cwd=cache, env=env, stdin=listing).stdout.strip()
    args = ("commit-tree", made, "-p", base.commit, "-m", "a change")
    return git.git(*args, cwd=cache, env=env).stdout.strip()


def fingerprint(path: Path) -> dict[str, Any]:
    """Everything a user could notice: files with their times, refs, config, work trees, HEAD."""
    directory = Path(run_git(path, "rev-parse", "--absolute-git-dir").strip())
    files = {
        str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in path.rglob("*")
        if file.is_file() and "objects" not in file.parts
    }
    return {
        "files": {
            name: hashlib.sha256(repr(value).encode()).digest() for name, value in files.items()
        },
        "refs": run_git(path, "for-each-ref"),
        "worktrees": run_git(path, "worktree", "list"),
        "objects": {str(file) for file in directory.rglob("objects/*/*")},
    }


def test_nothing_but_publishing_touches_the_checkout(small_tree: SmallTree) -> None:
    path = small_tree()
    (path / "untracked").write_text("mine\n")
    before = fingerprint(path)
    base = tree.add(str(path), name="mine")
    tree.require_clean(tree.find("mine"))
    commit = commit_on(base)
    tree.source_dir(base, commit, slot="s")
    tree.summary(base)
    assert fingerprint(path) == before


@pytest.mark.usefixtures("hostile_git_config")
def test_publishing_adds_one_branch_its_objects_and_nothing_else(small_tree: SmallTree) -> None:
    path = small_tree(files={f"dir/{index}": f"{index}\n" for index in range(30)})
    base = tree.add(str(path), name="mine")
    commit = commit_on(base)
    before, config = fingerprint(path), (path / ".git/config").read_bytes()
    tree.publish(base, commit, "sku/demo")
    after = fingerprint(path)

    assert run_git(path, "rev-parse", "refs/heads/sku/demo").strip() == commit
    assert run_git(path, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert (path / ".git/config").read_bytes() == config
    assert after["worktrees"] == before["worktrees"]
    changed = dict(after["files"].items() ^ before["files"].items())
    assert set(changed) == {".git/refs/heads/sku/demo", ".git/logs/refs/heads/sku/demo"}
    assert len(after["objects"] - before["objects"]) == 3, "a commit, a tree and a blob"
    assert not (path / ".git/objects/info/alternates").exists()
    # The branch stands on its own: all of it is there without the cache.
    run_git(path, "fsck", "--full", "--strict", "--connectivity-only")
    assert run_git(path, "show", "sku/demo:new.c") == "changed\n"
    assert tree.branches(base) == {"sku/demo": commit}


def test_a_branch_of_an_imported_tree_is_made_in_the_cache(small_tree: SmallTree) -> None:
    source = small_tree()
    cache = tree.cache_repository()
    git.git("fetch", "--quiet", source, "HEAD:refs/sku/trees/t", cwd=cache)
    commit = git.resolve("refs/sku/trees/t", cwd=cache)
    assert commit
    base = Tree("t", "tarball", "6.1.5", commit, "archive", cache)
    tree.publish(base, commit, "demo")
    assert git.resolve("refs/heads/demo", cwd=cache) == commit
    with pytest.raises(UserError, match="a branch 'demo' already"):
        tree.publish(base, commit, "demo")


@pytest.mark.parametrize(
    ("branch", "said"),
    [
        ("main", "a branch 'main' already"),
        ("main/x", "exclude each other"),
        ("topic", "exclude each other"),
        ("a..b", "not a name"),
        ("-x", "not a name"),
        ("HEAD", "not a name"),
        ("@{-1}", "not a name"),
        ("", "not a name"),
    ],
)
def test_a_branch_that_cannot_be_made_is_refused_before_anything(
    small_tree: SmallTree, branch: str, said: str
) -> None:
    path = small_tree()
    run_git(path, "branch", "topic/one")
    base = tree.add(str(path), name="mine")
    commit = commit_on(base)
    before = fingerprint(path)
    with pytest.raises(UserError, match=said):
        tree.publish(base, commit, branch)
    assert fingerprint(path) == before


def test_a_tree_with_uncommitted_changes_is_refused_by_name_of_the_files(
    small_tree: SmallTree,
) -> None:
    files = {f"d/{index} x.c": "\n" for index in range(8)}
    path = small_tree(files=files)
    base = tree.add(str(path), name="mine")
    tree.require_clean(base)
    (path / "untracked").touch()
    tree.require_clean(base)
    for file in files:
        (path / file).write_text("edited\n")
    with pytest.raises(UserError, match=r"mine.*d/0 x\.c, .* and 3 more") as caught:
        tree.require_clean(base)
    assert caught.value.data == sorted(files)


def test_the_commit_of_a_checkout_is_the_one_it_is_on_now(small_tree: SmallTree) -> None:
    path = small_tree("6.1.5")
    added = tree.add(str(path), name="mine")
    makefile = path / "Makefile"
    makefile.write_text(makefile.read_text().replace("SUBLEVEL = 5", "SUBLEVEL = 6"))
    assert tree.find("mine").version == "6.1.5", "of the commit, not of the files"
    run_git(path, "commit", "--all", "--quiet", "--message", "Linux 6.1.6")
    found = tree.find("mine")
    assert found.version == "6.1.6"
    assert found.commit != added.commit


def test_linked_worktrees_bare_repositories_and_odd_paths_work(
    small_tree: SmallTree, tmp_path: Path
) -> None:
    path = small_tree(name='a: "b" c')
    linked, bare = tmp_path / "linked", tmp_path / "bare: x.git"
    run_git(path, "worktree", "add", "--quiet", "-b", "other", str(linked))
    (linked / "mm/init.c").write_text("linked\n")
    run_git(linked, "commit", "--quiet", "--all", "--message", "on the linked one")
    run_git(tmp_path, "clone", "--quiet", "--bare", str(path), str(bare))
    for name, place in (("a", path), ("b", linked), ("c", bare), ("d", path / ".git")):
        base = tree.add(str(place), name=name)
        assert base.commit == run_git(place, "rev-parse", "HEAD").strip()
        tree.require_clean(base)
        commit = commit_on(base)
        text = (tree.source_dir(base, commit, slot=name) / "mm/init.c").read_text()
        assert text == ("linked\n" if name == "b" else "int init;\n")
        tree.publish(base, commit, f"demo-{name}")
        assert run_git(place, "rev-parse", f"demo-{name}").strip() == commit
    assert tree.add(str(linked)).name == "linked"


def test_a_submodule_is_a_checkout_too(small_tree: SmallTree, tmp_path: Path) -> None:
    path = small_tree(name="kernel")
    outer = tmp_path / "outer"
    outer.mkdir()
    run_git(outer, "init", "--quiet")
    run_git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(path))
    base = tree.add(str(outer / "kernel"), name="inner")
    tree.publish(base, commit_on(base), "demo")
    assert "demo" in run_git(outer / "kernel", "branch", "--list")


def test_a_shallow_clone_can_be_published_to(small_tree: SmallTree, tmp_path: Path) -> None:
    path = small_tree()
    run_git(path, "commit", "--quiet", "--allow-empty", "--message", "second")
    run_git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{path}", "shallow")
    base = tree.add(str(tmp_path / "shallow"))
    commit = commit_on(base)
    tree.publish(base, commit, "demo")
    assert run_git(tmp_path / "shallow", "log", "--format=%s", "demo") == "a change\nsecond\n"


def test_what_is_no_kernel_checkout_is_refused(small_tree: SmallTree, tmp_path: Path) -> None:
    path = small_tree()
    plain, empty, other = tmp_path / "plain", tmp_path / "empty", tmp_path / "other"
    for directory in (plain, empty, other):
        directory.mkdir()
    run_git(empty, "init", "--quiet")
    run_git(other, "init", "--quiet")
    run_git(other, "commit", "--quiet", "--allow-empty", "--message", "x")
    for place, said in (
        (plain, "not a git checkout"),
        (path / "mm", "inside a git checkout"),
        (empty, "no commit"),
        (other, "not a kernel tree"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            tree.add(str(place))
        assert caught.value.where == str(place)
    assert tree.all_trees() == []


def test_a_checkout_that_went_away_is_named(small_tree: SmallTree) -> None:
    path = small_tree()
    tree.add(str(path), name="mine")
    path.rename(path.with_name("moved"))
    with pytest.raises(UserError, match="the checkout is not there") as caught:
        tree.find("mine")
    assert caught.value.where == str(path)
    assert [entry.name for entry in tree.all_trees()] == ["mine"]
    assert tree.remove("mine").origin == str(path)


def test_a_published_branch_survives_the_cache(small_tree: SmallTree, tmp_path: Path) -> None:
    path = small_tree()
    base = tree.add(str(path), name="mine")
    tree.publish(base, commit_on(base), "demo")
    tree.cache_repository().rename(tmp_path / "gone")
    assert run_git(path, "log", "--format=%s", "demo") == "a change\nLinux 6.1.5\n"
    subprocess.run(["git", "-C", path, "gc", "--quiet"], check=True)
