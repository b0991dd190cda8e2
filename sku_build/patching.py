# SPDX-License-Identifier: GPL-2.0-only
"""From mails to outcomes: applies each patch in a scratch repository and judges what happened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sku_build import conflict, diff, git, landing, mail
from sku_build.errors import CheckError
from sku_build.mail import Mail
from sku_build.outcome import Outcome, PatchOutcome
from sku_build.scratch import AmResult, Scratch
from sku_build.series import PatchEntry, Selection, Series, out_of_range
from sku_build.version import KernelVersion

_NO_BASE = "lacks necessary blobs"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A series and what of it is for the tree at hand; ``mails`` are the selection's patches."""

    series: Series
    version: KernelVersion
    selection: Selection
    mails: tuple[Mail, ...]


@dataclasses.dataclass(slots=True)
class _Progress:
    """What has happened so far: blobs now in the tree, mails tried, files of failed patches."""

    blobs: dict[str, str]
    tried: list[Mail] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def apply_all(work: Scratch, jobs: Sequence[Job], *, stop: bool = False) -> list[PatchOutcome]:
    """Apply the mails of all ``jobs`` in order; return every patch's outcome, failures included.

    A patch that fails is left out and the next is tried, so that one call shows all there is to
    repair; with ``stop`` it is the last one tried. Raises CheckError when a series' probe
    contradicts what it says of upstream, UserError when a series has nothing for the version.
    """
    progress = _Progress(dict(work.blobs))
    found: list[PatchOutcome] = []
    for job in jobs:
        already = _already(work, job)
        if already is not None:
            found += [
                _outcome(job.series, entry, Outcome.UPSTREAM, already)
                for entry in job.series.patches
            ]
            continue
        for outcome in _series(work, job, progress):
            found.append(outcome)
            if stop and outcome.outcome.failed:
                return found
    return found


def _already(work: Scratch, job: Job) -> str | None:
    """Return why the tree needs nothing of this series, None when it does."""
    selection = job.selection
    for probe in selection.probes:
        if probe.matches(work.text(probe.path)):
            return f"the tree has the feature: {probe.path} matches the series' probe"
    if selection.patches or not (selection.upstream or job.series.patches):
        return None
    if selection.upstream is None:
        raise out_of_range(job.series, job.version)
    if selection.probes:
        paths = ", ".join(probe.path for probe in selection.probes)
        raise CheckError(
            f"series {job.series.name} says that kernel {job.version} has the feature"
            f" ({selection.upstream.describe()}), but its probe finds no trace of it in {paths}",
            where=job.series.directory / "series.toml",
            hint="either the tree had it taken out, or the probe's regex or the [[upstream]]"
            " range is wrong",
        )
    return f"part of this kernel: {selection.upstream.describe()}"


def _outcome(series: Series, entry: PatchEntry, kind: Outcome, detail: str) -> PatchOutcome:
    subject = mail.load(series.directory / entry.file).subject
    return PatchOutcome(series.name, entry.file, subject, kind, detail)


def _series(work: Scratch, job: Job, progress: _Progress) -> Iterator[PatchOutcome]:
    mails = iter(job.mails)
    applied = _exact_run(work, job.mails, progress)
    for entry in job.series.patches:
        if entry not in job.selection.patches:
            held = ", ".join(entry.kernels)
            yield _outcome(job.series, entry, Outcome.SKIPPED, f"for kernels {held}")
            continue
        patch = next(mails)
        base = PatchOutcome(job.series.name, entry.file, patch.subject, Outcome.APPLIED)
        if patch.path in applied:
            yield msgspec.structs.replace(base, commit=applied[patch.path])
            continue
        yield _Patch(work, patch, base, progress).apply()


def _exact_run(work: Scratch, mails: Sequence[Mail], progress: _Progress) -> dict[Path, str]:
    """Apply the leading mails whose files are in the tree just as they expect, in one go.

    That is every mail of a series on the tree it was made for. Returns file → commit; nothing was
    applied when that is empty.
    """
    blobs = dict(progress.blobs)
    run = []
    for patch in mails:
        if patch.crlf or not _is_exact(patch.files, blobs):
            break
        _advance(blobs, patch.files)
        run.append(patch)
    if len(run) < 2:
        return {}
    before = work.tip()
    result = work.am(*run)
    if not result.ok:
        work.abort()
        return {}
    commits = work.commits_since(before)
    if result.merged or len(commits) != len(run):
        work.git("reset", "--quiet", "--hard", before)
        return {}
    progress.blobs = blobs
    progress.tried += run
    return {patch.path: commit for patch, commit in zip(run, commits, strict=True)}


