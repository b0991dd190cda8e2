# SPDX-License-Identifier: GPL-2.0-only
"""What a client saw of an update: how long nothing came back, and whether anything got lost."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence

import msgspec

_NS_PER_MS = 1e6
_STALL_NS = 100_000_000


class Stall(msgspec.Struct, frozen=True):
    """A time without a reply: when it began, from the first request on, and how long it was."""

    at_ms: float
    ms: float


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection saw; times in ms on this machine's clock.

    ``blackout_ms`` is the largest time between two replies less ``normal_ms``, the median one up to
    there; ``slowest_ms`` the longest from a request to its reply; ``stalls`` all times without a
    reply of 100 ms and more. ``wrong`` counts the replies that are
    not one more than the reply before: requests that were lost or done twice. ``error`` is how the
    connection broke, None when it never did.
    """

    requests: int
    replies: int
    wrong: int
    normal_ms: float
    blackout_ms: float
    slowest_ms: float
    stalls: list[Stall] = []
    error: str | None = None


def traffic(
    sent: Sequence[int], replied: Sequence[int], values: Sequence[int], error: str | None = None
) -> Traffic:
    """Return what a connection saw that sent an INCR at each time in ``sent`` (ns).

    The replies came at the times ``replied`` with the ``values``, in the order of the requests.
    """
    gaps = [after - before for before, after in itertools.pairwise(replied)]
    largest = max(gaps, default=0)
    # What comes after is answered in a rush.
    ordinary = gaps[: gaps.index(largest)] if gaps else []
    normal = statistics.median(ordinary) if ordinary else 0.0
    waits = [reply - request for request, reply in zip(sent, replied, strict=False)]
    return Traffic(
        requests=len(sent),
        replies=len(values),
        wrong=sum(after != before + 1 for before, after in itertools.pairwise(values)),
        normal_ms=_ms(normal),
        blackout_ms=_ms(largest - normal),
        slowest_ms=_ms(max(waits, default=0)),
        stalls=[
            Stall(_ms(before - sent[0]), _ms(gap))
            for before, gap in zip(replied, gaps, strict=False)
            if gap >= _STALL_NS
        ],
        error=error,
    )


class Notes:
    """What a client notes while it sends, each request and each reply as it happens.

    One thread may send and another receive.
    """

    def __init__(self) -> None:
        self.error: str | None = None
        self._sent: list[int] = []
        self._replied: list[int] = []
        self._values: list[int] = []

    def sends(self) -> None:
        """A request goes out now."""
        self._sent.append(time.monotonic_ns())

    def answered(self, value: int) -> None:
        """The next reply came now, with ``value``."""
        self._replied.append(time.monotonic_ns())
        self._values.append(value)

    def broke(self, error: Exception | str) -> None:
        """The connection is no more; the first reason is kept."""
        told = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.error = self.error or told

    @property
    def missing(self) -> int:
        """How many requests have no reply."""
        return len(self._sent) - len(self._values)

    def traffic(self) -> Traffic:
        """Return what was seen up to now."""
        return traffic(list(self._sent), list(self._replied), list(self._values), self.error)


def _ms(nanoseconds: float) -> float:
    return round(nanoseconds / _NS_PER_MS, 3)
