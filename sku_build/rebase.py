# SPDX-License-Identifier: GPL-2.0-only
"""`sku series rebase`: series carried to another tree, patch by patch, by hand where need be.

Patches are tried as `sku apply` tries them. The first that does not go is left to a person in a
repository of its own; the series' files change at the very end, so until then nothing is lost by
stopping, by giving up, or by being killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import apply, commit_mail, series_toml
from sku_build import rebase_state as states
from sku_build import rebase_worktree as worktree
from sku_build import refresh as refreshing
from sku_build import series as all_series
from sku_build import tree as trees
from sku_build.errors import CheckError, UserError
from sku_build.mail import load as load_mail
from sku_build.outcome import Outcome, PatchOutcome
from sku_build.patching import Job, apply_all
from sku_build.rebase_state import State, Step
from sku_build.refresh import FileChange, Item
from sku_build.scratch import replay
from sku_build.series import Series
from sku_build.tree import Tree
from sku_build.version import in_ranges, line_range, without


class Rebased(msgspec.Struct, frozen=True):
    """Where a rebase stands: every patch's step, and either the conflict or what was written.

    ``worktree`` and ``note`` are set while a conflict waits; ``changes`` once it is done.
    """

    onto: str
    done: bool
    steps: list[Step]
    worktree: Path | None = None
    note: str | None = None
    changes: list[FileChange] = []


def begin(onto: Tree, names: Sequence[str]) -> Rebased:
    """Begin to carry the series ``names``, and what they require, to the tree ``onto``.

    Raises UserError when a rebase onto that tree is under way, or the tree is not clean; then, and
    when a series contradicts the tree, none has begun.
    """
    with states.locked():
        if onto.name in states.under_way():
            raise UserError(
                f"a rebase onto {onto.name} is under way",
                hint="`sku series rebase --continue`, or `--abort` to give it up",
            )
        trees.require_clean(onto)
        series = all_series.resolve(names)
        steps = [
            Step(item.name, entry.file, load_mail(item.directory / entry.file).subject)
            for item in series
            for entry in all_series.select(item, onto.kernel, nearest=True).patches
        ]
        state = State(onto, [item.name for item in series], steps, onto.commit)
        state.save()
        try:
            return _advance(state)
        except (UserError, CheckError):
            state.remove()
            raise


def proceed(onto: str | None) -> Rebased:
    """Go on after a conflict was resolved in the worktree, or after a rebase was cut off."""
    with states.locked():
        state = states.load(onto)
        if state.stopped is not None:
            step = state.steps[state.stopped]
            commit = worktree.resolved(state, step)
            step.how, step.commit = "by-hand", commit
            state.tip, state.stopped, state.landed = commit, None, None
            state.save()
        return _advance(state)


def skip(onto: str | None) -> Rebased:
    """Leave the patch in conflict out for this tree, and go on."""
    with states.locked():
        state = states.load(onto)
        if state.stopped is None:
            raise UserError("no patch is in conflict", hint="`sku series rebase --continue`")
        state.steps[state.stopped].how = "dropped"
        state.stopped = state.landed = None
        state.save()
        return _advance(state)


def abort(onto: str | None) -> str:
    """Give a rebase up: its worktree goes, and no series has changed; return the tree's name."""
    with states.locked():
        state = states.load(onto)
        state.remove()
        return state.onto.name


def status(onto: str | None) -> Rebased:
    """Return where a rebase stands."""
    state = states.load(onto)
    waits = state.stopped is not None
    note = state.note.read_text(encoding="utf-8") if waits and state.note.exists() else None
    return Rebased(
        state.onto.name, False, state.steps, state.worktree if waits else None, note=note
    )


