# SPDX-License-Identifier: GPL-2.0-only
"""A stream of ICMP echo requests to the guest, and which of them were never answered."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

_HEADER = struct.Struct("!BBHHH")
_ECHO, _REPLY = 8, 0
_NUMBERS = 1 << 16
_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
_NS_PER_MS = 1e6
_LAST_S = 1.0


class Pings(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a stream of requests.

    ``blackout_ms`` is the longest time between two replies. ``lost_in_it`` were sent in it and not
    answered, ``lost_beside_it`` at any other time.
    """

    sent: int
    answered: int
    blackout_ms: float
    lost_in_it: int
    lost_beside_it: int


def pings(sent: Sequence[int], answered: dict[int, int]) -> Pings:
    """Return what came of requests sent at the times ``sent`` (ns).

    ``answered`` has the times of the replies, by the place of their requests in ``sent``.
    """
    replies = sorted((at, sent[number]) for number, at in answered.items())
    # From the last request that was answered before it on, to the first reply after it.
    gaps = [
        (after - before, request, after)
        for (before, request), (after, _) in itertools.pairwise(replies)
    ]
    largest, begin, end = max(gaps, default=(0, 0, 0))
    lost = [at for number, at in enumerate(sent) if number not in answered]
    inside = sum(begin < at < end for at in lost)
    return Pings(
        sent=len(sent),
        answered=len(answered),
        blackout_ms=round(largest / _NS_PER_MS, 3),
        lost_in_it=inside,
        lost_beside_it=len(lost) - inside,
    )


class Stream:
    """Requests to ``host`` every ``interval_s``, from :meth:`begin` to :meth:`end`.

    The kernel has to allow such sockets, as :func:`allow` has it do in a network namespace.
    """

    def __init__(self, host: str, interval_s: float = 0.01) -> None:
        self._host = host
        self._interval_s = interval_s
        self._sent: list[int] = []
        self._answered: dict[int, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Send the first request."""
        self._thread.start()

    @property
    def answered(self) -> int:
        """How many replies came up to now."""
        return len(self._answered)

    def wait(self, answered: int, seconds: float) -> bool:
        """Wait until so many replies came in all; return whether they did within ``seconds``."""
        end = time.monotonic() + seconds
        while self.answered < answered and time.monotonic() < end:
            time.sleep(self._interval_s)
        return self.answered >= answered

    def end(self) -> Pings:
        """Send no more, wait a second for replies, and return what came of it."""
        self._stopping.set()
        self._thread.join()
        return pings(self._sent, self._answered)

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as echo:
            while not self._stopping.is_set():
                # The kernel fills in checksum and identifier.
                number = len(self._sent) % _NUMBERS
                self._sent.append(time.monotonic_ns())
                with contextlib.suppress(OSError):  # one that does not get out is not answered
                    echo.sendto(_HEADER.pack(_ECHO, 0, 0, 0, number), (self._host, 0))
                self._receive(echo, self._interval_s)
            self._receive(echo, _LAST_S)

    def _receive(self, echo: socket.socket, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([echo], [], [], left)[0]:
                return
            with contextlib.suppress(OSError):
                kind, _, _, _, number = _HEADER.unpack_from(echo.recv(_HEADER.size))
                if kind == _REPLY:
                    # The latest request with this number.
                    place = len(self._sent) - 1 - (len(self._sent) - 1 - number) % _NUMBERS
                    self._answered.setdefault(place, time.monotonic_ns())


def allow() -> None:
    """Let whoever is in this network namespace send echo requests."""
    _GROUPS.write_text("0 0", encoding="ascii")
