# SPDX-License-Identifier: GPL-2.0-only
"""Commits as patch files: always the same bytes, and what of an older file is kept.

``git format-patch`` is told everything that a configuration, a terminal or a version of git decides
otherwise. What versions of git still do differently (the section heading of a hunk, the width of
the diffstat) and what a series does not depend on (``[PATCH 2/7]``, git's signature) does not count
when two files are compared, so that another git rewrites nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sku_build import git
from sku_build.errors import UserError
from sku_build.mail import Mail

FORM = (
    *("--full-index", "--zero-commit", "--no-signature", "--no-numbered", "--no-base"),
    *("--no-cover-letter", "--no-attach", "--no-thread", "--no-notes", "--encode-email-headers"),
    *("--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--diff-algorithm=myers", "--indent-heuristic", "--find-renames=50%", "--unified=3"),
    *("--inter-hunk-context=0", "--stat=72", "--summary", "--filename-max-length=64"),
)
# What git makes of a commit itself; every other field of an older file is the maintainer's.
_GITS_FIELDS = {
    *("from", "date", "subject"),
    *("mime-version", "content-type", "content-transfer-encoding"),
}
_FIELD = re.compile(r"^([!-9;-~]+):", re.MULTILINE)
_HUNK = re.compile(r"^(@@ -[\d,]+ \+[\d,]+ @@).*$", re.MULTILINE)
_INDEX = re.compile(r"^index [0-9a-f]+\.\.[0-9a-f]+", re.MULTILINE)
_SIGNATURE = re.compile(r"\n-- \n[^\n]*\n*\Z")
_STAT = re.compile(
    r"^ (?:.* \| +(?:\d+ ?[+-]*|Bin .*)|\d+ files? changed.*|(?:create|delete) mode .*"
    r"|mode change .*|rename .*|copy .*)$"
)


@dataclasses.dataclass(frozen=True, slots=True)
class CommitMail:
    """A commit and the mail that makes it; the mail's ``path`` is the name git would give it."""

    commit: str
    mail: Mail


def of_commits(
    base: str, tip: str, *, objects: Sequence[Path], options: Sequence[str] = ()
) -> list[CommitMail]:
    """Return the commits ``base..tip``, oldest first, as mails.

    ``objects`` are the object directories that hold them. Raises UserError when a merge is among
    them, which is no patch.
    """
    with tempfile.TemporaryDirectory(prefix="sku-mail-") as name:
        place = Path(name)
        repository = place / "repo"
        make_repository(repository, objects, attributes_of=tip)
        span = f"{base}..{tip}"
        listed = git.git("rev-list", "--reverse", "--topo-order", "--parents", span, cwd=repository)
        commits = [line.split() for line in listed.stdout.splitlines()]
        if merge := next((words[0] for words in commits if len(words) > 2), None):
            raise UserError(
                f"the commit {merge[:12]} is a merge, which cannot become a patch",
                hint="`git rebase` the branch so that it is a line of commits",
            )
        told = (*FORM, *options, "--quiet", "--output-directory", str(place / "out"), span)
        git.git("format-patch", *told, cwd=repository)
        paths = sorted((place / "out").glob("[0-9]*.patch"))
        mails = [Mail(Path(path.name), path.read_bytes()) for path in paths]
    if len(mails) != len(commits):  # format-patch leaves commits without a change out
        raise UserError(
            f"a commit of {span} changes nothing, and cannot become a patch",
            hint="take it out: `git rebase --empty=drop`",
        )
    return [CommitMail(words[0], mail) for words, mail in zip(commits, mails, strict=True)]


def make_repository(path: Path, objects: Sequence[Path], *, attributes_of: str) -> None:
    """Make a repository without a branch that borrows ``objects``.

    A hunk's heading depends on the tree's attributes, which git reads from a work tree only, or
    from where they are put here.
    """
    git.git("init", "--quiet", "--template=", "--initial-branch=sku", path, cwd=path.parent)
    alternates = path / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text("".join(f"{item}\n" for item in objects), encoding="utf-8")
    (path / ".git" / "info").mkdir(exist_ok=True)
    attributes = git.read_file(attributes_of, ".gitattributes", cwd=path) or ""
    (path / ".git" / "info" / "attributes").write_text(attributes, encoding="utf-8")


def same_patch(one: Mail, other: Mail) -> bool:
    """Return whether two files make the same commit on the same tree: author, text, change."""
    return _meaning(one) == _meaning(other)


def same_change(one: Mail, other: Mail) -> bool:
    """Return as :func:`same_patch`, with no regard to the blobs that ``index`` lines name."""
    return tuple(_INDEX.sub("index", text) for text in _meaning(one)) == tuple(
        _INDEX.sub("index", text) for text in _meaning(other)
    )


def _meaning(mail: Mail) -> tuple[str, ...]:
    headers = mail.headers
    diff = _SIGNATURE.sub("\n", mail.diff_text)
    return (
        headers.get("from", ""),
        headers.get("date", ""),
        mail.subject,
        mail.message.strip(),
        _HUNK.sub(r"\1", diff).rstrip("\n"),
    )


def change_id(mail: Mail) -> str:
    """Return a hash of what a mail changes, wherever in the files; as `git patch-id` in spirit."""
    text = _HUNK.sub("@@", _INDEX.sub("index", _SIGNATURE.sub("\n", mail.diff_text)))
    return hashlib.sha256(text.rstrip("\n").encode("utf-8", "surrogateescape")).hexdigest()


def carried(old: Mail, new: Mail) -> bytes:
    """Return the file for ``new`` with what only a file can hold, taken over from ``old``.

    These are header fields (``Patch-mainline:`` and the like), notes below ``---``, and the tag of
    a subject that is the same otherwise.
    """
    head, _, body = new.raw.partition(b"\n\n")
    if old.subject == new.subject:
        head = head.replace(_fields(new, _is_subject), _fields(old, _is_subject), 1)
    fields = _fields(old, lambda name: name not in _GITS_FIELDS)
    notes = _notes(old)
    if fields:
        head += b"\n" + fields
    if notes:
        body = body.replace(b"\n---\n", b"\n---\n" + notes + b"\n", 1)
    return head + b"\n\n" + body


def _is_subject(name: str) -> bool:
    return name == "subject"


def _fields(mail: Mail, wanted: Callable[[str], bool]) -> bytes:
    """Return the header lines, folded ones included, of the fields whose names are ``wanted``."""
    raw = mail.raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    kept: list[str] = []
    taking = False
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        if not line.startswith((" ", "\t")):
            field = _FIELD.match(line)
            taking = field is not None and wanted(field[1].lower())
        if taking:
            kept.append(line)
    return "\n".join(kept).encode("utf-8", "surrogateescape")


def _notes(mail: Mail) -> bytes:
    text = mail.text_before_diff
    _, cut, below = text.partition("\n---\n")
    if not cut:
        return b""
    kept = [line for line in below.split("\n") if not _STAT.match(line)]
    return "\n".join(kept).strip("\n").encode("utf-8", "surrogateescape")