def _advance(state: State) -> Rebased:
    """Apply what waits until a patch does not go; at the end, write the series' files."""
    waiting = [step for step in state.steps if step.how == "waiting"]
    if waiting or not state.steps:  # with no step there still is what a probe says
        at_tip = msgspec.structs.replace(state.onto, commit=state.tip)
        jobs = _jobs(state)
        with apply.workshop(at_tip, jobs) as work:
            outcomes = apply_all(work, jobs, stop=True)
            good = [item.commit for item in outcomes if item.commit and not item.outcome.failed]
            work.git("reset", "--quiet", "--hard", good[-1] if good else work.root)
            cache, env = trees.cache_repository(), trees.object_env(state.onto)
            ids = replay(work, repository=cache, env=env, ref=state.ref)
            for outcome in outcomes:
                _record(state, outcome, ids.get(outcome.commit or ""))
            state.tip = ids.get(work.tip(), state.tip)
            if state.stopped is not None:
                step = state.steps[state.stopped]
                state.landed = worktree.leave_conflict(state, step, work)
        state.save()
    if state.stopped is not None:
        return status(state.onto.name)
    changes = _write(state)
    state.remove()
    return Rebased(state.onto.name, True, state.steps, changes=changes)


def _jobs(state: State) -> list[Job]:
    """Return what of each series still waits.

    A series that was begun has no probe any more: its own patches may be what it finds.
    """
    jobs = []
    for name in state.names:
        (job,) = apply.plan(state.onto, [all_series.load(name)], nearest=True)
        mine = [step for step in state.steps if step.series == name]
        waiting = {step.file for step in mine if step.how == "waiting"}
        if mine and not waiting:
            continue
        probes = job.selection.probes if len(waiting) == len(mine) else []
        kept = [entry for entry in job.selection.patches if entry.file in waiting]
        mails = tuple(mail for mail in job.mails if _file_of(job.series, mail.path) in waiting)
        selection = msgspec.structs.replace(job.selection, patches=kept, probes=probes)
        jobs.append(Job(job.series, job.version, selection, mails))
    return jobs


def _file_of(series: Series, path: Path) -> str:
    return str(path.relative_to(series.directory))


def _record(state: State, outcome: PatchOutcome, commit: str | None) -> None:
    for number, step in enumerate(state.steps):
        if (step.series, step.file, step.how) != (outcome.series, outcome.file, "waiting"):
            continue
        step.outcome = msgspec.structs.replace(outcome, commit=commit)
        step.commit = commit
        if outcome.outcome.failed:
            state.stopped = number
        elif outcome.outcome is Outcome.UPSTREAM:
            step.how = "upstream"
        elif outcome.outcome is not Outcome.SKIPPED:
            step.how = "applied"


def _write(state: State) -> list[FileChange]:
    """Bring the series' files to what was made on the tree; a run that was cut off goes on."""
    base, objects = state.onto.commit, apply.objects(state.onto)
    made = commit_mail.of_commits(base, state.tip, objects=objects) if state.tip != base else []
    mails = {item.commit: item.mail for item in made}
    items: dict[str, list[Item]] = {}
    for step in state.steps:
        item = _item(state, step)
        if item is not None:
            mail = mails.get(step.commit or "")
            items.setdefault(step.series, []).append(
                Item(item.entry, mail, split=item.split, leave=item.leave)
            )
    told = []
    for change in refreshing.plan(state.onto, items, split=False):
        path = change.series.directory / "series.toml"
        text = path.read_text(encoding="utf-8")
        if state.written.get(change.series.name) == _digest(text):
            continue
        after = series_toml.with_patches(text, change.entries, change.renamed)
        if after != text:
            state.written[change.series.name] = _digest(after)
            state.save()
        change.write()
        told += change.told
    return told


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _item(state: State, step: Step) -> Item | None:
    """Return what the series is to have of a step; None: what it has stays, or goes, by itself."""
    series = all_series.load(step.series)
    entry = next((entry for entry in series.patches if entry.file == step.file), None)
    if entry is None or step.how in ("dropped", "skipped"):
        return None
    kernels = all_series.ranges(entry.kernels)
    covered = in_ranges(state.onto.kernel, kernels)
    if step.how == "upstream":
        return Item(entry, None) if covered else None
    elsewhere = without(kernels, line_range(state.onto.kernel))
    by_hand = step.how == "by-hand"
    return Item(entry, None, split=by_hand, leave=bool(elsewhere) and not by_hand)
