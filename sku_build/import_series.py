# SPDX-License-Identifier: GPL-2.0-only
"""`sku series import`: patch mails become a series, or the next version of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import attribution, commit_mail, incoming, series_files, series_toml
from sku_build import refresh as refreshing
from sku_build import series as all_series
from sku_build.errors import CheckError, UserError
from sku_build.incoming import Attestation, Incoming
from sku_build.mail import Mail
from sku_build.mail import load as load_mail
from sku_build.outcome import PatchOutcome
from sku_build.refresh import Item
from sku_build.regenerate import regenerate
from sku_build.series import PatchEntry, Series
from sku_build.series_check import Problem, check
from sku_build.tree import Tree
from sku_build.version import line_range


class Imported(msgspec.Struct, frozen=True):
    """What became of the mails: the series, each patch's outcome on the tree, who attested it.

    ``problems`` is what `sku series check` has to say of the result.
    """

    series: str
    directory: Path
    patches: list[PatchOutcome]
    attestations: list[Attestation]
    problems: list[Problem]
    notes: list[str] = []


def import_series(
    tree: Tree,
    name: str,
    source: str,
    *,
    requires: Sequence[str] = (),
    kernels: Sequence[str] = (),
    summary: str | None = None,
    keyring: Path | None = None,
    require_attestation: bool = False,
    update: bool = False,
) -> Imported:
    """Make the series ``name`` of the mails in ``source``, as they go on ``tree``.

    ``update`` takes them for the next version of a series that is there: files keep their names.
    Raises UserError when the name is taken or wrong, CheckError when a mail does not go on the
    tree, or is not attested and ``require_attestation``; no file was written then.
    """
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise UserError(f"{name!r} cannot be the name of a series", hint="letters, digits and _")
    if update != (name in all_series.names()):
        raise UserError(
            f"there is no series {name!r} to update" if update else f"there is a series {name!r}",
            where=all_series.series_dir(),
            hint="leave --update out" if update else "--update makes the mails its next version",
        )
    found = incoming.read(source, keyring=keyring)
    if require_attestation:
        _require_attested(found, source)
    if update:
        outcomes = _update(tree, all_series.load(name), found)
    else:
        head = Series(
            name, "0.1.0", summary or found.cover or found.mails[0].subject, list(requires)
        )
        outcomes = _create(tree, head, found, list(kernels) or [str(line_range(tree.kernel))])
    series = all_series.load(name)
    return Imported(
        name, series.directory, outcomes, found.attestations, check(series), found.notes
    )


def _require_attested(found: Incoming, source: str) -> None:
    lacking = [item for item in found.attestations if item.result != "valid"]
    if lacking:
        told = "\n  ".join(f"{item.subject}: {item.result}" for item in lacking)
        raise CheckError(
            f"{len(lacking)} of {len(found.attestations)} mails are not attested:\n  {told}",
            where=source,
            hint="give the directory of the senders' public keys with --keyring",
            data={"attestations": found.attestations},
        )


def _create(tree: Tree, head: Series, found: Incoming, kernels: list[str]) -> list[PatchOutcome]:
    results = regenerate(tree, head, found.mails, others={})
    written: dict[str, bytes] = {}
    entries = []
    for mail, (made, _) in zip(found.mails, results, strict=True):
        if made is not None:
            written[made.path.name] = commit_mail.carried(mail, made)
            entries.append(PatchEntry(made.path.name, kernels))
    if not entries:
        raise UserError(f"the tree {tree.name} has all of these patches already")
    series = series_toml.replaced(head, entries)
    written["series.toml"] = series_toml.new(series).encode()
    series_files.replace(all_series.series_dir() / head.name, written)
    return [_named(made, outcome) for made, outcome in results]


def _update(tree: Tree, series: Series, found: Incoming) -> list[PatchOutcome]:
    entries = refreshing.selected(tree, series)
    known = [load_mail(series.directory / entry.file) for entry in entries]
    pairs = attribution.pair(found.mails, known)
    results = regenerate(tree, series, found.mails, others={})
    items = [
        Item(
            entries[pairs[number]] if number in pairs else None,
            Mail(made.path, commit_mail.carried(found.mails[number], made)) if made else None,
        )
        for number, (made, _) in enumerate(results)
    ]
    wanted = [item for item in items if item.entry or item.mail]
    refreshing.plan_files(tree, series, wanted, split=False).write()
    return [_named(made, outcome) for made, outcome in results]


def _named(made: Mail | None, outcome: PatchOutcome) -> PatchOutcome:
    file = made.path.name if made else outcome.file
    return msgspec.structs.replace(outcome, file=file, commit=None)
