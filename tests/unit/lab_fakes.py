# SPDX-License-Identifier: GPL-2.0-only
"""A bundle that looks right, and a QEMU whose guest does what a test says."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

from sku_build.board import Board, ConfigPart, MachinePart, QemuPart

BOARD = Board(
    name="fake",
    summary="a board of the tests",
    arch="arm64",
    series=[],
    cmdline="",
    config=ConfigPart(base="allnoconfig", fragments=[]),
    machine=MachinePart(cpus=2, memory_gib=1),
    qemu=QemuPart(machine="virt", cpu="max", smp=2, memory_mib=512),
)

_METADATA = {
    "status": "complete",
    "step": "done",
    "sku": "0",
    "started": "",
    "reproduce": "sku build",
    "board": "fake",
    "arch": "arm64",
    "cmdline": "console=ttyAMA0",
    "tree": {
        "name": "6.1",
        "kind": "tarball",
        "version": "6.1",
        "origin": "",
        "base": "",
        "commit": "",
    },
    "series": [],
    "patches": [],
    "localversion": "",
    "source_date_epoch": 0,
    "toolchain": {},
    "host": {"machine": "x", "system": "x", "cpus": 1},
    "fingerprint": "",
}

_FAKE_QEMU = """\
#!{python} -IS
import contextlib, json, os, socket, sys, threading, time

def option(prefix):
    value = next(a for a in sys.argv if a.startswith(prefix))
    return value.split("path=", 1)[1].replace(",,", ",")

def connected(prefix):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(option(prefix))
    return sock.makefile("rwb", buffering=0)

def send(stream, value):
    stream.write(json.dumps(value).encode() + b"\\n")

def commands():
    # The client ends a command with its closing brace, and not with a newline.
    text = ""
    while data := qmp.read(65536):
        text += data.decode()
        with contextlib.suppress(ValueError):
            while text := text.lstrip():
                command, end = json.JSONDecoder().raw_decode(text)
                text = text[end:]
                yield command

def monitor():
    version = {{"qemu": {{"major": 9, "minor": 8, "micro": 7}}, "package": ""}}
    send(qmp, {{"QMP": {{"version": version, "capabilities": []}}}})
    for asked in commands():
        answer = version if asked["execute"] == "query-version" else {{}}
        send(qmp, {{"return": answer, **({{"id": asked["id"]}} if "id" in asked else {{}})}})
        if asked["execute"] == "cont":
            running.set()
        if asked["execute"] == "quit":
            os._exit(0)

def say(**event):
    send(port, event)

def init(counter=62500000, release="6.1.0-fake", **changed):
    say(**{{"event": "init", "protocol": 1, "counter": counter, "counter_hz": 62500000,
        "release": release, "version": "#1", "cmdline": "", "cpus_online": "0-1",
        "cpus_possible": "0-1", "memory_kib": 1 << 20, "page_size": 4096,
        "uptime_ns": 900000000, **changed}})

def log(*texts, level=6):
    assert hear() == "kmsg"
    for text in texts:
        say(event="line", level=level, facility=0, us=1000, text=text)
    say(event="kmsg", lines=len(texts), lost=0)

def hear():
    return port.readline().decode().rstrip("\\n")

def event(name, **data):
    stamp = {{"seconds": 1, "microseconds": 0}}
    send(qmp, {{"event": name, "data": data, "timestamp": stamp}})

def power_off():
    assert hear() == "poweroff"
    say(event="poweroff", counter=200000000)
    event("SHUTDOWN", guest=True, reason="guest-shutdown")
    time.sleep(60)

with open({pid_file!r}, "w") as file:
    file.write(str(os.getpid()))
serial = open(option("file,id=serial"), "w", buffering=1)
{before}
running = threading.Event()
qmp, port = connected("socket,id=qmp"), connected("socket,id=lab")
threading.Thread(target=monitor, daemon=True).start()
running.wait()
{script}
"""


def install_qemu(
    directory: Path, monkeypatch: pytest.MonkeyPatch, script: str, *, before: str = ""
) -> Path:
    """Put a fake QEMU first on PATH; return the file that will hold its process id.

    ``script`` is what the guest does once it runs, ``before`` what QEMU does when it starts.
    """
    programs = directory / "programs"
    programs.mkdir()
    pid_file = directory / "qemu.pid"
    program = programs / "qemu-system-aarch64"
    text = _FAKE_QEMU.format(
        python=sys.executable, pid_file=str(pid_file), script=script, before=before
    )
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return pid_file


def image(path: Path) -> None:
    """Write something with the header of an uncompressed arm64 Image."""
    path.write_bytes(struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 1 << 20, 0xA, 0, 0, 0, b"ARM\x64", 0))


def bundle(path: Path, **changed: object) -> Path:
    """Make a bundle directory for :data:`BOARD`; ``changed`` are keys of its metadata."""
    path.mkdir()
    image(path / "Image")
    (path / "initramfs.cpio").write_bytes(b"070701")
    (path / "metadata.json").write_text(json.dumps(_METADATA | changed))
    return path
