# SPDX-License-Identifier: GPL-2.0-only
"""Source directories are switched in place, touch only what differs, and heal."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sku_build import git, tree, worktree
from sku_build.errors import InfraError
from tests.conftest import SmallTree, run_git


@pytest.fixture
def two(small_tree: SmallTree) -> tuple[tree.Tree, str, str]:
    """A registered checkout and its two commits, which differ in ``mm/a.c`` alone."""
    path = small_tree(files={"mm/a.c": "one\n", "mm/b.c": "same\n", ".gitignore": "*.o\n"})
    first = run_git(path, "rev-parse", "HEAD").strip()
    (path / "mm/a.c").write_text("two\n")
    run_git(path, "commit", "--quiet", "--all", "--message", "second")
    base = tree.add(str(path), name="mine")
    return base, first, base.commit


def test_switching_touches_only_files_that_differ(two: tuple[tree.Tree, str, str]) -> None:
    base, first, second = two
    source = tree.source_dir(base, first, slot="s")
    assert (source / "mm/a.c").read_text() == "one\n"
    untouched = (source / "mm/b.c").stat()
    assert tree.source_dir(base, second, slot="s") == source
    assert (source / "mm/a.c").read_text() == "two\n"
    now = (source / "mm/b.c").stat()
    assert (now.st_mtime_ns, now.st_ino) == (untouched.st_mtime_ns, untouched.st_ino)


def test_nothing_is_done_when_the_commit_is_there(two: tuple[tree.Tree, str, str]) -> None:
    base, first, _ = two
    source = tree.source_dir(base, first, slot="s")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    tree.source_dir(base, first, slot="s")
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


@pytest.mark.parametrize("target", [0, 1])
def test_edits_and_leftovers_are_thrown_away(two: tuple[tree.Tree, str, str], target: int) -> None:
    base, first, second = two
    source = tree.source_dir(base, first, slot="s")
    (source / "mm/b.c").write_text("edited\n")
    (source / "Makefile").unlink()
    (source / "left.o").touch()
    (source / "include").mkdir()
    (source / "include/left.h").touch()
    tree.source_dir(base, (first, second)[target], slot="s")
    assert (source / "mm/b.c").read_text() == "same\n"
    assert (source / "Makefile").exists()
    assert not (source / "left.o").exists()
    assert not (source / "include").exists()


def test_an_interrupted_switch_heals_at_the_next(
    two: tuple[tree.Tree, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, first, second = two
    real = worktree.git

    def interrupted(*args: str, **kwargs: object) -> object:
        if "reset" in args:
            cwd = kwargs["cwd"]
            assert isinstance(cwd, Path)
            (cwd / "mm").mkdir(exist_ok=True)
            (cwd / "mm/a.c").write_text("half")
            directory = real("rev-parse", "--absolute-git-dir", cwd=cwd).stdout.strip()
            (Path(directory) / "index.lock").touch()
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    for commit, text in ((first, "one\n"), (second, "two\n")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(worktree, "git", interrupted)
            tree.source_dir(base, commit, slot="s")
        source = tree.source_dir(base, commit, slot="s")
        assert (source / "mm/a.c").read_text() == text
        assert git.git("status", "--porcelain", cwd=source, env=tree.object_env(base)).stdout == ""


def test_a_source_directory_that_was_deleted_or_broken_is_made_again(
    two: tuple[tree.Tree, str, str],
) -> None:
    base, first, _ = two
    source = tree.source_dir(base, first, slot="s")
    source.rename(source.with_name("moved"))
    assert (tree.source_dir(base, first, slot="s") / "mm/a.c").exists()
    (source / ".git").write_text("gitdir: /nowhere\n")
    assert (tree.source_dir(base, first, slot="s") / "mm/a.c").exists()
    (source / ".git").unlink()
    assert (tree.source_dir(base, first, slot="s") / "mm/a.c").exists()


def test_slots_are_independent_and_two_at_once_do_not_collide(
    two: tuple[tree.Tree, str, str],
) -> None:
    base, first, second = two
    errors: list[BaseException] = []

    def use(commit: str) -> None:
        try:
            for _ in range(3):
                tree.source_dir(base, commit, slot="shared")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(commit,)) for commit in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    own = tree.source_dir(base, first, slot="own")
    tree.source_dir(base, second, slot="shared")
    assert (own / "mm/a.c").read_text() == "one\n"
    with pytest.raises(ValueError, match="plain name"):
        tree.source_dir(base, first, slot="../up")


def test_a_full_disk_is_called_by_its_name(
    two: tuple[tree.Tree, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, first, _ = two
    failing = tmp_path / "bin/git"
    failing.parent.mkdir()
    failing.write_text(
        '#!/bin/sh\ncase "$*" in *" reset "*) '
        'echo "error: unable to write file mm/a.c: No space left on device" >&2; exit 128;; esac\n'
        'exec /usr/bin/git "$@"\n'
    )
    failing.chmod(0o755)
    with monkeypatch.context() as patch, pytest.raises(InfraError, match="the disk is full"):
        patch.setenv("PATH", f"{failing.parent}:/usr/bin:/bin")
        tree.source_dir(base, first, slot="s")
    assert (tree.source_dir(base, first, slot="s") / "mm/a.c").read_text() == "one\n"
