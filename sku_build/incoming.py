# SPDX-License-Identifier: GPL-2.0-only
"""Patch mails from where they come: a directory, an mbox, a public archive by message-id.

b4 fetches, takes the newest version of a series and collects the trailers of replies; patatt says
whose signature a mail has. Both are the optional extra ``maintainer``.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import mailbox
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import run
from sku_build.errors import CheckError, UserError
from sku_build.mail import Mail
from sku_build.origin_check import FIELDS

_TAG = re.compile(r"^\s*\[[^\]]*?PATCH[^\]]*?\]", re.IGNORECASE)
_COUNT = re.compile(r"\b(\d+)/(\d+)\]")
_VERSION = re.compile(r"\bv(\d+)\b", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"^<?[^\s<>@/]+@[^\s<>@/]+>?$")
_KEPT = {"from", "date", "subject", "mime-version", "content-type", "content-transfer-encoding"}
_KEPT |= {field.name.lower() for table in FIELDS.values() for field in table}
_SUBJECT_TAGS = re.compile(rb"^Subject:\s*(?:\[[^\]]*\]\s*)+", re.IGNORECASE)
_FETCH_SECONDS = 300.0
_INSTALL = "`pip install 'sku-build[maintainer]'`"


class Attestation(msgspec.Struct, frozen=True):
    """What is known of who sent a mail: ``result`` is valid, bad, no-key, none or unchecked."""

    subject: str
    result: str
    identity: str | None = None
    key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Incoming:
    """The patches of a series in order, its cover letter's subject, who attested what."""

    mails: list[Mail]
    cover: str | None
    attestations: list[Attestation]
    notes: list[str]


def have_b4() -> bool:
    """Return whether b4 is installed beside the toolkit."""
    return importlib.util.find_spec("b4") is not None


def read(source: str, *, keyring: Path | None = None) -> Incoming:
    """Return the series in ``source``: a directory, a file (one mail or an mbox), a message-id.

    Raises UserError when there is none, or b4 is needed and not there; CheckError when a patch of
    the series is missing, or a signature is wrong.
    """
    path = Path(source).expanduser()
    with tempfile.TemporaryDirectory(prefix="sku-import-") as name:
        place = Path(name)
        if path.is_dir() and not (path / "cur").is_dir():
            messages = [item.read_bytes() for item in sorted(path.glob("*")) if _is_mail(item)]
        elif path.exists():
            messages = _messages(path)
        elif _MESSAGE_ID.match(source):
            messages = _messages(_fetch(source, place))
        else:
            raise UserError(
                f"{source!r} is no file, no directory and no message-id",
                hint="a message-id looks like 20260131.1234-1-name@example.org",
            )
        attested = [_attest(raw, keyring) for raw in messages if _has_diff(raw)]
        cover = next((_subject(raw) for raw in messages if _is_cover(raw)), None)
        notes = []
        if any(_is_reply(raw) for raw in messages):
            messages = _messages(_with_trailers(messages, place))
        elif len(messages) > 1 and not have_b4():
            notes.append("b4 is not installed: only the simplest order was looked for")
        mails = _in_order([raw for raw in messages if _has_diff(raw)], source)
    bad = [item for item in attested if item.result == "bad"]
    if bad:
        raise CheckError(
            f"the signature of {bad[0].identity} on {bad[0].subject!r} does not fit the mail",
            where=source,
            hint="the mail was changed on its way; get it again, from another place",
            data={"attestations": attested},
        )
    return Incoming(mails, _without_tags(cover) if cover else None, attested, notes)


def _is_mail(path: Path) -> bool:
    return path.is_file() and path.suffix in (".patch", ".eml", ".mbox", ".mbx", ".txt", "")