@dataclasses.dataclass(frozen=True, slots=True)
class _Patch:
    """One patch on its way into the tree."""

    work: Scratch
    mail: Mail
    base: PatchOutcome
    progress: _Progress

    def apply(self) -> PatchOutcome:
        before = self.work.tip()
        exact = _is_exact(self.mail.files, self.progress.blobs)
        # What git calls an offset is only to be had beforehand, and only where something differs.
        offsets = {} if exact else self.work.offsets(self._diff(self.mail))
        result = self._am()
        self.progress.tried.append(self.mail)
        if not result.ok:
            return self._failure(result)
        if result.commit == before:
            return self._is(Outcome.UPSTREAM, "a 3-way merge found the change in the tree")
        if exact and not result.merged:
            _advance(self.progress.blobs, self.mail.files)
            return self._is(Outcome.APPLIED, None, commit=result.commit)
        self.progress.blobs = self.work.current_blobs()
        return self._landed(before, result, offsets or {})

    def _is(self, kind: Outcome, detail: str | None, **more: object) -> PatchOutcome:
        facts = {"outcome": kind, "detail": detail, **more}
        if kind.failed:
            for item in self.mail.files:
                for path in item.paths():
                    self.progress.failed.setdefault(path, self.base.file)
        return msgspec.structs.replace(self.base, **facts)

    def _diff(self, patch: Mail) -> Path:
        path = self.work.path.parent / "diff"
        path.write_bytes(patch.diff_text.encode("utf-8", "surrogateescape"))
        return path

    def _am(self) -> AmResult:
        result = self.work.am(self.mail)
        if result.ok or _NO_BASE not in result.said:
            return result
        # The base may be what the patches before this one make of a tree that the cache has.
        self.work.abort()
        for patch in self.progress.tried:
            self.work.make_blobs(patch, self._diff(patch))
        return self.work.am(self.mail)

    def _failure(self, result: AmResult) -> PatchOutcome:
        found = conflict.merge_conflicts(self.work)
        self.work.abort()
        patch = self._diff(self.mail)
        if self.work.is_reversible(patch):
            return self._is(Outcome.UPSTREAM, "the tree holds exactly what the patch would make")
        found = found or conflict.misfits(self.work, self.mail.files, self.work.refusal(patch))
        found = conflict.with_others(found, self.mail.files, result.said)
        detail = conflict.explain(found, result.said)
        earlier = {
            self.progress.failed[path]: None
            for item in self.mail.files
            for path in item.paths()
            if path in self.progress.failed
        }
        if earlier:
            detail += f"; may follow from {', '.join(earlier)}, which failed before"
            return self._is(Outcome.CONFLICT, detail, conflicts=found)
        upstream = conflict.likely_upstream(self.work, self.mail.files, found)
        return self._is(Outcome.CONFLICT, detail, conflicts=found, upstream=upstream)

    def _landed(
        self, before: str, result: AmResult, offsets: Mapping[tuple[str, int], int]
    ) -> PatchOutcome:
        if result.merged:
            shown = self.work.git("diff", "--full-index", "--no-ext-diff", "-M", before, "HEAD")
            made = diff.parse(shown.stdout, where=str(self.mail.path))
            landings = landing.merged(self.mail.files, made)
        else:
            landings = landing.direct(self.mail.files, offsets)
        files = {item.file for item in landings}
        texts = {path: git.read_file(before, path, cwd=self.work.path) for path in files}
        wrong = landing.wrong_functions(landings, texts)
        moved = [item.moved() for item in landings if item.offset]
        more = {"commit": result.commit, "hunks": moved}
        if wrong:
            return self._is(Outcome.WRONG_FUNCTION, "; ".join(wrong), **more)
        if result.merged:
            return self._is(Outcome.MERGED, "merged with the tree's own changes", **more)
        if moved:
            shifts = ", ".join(
                f"hunk {item.hunk} of {item.file} {item.offset:+d}" for item in moved
            )
            return self._is(Outcome.OFFSET, f"lines: {shifts}", **more)
        return self._is(Outcome.APPLIED, None, **more)


def _is_exact(files: Sequence[diff.FileDiff], blobs: Mapping[str, str]) -> bool:
    """Return whether the tree has precisely the files the patch was made from."""
    for item in files:
        if item.old_path is None:
            if item.new_path in blobs:
                return False
        elif item.old_id is None:
            if item.hunks:
                return False
        elif blobs.get(item.old_path) != item.old_id:
            return False
    return True


def _advance(blobs: dict[str, str], files: Sequence[diff.FileDiff]) -> None:
    """Record what an exactly applied patch made, which is what its mail says."""
    before = dict(blobs)
    for item in files:
        if item.old_path and item.old_path != item.new_path:
            blobs.pop(item.old_path, None)
        if item.new_path:
            name = item.new_id or before.get(item.old_path or "")
            blobs[item.new_path] = name or diff.NO_BLOB
