# SPDX-License-Identifier: GPL-2.0-only
"""Putting patch series on a tree: all of it, or nothing.

The mails are applied with `git am -3` in a private repository (:mod:`sku_build.scratch`); each
one's outcome is worked out there. Only when none of them failed are the commits replayed onto the
whole tree in the cache repository, and only then a branch is made. The result is kept under
``refs/sku/applied/KEY`` with its report beside the cache, so that asking again costs nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sku_build import git, layout, mail
from sku_build import tree as trees
from sku_build.outcome import Applied, failure
from sku_build.patching import Job, apply_all
from sku_build.scratch import Scratch, replay, scratch
from sku_build.series import Series, select
from sku_build.tree import Tree

# Part of every key: to be raised when the same input is to have another result.
_ALGORITHM = "1"


def apply_series(
    tree: Tree, series: Sequence[Series], *, branch: str | None, nearest: bool = False
) -> Applied:
    """Apply ``series``, in this order, to ``tree``; return the new tip and each patch's outcome.

    With ``branch`` the result becomes that branch of the tree's repository, which must not exist.
    ``nearest`` takes the patches of the nearest kernel range where none holds. Raises UserError for
    a kernel version out of range or a tree with uncommitted changes, and CheckError, with all
    outcomes as data, when a patch failed: nothing was changed then.
    """
    if branch is not None:
        trees.require_free_branch(tree, branch)
    trees.require_clean(tree)
    jobs = plan(tree, series, nearest=nearest)
    if not jobs:
        applied = Applied(tree.name, tree.commit, tree.commit, None, [])
    else:
        key = _key(tree, jobs)
        with _locked():
            applied = _recall(tree, key) or _apply(tree, jobs, key)
    if branch is not None:
        trees.publish(tree, applied.commit, branch)
        applied = msgspec.structs.replace(applied, branch=branch)
    return applied


def try_series(tree: Tree, series: Sequence[Series], *, nearest: bool = False) -> Applied:
    """Apply ``series`` and throw the result away: ``commit`` is the tree's own, nothing is kept.

    Failed patches are in the outcomes; raises what :func:`plan` raises.
    """
    jobs = plan(tree, series, nearest=nearest)
    with workshop(tree, jobs) as work:
        tried = apply_all(work, jobs)
    patches = [msgspec.structs.replace(item, commit=None) for item in tried]
    return Applied(tree.name, tree.commit, tree.commit, None, patches, _notes(tree, jobs))


def plan(tree: Tree, series: Sequence[Series], *, nearest: bool) -> list[Job]:
    """Return what each series has for the tree's version; raises UserError when one has nothing."""
    jobs = []
    for item in series:
        selection = select(item, tree.kernel, nearest=nearest)
        mails = tuple(mail.load(item.directory / entry.file) for entry in selection.patches)
        jobs.append(Job(item, tree.kernel, selection, mails))
    return jobs


def _key(tree: Tree, jobs: Sequence[Job]) -> str:
    facts = [_ALGORITHM, tree.commit, tree.version]
    for job in jobs:
        facts.append(msgspec.json.encode(job.series).decode())
        facts += [f"{item.path.name} {item.digest}" for item in job.mails]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:40]


def _ref(key: str) -> str:
    return f"refs/sku/applied/{key}"


def _report(key: str) -> Path:
    return layout.cache_dir("applied") / f"{key}.json"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Let one process at a time add to the cache of results."""
    handle = os.open(layout.cache_dir("applied"), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _recall(tree: Tree, key: str) -> Applied | None:
    """Return the stored result, when its report and its commit are both still there."""
    try:
        stored = msgspec.json.decode(_report(key).read_bytes(), type=Applied)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    there = git.resolve(_ref(key), cwd=trees.cache_repository(), env=trees.object_env(tree))
    return stored if there == stored.commit else None


def objects(tree: Tree) -> list[Path]:
    """Return the object directories that hold ``tree``, and all other trees there are.

    A 3-way merge finds its base in whichever of them the patch was made for.
    """
    checkouts = [item.repository for item in (tree, *trees.all_trees()) if item.kind == "checkout"]
    known = [trees.cache_repository() / "objects", *(path / "objects" for path in checkouts)]
    return list(dict.fromkeys(path for path in known if path.is_dir()))


@contextlib.contextmanager
def workshop(tree: Tree, jobs: Sequence[Job]) -> Iterator[Scratch]:
    """Make the scratch repository that ``jobs`` need of ``tree``; it is gone afterwards."""
    mails = [item for job in jobs for item in job.mails]
    probed = [probe.path for job in jobs for probe in job.selection.probes]
    with scratch(tree.commit, objects=objects(tree), mails=mails, extra_paths=probed) as work:
        yield work


def _apply(tree: Tree, jobs: Sequence[Job], key: str) -> Applied:
    with workshop(tree, jobs) as work:
        patches = apply_all(work, jobs)
        if any(item.outcome.failed for item in patches):
            raise failure(tree.name, patches)
        ids = replay(
            work, repository=trees.cache_repository(), env=trees.object_env(tree), ref=_ref(key)
        )
        commit = ids.get(work.tip(), tree.commit)
    patches = [msgspec.structs.replace(item, commit=ids.get(item.commit or "")) for item in patches]
    applied = Applied(tree.name, tree.commit, commit, None, patches, _notes(tree, jobs))
    if commit == tree.commit:
        cache, env = trees.cache_repository(), trees.object_env(tree)
        git.git("update-ref", _ref(key), commit, cwd=cache, env=env)
    _write(_report(key), msgspec.json.encode(applied))
    return applied


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _notes(tree: Tree, jobs: Sequence[Job]) -> list[str]:
    return [
        f"series {job.series.name} has no patch for kernel {tree.version}; those for "
        f"{job.selection.nearest} were tried"
        for job in jobs
        if job.selection.nearest
    ]
