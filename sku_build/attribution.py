# SPDX-License-Identifier: GPL-2.0-only
"""Which commit of a branch is which patch of which series."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from sku_build.commit_mail import CommitMail, change_id
from sku_build.mail import Mail
from sku_build.series import PatchEntry


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A patch that a series has: its entry and the mail in its file."""

    series: str
    entry: PatchEntry
    mail: Mail


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a branch: the series it belongs to, and its patch there; None when it is new."""

    series: str
    known: Known | None
    made: CommitMail


def _author_date(mail: Mail) -> tuple[str, str]:
    return mail.headers.get("from", ""), mail.headers.get("date", "")


# What a commit keeps when it is worked on, most telling first: rewording keeps the change, amending
# the subject, and both keep the author's date.
_PASSES: tuple[Callable[[Mail], Hashable], ...] = (
    lambda mail: (mail.subject, change_id(mail), _author_date(mail)),
    lambda mail: (mail.subject, _author_date(mail)),
    lambda mail: (mail.subject, change_id(mail)),
    lambda mail: mail.subject,
    change_id,
    _author_date,
)


def pair(commits: Sequence[Mail], known: Sequence[Mail]) -> dict[int, int]:
    """Return index in ``commits`` → index in ``known``; what only one side has is left out.

    A key that several mails share pairs them only where both sides have as many.
    """
    pairs: dict[int, int] = {}
    for key in _PASSES:
        left = _grouped(commits, key, set(pairs))
        right = _grouped(known, key, set(pairs.values()))
        for value, mine in left.items():
            theirs = right.get(value, [])
            if len(mine) == len(theirs):
                pairs.update(zip(mine, theirs, strict=True))
    return pairs


def _grouped(
    mails: Sequence[Mail], key: Callable[[Mail], Hashable], done: set[int]
) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for number, item in enumerate(mails):
        if number not in done:
            found[key(item)].append(number)
    return found


def attribute(
    commits: Sequence[CommitMail], known: Sequence[Known], wanted: Sequence[str]
) -> list[Commit]:
    """Return ``commits`` with the series each belongs to, new ones included.

    A new commit goes to the series of the commit before it, if that is among ``wanted`` (all
    series when empty), else to that of the next one that is. Those with no such neighbour, and
    those of other series, are left out.
    """
    pairs = pair([item.mail for item in commits], [item.mail for item in known])
    owners = [known[pairs[i]].series if i in pairs else None for i in range(len(commits))]

    def is_wanted(name: str | None) -> bool:
        return name is not None and (not wanted or name in wanted)

    found = []
    for number, made in enumerate(commits):
        match = known[pairs[number]] if number in pairs else None
        owner = match.series if match else None
        if match is None:
            before = next((name for name in reversed(owners[:number]) if name), None)
            after = next((name for name in owners[number:] if is_wanted(name)), None)
            owner = before if is_wanted(before) else after
        if owner is not None and is_wanted(owner):
            found.append(Commit(owner, match, made))
    return found
