# SPDX-License-Identifier: GPL-2.0-only
"""Patch series: ``patchsets/NAME/series.toml`` and the mails beside it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from sku_build import layout, series_files
from sku_build.decode import did_you_mean, load_toml
from sku_build.distribution import LINES
from sku_build.errors import UserError
from sku_build.version import KernelVersion, VersionRange, in_ranges

_SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@functools.cache
def _parse(text: str) -> VersionRange:
    return VersionRange.parse(text)


def ranges(kernels: Iterable[str]) -> list[VersionRange]:
    """Return ``kernels`` as ranges; raises ValueError naming the one that is malformed."""
    return [_parse(text) for text in kernels]


def _check_kernels(kernels: list[str]) -> None:
    if not kernels:
        raise ValueError("kernels: no range is given; `..` means every kernel")
    for text in kernels:
        try:
            _parse(text)
        except ValueError as error:
            raise ValueError(f"kernels: {error}") from error


class PatchEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[patch]]``: a mail's file name and the kernels it is for.

    ``checkpatch`` are the types of checkpatch's complaints that the patch may have.
    """

    file: str
    kernels: list[str]
    status: str | None = None
    checkpatch: list[str] = []

    def __post_init__(self) -> None:
        _check_kernels(self.kernels)
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise ValueError(f"file: {self.file} is not inside of the series' directory")


class UpstreamEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[upstream]]``: kernels that have the feature themselves, and since which commit."""

    kernels: list[str]
    commit: str | None = None
    subject: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        _check_kernels(self.kernels)
        if self.commit is not None and not _COMMIT.match(self.commit):
            raise ValueError(f"commit: {self.commit!r} is not an id of 40 hex digits")

    def describe(self) -> str:
        """Return commit and subject as far as they are known."""
        known = " ".join(filter(None, [self.commit and self.commit[:12], self.subject]))
        return known or self.note or "part of the kernel"


class UnavailableEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[unavailable]]``: kernels that the series is not for, and why.

    A board goes without the series there; who asks for it by name gets the reason as an error.
    """

    kernels: list[str]
    reason: str

    def __post_init__(self) -> None:
        _check_kernels(self.kernels)
        if not self.reason.strip():
            raise ValueError("reason: is empty; it is what people are told")


class ProbeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[probe]]``: the feature is in a tree when ``regex`` (multi-line) is in ``path``."""

    path: str
    regex: str
    kernels: list[str] = msgspec.field(default_factory=lambda: [".."])

    def __post_init__(self) -> None:
        _check_kernels(self.kernels)
        try:
            re.compile(self.regex, re.MULTILINE)
        except re.error as error:
            raise ValueError(f"regex: not a regular expression: {error}") from error

    def matches(self, text: str | None) -> bool:
        """Return whether a file's ``text`` shows the feature; None is a file that is not there."""
        return text is not None and re.search(self.regex, text, re.MULTILINE) is not None


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``series.toml``; ``config`` names the template ``configs/NAME.config.j2``."""

    name: str
    version: str
    summary: str
    requires: list[str] = []
    config: str | None = None
    docs: str | None = None
    patches: list[PatchEntry] = msgspec.field(name="patch", default_factory=list)
    upstream: list[UpstreamEntry] = []
    unavailable: list[UnavailableEntry] = []
    probes: list[ProbeEntry] = msgspec.field(name="probe", default_factory=list)

    def __post_init__(self) -> None:
        if not _SEMVER.match(self.version):
            raise ValueError(f"version: {self.version!r} is not a semantic version such as 1.0.0")

    @property
    def directory(self) -> Path:
        """The directory that holds series.toml and the mails."""
        return series_dir() / self.name


class Selection(msgspec.Struct, frozen=True):
    """What a series has for one kernel version.

    ``nearest`` is set when the version is in no range and the nearest one is tried instead.
    """

    patches: list[PatchEntry]
    upstream: UpstreamEntry | None
    probes: list[ProbeEntry]
    nearest: VersionRange | None = None


def series_dir() -> Path:
    """Return the directory that holds one directory a series."""
    return layout.data_root() / "patchsets"


def names() -> list[str]:
    """Return the names of all series, sorted."""
    return sorted(path.parent.name for path in series_dir().glob("*/series.toml"))


def load(name: str) -> Series:
    """Return the series called ``name``; raises UserError when it is unknown or malformed."""
    path = series_dir() / name / "series.toml"
    series_files.finish(path.parent)
    if "/" in name or not path.is_file():
        known = ", ".join(names()) or "none"
        raise UserError(
            f"there is no series {name!r}",
            where=series_dir(),
            hint=did_you_mean(name, names()) or f"the series are: {known}",
        )
    series = load_toml(path, Series)
    if series.name != name:
        raise UserError(f"key name: is {series.name!r}, but the directory is {name!r}", where=path)
    for number, patch in enumerate(series.patches):
        if not (path.parent / patch.file).is_file():
            raise UserError(f"key patch[{number}].file: there is no file {patch.file}", where=path)
    return series


def resolve(wanted: Sequence[str]) -> list[Series]:
    """Return the series ``wanted`` with all they require in front of them, each once.

    The order given is kept as far as the requirements allow. Raises UserError for an unknown
    series and for a cycle, which it names.
    """
    done: dict[str, Series] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            cycle = " → ".join((*path[path.index(name) :], name))
            raise UserError(
                f"the series require each other: {cycle}",
                where=series_dir() / name / "series.toml",
                hint="take one of these out of its `requires`",
            )
        series = load(name)
        for required in series.requires:
            visit(required, (*path, name))
        done[name] = series

    for name in wanted:
        visit(name, ())
    return list(done.values())


def select(series: Series, version: KernelVersion, *, nearest: bool = False) -> Selection:
    """Return what ``series`` has for a kernel ``version``.

    A version of none of the supported lines that no range holds gets the patches of the
    nearest range; so does any version when ``nearest``. Raises UserError naming the ranges the
    series has when none holds.
    """
    patches = [item for item in series.patches if in_ranges(version, ranges(item.kernels))]
    upstream = next(
        (item for item in series.upstream if in_ranges(version, ranges(item.kernels))), None
    )
    probes = [item for item in series.probes if in_ranges(version, ranges(item.kernels))]
    if patches or upstream or not series.patches:
        return Selection(patches, upstream, probes)
    held = [bounds for item in series.patches for bounds in ranges(item.kernels)]
    if version.line in LINES and not nearest:
        if probes:
            return Selection([], None, probes)
        raise out_of_range(series, version)
    best = min(held, key=lambda bounds: _distance(version, bounds))
    stand_in = _nearest_version(version, best)
    return Selection(
        [item for item in series.patches if in_ranges(stand_in, ranges(item.kernels))],
        None,
        probes,
        best,
    )


def lines_of(entry: PatchEntry) -> list[str]:
    """Return the supported kernel lines that a patch file is for, such as ``["6.1", "6.12"]``."""
    bounds = ranges(entry.kernels)
    return [line for line in LINES if in_ranges(KernelVersion.parse(line), bounds)]


class Sharing(msgspec.Struct, frozen=True):
    """How far the patch files of a series serve several kernel lines.

    ``shared`` of its ``files`` are for more than one; ``lines`` says how many each line takes.
    """

    files: int
    shared: int
    lines: dict[str, int]

    def __str__(self) -> str:
        each = ", ".join(f"{line}: {count}" for line, count in self.lines.items() if count)
        return f"{self.shared} of {self.files} files are for more than one line ({each or 'none'})"


def sharing(series: Series) -> Sharing:
    """Return how many of the files of ``series`` serve more than one kernel line."""
    served = [lines_of(entry) for entry in series.patches]
    return Sharing(
        files=len(served),
        shared=sum(len(lines) > 1 for lines in served),
        lines={line: sum(line in lines for lines in served) for line in LINES},
    )


def unavailable(series: Series, version: KernelVersion) -> UnavailableEntry | None:
    """Return why ``series`` is not for a kernel ``version``, None when it does not say so."""
    return next(
        (item for item in series.unavailable if in_ranges(version, ranges(item.kernels))), None
    )


def out_of_range(series: Series, version: KernelVersion) -> UserError:
    """Return the error that says a series has nothing for a kernel version, and what it has."""
    held = ", ".join(dict.fromkeys(text for item in series.patches for text in item.kernels))
    known = ", ".join(dict.fromkeys(text for item in series.upstream for text in item.kernels))
    reason = unavailable(series, version)
    return UserError(
        f"series {series.name} has no patch for kernel {version}"
        + (f": {reason.reason}" if reason else ""),
        where=series.directory / "series.toml",
        hint=f"it has patches for {held}"
        + (f", and the kernel has the feature in {known}" if known else "")
        + "; --nearest tries those of the nearest range",
    )


def _ordinal(version: KernelVersion) -> int:
    # 4.0 followed 3.19, 5.0 4.20, 6.0 5.19 and 7.0 6.19: twenty minor versions make a major one.
    return (version.major * 20 + version.minor) * 1000 + min(version.patch, 999)


def _distance(version: KernelVersion, bounds: VersionRange) -> int:
    if bounds.low and version < bounds.low:
        return _ordinal(bounds.low) - _ordinal(version)
    if bounds.high and not version < bounds.high:
        return _ordinal(version) - _ordinal(bounds.high) + 1
    return 0


def _nearest_version(version: KernelVersion, bounds: VersionRange) -> KernelVersion:
    """Return the version in ``bounds`` that is nearest to ``version``, which is outside of it."""
    if bounds.low and version < bounds.low:
        return bounds.low
    assert bounds.high is not None
    # Sorts directly before every candidate of the range's end.
    return KernelVersion(bounds.high.major, bounds.high.minor, bounds.high.patch, -1)
