# SPDX-License-Identifier: GPL-2.0-only
"""What is asked of a kernel configuration, and what is said about the answer.

Values are written as in a ``.config``: ``y``, ``m``, ``n`` (also for "is not set"), a number, or a
string in quotes. Names of symbols come without ``CONFIG_``.
"""

from __future__ import annotations

import enum

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Where a line was written: a fragment and its line, or an option (line 0)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Request(msgspec.Struct, frozen=True):
    """One line of a fragment that asks for a value; ``waiver`` is why it may be missed."""

    symbol: str
    value: str
    place: Place
    waiver: str | None = None


class Mismatch(msgspec.Struct, frozen=True):
    """A request that the resolved configuration does not hold; None means the symbol is absent."""

    request: Request
    actual: str | None


class Cause(enum.StrEnum):
    """Why a request was not reached."""

    UNKNOWN = "unknown-symbol"
    TRANSITIONAL = "transitional"
    TYPE = "wrong-type"
    DEPENDENCY = "unmet-dependency"
    INVISIBLE = "not-visible"
    SELECTED = "selected"
    CHOICE = "choice"
    RANGE = "out-of-range"
    UNEXPLAINED = "unexplained"


class Reason(msgspec.Struct, frozen=True):
    """One statement of an explanation, where it can be read, and what lies behind it."""

    text: str
    where: list[str] = []
    because: list[Reason] = []


class Problem(msgspec.Struct, frozen=True):
    """A request that was lost or changed, explained; ``defined`` are places in the Kconfig tree."""

    symbol: str
    wanted: str
    actual: str | None
    place: Place
    cause: Cause
    reasons: list[Reason]
    defined: list[str]
    did_you_mean: list[str] = []


class Waived(msgspec.Struct, frozen=True):
    """A waived request that was not reached, or that yielded to the line at ``yields_to``."""

    symbol: str
    wanted: str
    actual: str | None
    place: Place
    waiver: str
    yields_to: Place | None = None


class Disagreement(msgspec.Struct, frozen=True):
    """A symbol for which kconfiglib computes another value than ``make olddefconfig`` did.

    ``make olddefconfig`` is right by definition. ``note`` is the known cause, if there is one.
    """

    symbol: str
    kconfiglib: str | None
    olddefconfig: str | None
    note: str | None = None


class Obstacle(msgspec.Struct, frozen=True):
    """A symbol whose value breaks reproducible builds, why, and what to request instead."""

    symbol: str
    value: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}={self.value}: {self.reason}; request {self.remedy}"


class ConfigReport(msgspec.Struct, frozen=True):
    """The outcome of resolving a configuration.

    ``sha256`` is that of the resolved ``.config``. ``disagreements`` is None when kconfiglib was
    not asked. ``warnings`` are those of the kernel's own ``conf``, ``obstacles`` are what stands in
    the way of reproducible builds. ``reused`` tells that nothing had changed since the last time,
    so that no ``make`` ran.
    """

    base: str
    fragments: list[str]
    requested: list[Request]
    problems: list[Problem]
    waived: list[Waived]
    disagreements: list[Disagreement] | None
    warnings: list[str]
    obstacles: list[Obstacle]
    sha256: str
    reused: bool = False
