# SPDX-License-Identifier: GPL-2.0-only
"""Kernel versions and half-open ranges of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

_VERSION = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?(?:-rc(\d+))?(?:[-+~].*)?$")
_NOT_RC = 1 << 16
_MAKEFILE_FIELD = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(.*?) *$", re.M)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class KernelVersion:
    """A kernel version as ``make kernelversion`` prints it; ``6.12-rc3`` sorts before ``6.12``.

    Whatever follows (``-rt8``, ``+deb13``) is local and takes no part in the comparison.
    """

    major: int
    minor: int
    patch: int = 0
    candidate: int = _NOT_RC

    @classmethod
    def parse(cls, text: str) -> KernelVersion:
        """Parse ``6.1``, ``6.1.192``, ``6.12-rc3`` or ``6.1.0-40-arm64``; raises ValueError."""
        match = _VERSION.match(text.strip())
        if not match:
            raise ValueError(f"{text!r} is not a kernel version such as 6.1 or 6.1.192")
        major, minor, patch, candidate = match.groups()
        return cls(
            int(major), int(minor), int(patch or 0), int(candidate) if candidate else _NOT_RC
        )

    @property
    def line(self) -> str:
        """The stable line this version belongs to, such as ``6.1``."""
        return f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        text = self.line + (f".{self.patch}" if self.patch else "")
        return text if self.candidate == _NOT_RC else f"{text}-rc{self.candidate}"


@dataclasses.dataclass(frozen=True, slots=True)
class VersionRange:
    """A half-open range ``low..high``: low is in, high is out; either end may be left open."""

    low: KernelVersion | None
    high: KernelVersion | None

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Parse ``5.10..6.12``, ``6.11..`` or ``..5.10``; raises ValueError."""
        low, dots, high = text.partition("..")
        if not dots:
            raise ValueError(f"{text!r} is not a half-open range such as 5.10..6.12 or 6.11..")
        bounds = cls(
            KernelVersion.parse(low) if low.strip() else None,
            KernelVersion.parse(high) if high.strip() else None,
        )
        if bounds.low and bounds.high and not bounds.low < bounds.high:
            raise ValueError(f"range {text!r} is empty: its end is not after its start")
        return bounds

    def __contains__(self, version: KernelVersion) -> bool:
        return (self.low is None or self.low <= version) and (
            self.high is None or version < self.high
        )

    def __str__(self) -> str:
        return f"{self.low or ''}..{self.high or ''}"


def line_range(version: KernelVersion) -> VersionRange:
    """Return the range of the whole stable line of ``version``."""
    low = KernelVersion(version.major, version.minor)
    return VersionRange(low, KernelVersion(version.major, version.minor + 1))


def without(ranges: Sequence[VersionRange], hole: VersionRange) -> list[VersionRange]:
    """Return what is left of ``ranges`` when the versions in ``hole`` are taken out."""
    left = []
    for bounds in ranges:
        before, after = bounds, bounds
        if hole.low is not None:
            before = VersionRange(bounds.low, _lower(bounds.high, hole.low))
            left += [before] if _holds_any(before) else []
        if hole.high is not None:
            after = VersionRange(_higher(bounds.low, hole.high), bounds.high)
            left += [after] if _holds_any(after) else []
    return left


def common(one: VersionRange, other: VersionRange) -> VersionRange | None:
    """Return the versions that lie in both ranges, None when there are none."""
    lows = [bounds.low for bounds in (one, other) if bounds.low]
    highs = [bounds.high for bounds in (one, other) if bounds.high]
    both = VersionRange(max(lows, default=None), min(highs, default=None))
    return both if _holds_any(both) else None


def _lower(one: KernelVersion | None, other: KernelVersion) -> KernelVersion:
    return other if one is None else min(one, other)


def _higher(one: KernelVersion | None, other: KernelVersion) -> KernelVersion:
    return other if one is None else max(one, other)


def _holds_any(bounds: VersionRange) -> bool:
    return bounds.low is None or bounds.high is None or bounds.low < bounds.high


def in_ranges(version: KernelVersion, ranges: Sequence[VersionRange]) -> bool:
    """Return whether ``version`` lies in any of ``ranges``."""
    return any(version in bounds for bounds in ranges)


def makefile_version(text: str) -> str | None:
    """Return the version that a kernel's top Makefile states; None if it is no kernel's."""
    fields: dict[str, str] = {}
    for key, value in _MAKEFILE_FIELD.findall(text):
        fields.setdefault(key, value)
    if not (fields.get("VERSION") and fields.get("PATCHLEVEL")):
        return None
    numbers = [fields["VERSION"], fields["PATCHLEVEL"], fields.get("SUBLEVEL") or "0"]
    version = ".".join(numbers) + fields.get("EXTRAVERSION", "")
    try:
        KernelVersion.parse(version)
    except ValueError:
        return None
    return version
