# SPDX-License-Identifier: GPL-2.0-only
"""What a client saw of an update, what was promised, and what is told of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sku_build.lab import drill, update_result
from sku_build.lab.application import Census
from sku_build.lab.client import Client, ConnectionBroke
from sku_build.lab.traffic import Stall, Traffic, traffic
from sku_build.lab.update_result import Span, Stamp, alarms, broken_promises, spans

_MS = 1_000_000
CENSUS = Census(pid=43, tids=[43, 44], keys=9, digest="d", run_id="r", connection=4)
FINE = Traffic(requests=5, replies=5, wrong=0, normal_ms=5, blackout_ms=0, slowest_ms=1)


def _stream(*replied_ms: int, values: list[int] | None = None) -> Traffic:
    """Return what is seen when a request goes out every 5 ms and is answered at these times."""
    sent = [number * 5 * _MS for number in range(len(replied_ms))]
    replied = [time * _MS for time in replied_ms]
    return traffic(sent, replied, values or list(range(1, len(replied) + 1)))


def test_the_blackout_is_the_largest_gap_less_the_ordinary_one() -> None:
    seen = _stream(1, 6, 11, 2016, 2016, 2016, 2017)
    assert seen.blackout_ms == 2000
    assert seen.normal_ms == 5  # and not what the rush after it looks like
    assert seen.slowest_ms == 2016 - 15
    assert seen.stalls == [Stall(at_ms=11, ms=2005)]
    assert seen.wrong == 0


@pytest.mark.parametrize("values", [[1, 2, 4], [1, 2, 2], [1, 3, 2]])
def test_a_request_lost_or_done_twice_is_counted(values: list[int]) -> None:
    assert _stream(1, 6, 11, values=values).wrong > 0


def test_nothing_seen_is_no_error() -> None:
    assert traffic([], [], []).blackout_ms == 0
    assert traffic([1], [2], [1]).replies == 1


def test_an_update_that_changed_nothing_broke_no_promise() -> None:
    assert broken_promises(CENSUS, CENSUS, FINE, []) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pid": 44}, "pid was 43 and is 44"),
        ({"tids": [43]}, "tids was [43, 44] and is [43]"),
        ({"keys": 8}, "keys was 9 and is 8"),
        ({"digest": "e"}, "digest was"),
        ({"run_id": "s"}, "run_id was"),
        ({"connection": 5}, "connection was 4 and is 5"),
    ],
)
def test_whatever_changed_is_a_broken_promise(changed: dict[str, Any], said: str) -> None:
    after = msgspec.structs.replace(CENSUS, **changed)
    (found,) = broken_promises(CENSUS, after, FINE, [])
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"replies": 3}, "2 requests were not answered"),
        ({"wrong": 1}, "1 replies do not follow"),
        ({"error": "reset"}, "connection broke: reset"),
    ],
)
def test_whatever_the_client_missed_is_a_broken_promise(changed: dict[str, Any], said: str) -> None:
    (found,) = broken_promises(CENSUS, CENSUS, msgspec.structs.replace(FINE, **changed), [])
    assert said in found


def test_a_complaint_of_a_kernel_is_a_broken_promise() -> None:
    assert broken_promises(CENSUS, CENSUS, FINE, ["bad"]) == ["a kernel complained: bad"]


@pytest.mark.parametrize(
    "line",
    [
        "[    1.0] WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2",
        "[    1.0] BUG: KASAN: use-after-free in f+0x1/0x2",
        "[    1.0] BUG: sleeping function called from invalid context at x.c:1",
        "[    1.0] WARNING: possible circular locking dependency detected",
        "[    1.0] BUG: Bad page state in process redis-server  pfn:41000",
        "[    1.0] INFO: task criu:43 blocked for more than 120 seconds.",
        "[    1.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "[    1.0] pagealloc: memory corruption",
    ],
)
def test_what_a_kernel_reports_of_itself_is_an_alarm(line: str) -> None:
    assert alarms(f"Booting Linux\r\n{line}\r\nmore\r\n") == [line]


def test_an_ordinary_console_has_no_alarm() -> None:
    console = (
        "[    0.0] Booting Linux on physical CPU 0x0000000000 [0x000f0510]\n"
        "[    0.0] rcu: Preemptible hierarchical RCU implementation.\n"
        "[    0.1] kmemleak: Kernel memory leak detector initialized\n"
        "[    0.1] kasan: KernelAddressSanitizer initialized (generic)\n"
    )
    assert alarms(console) == []


def test_a_phase_ends_where_the_next_stamp_is() -> None:
    stamps = [
        *(Stamp("detach", 0), Stamp("jump", 62_500), Stamp("thaw", 6_250_000)),
        *(Stamp("thaw-end", 6_312_500), Stamp("settle", 7_000_000)),
    ]
    assert spans(stamps, 62_500_000) == [Span("detach", 1), Span("jump", 99), Span("thaw", 1)]


def test_a_way_alone_has_no_ratio() -> None:
    assert update_result.ratio([]) is None


class _Redis:
    """A server that knows as much of redis' protocol as the client says."""

    def __init__(self, *, lies_at: int = 0, closes_at: int = 0, mute_at: int = 0) -> None:
        self._lies_at, self._closes_at, self._mute_at = lies_at, closes_at, mute_at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections, self.open = 0, 0
        self._counter = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open += 1
            # A client that leaves is not there for its replies.
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
                while words := _words(stream):
                    if not self._answer(connection, words):
                        break
            self.open -= 1

    def _answer(self, connection: socket.socket, words: list[bytes]) -> bool:
        if words[0] == b"ECHO":
            connection.sendall(b"$%d\r\n%s\r\n" % (len(words[1]), words[1]))
            return True
        self._counter += 1
        if self._counter == self._closes_at:
            return False
        if self._counter == self._lies_at:
            self._counter += 1
        if not self._mute_at or self._counter < self._mute_at:
            connection.sendall(b":%d\r\n" % self._counter)
        return True

    def close(self) -> None:
        self._listener.close()


