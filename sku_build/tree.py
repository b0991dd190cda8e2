# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees: where they come from, and the cache repository that holds them.

A tree is a base commit. Those of the distribution and of archives are imported into one bare
repository in the cache; a checkout stays where it is, is only ever read, and gets nothing but the
branch that was asked for. Every commit the toolkit makes is made in the cache repository, which
sees a checkout's objects through :func:`object_env`.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from sku_build import checkout, console, distribution, layout, tarball, worktree
from sku_build.decode import did_you_mean
from sku_build.distribution import LINES
from sku_build.errors import InfraError, UserError
from sku_build.git import command, git, resolve
from sku_build.version import KernelVersion, makefile_version

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*$")
_CACHE_SETTINGS = """\
[core]
\tcompression = 1
\tlogAllRefUpdates = false
[gc]
\tauto = 0
\tworktreePruneExpire = never
[maintenance]
\tauto = false
[uploadpack]
\tallowAnySHA1InWant = true
"""
_SHOWN_CHANGES = 5


class Tree(msgspec.Struct, frozen=True):
    """A kernel tree as the user calls it by ``name``.

    ``version`` is what ``make kernelversion`` prints for it, ``commit`` the full id of its base
    commit and ``repository`` the git directory that commit lives in. ``origin`` is the package and
    its version, the checkout's path, or the archive's path and sha256.
    """

    name: str
    kind: Literal["distribution", "checkout", "tarball"]
    version: str
    commit: str
    origin: str
    repository: Path

    @property
    def kernel(self) -> KernelVersion:
        """The version, comparable."""
        return KernelVersion.parse(self.version)


def cache_repository() -> Path:
    """Return the bare repository of all reference trees and of all commits made; it is created."""
    path = layout.cache_root() / "trees.git"
    if not path.is_dir():
        with tempfile.TemporaryDirectory(prefix=".trees-", dir=path.parent) as temporary:
            made = Path(temporary) / path.name
            git("init", "--quiet", "--bare", "--template=", made, cwd=path.parent)
            with (made / "config").open("a") as config:
                config.write(_CACHE_SETTINGS)
            try:
                made.rename(path)
            except OSError:  # another sku was quicker
                if not path.is_dir():
                    raise
    return path


class Summary(msgspec.Struct, frozen=True):
    """A tree with what is looked up for it: files and bytes at its commit, branches made on it."""

    tree: Tree
    files: int
    bytes: int
    branches: dict[str, str]


def object_env(tree: Tree) -> dict[str, str]:
    """Return the environment in which git in the cache repository sees the objects of ``tree``."""
    if tree.kind != "checkout":
        return {}
    objects = str(tree.repository / "objects")
    if ":" in objects or objects.startswith('"'):  # quoted as git-config(1) quotes
        objects = '"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}


def add(spec: str, *, name: str | None = None) -> Tree:
    """Register a tree: ``spec`` is a kernel line such as ``6.1``, or the path of a git checkout.

    A line comes from the distribution's source package and is called by its line; nothing is done
    when it is there already. ``6.1=VERSION`` takes the package of that version, and is called by
    it. A checkout is called ``name``, or like its directory.
    Raises UserError when ``spec`` is neither, and when the name is taken.
    """
    if spec in LINES:
        return _add_line(spec, spec if name is None else name)
    line, _, version = spec.partition("=")
    if line in LINES and version:
        return _add_line(line, version if name is None else name, version)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _add_checkout(path.resolve(), name)
    if path.is_file():
        raise UserError(
            "this is a file, not a git checkout",
            where=path,
            hint=f"for an archive: `sku tree add --tarball {shlex.quote(spec)}`",
        )
    lines = ", ".join(LINES)
    raise UserError(
        f"{spec!r} is neither a kernel line of the distribution nor a directory",
        hint=did_you_mean(spec, LINES)
        or f"the lines are {lines}; for another version give a git checkout or `--tarball FILE`",
    )


