# SPDX-License-Identifier: GPL-2.0-only
"""Work trees of the cache repository that stay, and are switched from commit to commit.

Only files that differ between two commits are touched, so a build that uses such a work tree as its
source stays incremental.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from sku_build import console
from sku_build.git import git, resolve

_PARALLEL = ("-c", "checkout.workers=0")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.note(f"waiting for another sku that uses {path.stem}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def switch(repository: Path, path: Path, commit: str, *, env: Mapping[str, str]) -> None:
    """Make ``path`` a work tree of the bare ``repository`` that holds ``commit`` and nothing else.

    ``env`` is what git needs to see the commit. An existing work tree is switched; edits and
    leftovers in it are thrown away, what an interrupted switch left half-way among them. Another
    process that switches the same path is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")):
        present = resolve("HEAD", cwd=path, env=env) if (path / ".git").is_file() else None
        if present == commit and not _changes(path, env):
            return
        with console.step(f"{'switch' if present else 'check out'} {path.name} to {commit[:12]}"):
            if present is None:
                _create(repository, path, commit, env)
            _reset(path, commit, env)


def _create(repository: Path, path: Path, commit: str, env: Mapping[str, str]) -> None:
    if path.exists():
        shutil.rmtree(path)
    git("worktree", "prune", "--expire=now", cwd=repository, env=env)
    git("worktree", "add", "--detach", "--no-checkout", path, commit, cwd=repository, env=env)


def _reset(path: Path, commit: str, env: Mapping[str, str]) -> None:
    directory = git("rev-parse", "--absolute-git-dir", cwd=path, env=env).stdout.strip()
    (Path(directory) / "index.lock").unlink(missing_ok=True)
    git(*_PARALLEL, "reset", "--quiet", "--hard", commit, cwd=path, env=env)
    if _changes(path, env):
        git("clean", "-ffdxq", cwd=path, env=env)


def _changes(path: Path, env: Mapping[str, str]) -> bool:
    shown = git("status", "--porcelain", "--ignored", "--no-renames", cwd=path, env=env)
    return bool(shown.stdout)