def _messages(path: Path) -> list[bytes]:
    if path.is_dir():
        folder = mailbox.Maildir(path, create=False)
        return [folder.get_bytes(key) for key in sorted(folder.keys())]
    raw = path.read_bytes()
    if not raw.startswith(b"From "):
        return [raw]
    box = mailbox.mbox(path, create=False)
    try:
        return [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118
    finally:
        box.close()


def _mail(raw: bytes) -> Mail:
    return Mail(Path("message"), raw)


def _subject(raw: bytes) -> str:
    return _mail(raw).headers.get("subject", "")


def _without_tags(subject: str) -> str:
    return re.sub(r"^(?:\s*\[[^\]]*\])+\s*", "", subject)


def _has_diff(raw: bytes) -> bool:
    return "diff --git " in _mail(raw).diff_text and not _is_reply(raw)


def _is_reply(raw: bytes) -> bool:
    return _subject(raw).lower().startswith(("re:", "aw:"))


def _is_cover(raw: bytes) -> bool:
    count = _COUNT.search(_subject(raw))
    return bool(_TAG.match(_subject(raw))) and count is not None and int(count[1]) == 0


def _in_order(messages: Sequence[bytes], source: str) -> list[Mail]:
    """Return the patches of the newest version in order; raises when one is missing."""
    if not messages:
        raise UserError("there is no patch in it", where=source)

    def version(raw: bytes) -> int:
        tag = _TAG.match(_subject(raw))
        found = _VERSION.search(tag.group()) if tag else None
        return int(found[1]) if found else 1

    newest = max(map(version, messages))
    chosen = [raw for raw in messages if version(raw) == newest]
    counts = [_COUNT.search(_subject(raw)) for raw in chosen]
    if any(counts):
        total = max(int(count[2]) for count in counts if count)
        numbered = {int(count[1]): raw for count, raw in zip(counts, chosen, strict=True) if count}
        missing = [str(number) for number in range(1, total + 1) if number not in numbered]
        if missing:
            raise CheckError(f"of {total} patches, {', '.join(missing)} is missing", where=source)
        chosen = [numbered[number] for number in sorted(numbered)]
    return [Mail(Path(f"{number:04}.patch"), _cleaned(raw)) for number, raw in enumerate(chosen, 1)]


def _cleaned(raw: bytes) -> bytes:
    """Return a mail with only the fields that say whose it is and where it comes from."""
    text = raw.replace(b"\r\n", b"\n")
    head, _, body = text.partition(b"\n\n")
    lines: list[bytes] = []
    taking = False
    for line in head.split(b"\n"):
        if not line.startswith((b" ", b"\t")):
            taking = line.partition(b":")[0].decode("ascii", "replace").lower() in _KEPT
        if taking:
            lines.append(_SUBJECT_TAGS.sub(b"Subject: [PATCH] ", line))
    return (
        b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n" + b"\n".join(lines) + b"\n\n" + body
    )


def _b4(arguments: Sequence[str], *, cwd: Path) -> run.Result:
    if not have_b4():
        raise UserError("this needs b4, which is not installed", hint=_INSTALL)
    start = "import sys; from b4.command import cmd; sys.exit(cmd())"
    argv = [sys.executable, "-c", start, "--no-interactive", "--no-stdin", *arguments]
    return run.run(argv, cwd=cwd, timeout=_FETCH_SECONDS, check=False)


def _fetch(message_id: str, place: Path) -> Path:
    """Let b4 fetch a whole thread; its settings are those of the user's git configuration."""
    done = _b4(["mbox", message_id.strip("<>"), "-o", str(place), "-n", "thread"], cwd=place)
    found = [path for path in place.glob("thread*") if path.is_file()]
    if done.status != 0 or not found:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(
            f"b4 did not get {message_id}: {said[-1] if said else 'it says nothing'}",
            hint="is the network there? an mbox can be given instead of the message-id",
        )
    return found[0]


def _with_trailers(messages: Sequence[bytes], place: Path) -> Path:
    """Return the mbox that b4 makes of a thread: newest version, replies' trailers taken in."""
    thread = place / "in.mbox"
    box = mailbox.mbox(thread)
    for raw in messages:
        box.add(raw)
    box.close()
    offline = ["--offline-mode", "-c", "b4.attestation-policy=off", "am", "-m", str(thread)]
    done = _b4([*offline, "-o", str(place / "out"), "-n", "series", "--no-cover", "-C"], cwd=place)
    made = place / "out" / "series.mbx"
    if done.status != 0 or not made.is_file():
        said = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise CheckError(f"b4 makes no series of the thread:\n    {said}")
    return made


def _attest(raw: bytes, keyring: Path | None) -> Attestation:
    """Return whose patatt signature a mail has, by the keys in ``keyring`` or in patatt's own."""
    mail = _mail(raw)
    subject = _without_tags(mail.headers.get("subject", ""))
    if "x-developer-signature" not in mail.headers:
        return Attestation(subject, "none")
    if importlib.util.find_spec("patatt") is None:
        return Attestation(subject, "unchecked")
    import patatt

    sources = [str(keyring or Path(patatt.get_data_dir()) / "public")]
    bare = raw.partition(b"\n")[2] if raw.startswith(b"From ") else raw
    names = {patatt.RES_VALID: "valid", patatt.RES_NOKEY: "no-key"}
    found = patatt.validate_message(bare, sources)
    result, identity, _, key, _, _ = min(found, key=lambda item: item[0] != patatt.RES_VALID)
    return Attestation(subject, names.get(result, "bad"), identity, key)