def add_tarball(path: Path, *, name: str | None = None) -> Tree:
    """Import the source archive ``path`` (tar, plain or with xz, gzip, bzip2) as a tree.

    It is called ``name``, or by the version in its Makefile. Raises UserError for an archive that
    is damaged, unsafe or not a kernel's, and when the name is taken.
    """
    path = path.expanduser().resolve()
    if name is not None:
        _check_name(name)
        _check_free(name)
    try:
        with path.open("rb") as raw:
            done = tarball.import_stream(
                raw,
                path.stat().st_size,
                title=f"import {path.name} (MiB)",
                repository=cache_repository(),
                message=_message,
            )
    except UserError as error:
        error.where = error.where or str(path)
        raise
    except IsADirectoryError as error:
        raise UserError("this is a directory, not an archive", where=path) from error
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"cannot read the archive: {error.strerror}", where=path) from error
    version = makefile_version(done.makefile) or ""
    name = version if name is None else name
    origin = f"{path} sha256:{done.sha256}"
    with _locked(name):
        _check_free(name, origin)
        return _register("tarball", name, version, done.commit, origin)


def find(name: str) -> Tree:
    """Return the tree called ``name``; of a checkout, the commit it is on now.

    Raises UserError when it is not known, or known and gone.
    """
    tree = _read(_record(name)) if _NAME.match(name) and _record(name).is_file() else None
    if tree is None:
        known = [entry.name for entry in all_trees()]
        hint = f"add it: `sku tree add {name}`" if name in LINES else did_you_mean(name, known)
        names = ", ".join(known) or "none"
        raise UserError(
            f"there is no tree called {name!r}",
            hint=hint or f"the trees are: {names}; `sku tree add` makes one",
        )
    if tree.kind == "checkout":
        return _checkout_tree(checkout.inspect(Path(tree.origin)), tree.name)
    if resolve(tree.commit, cwd=cache_repository()) is None:
        raise UserError(
            f"the commits of the tree {name!r} are gone from the cache",
            where=tree.repository,
            hint=f"`sku tree remove {name}`, then add it again",
        )
    return tree


def ensure(name: str) -> Tree:
    """Return the tree called ``name``, adding it first when it is one of the distribution's."""
    return add(name) if name in LINES else find(name)


def releases(line: str) -> list[Tree]:
    """Return every point release of a kernel line that the distribution still offers, oldest first.

    They are called by their version, and not registered; what has once been fetched stays in the
    cache. One that is listed and cannot be downloaded any more is left out, with a warning. Raises
    InfraError when nothing can be had.
    """
    found = []
    for item in reversed(distribution.releases(line)):
        try:
            found.append(_release(line, item))
        except InfraError as error:
            console.warn(f"{item.kernel} is left out: {error.message}")
    if not found:
        raise InfraError(f"no release of {line} can be had", hint="is the network there?")
    return found


def _release(line: str, item: distribution.Release) -> Tree:
    repository, name = cache_repository(), str(item.kernel)
    origin = f"{LINES[line].package} {item.version}"
    ref = f"refs/sku/releases/{name}"
    with _locked(f"release-{name}"):
        commit = resolve(ref, cwd=repository)
        if commit is None or origin != tarball.source_of(commit, repository):
            source = distribution.import_line(
                line, repository, version=item.version, suite=item.suite
            )
            commit = source.commit
            git("update-ref", ref, commit, cwd=repository)
    return Tree(name, "distribution", name, commit, origin, repository)


def all_trees() -> list[Tree]:
    """Return every registered tree as it was registered, sorted by version."""
    found = [_read(path) for path in layout.cache_dir("trees").glob("*.json")]
    return sorted(found, key=lambda tree: (tree.kernel, tree.name))


def remove(name: str) -> Tree:
    """Forget the tree called ``name``, a checkout's directory is left as it is; return it."""
    path = _record(name)
    if not (_NAME.match(name) and path.is_file()):
        find(name)
    tree = _read(path)
    made = (_branches(name), _bases(name))
    refs = git("for-each-ref", "--format=%(refname)", *made, cwd=cache_repository())
    for ref in [f"refs/sku/trees/{name}", *refs.stdout.split()]:
        git("update-ref", "-d", ref, cwd=cache_repository())
    path.unlink(missing_ok=True)
    return tree


