# SPDX-License-Identifier: GPL-2.0-only
"""`sku series refresh`: the commits of a branch become the files of the series, and no others.

First everything is worked out (:class:`Change`), then each series' directory changes in one step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from sku_build import apply, attribution, commit_mail, git, patch_names, series_files, series_toml
from sku_build import branch as branches
from sku_build import series as all_series
from sku_build.attribution import Known
from sku_build.errors import UserError
from sku_build.mail import Mail
from sku_build.mail import load as load_mail
from sku_build.regenerate import regenerate
from sku_build.series import PatchEntry, Series
from sku_build.tree import Tree
from sku_build.version import KernelVersion, VersionRange, common, in_ranges, line_range, without

What = Literal["kept", "rewritten", "added", "dropped", "second-file", "kernels"]


class FileChange(msgspec.Struct, frozen=True):
    """What becomes of one patch; ``was`` is its former file name where it gets another.

    ``also_for`` are kernels of other lines that a rewritten file is for too.
    """

    series: str
    file: str
    what: What
    subject: str
    was: str | None = None
    also_for: list[str] = []


class Refreshed(msgspec.Struct, frozen=True):
    """What a refresh did, or would do: every patch, and which files were written."""

    tree: str
    base: str
    tip: str
    patches: list[FileChange]

    @property
    def changed(self) -> list[FileChange]:
        """The patches that are not as they were."""
        return [item for item in self.patches if item.what != "kept" or item.was]


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A patch that a series is to have: its entry now (None: new), and the mail wanted.

    ``mail`` is None where the tree has the change. ``split`` gives this kernel line a file of its
    own where the entry is for others too; ``leave`` keeps the file whatever the mail.
    """

    entry: PatchEntry | None
    mail: Mail | None
    split: bool = False
    leave: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """All that is to happen to one series' directory."""

    series: Series
    entries: list[PatchEntry]
    renamed: dict[str, str]
    written: dict[str, bytes]
    removed: list[str]
    told: list[FileChange]

    def write(self) -> None:
        """Make the change, in one step."""
        path = self.series.directory / "series.toml"
        before = path.read_text(encoding="utf-8")
        text = series_toml.with_patches(before, self.entries, self.renamed)
        written = dict(self.written) | ({path.name: text.encode()} if text != before else {})
        if written or self.removed:
            series_files.replace(self.series.directory, written, self.removed)


def refresh(
    tree: Tree,
    names: Sequence[str],
    *,
    branch: str | None = None,
    base: str | None = None,
    split: bool = False,
    only: Collection[str] | None = None,
    dry_run: bool = False,
) -> Refreshed:
    """Make the files of the series ``names`` anew and return what became of each.

    With ``branch`` (a revision of the tree's repository) from its commits, for all series that
    have one there when no names are given; without, from the files themselves, as ``tree`` takes
    them. ``only`` leaves all other files as they are. Raises UserError when the branch has no
    commit of a series, CheckError when a patch does not go on the tree with only what its series
    requires.
    """
    if branch is None:
        tree = branches.unpatched(tree)
        chosen = [all_series.load(name) for name in names]
        items = {item.name: _own_items(tree, item) for item in chosen}
        tip = tree.commit
    else:
        tip = _commit(tree, branch)
        start = _commit(tree, base) if base else branches.base_of(tree, branch)
        tree = branches.at(tree, start)
        items = _branch_items(tree, tip, names)
    if only is not None:
        items = {
            name: [
                dataclasses.replace(item, leave=not item.entry or item.entry.file not in only)
                for item in mine
            ]
            for name, mine in items.items()
        }
    changes = plan(tree, items, split=split)
    if not dry_run:
        for change in changes:
            change.write()
    return Refreshed(tree.name, tree.commit, tip, [told for item in changes for told in item.told])


def _commit(tree: Tree, branch: str) -> str:
    found = git.resolve(branch, cwd=tree.repository)
    if found is None:
        raise UserError(f"there is no branch or commit {branch!r}", where=tree.repository)
    return found


def selected(tree: Tree, series: Series) -> list[PatchEntry]:
    """Return the patches that ``series`` has for the version of ``tree``, or for the nearest."""
    return all_series.select(series, tree.kernel, nearest=True).patches


def _own_items(tree: Tree, series: Series) -> list[Item]:
    entries = all_series.select(series, tree.kernel).patches
    return [Item(entry, load_mail(series.directory / entry.file)) for entry in entries]


def _branch_items(tree: Tree, tip: str, names: Sequence[str]) -> dict[str, list[Item]]:
    every = [all_series.load(name) for name in all_series.names()]
    known = [
        Known(item.name, entry, load_mail(item.directory / entry.file))
        for item in every
        for entry in selected(tree, item)
    ]
    commits = commit_mail.of_commits(tree.commit, tip, objects=apply.objects(tree))
    found = attribution.attribute(commits, known, names)
    items: dict[str, list[Item]] = {name: [] for name in names}
    for commit in found:
        entry = commit.known.entry if commit.known else None
        items.setdefault(commit.series, []).append(Item(entry, commit.made.mail))
    if not items:
        raise UserError(
            f"no commit of {tip[:12]} is a patch of a series",
            where=tree.repository,
            hint="`sku series import` makes a new series",
        )
    for name, mine in items.items():
        if not any(item.entry for item in mine):
            raise UserError(
                f"no commit of {tip[:12]} is a patch of the series {name}",
                where=all_series.series_dir() / name,
                hint="make the branch with `sku apply --series … --branch …`, and work on it",
            )
    return {name: _with_upstream(tree, name, mine) for name, mine in items.items()}


