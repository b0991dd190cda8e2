# SPDX-License-Identifier: GPL-2.0-only
"""A client of the redis in the guest: one TCP connection, opened once and never again.

It sends on time, whether answers come or not: a server whose socket is away for a moment is then
hit by segments that a wrong order of things would answer with a reset.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import RedisError
from redis.retry import Retry

from sku_build.errors import CheckError
from sku_build.lab.traffic import Notes, Traffic

COUNTER = "sku:counter"
INTERVAL_S = 0.005
_CONNECT_S = 30.0
_LAST = "the last reply"


class ConnectionBroke(CheckError):
    """The connection to the guest is gone, or does not answer."""


class Client:
    """A connection to redis on a ``port`` of ``host``; closed with the ``with`` block.

    A request goes out every ``interval_s`` seconds.

    It is in one of two states: :meth:`ask` sends a command and waits for the reply; between
    :meth:`start` and :meth:`stop` a stream of INCRs goes out, an answer awaited or not.
    """

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, interval_s: float = INTERVAL_S
    ) -> None:
        self._interval_s = interval_s
        self._connection = Connection(
            host=host,
            port=port,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
            decode_responses=True,
        )
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._notes = Notes()

    def __enter__(self) -> Self:
        try:
            self._connection.connect()
        except RedisError as error:
            raise ConnectionBroke(f"cannot connect to the guest's redis: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._connection.disconnect()
        for thread in self._threads:
            thread.join()
        # What was sent in between had redis-py connect again.
        self._connection.disconnect()

    def ask(self, *words: str | int, seconds: float = 60.0) -> Any:
        """Send a command and return its reply; raises :class:`ConnectionBroke` without one."""
        if not self._connection.is_connected:
            raise ConnectionBroke(f"the connection broke before {words[0]}: {self._notes.error}")
        try:
            self._connection.send_command(*words)
            return self._connection.read_response(timeout=seconds)
        except RedisError as error:
            raise ConnectionBroke(f"{words[0]} was not answered: {error}") from error

    def start(self) -> None:
        """Begin to send."""
        self._stopping.clear()
        self._notes = Notes()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 60.0) -> Traffic:
        """End the stream, wait for the replies that are missing, and return what was seen.

        A reply that is not there after ``seconds`` ends the connection: the result says so.
        """
        self._stopping.set()
        sender, receiver = self._threads
        sender.join(seconds)
        receiver.join(seconds)
        if sender.is_alive() or receiver.is_alive():
            missing = self._notes.missing
            self._notes.broke(f"{missing} requests had no reply after {seconds:g} s")
            self._connection.disconnect()
            sender.join()
            receiver.join()
        self._threads = []
        return self.seen()

    def seen(self) -> Traffic:
        """Return what was seen up to now."""
        return self._notes.traffic()

    def _send(self) -> None:
        due = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._notes.sends()
                self._connection.send_command("INCR", COUNTER)
                due = max(due + self._interval_s, time.monotonic())
                self._stopping.wait(due - time.monotonic())
            self._connection.send_command("ECHO", _LAST)
        except (RedisError, OSError) as error:
            self._broke(error)

    def _receive(self) -> None:
        try:
            while (reply := self._connection.read_response()) != _LAST:
                self._notes.answered(reply)
        except (RedisError, OSError, AttributeError, ValueError) as error:
            # The last two are what redis-py runs into when the connection is closed under it.
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        self._notes.broke(error)
        self._stopping.set()