def require_clean(tree: Tree) -> None:
    """Raise UserError when tracked files of a checkout differ from its commit."""
    changed = checkout.changed_files(Path(tree.origin)) if tree.kind == "checkout" else []
    if changed:
        rest = len(changed) - _SHOWN_CHANGES
        more = f" and {rest} more" if rest > 0 else ""
        raise UserError(
            f"the tree {tree.name!r} has uncommitted changes in "
            + ", ".join(changed[:_SHOWN_CHANGES])
            + more,
            where=tree.origin,
            hint="commit them or put them aside with `git stash`",
            data=changed,
        )


def require_free_branch(tree: Tree, branch: str) -> None:
    """Raise UserError when ``branch`` is no branch name, or exists where it would be made."""
    cwd = tree.repository
    named = git("check-ref-format", "--branch", branch, cwd=cwd, check=False)
    if named.status != 0 or branch == "HEAD" or branch.startswith("-"):
        raise UserError(f"{branch!r} is not a name for a git branch")
    listed = git("for-each-ref", "--format=%(refname:strip=2)", "refs/heads", cwd=cwd)
    for existing in listed.stdout.splitlines():
        if existing == branch:
            raise UserError(
                f"there is a branch {branch!r} already",
                where=cwd,
                hint=f"choose another name, or delete it: `git -C {cwd} branch -D {branch}`",
            )
        if f"{existing}/".startswith(f"{branch}/") or f"{branch}/".startswith(f"{existing}/"):
            raise UserError(
                f"the branches {branch!r} and {existing!r} exclude each other", where=cwd
            )


def publish(tree: Tree, commit: str, branch: str) -> None:
    """Make ``commit``, which lies in the cache repository, the new branch ``branch`` of ``tree``.

    For a checkout its repository gets the missing objects and that one branch, nothing else; for
    the other kinds the branch is made in the cache repository. Raises UserError when it exists.
    """
    require_free_branch(tree, branch)
    ref, cache = f"refs/heads/{branch}", cache_repository()
    if tree.kind == "checkout":
        # git drops the alternates from a local transport's environment: they go by its command.
        assignments = [f"{key}={value}" for key, value in object_env(tree).items()]
        upload = ["env", *assignments, *command("upload-pack")]
        git(
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
            *("--no-recurse-submodules", "--no-write-commit-graph"),
            *("--upload-pack", shlex.join(upload), cache, f"{commit}:{ref}"),
            cwd=tree.repository,
        )
    else:
        git("update-ref", ref, commit, "0" * len(commit), cwd=cache)
    git("update-ref", base_ref(tree, branch), tree.commit, cwd=cache, env=object_env(tree))
    git("update-ref", f"{_branches(tree.name)}{branch}", commit, cwd=cache, env=object_env(tree))


def branches(tree: Tree) -> dict[str, str]:
    """Return the branches made on ``tree`` that are still there, with the commits they are on."""
    prefix = _branches(tree.name)
    listed = git("for-each-ref", "--format=%(refname)", prefix, cwd=cache_repository())
    names = sorted(ref.removeprefix(prefix) for ref in listed.stdout.split())
    found = {name: resolve(f"refs/heads/{name}", cwd=tree.repository) for name in names}
    return {name: commit for name, commit in found.items() if commit}


def summary(tree: Tree) -> Summary:
    """Return what ``sku tree show`` shows of ``tree``."""
    listed = git("ls-tree", "-r", "--format=%(objectsize)", tree.commit, cwd=tree.repository)
    sizes = [int(word) for word in listed.stdout.split() if word != "-"]
    return Summary(tree, len(sizes), sum(sizes), branches(tree))


