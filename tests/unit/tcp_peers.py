# SPDX-License-Identifier: GPL-2.0-only
"""A client and a server with a kernel's TCP between them, for test_runtime_update.py.

Run in a network namespace of its own: the client is here, the server in a second namespace at the
other end of a pair of interfaces. Prints what was seen as JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

PORT = 6379
_ADDRESSES = {
    4: ("192.0.2.1", "192.0.2.2", "/24"),
    6: ("2001:db8::1", "2001:db8::2", "/64"),
}
_MAC = "02:00:00:00:00:02"
_OTHER_MAC = "02:00:00:00:00:03"  # what is sent to the first is then somebody else's
_TCP_INFO_SIZE = 256
# struct tcp_info of <linux/tcp.h>: bytes before the field
_BACKOFF = 4
_UNACKED = 24
_SND_WND = 228
_PATIENCE_S = 30.0
BACKED_OFF = 4  # the next try comes after 16 times the first wait, 3.2 s or more

_SERVER = """
import socket, sys
print("here", flush=True)
sys.stdin.readline()
server = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
print("listens", flush=True)
if sys.stdin.readline() == "accept\\n":
    connection = server.accept()[0]
    connection.sendall(b"hello")
    print("accepted", flush=True)
    while data := connection.recv(100):
        reuse = connection.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        print(data.decode(), reuse, flush=True)
"""


class Server:
    """The server's process, in its own network namespace."""

    def __init__(self, program: str, family: int) -> None:
        self._program = program
        source = _SERVER.replace("PORT", str(PORT))
        self._process = subprocess.Popen(
            ["unshare", "--net", "--fork", sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said()
        self._pid = int(_run("pgrep", "-P", str(self._process.pid)))
        here, there, width = _ADDRESSES[family]
        self.address = there
        _run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        _run("ip", "link", "set", "far", "netns", str(self._pid))
        for run, device, address in ((_run, "near", here), (self.run, "far", there)):
            run("ip", "address", "add", address + width, "dev", device, *["nodad"] * (family == 6))
            run("ip", "link", "set", device, "up")
        self.move(_MAC)
        neighbour = ["neighbour", "replace", there, "lladdr", _MAC, "dev", "near"]
        _run("ip", *neighbour, "nud", "permanent")
        self.tell("listen")
        self.said()

    def run(self, *argv: str) -> str:
        return _run("nsenter", "--target", str(self._pid), "--net", *argv)

    def part(self, name: str, argument: int | None = None) -> list[str]:
        """Run a part of the runtime where the server is; its own pid is the argument."""
        return self.run(self._program, name, str(argument or self._pid)).split()

    def move(self, mac: str) -> None:
        self.run("ip", "link", "set", "far", "address", mac)

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        subprocess.run(["kill", str(self._pid)], check=False)
        self._process.wait()


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def _info(client: socket.socket) -> tuple[int, int, int]:
    """Return the back-off, the segments not acknowledged, and the window."""
    raw = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    unacked, window = (struct.unpack_from("=I", raw, at)[0] for at in (_UNACKED, _SND_WND))
    return raw[_BACKOFF], unacked, window


def _wait(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not what() and time.monotonic() < end:
        time.sleep(0.01)


def _connect(server: Server) -> socket.socket:
    client = socket.create_connection((server.address, PORT))
    server.tell("accept")
    server.said()
    client.recv(100)
    return client


def hushed(server: Server) -> dict[str, Any]:
    """A client that was told to wait sends nothing, until it is woken."""
    with _connect(server) as client:
        result: dict[str, Any] = {"hush": server.part("hush"), "window": _info(client)[2]}
        # From here on there is silence: its probes are not answered.
        server.move(_OTHER_MAC)
        client.sendall(b"word")
        _wait(lambda: _info(client)[0] >= BACKED_OFF)
        result["backoff"], result["unacked"], _ = _info(client)
        server.move(_MAC)
        before = time.monotonic()
        result["wake"] = server.part("wake")
        result["said"] = server.said()
        result["after_s"] = time.monotonic() - before
        result["window_again"] = _info(client)[2]
    return result


def lost(server: Server) -> dict[str, Any]:
    """A client whose segments are lost sends them again when it is woken."""
    with _connect(server) as client:
        server.move(_OTHER_MAC)
        client.sendall(b"word")
        _wait(lambda: _info(client)[0] >= BACKED_OFF)
        server.move(_MAC)
        before = time.monotonic()
        result: dict[str, Any] = {"backoff": _info(client)[0], "wake": server.part("wake")}
        result["said"] = server.said()
        result["after_s"] = time.monotonic() - before
    return result


def handshakes(server: Server) -> dict[str, Any]:
    """What has not been accepted is counted."""
    none = server.part("handshakes", PORT)
    with socket.create_connection((server.address, PORT)):
        one = server.part("handshakes", PORT)
        server.tell("accept")
        server.said()
        accepted = server.part("handshakes", PORT)
    return {"none": none, "one": one, "accepted": accepted}


def main(name: str, program: str, family: str) -> None:
    server = Server(program, int(family))
    try:
        print(json.dumps({"hushed": hushed, "lost": lost, "handshakes": handshakes}[name](server)))
    finally:
        server.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