def _with_upstream(tree: Tree, name: str, items: list[Item]) -> list[Item]:
    """Add the patches that have no commit because the tree has their change: they stay."""
    series = all_series.load(name)
    there = {item.entry.file for item in items if item.entry}
    gone = [entry for entry in selected(tree, series) if entry.file not in there]
    if not gone:
        return items
    tried = apply.try_series(tree, all_series.resolve([name]), nearest=True)
    upstream = {
        item.file
        for item in tried.patches
        if item.series == name and item.outcome == "already-upstream"
    }
    order = {entry.file: place for place, entry in enumerate(series.patches)}
    found = list(items)
    for entry in (entry for entry in gone if entry.file in upstream):
        before = [
            place
            for place, item in enumerate(found, 1)
            if item.entry and order[item.entry.file] < order[entry.file]
        ]
        found.insert(max(before, default=0), Item(entry, None))
    return found


def plan(tree: Tree, items: Mapping[str, Sequence[Item]], *, split: bool) -> list[Change]:
    """Work out what ``items`` (series → its patches for the tree) change, required series first."""
    changes: list[Change] = []
    made: dict[str, list[Mail]] = {}
    for series in all_series.resolve(list(items)):
        if series.name not in items:
            continue
        mine = items[series.name]
        mails = [item.mail for item in mine if item.mail]
        results = iter(regenerate(tree, series, mails, others=made))
        made[series.name] = mails
        fresh = [
            dataclasses.replace(item, mail=next(results)[0] if item.mail else None) for item in mine
        ]
        fresh = [dataclasses.replace(item, mail=None) if item.leave else item for item in fresh]
        wanted = [item for item in fresh if item.entry or item.mail]
        changes.append(plan_files(tree, series, wanted, split=split))
    return changes


def plan_files(tree: Tree, series: Series, items: Sequence[Item], *, split: bool) -> Change:
    """Return the change that gives ``series`` the ``items``, as few files changed as can be."""
    line = line_range(tree.kernel)
    names = patch_names.names(series, [(item.entry, item.mail) for item in items])
    change = Change(series, [], {}, {}, [], [])
    mine = {item.entry.file for item in items if item.entry}
    entries = iter(zip(items, names, strict=True))
    # Entries for other kernels keep their place among those that are wanted here.
    for entry in series.patches:
        if entry.file in mine:
            for item, name in entries:
                _place(change, item, name, tree.kernel, split=split)
                if item.entry is not None:
                    break
        elif in_ranges(tree.kernel, all_series.ranges(entry.kernels)):
            _drop(change, entry, line)
        else:
            change.entries.append(entry)
    for item, name in entries:
        _place(change, item, name, tree.kernel, split=split)
    return change


def _place(change: Change, item: Item, name: str, version: KernelVersion, *, split: bool) -> None:
    line = line_range(version)
    series, entry, mail = change.series, item.entry, item.mail
    if entry is None:
        assert mail is not None
        kernels = next((e.kernels for e in reversed(change.entries)), None) or [str(line)]
        change.entries.append(PatchEntry(name, kernels))
        change.written[name] = mail.raw
        change.told.append(FileChange(series.name, name, "added", mail.subject))
        return
    old = load_mail(series.directory / entry.file)
    same = mail is None or commit_mail.same_patch(old, mail)
    content = old.raw if same else commit_mail.carried(old, mail)  # type: ignore[arg-type]
    subject = (mail or old).subject
    elsewhere = without(all_series.ranges(entry.kernels), line)
    covered = in_ranges(version, all_series.ranges(entry.kernels))
    if not same and elsewhere and (split or item.split or not covered):
        _second_file(change, entry, name, content, subject, line)
        return
    if name != entry.file:
        change.renamed[name] = entry.file
        change.removed.append(entry.file)
    if name != entry.file or not same:
        change.written[name] = content
    kernels = entry.kernels if covered else [*entry.kernels, str(line)]
    change.entries.append(msgspec.structs.replace(entry, file=name, kernels=kernels))
    what: What = "rewritten" if not same else "kept" if covered else "kernels"
    change.told.append(
        FileChange(
            series.name,
            name,
            what,
            subject,
            was=entry.file if name != entry.file else None,
            also_for=[] if same else list(map(str, elsewhere)),
        )
    )


def _second_file(
    change: Change, entry: PatchEntry, name: str, content: bytes, subject: str, line: VersionRange
) -> None:
    """Leave ``entry`` to the other kernels; its change on this line gets a file of its own."""
    own = patch_names.for_line(change.series, name, line)
    rest = without(all_series.ranges(entry.kernels), line)
    change.entries.append(msgspec.structs.replace(entry, kernels=list(map(str, rest))))
    held = [bounds for item in all_series.ranges(entry.kernels) if (bounds := common(item, line))]
    change.entries.append(
        msgspec.structs.replace(entry, file=own, kernels=list(map(str, held or [line])))
    )
    change.written[own] = content
    change.told.append(FileChange(change.series.name, own, "second-file", subject))


def _drop(change: Change, entry: PatchEntry, line: VersionRange) -> None:
    rest = without(all_series.ranges(entry.kernels), line)
    subject = load_mail(change.series.directory / entry.file).subject
    change.told.append(FileChange(change.series.name, entry.file, "dropped", subject))
    if rest:
        change.entries.append(msgspec.structs.replace(entry, kernels=list(map(str, rest))))
    else:
        change.removed.append(entry.file)