def source_dir(tree: Tree, commit: str, *, slot: str) -> Path:
    """Return a work tree of the cache repository that holds ``commit``, a commit on ``tree``.

    It stays at ``src/SLOT`` in the cache and is switched in place: only files that differ are
    touched, so a build from it stays incremental. Changes made in it are thrown away. Whoever goes
    on to compile or configure from it holds :func:`sku_build.builddir.exclusive` of the slot.
    """
    if not _NAME.match(slot):
        raise ValueError(f"slot {slot!r} is not a plain name")
    path = layout.cache_dir("src") / slot
    worktree.switch(cache_repository(), path, commit, env=object_env(tree))
    return path


def base_ref(tree: Tree, branch: str) -> str:
    """Return the ref of the cache repository that keeps what ``branch`` was made on."""
    return f"{_bases(tree.name)}{branch}"


def _branches(name: str) -> str:
    return f"refs/sku/branches/{name}/"


def _bases(name: str) -> str:
    return f"refs/sku/bases/{name}/"


def _record(name: str) -> Path:
    return layout.cache_dir("trees") / f"{name}.json"


def _read(path: Path) -> Tree:
    try:
        tree = msgspec.json.decode(
            path.read_bytes(), type=Tree, dec_hook=lambda _, text: Path(text)
        )
    except msgspec.DecodeError as error:
        raise UserError(
            f"the record of a tree is damaged: {error}",
            where=path,
            hint="delete this file and add the tree again",
        ) from error
    if tree.kind == "checkout":
        return tree
    return msgspec.structs.replace(tree, repository=cache_repository())  # the cache may have moved


def _check_name(name: str) -> None:
    if not _NAME.match(name) or name.endswith(".lock"):
        raise UserError(
            f"{name!r} cannot be the name of a tree",
            hint="letters, digits, '.', '_', '+' and '-'; give one with --name",
        )


def _check_free(name: str, origin: str | None = None) -> None:
    if name in LINES:
        raise UserError(
            f"the name {name!r} is kept for the distribution's tree",
            hint="give another with --name",
        )
    path = _record(name)
    if path.exists() and _read(path).origin != origin:
        raise _taken(_read(path))


def _taken(tree: Tree) -> UserError:
    return UserError(
        f"there is a tree called {tree.name!r} already, from {tree.origin}",
        hint=f"give another name with --name, or `sku tree remove {tree.name}`",
    )


def _message(makefile: str, sha256: str) -> str:
    version = makefile_version(makefile)
    if version is None:
        raise UserError(
            "this is not a kernel tree: it has no top Makefile that states VERSION and PATCHLEVEL"
        )
    return tarball.commit_message(version, f"sha256:{sha256}")


def _add_line(line: str, name: str, version: str | None = None) -> Tree:
    _check_name(name)
    if version is not None and name in LINES:
        _check_free(name)
    with _locked(name):
        if _record(name).is_file():
            tree = _read(_record(name))
            other = tree.kind != "distribution" or tree.kernel.line != line
            if other or (version and tree.origin.split()[-1] != version):
                raise _taken(tree)
            if resolve(tree.commit, cwd=cache_repository()):
                return tree
        source = distribution.import_line(line, cache_repository(), version=version)
        return _register("distribution", name, source.version, source.commit, source.package)


def _add_checkout(path: Path, name: str | None) -> Tree:
    found = checkout.inspect(path)
    bare_name = (path.parent if path.name == ".git" else path).name.removesuffix(".git")
    tree = _checkout_tree(found, bare_name if name is None else name)
    _check_name(tree.name)
    with _locked(tree.name):
        _check_free(tree.name, tree.origin)
        _write(tree)
    return tree


def _checkout_tree(found: checkout.Checkout, name: str) -> Tree:
    origin = str(found.path)
    return Tree(name, "checkout", found.version, found.commit, origin, found.repository)


def _register(
    kind: Literal["distribution", "tarball"], name: str, version: str, commit: str, origin: str
) -> Tree:
    tree = Tree(name, kind, version, commit, origin, cache_repository())
    git("update-ref", f"refs/sku/trees/{name}", commit, cwd=tree.repository)
    _write(tree)
    return tree


def _write(tree: Tree) -> None:
    path = _record(tree.name)
    temporary = path.with_suffix(".json.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(tree, enc_hook=str)))
    temporary.replace(path)


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    with _record(name).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
