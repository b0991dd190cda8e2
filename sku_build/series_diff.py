# SPDX-License-Identifier: GPL-2.0-only
"""`sku series diff`: two versions of a series compared, patch by patch (`git range-diff`)."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import apply, git
from sku_build import branch as branches
from sku_build import series as all_series
from sku_build import tree as trees
from sku_build.decode import load_toml
from sku_build.errors import UserError
from sku_build.mail import Mail
from sku_build.outcome import failure
from sku_build.patching import Job, apply_all
from sku_build.regenerate import job_of
from sku_build.scratch import Scratch
from sku_build.series import Series
from sku_build.tree import Tree
from sku_build.version import in_ranges

_PAIR = re.compile(r"^ *(\d+|-): +([0-9a-f]+|-+) ([<>=!]) +(\d+|-): +([0-9a-f]+|-+) (.*)$")
_MEANING = {"=": "same", "!": "changed", "<": "only-before", ">": "only-after"}


class Pair(msgspec.Struct, frozen=True):
    """A patch of both versions, or of one: its number in each (None: it is not there)."""

    before: int | None
    after: int | None
    what: str
    subject: str


class SeriesDiff(msgspec.Struct, frozen=True):
    """Two versions compared on a tree; ``text`` is what git says of them."""

    before: str
    after: str
    tree: str
    pairs: list[Pair]
    text: str

    @property
    def same(self) -> bool:
        """Whether no patch differs."""
        return all(item.what == "same" for item in self.pairs)


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A series as it is, or was, in some directory."""

    name: str
    series: Series
    directory: Path

    def mails(self, tree: Tree) -> list[Mail]:
        """Return the mails it has for the kernel of ``tree``."""
        chosen = all_series.select(self.series, tree.kernel).patches
        return [
            Mail(Path(entry.file.replace("/", "-")), (self.directory / entry.file).read_bytes())
            for entry in chosen
        ]


def read_version(spec: str, place: Path) -> Version:
    """Return the version that ``spec`` names: NAME, NAME@REVISION, or a directory.

    A revision is one of the repository that the series are kept in; its files are written to
    ``place``. Raises UserError when there is none.
    """
    name, _, revision = spec.partition("@")
    if (Path(spec) / "series.toml").is_file():
        directory = Path(spec)
        return Version(spec, load_toml(directory / "series.toml", Series), directory)
    if not revision:
        series = all_series.load(name)
        return Version(spec, series, series.directory)
    home = all_series.series_dir()
    prefix = git.git("rev-parse", "--show-prefix", cwd=home, check=False)
    if prefix.status != 0 or git.resolve(revision, cwd=home) is None:
        raise UserError(f"there is no revision {revision!r} of the series", where=home)
    top = f"{prefix.stdout.strip()}{name}/"
    listed = git.git("ls-tree", "-r", "--full-tree", "--name-only", "-z", revision, top, cwd=home)
    for path in filter(None, listed.stdout.split("\0")):
        target = place / path.removeprefix(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = git.read_file(revision, path, cwd=home) or ""
        target.write_bytes(text.encode("utf-8", "surrogateescape"))
    if not (place / "series.toml").is_file():
        raise UserError(f"{revision} has no series {name!r}", where=home)
    return Version(spec, load_toml(place / "series.toml", Series), place)


def compare(before: str, after: str, *, tree: Tree | None = None) -> SeriesDiff:
    """Return how two versions of a series differ when put on ``tree``.

    Without one the newest known tree that both have patches for is taken. Raises UserError when
    there is none, CheckError when a version does not go on it.
    """
    with tempfile.TemporaryDirectory(prefix="sku-diff-") as name:
        place = Path(name)
        versions = [
            read_version(spec, place / side)
            for spec, side in ((before, "before"), (after, "after"))
        ]
        tree = branches.unpatched(tree or _newest_for(versions))
        required = all_series.resolve(versions[1].series.requires)
        base = apply.plan(tree, required, nearest=True)
        jobs = [
            job_of(tree, item.series, item.mails(tree), place / f"mails-{number}")
            for number, item in enumerate(versions)
        ]
        with apply.workshop(tree, [*base, *jobs]) as work:
            start, *tips = _tips(work, tree, base, jobs)
            told = ("--no-color", "--no-notes", start, *tips)
            text = work.git("range-diff", *told).stdout
    return SeriesDiff(before, after, tree.name, _pairs(text), text)


def _newest_for(versions: Sequence[Version]) -> Tree:
    def fits(tree: Tree) -> bool:
        return all(
            any(in_ranges(tree.kernel, all_series.ranges(e.kernels)) for e in item.series.patches)
            for item in versions
        )

    found = [tree for tree in trees.all_trees() if fits(tree)]
    if not found:
        raise UserError(
            "no known tree has a kernel that both versions have patches for",
            hint="`sku tree add` one, or name one with --tree",
        )
    return trees.find(found[-1].name)


def _tips(work: Scratch, tree: Tree, base: list[Job], jobs: list[Job]) -> list[str]:
    """Return the commit of the required series, and each version's tip on top of it."""
    _put(work, tree, base)
    found = [work.tip()]
    for job in jobs:
        work.git("reset", "--quiet", "--hard", work.root)
        _put(work, tree, [*base, job])
        found.append(work.tip())
    return found


def _put(work: Scratch, tree: Tree, jobs: list[Job]) -> None:
    outcomes = apply_all(work, jobs)
    if any(item.outcome.failed for item in outcomes):
        raise failure(tree.name, outcomes)


def _pairs(text: str) -> list[Pair]:
    found = [match for match in map(_PAIR.match, text.splitlines()) if match]
    return [
        Pair(
            None if match[1] == "-" else int(match[1]),
            None if match[4] == "-" else int(match[4]),
            _MEANING[match[3]],
            match[6],
        )
        for match in found
    ]
