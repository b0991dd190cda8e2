# SPDX-License-Identifier: GPL-2.0-only
"""A patch as a mail (RFC 5322, ``git format-patch``): its message, its diff, its origin."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from sku_build import diff, origin
from sku_build.errors import UserError

_TAGS = re.compile(r"^(?:\s*\[[^\]]*\])+\s*")
_SUBSYSTEM = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.,/+ -]*: +\S")
_SIGNED_OFF = re.compile(r"^Signed-off-by: .+ <\S+@\S+>$", re.MULTILINE)
_MAIL_START = re.compile(rb"^From [0-9a-f]{40} ", re.MULTILINE)
_NUMBER = re.compile(r"^(\d+)-")


@dataclasses.dataclass(frozen=True)
class Mail:
    """One patch file; ``raw`` is what the file holds, the rest is read from it when asked for."""

    path: Path
    raw: bytes

    @functools.cached_property
    def _parts(self) -> tuple[dict[str, str], str]:
        # The parser is imported late: listing and skipping need no more than the file's name.
        import email
        import email.header

        message = email.message_from_bytes(self.raw)
        headers = {}
        for name, value in message.items():
            decoded = str(email.header.make_header(email.header.decode_header(str(value))))
            headers[name.lower()] = re.sub(r"\r?\n[ \t]+", " ", decoded).strip()
        body = message
        while body.is_multipart():
            parts = body.get_payload()
            assert isinstance(parts, list)
            body = parts[0]  # type: ignore[assignment]
        payload = body.get_payload(decode=True)
        assert isinstance(payload, bytes)
        text = payload.decode(body.get_content_charset("utf-8") or "utf-8", "surrogateescape")
        return headers, text.replace("\r\n", "\n") if self.crlf else text

    @property
    def crlf(self) -> bool:
        """Whether the mail's own lines end in CR LF, which then is the transport's doing."""
        return self.raw.partition(b"\n")[0].endswith(b"\r")

    @property
    def headers(self) -> dict[str, str]:
        """The mail's header fields, decoded and unfolded, names in lower case."""
        return self._parts[0]

    @functools.cached_property
    def _cut(self) -> int:
        """Where the diff begins; git mailinfo cuts at the same line."""
        text = self._parts[1]
        if text.startswith("diff --git "):
            return 0
        place = text.find("\ndiff --git ")
        return len(text) if place < 0 else place + 1

    @property
    def subject(self) -> str:
        """The subject without ``[PATCH …]``."""
        return _TAGS.sub("", self.headers.get("subject", ""))

    @property
    def message(self) -> str:
        """The text of the commit message, without subject, diffstat and diff."""
        return re.split(r"^---$", self.text_before_diff, maxsplit=1, flags=re.MULTILINE)[0]

    @property
    def text_before_diff(self) -> str:
        """The message, and what is below its ``---``: notes and the diffstat."""
        return self._parts[1][: self._cut]

    @property
    def diff_text(self) -> str:
        """The diff as git reads it, signature and all."""
        return self._parts[1][self._cut :]

    @functools.cached_property
    def files(self) -> tuple[diff.FileDiff, ...]:
        """The diff as data; raises UserError when it is damaged."""
        return diff.parse(self.diff_text, where=str(self.path))

    @property
    def number(self) -> int | None:
        """The number the file name begins with."""
        found = _NUMBER.match(self.path.name)
        return int(found[1]) if found else None

    @property
    def origin(self) -> origin.Origin | None:
        """Where the patch comes from, or None when the mail does not say."""
        return origin.read(self.headers, self.message)

    @property
    def digest(self) -> str:
        """The sha256 of the file."""
        return hashlib.sha256(self.raw).hexdigest()


def load(path: Path) -> Mail:
    """Return the mail in the file ``path``; raises UserError when it cannot be read."""
    try:
        return Mail(path, path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the patch: {error.strerror}", where=path) from error


def problems(mail: Mail) -> Iterator[str]:
    """Yield what is wrong with a mail, as sentences: what `git am -3` and a reviewer need."""
    headers = mail.headers
    if (held := len(_MAIL_START.findall(mail.raw))) > 1:
        yield f"the file holds {held} mails; one file is one patch"
    for name in ("from", "date", "subject"):
        if not headers.get(name):
            yield f"the mail has no {name.capitalize()}: header"
    if mail.subject and not _SUBSYSTEM.match(mail.subject):
        yield f"the subject has no subsystem prefix (such as `mm: …`): {mail.subject}"
    if not _SIGNED_OFF.search(mail.message):
        yield "the message has no Signed-off-by: line"
    if not mail.files:
        yield "the mail has no diff"
    for item in mail.files:
        ids = (item.old_id, item.new_id)
        if item.hunks and not all(name and len(name) == 40 for name in ids):
            yield (
                f"{item.path}: its `index` line has no full blob ids, so no 3-way merge can find"
                " its base; make the mail with `git format-patch --full-index`"
            )
