# SPDX-License-Identifier: GPL-2.0-only
"""A series' mails put on a tree and read back: what its files would hold if made there.

A series is always regenerated on the tree and what it requires, nothing else, so that its files do
not depend on which other series happened to be on a branch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sku_build import apply, commit_mail
from sku_build import series as all_series
from sku_build.errors import CheckError
from sku_build.mail import Mail
from sku_build.outcome import PatchOutcome, describe
from sku_build.patching import Job, apply_all
from sku_build.series import PatchEntry, Selection, Series
from sku_build.tree import Tree


def regenerate(
    tree: Tree, series: Series, mails: Sequence[Mail], *, others: Mapping[str, Sequence[Mail]]
) -> list[tuple[Mail | None, PatchOutcome]]:
    """Return for each of ``mails`` what git makes of it on ``tree``, and its outcome there.

    The mail is None where the tree has the change already. ``others`` are the mails of required
    series that are not to be taken from their files. Raises CheckError when a mail, or a required
    series, does not go on the tree.
    """
    required = [item for item in all_series.resolve(series.requires) if item.name != series.name]
    with tempfile.TemporaryDirectory(prefix="sku-refresh-") as name:
        jobs = [
            job_of(tree, item, others[item.name], Path(name))
            if item.name in others
            else apply.plan(tree, [item], nearest=True)[0]
            for item in required
        ]
        jobs.append(job_of(tree, series, mails, Path(name)))
        with apply.workshop(tree, jobs) as work:
            outcomes = apply_all(work, jobs)
            _require(tree, series, outcomes)
            objects = [work.path / ".git" / "objects", *apply.objects(tree)]
            tip = work.tip()
            made = (
                commit_mail.of_commits(work.root, tip, objects=objects) if tip != work.root else []
            )
    by_commit = {item.commit: item.mail for item in made}
    own = outcomes[len(outcomes) - len(mails) :]
    return [(by_commit.get(item.commit or ""), item) for item in own]


def job_of(tree: Tree, series: Series, mails: Sequence[Mail], place: Path) -> Job:
    """Return a job of ``mails``, which need not be files; git reads them from ``place``."""
    entries, staged = [], []
    directory = place / series.name
    directory.mkdir(parents=True)
    for number, mail in enumerate(mails, 1):
        path = directory / f"{number:04}-{mail.path.name}"
        path.write_bytes(mail.raw)
        staged.append(Mail(path, mail.raw))
        entries.append(PatchEntry(path.name, [".."]))
    bare = Series(series.name, series.version, series.summary, patches=entries)
    return Job(bare, tree.kernel, Selection(entries, None, []), tuple(staged))


def _require(tree: Tree, series: Series, outcomes: Sequence[PatchOutcome]) -> None:
    failed = [item for item in outcomes if item.outcome.failed]
    if not failed:
        return
    needs = ", ".join(series.requires) or "nothing"
    told = "\n".join(describe(item) for item in failed).replace("\n", "\n  ")
    raise CheckError(
        f"series {series.name} does not go on {tree.name} with only what it requires ({needs}):"
        f"\n  {told}",
        where=series.directory / "series.toml",
        hint="put what it is written on into `requires`; for another kernel: "
        f"`sku series rebase --onto {tree.name} {series.name}`",
        data={"tree": tree.name, "patches": list(outcomes)},
    )
