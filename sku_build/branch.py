# SPDX-License-Identifier: GPL-2.0-only
"""A branch on a tree: where it starts, and a tree as of another of its commits."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sku_build import tree as trees
from sku_build.errors import UserError
from sku_build.git import git, read_file, resolve
from sku_build.tree import Tree
from sku_build.version import makefile_version


def at(tree: Tree, commit: str) -> Tree:
    """Return ``tree`` as of another ``commit`` of its repository, with that one's version."""
    if commit == tree.commit:
        return tree
    makefile = read_file(commit, "Makefile", cwd=tree.repository) or ""
    version = makefile_version(makefile) or tree.version
    return msgspec.structs.replace(tree, commit=commit, version=version)


def base_of(tree: Tree, branch: str) -> str:
    """Return the commit that the branch (or other revision) ``branch`` of ``tree`` starts from.

    It is the base it was made on by :func:`publish`, else the tree's own commit. Raises UserError
    when that is not among the branch's ancestors.
    """
    recorded = resolve(
        trees.base_ref(tree, branch), cwd=trees.cache_repository(), env=trees.object_env(tree)
    )
    for base in filter(None, (recorded, tree.commit)):
        told = git("merge-base", "--is-ancestor", base, branch, cwd=tree.repository, check=False)
        if told.status == 0 and base != resolve(branch, cwd=tree.repository):
            return base
    raise UserError(
        f"it is not known which commit of the tree {tree.name!r} the branch {branch!r} starts from",
        where=tree.repository,
        hint="name it with --base",
    )


def unpatched(tree: Tree) -> Tree:
    """Return ``tree`` as it was before the series: of a checkout on a branch of ours, its base."""
    if tree.kind != "checkout":
        return tree
    head = git("symbolic-ref", "--quiet", "--short", "HEAD", cwd=Path(tree.origin), check=False)
    ref = trees.base_ref(tree, head.stdout.strip() or "HEAD")
    recorded = resolve(ref, cwd=trees.cache_repository(), env=trees.object_env(tree))
    if recorded is None:
        return tree
    told = git(
        "merge-base", "--is-ancestor", recorded, tree.commit, cwd=tree.repository, check=False
    )
    return at(tree, recorded) if told.status == 0 else tree