def _words(stream: Any) -> list[bytes]:
    head = stream.readline()
    words = []
    for _ in range(int(head[1:] or 0)):
        stream.readline()
        words.append(stream.readline().rstrip())
    return words


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> Iterator[_Redis]:
    server = _Redis(**getattr(request, "param", {}))
    yield server
    server.close()


def test_a_client_that_is_left_while_it_sends_leaves_no_connection(redis: _Redis) -> None:
    """redis-py connects again when something is sent after the end."""
    clients = []
    for _ in range(20):
        with Client(redis.port) as client:
            clients.append(client)
            client.start()
            time.sleep(0.02)
    for _ in range(100):
        if redis.connections >= len(clients) and not redis.open:
            break
        time.sleep(0.05)
    assert (redis.connections >= len(clients), redis.open) == (True, 0)


def _watched(redis: _Redis, seconds: float = 30) -> Traffic:
    with Client(redis.port) as client:
        client.start()
        wait = threading.Event()
        for _ in range(1000):
            seen = client.seen()
            if seen.replies >= 20 or seen.error or seen.requests >= 60:
                break
            wait.wait(0.01)
        return client.stop(seconds)


def test_the_client_sends_and_every_reply_is_counted(redis: _Redis) -> None:
    seen = _watched(redis)
    assert seen.error is None
    assert seen.requests == seen.replies >= 20
    assert seen.wrong == 0
    assert redis.connections == 1


@pytest.mark.parametrize("redis", [{"lies_at": 10}], indirect=True)
def test_the_client_sees_a_counter_that_jumps(redis: _Redis) -> None:
    assert _watched(redis).wrong == 1


@pytest.mark.parametrize("redis", [{"closes_at": 10}], indirect=True)
def test_a_connection_that_is_closed_stays_closed(redis: _Redis) -> None:
    seen = _watched(redis)
    assert seen.error is not None
    assert seen.replies == 9
    assert broken_promises(CENSUS, CENSUS, seen, [])


@pytest.mark.parametrize("redis", [{"mute_at": 10}], indirect=True)
def test_a_reply_that_never_comes_is_no_hang(redis: _Redis) -> None:
    # The word after the last request is answered, so the missing replies are simply not there.
    seen = _watched(redis, seconds=1)
    assert seen.replies < seen.requests


@pytest.mark.parametrize("redis", [{"closes_at": 2}], indirect=True)
def test_a_question_that_is_not_answered_is_said(redis: _Redis) -> None:
    with Client(redis.port) as client:
        assert client.ask("DBSIZE") == 1
        with pytest.raises(ConnectionBroke, match="DBSIZE was not answered"):
            client.ask("DBSIZE")


def test_a_drill_names_the_phase_and_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Service:
        def command(self, *words: str) -> str:
            return " ".join(["skuctl", "update", *words])

    said = drill.with_fault(Service(), drill.kill_update("seal"))  # type: ignore[arg-type]
    assert said == (
        "/usr/lib/sku-lab/drill seal 'kill -9 $UPDATE' skuctl update --pause-before seal"
    )
