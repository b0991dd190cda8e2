# SPDX-License-Identifier: GPL-2.0-only
"""A private repository that holds only the files some mails touch, to apply the mails in.

`git am` reads and writes the whole index for every mail: 80,000 entries, 8 MB, on a kernel. A tree
of the dozen files the mails touch gives the same commits in a fraction of the time, keeps the
user's configuration, hooks and work tree out of it, and vanishes with its temporary directory, so
that a failure leaves nothing anywhere. The commits are then replayed onto the whole tree (`git
fast-export | git fast-import`), which needs no work tree at all.

What a reduced tree could do differently is follow a file that was moved, since the place it was
moved to is not among the touched paths. All files of the same name are therefore taken in when a
touched file is missing; git's own rename detection then chooses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from sku_build import git, run
from sku_build.errors import CheckError
from sku_build.mail import Mail
from sku_build.run import CommandError

BRANCH = "refs/heads/sku"
_FELL_BACK = "Falling back to patching base and 3-way merge"
_HUNK_MOVED = re.compile(r"^Hunk #(\d+) succeeded at \d+ \(offset (-?\d+) lines?\)\.$")
_CHECKING = re.compile(r"^Checking patch (.*)\.\.\.$")
# The objects are thrown away with the directory, or written again by fast-import.
_NO_SYNC = ("-c", "core.fsync=none")


@dataclasses.dataclass(frozen=True, slots=True)
class AmResult:
    """What `git am` did with one mail; ``commit`` is the tip afterwards, new or not."""

    ok: bool
    merged: bool
    commit: str
    said: str


@dataclasses.dataclass(frozen=True, slots=True)
class Scratch:
    """The repository at ``path``, made from the commit ``base`` of a whole tree.

    ``root`` is the reduced commit that stands for ``base``; ``blobs`` the ids of its files.
    """

    path: Path
    base: str
    root: str
    blobs: Mapping[str, str]

    def git(self, *args: str | Path, check: bool = True, stdin: str | None = None) -> run.Result:
        """Run git in the repository."""
        return git.git(*_NO_SYNC, *args, cwd=self.path, check=check, stdin=stdin)

    def text(self, path: str) -> str | None:
        """Return the text of a file of the work tree, None when it is not there."""
        try:
            raw = (self.path / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return raw.decode("utf-8", "surrogateescape")

    def current_blobs(self) -> dict[str, str]:
        """Return the blob ids of all files of the index."""
        return _entries(self.git("ls-files", "-s", "-z").stdout, id_column=1)

    def am(self, *mails: Mail) -> AmResult:
        """Apply mails with `git am -3`; on failure the index and work tree are left as they are.

        Nothing of the user's configuration counts; the committer's date is the author's, so that
        equal mails on an equal tree give equal commit ids.
        """
        before = self.tip()
        done = self.git(
            "am",
            "--3way",
            "--no-gpg-sign",
            "--committer-date-is-author-date",
            "--no-keep-cr" if any(mail.crlf for mail in mails) else "--keep-cr",
            *(mail.path for mail in mails),
            check=False,
        )
        said = done.stdout + done.stderr
        ok = done.status == 0
        after = self.tip() if ok else before
        return AmResult(ok, _FELL_BACK in said, after, said)

    def tip(self) -> str:
        """Return the id of the newest commit."""
        # Read directly, since this happens twice a mail; a new repository has loose refs only.
        return (self.path / ".git" / BRANCH).read_text(encoding="ascii").strip()

    def commits_since(self, commit: str) -> list[str]:
        """Return the ids of the commits made after ``commit``, oldest first."""
        return self.git("rev-list", "--reverse", f"{commit}..HEAD").stdout.split()

    def abort(self) -> None:
        """Return to where the tree was before a failed :meth:`am`."""
        self.git("am", "--abort")

    def offsets(self, diff: Path) -> dict[tuple[str, int], int] | None:
        """Return by how many lines each (file, hunk number) is going to move; moved ones only.

        None when the diff does not apply as it is.
        """
        tried = self.git("apply", "--check", "--verbose", diff, check=False)
        if tried.status != 0:
            return None
        moved = {}
        path = ""
        for line in tried.stderr.splitlines():
            if found := _CHECKING.match(line):
                path = found[1].partition(" => ")[2] or found[1]
            elif found := _HUNK_MOVED.match(line):
                moved[path, int(found[1])] = int(found[2])
        return moved

    def refusal(self, diff: Path) -> str:
        """Return what git says of a diff that does not apply, hunk by hunk."""
        return self.git("apply", "--check", diff, check=False).stderr

    def is_reversible(self, diff: Path) -> bool:
        """Return whether the work tree holds exactly what the diff would make of it."""
        return self.git("apply", "--reverse", "--check", diff, check=False).status == 0

    def has_blobs(self, ids: Sequence[str]) -> set[str]:
        """Return which of the blob ``ids`` the repository and its alternates have."""
        if not ids:
            return set()
        asked = self.git("cat-file", "--batch-check=%(objectname)", stdin="\n".join(ids) + "\n")
        return {line for line in asked.stdout.splitlines() if not line.endswith("missing")}

    def make_blobs(self, mail: Mail, diff: Path) -> None:
        """Make the blobs a mail's diff produces from the blobs it names, where those are there.

        A later mail's base for a 3-way merge is often the result of an earlier one, which no tree
        holds. As after `git am`, the repository has it afterwards.
        """
        have = self.has_blobs([item.old_id for item in mail.files if item.old_id])
        entries = [
            f"100644 {item.old_id}\t{item.old_path}"
            for item in mail.files
            if item.old_path and item.old_id in have
        ]
        if not entries:
            return
        index = {"GIT_INDEX_FILE": str(self.path / ".git" / "blobs-index")}
        git.git(
            *_NO_SYNC,
            "update-index",
            "--index-info",
            cwd=self.path,
            env=index,
            stdin="\n".join(entries) + "\n",
        )
        include = [f"--include={entry.partition(chr(9))[2]}" for entry in entries]
        git.git(
            *_NO_SYNC, "apply", "--cached", *include, diff, cwd=self.path, env=index, check=False
        )
        (self.path / ".git" / "blobs-index").unlink(missing_ok=True)


@contextlib.contextmanager
def scratch(
    base: str, *, objects: Sequence[Path], mails: Sequence[Mail], extra_paths: Iterable[str]
) -> Iterator[Scratch]:
    """Make a repository with what ``mails`` and ``extra_paths`` need of the commit ``base``.

    ``objects`` are the object directories that hold ``base`` and, for 3-way merges, other trees.
    The repository is removed at the end, whatever happens.
    """
    with tempfile.TemporaryDirectory(prefix="sku-apply-") as name:
        path = Path(name) / "tree"
        git.git("init", "--quiet", "--template=", "--initial-branch=sku", path, cwd=Path(name))
        alternates = path / ".git" / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text("".join(f"{item}\n" for item in objects), encoding="utf-8")
        listing = _listing(path, base, mails, extra_paths)
        _import_root(path, listing)
        git.git(*_NO_SYNC, "reset", "--hard", "--quiet", cwd=path)
        root = (path / ".git" / BRANCH).read_text(encoding="ascii").strip()
        blobs = {name: entry.split()[2] for name, entry in listing.items()}
        yield Scratch(path, base, root, blobs)


def _entries(text: str, *, id_column: int) -> dict[str, str]:
    found = {}
    for entry in filter(None, text.split("\0")):
        facts, _, path = entry.partition("\t")
        found[path] = facts.split()[id_column]
    return found


def _listing(
    repository: Path, base: str, mails: Sequence[Mail], extra_paths: Iterable[str]
) -> dict[str, str]:
    """Return path → "mode type id" of every file of ``base`` that the mails need."""
    touched = {path for mail in mails for item in mail.files for path in item.paths()}
    wanted = touched | set(extra_paths)
    parents = {str(parent) for path in wanted for parent in PurePosixPath(path).parents}
    attributes = {str(PurePosixPath(parent) / ".gitattributes") for parent in parents}
    listing = _ls_tree(repository, base, sorted(wanted | attributes | parents - {"."}))
    for path in touched:
        if listing.get(path, "").split()[1:2] == ["tree"]:
            raise CheckError(f"a patch makes the file {path}, which is a directory in the tree")
    found = {path: entry for path, entry in listing.items() if entry.split()[1] != "tree"}
    missing = _missing(mails, found)
    if missing:
        found |= _namesakes(repository, base, missing)
    return found


def _ls_tree(repository: Path, base: str, paths: Sequence[str]) -> dict[str, str]:
    if not paths:
        return {}
    said = git.git("ls-tree", "-z", base, "--", *paths, cwd=repository).stdout
    pairs = (entry.partition("\t") for entry in filter(None, said.split("\0")))
    return {path: facts for facts, _, path in pairs}


def _missing(mails: Sequence[Mail], found: Mapping[str, str]) -> set[str]:
    """Return the files the mails change that are neither in the tree nor made by the mails."""
    there = set(found)
    missing = set()
    for mail in mails:
        for item in mail.files:
            if item.old_path and item.old_path not in there:
                missing.add(item.old_path)
            if item.new_path:
                there.add(item.new_path)
    return missing


def _namesakes(repository: Path, base: str, missing: set[str]) -> dict[str, str]:
    wanted = {PurePosixPath(path).name for path in missing}
    said = git.git("ls-tree", "-r", "-z", base, cwd=repository).stdout
    pairs = (entry.partition("\t") for entry in filter(None, said.split("\0")))
    return {path: facts for facts, _, path in pairs if path.rpartition("/")[2] in wanted}


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _import_root(repository: Path, listing: Mapping[str, str]) -> None:
    lines = [f"commit {BRANCH}", "committer sku <sku@localhost> 0 +0000", "data 0"]
    for path, entry in sorted(listing.items()):
        mode, _, name = entry.split()
        lines.append(f"M {mode} {name} {_quoted(path)}")
    stream = "\n".join([*lines, "", "done", ""])
    git.git(*_NO_SYNC, "fast-import", "--quiet", "--done", cwd=repository, stdin=stream)


def replay(work: Scratch, *, repository: Path, env: Mapping[str, str], ref: str) -> dict[str, str]:
    """Put the commits made in ``work`` onto the whole tree, as ``ref`` of ``repository``.

    Returns scratch commit id → id in ``repository``, nothing when no commit was made. The ids are
    those that `git am` would have given in a full checkout: same trees, authors, dates, messages.
    """
    if work.tip() == work.root:
        return {}
    place = work.path.parent
    marks = {name: place / name for name in ("root", "base", "scratch", "whole")}
    stream = place / "stream"
    marks["root"].write_text(f":1 {work.root}\n", encoding="ascii")
    marks["base"].write_text(f":1 {work.base}\n", encoding="ascii")
    export = git.command(
        "fast-export",
        "--reencode=no",
        f"--import-marks={marks['root']}",
        f"--export-marks={marks['scratch']}",
        f"--refspec={BRANCH}:{ref}",
        BRANCH,
        f"^{work.root}",
    )
    settings = ("-c", "core.fsyncMethod=batch", "fast-import", "--quiet", "--force")
    load = git.command(
        *settings, f"--import-marks={marks['base']}", f"--export-marks={marks['whole']}"
    )
    # Through a file and not through text: blobs may hold any bytes and any line ends.
    with stream.open("wb") as sink:
        _finish(export, cwd=work.path, env=git.environment(), stdout=sink)
    with stream.open("rb") as source:
        _finish(load, cwd=repository, env=git.environment(env), stdin=source)
    scratch_ids, whole_ids = _read_marks(marks["scratch"]), _read_marks(marks["whole"])
    return {scratch_ids[mark]: whole_ids[mark] for mark in scratch_ids if mark in whole_ids}


def _finish(argv: list[str], *, cwd: Path, env: Mapping[str, str], **streams: object) -> None:
    with run.process(argv, cwd=cwd, env=env, stderr=subprocess.PIPE, **streams) as child:
        _, said = child.communicate()
    if child.returncode != 0:
        text = said.decode("utf-8", "replace")
        raise CommandError(argv, run.Result(child.returncode, "", text), cwd)


def _read_marks(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii").splitlines()
    return {mark: commit for mark, _, commit in (line.partition(" ") for line in lines)}
