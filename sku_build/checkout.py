# SPDX-License-Identifier: GPL-2.0-only
"""A user's git checkout of a kernel, which is read and otherwise left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sku_build.errors import UserError
from sku_build.git import git, read_file, resolve
from sku_build.version import makefile_version

_NO_LOCKS = "--no-optional-locks"  # `git status` would otherwise rewrite the user's index


@dataclasses.dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree or bare repository: its git directory (of a linked work tree, the main one's),
    the commit it is on and the version that commit's Makefile states.
    """

    path: Path
    repository: Path
    commit: str
    version: str


def inspect(path: Path) -> Checkout:
    """Return what is checked out at ``path``.

    Raises UserError when it is not the top of a git checkout, has no commit, or is not a kernel's.
    """
    if not path.is_dir():
        raise UserError(
            "the checkout is not there",
            where=path,
            hint="`sku tree list` shows the registered paths, `sku tree remove NAME` forgets one",
        )
    asked = ("--path-format=absolute", "--git-common-dir", "--show-object-format")
    found = git("rev-parse", *asked, cwd=path, check=False)
    if found.status != 0:
        raise UserError(
            "this directory is not a git checkout",
            where=path,
            hint="clone the kernel with git, or pack the directory: `sku tree add --tarball FILE`",
        )
    repository, object_format = found.stdout.splitlines()
    if has_files(path):
        top = Path(git("rev-parse", "--show-toplevel", cwd=path).stdout.rstrip("\n"))
        if top.resolve() != path.resolve():
            raise UserError(
                "this directory is inside a git checkout, not its top",
                where=path,
                hint=f"the top is {top}",
            )
    if object_format != "sha1":
        raise UserError(f"the repository uses {object_format} ids, not sha1", where=path)
    commit = resolve("HEAD", cwd=path)
    if commit is None:
        raise UserError("the checkout has no commit", where=path, hint="check out a branch first")
    version = makefile_version(read_file(commit, "Makefile", cwd=path) or "")
    if version is None:
        raise UserError(
            "this is not a kernel tree: its commit has no Makefile with VERSION and PATCHLEVEL",
            where=path,
        )
    return Checkout(path, Path(repository), commit, version)


def has_files(path: Path) -> bool:
    """Return whether ``path`` is a work tree, and not a bare repository or a git directory."""
    return git("rev-parse", "--is-inside-work-tree", cwd=path).stdout.strip() == "true"


def changed_files(path: Path) -> list[str]:
    """Return the tracked files at ``path`` that differ from its commit; untracked ones are not."""
    if not has_files(path):
        return []
    shown = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
    status = git(_NO_LOCKS, *shown, cwd=path).stdout
    return [entry[3:] for entry in status.split("\0") if entry]
