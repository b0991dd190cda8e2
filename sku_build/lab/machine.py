# SPDX-License-Identifier: GPL-2.0-only
"""A running virtual machine, seen as phases in which the guest is told and expected to say things.

All asynchronous code of the lab is in this module: QEMU's monitor (QMP), the guest's channel and
the end of the process are three sources that feed one queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from qemu.qmp import QMPClient

from sku_build import run
from sku_build.errors import CheckError, InfraError, PhaseTimeout, SkuError
from sku_build.lab import guest, qemu, rundir
from sku_build.lab.phases import Phase, limit

_LINE_MAX = 1 << 20
_CONSOLE_LINES = 12
_PANIC_LINES = 300  # a panic is followed by registers, stacks and loaded modules
_GRACE_S = 2.0
_SOCKET_DIRECTORY_MAX = 80

T = TypeVar("T")


class GuestFailed(CheckError):
    """The guest did not do what the phase is for; ``data`` has the phase and the console's end."""


@dataclasses.dataclass(frozen=True, slots=True)
class PhaseTime:
    """How long a phase took on the host's clock, and how long it may take, in seconds."""

    phase: Phase
    seconds: float
    limit: float


@dataclasses.dataclass(frozen=True, slots=True)
class Monitor:
    """An event of QEMU's monitor."""

    name: str
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """QEMU has ended, with a status as of :class:`subprocess.Popen`."""

    status: int


_POWERED_OFF = Monitor("SHUTDOWN", "guest-shutdown")

Item = guest.Event | guest.Malformed | Monitor | Ended


def complaint(item: Item) -> str | None:
    """Return why an item that was not waited for ends the run, or None when it does not."""
    match item:
        case guest.Failure(message=message):
            return f"the guest reports: {message}"
        case guest.Malformed():
            return f"the guest sent what the lab cannot read: {item}"
        case Monitor(name="GUEST_PANICKED"):
            return "the guest's kernel panicked"
        case Monitor(name="SHUTDOWN", reason=reason):
            return f"the guest ended by itself ({reason})"
        case Ended(status=status):
            return f"{qemu.PROGRAM} ended with status {status}"
        case guest.Init(release=release):
            return f"a kernel {release} started out of turn"
    return None


def console_tail(log: Path, lines: int = _CONSOLE_LINES) -> list[str]:
    """Return the last lines of a console log, without what a terminal would not show."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    shown = ["".join(c for c in line if c.isprintable()) for line in text.splitlines()]
    return [line for line in shown if line.strip()][-lines:]


def panic_line(log: Path) -> str | None:
    """Return the line of a console log with which the last kernel panicked, if it did."""
    tail = console_tail(log, _PANIC_LINES)
    panics = [line for line in tail if "Kernel panic" in line and "---[ end" not in line]
    return panics[-1] if panics else None


class Machine:
    """A virtual machine that lives as long as the ``with`` block; it leaves no process behind.

    ``directory`` takes its logs. ``factor`` stretches every time-out. ``host`` and
    ``port`` are where this machine reaches the guest's port, if it has one. All methods raise
    :class:`PhaseTimeout` when the phase's time is over, and :class:`GuestFailed` as soon as the
    guest panics, resets, ends or reports a failure.
    """

    def __init__(self, vm: qemu.VirtualMachine, directory: Path, *, factor: float = 1.0) -> None:
        self.vm = vm
        self.serial_log = directory / rundir.SERIAL_LOG
        self.qemu_log = directory / rundir.QEMU_LOG
        self.phases: list[PhaseTime] = []
        self.argv: list[str] = []
        self.version = ""
        self.host = "127.0.0.1"
        self.port: int | None = None
        self._factor = factor
        self._phase: Phase | None = None
        self._deadline = 0.0
        self._lines: list[guest.Line] = []
        self._ran: list[guest.Ran] = []
        self._stack = contextlib.ExitStack()
        self._runner = asyncio.Runner()
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._connected = asyncio.Event()
        self._qmp = QMPClient("lab")
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._monitor: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._exit_fd = -1

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Enter a phase: its time-out counts from here, and is for all that is expected in it."""
        allowed = limit(phase, self.vm.accelerator, self._factor)
        begin = time.monotonic()
        self._phase, self._deadline = phase, begin + allowed
        yield
        self.phases.append(PhaseTime(phase, round(time.monotonic() - begin, 3), allowed))
        self._phase = None

    def tell(self, line: str) -> None:
        """Send one command to ``sku-init``."""
        self._run(self._tell(line))

    def expect(self, *kinds: type[T]) -> T:
        """Wait until the guest sends an event of one of the ``kinds`` and return it."""
        return self._run(self._next(*kinds))

    def kernel_log(self) -> list[guest.Line]:
        """Ask for the kernel's log, and return its records."""
        self._lines.clear()
        self.tell("kmsg")
        self.expect(guest.Kmsg)
        return list(self._lines)

    def put(self, path: str, text: str) -> None:
        """Write ``text``, one line without its end, to an existing file of the guest."""
        if not path.isprintable() or " " in path or not text or not text.isprintable():
            raise ValueError(f"cannot be told to the guest: {path!r}, {text!r}")
        self.tell(f"put {path} {text}")
        self.expect(guest.Put)

    def get(self, path: str) -> str:
        """Return what a file of the guest holds: up to 64 KiB, a character a byte."""
        if not path.isprintable() or " " in path:
            raise ValueError(f"cannot be told to the guest: {path!r}")
        self.tell(f"get {path}")
        return self.expect(guest.Content).text

    def run(self, command: str, *, check: bool = True) -> guest.Ran:
        """Have the shell of the guest's root file system run ``command``, and wait for its end.

        Raises GuestFailed when ``check`` and its status is not 0.
        """
        self.begin(command)
        ran = self.expect(guest.Ran)
        if check and ran.status != 0:
            said = _indented(ran.output.strip().splitlines()[-_CONSOLE_LINES:])
            raise self._failed(f"`{command}` ended with status {ran.status}{said}", None)
        return ran

    def begin(self, command: str) -> None:
        """As :meth:`run`, but do not wait: the event ``Ran`` will tell of its end."""
        if not command.isprintable() or not command:
            raise ValueError(f"cannot be told to the guest: {command!r}")
        self.tell(f"run {command}")

    def jump(self) -> guest.Jump:
        """Leave the running kernel for the one that is loaded, in a phase of its own."""
        with self.phase(Phase.JUMP):
            self.tell("jump")
            return self.expect(guest.Jump)

    def monitor(self, command: str, **arguments: Any) -> object:
        """Have QEMU's monitor (QMP) do ``command``, and return what it answers."""
        return self._run(self._qmp.execute(command, arguments))

    def power_off(self) -> None:
        """Have the guest power off, and QEMU end."""
        self.tell("poweroff")
        while (event := self.expect(Monitor)) != _POWERED_OFF:
            reason = complaint(event)
            if reason is not None:
                raise self._failed(reason, None)
        self._run(self._quit())

    # What follows starts and ends the machine.

    def _start(self, stack: contextlib.ExitStack) -> None:
        # Sockets have a place of their own, only ours to enter; a path may have 107 bytes.
        short = None if len(tempfile.gettempdir()) < _SOCKET_DIRECTORY_MAX else "/tmp"
        sockets = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sku-lab-", dir=short))
        )
        places = qemu.Places(sockets / "qmp", sockets / "channel", self.serial_log)
        self.argv = qemu.command(self.vm, places)
        stack.enter_context(self._runner)
        stack.callback(lambda: self._runner.run(self._close()))
        with self.phase(Phase.START):
            self._run(self._listen(places))
            log = stack.enter_context(self.qemu_log.open("wb"))
            child = stack.enter_context(
                run.process([*_death_signal(), *self.argv], stdout=log, stderr=log)
            )
            self._run(self._connect(child))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` until it is done or the time of the phase is over."""
        if self._phase is None:
            work.close()
            raise RuntimeError("the machine is used outside of a phase")
        left = max(0.0, self._deadline - time.monotonic())
        try:
            return self._runner.run(_within(work, left))
        except TimeoutError:
            raise self._timeout(self._phase) from None

    async def _listen(self, places: qemu.Places) -> None:
        self._server = await asyncio.start_unix_server(
            self._on_channel, places.channel, limit=_LINE_MAX
        )
        await self._qmp.start_server(os.fspath(places.qmp))

    async def _connect(self, child: subprocess.Popen[bytes]) -> None:
        """Wait until QEMU has connected to both sockets, and let the guest run."""
        self._child = child
        self._exit_fd = os.pidfd_open(child.pid)
        asyncio.get_running_loop().add_reader(self._exit_fd, self._on_exit)
        gone = asyncio.create_task(self._gone.wait())
        ready = asyncio.create_task(self._greet())
        try:
            await asyncio.wait({gone, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done() or ready.exception() is not None:
                raise await self._not_started()
        finally:
            gone.cancel()
            ready.cancel()
            await asyncio.gather(gone, ready, return_exceptions=True)
        self._monitor = asyncio.create_task(self._pump_monitor())
        await self._qmp.execute("cont")

    async def _greet(self) -> None:
        await self._qmp.accept()
        await self._connected.wait()
        version = await self._qmp.execute("query-version")
        numbers = version["qemu"]  # type: ignore[index]
        self.version = ".".join(str(numbers[part]) for part in ("major", "minor", "micro"))
        if self.vm.guest_port is not None and self.vm.tap is not None:
            self.host, self.port = qemu.GUEST_ADDRESS, self.vm.guest_port
        elif self.vm.guest_port is not None:
            asked = {"command-line": "info usernet"}
            usernet = await self._qmp.execute("human-monitor-command", asked)
            self.port = qemu.forwarded_port(str(usernet))

    async def _pump_monitor(self) -> None:
        async for event in self._qmp.events:
            data = event.get("data")
            reason = data.get("reason") if isinstance(data, dict) else None
            self._queue.put_nowait(Monitor(str(event["event"]), reason))

    async def _on_channel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._connected.set()
        with contextlib.suppress(OSError):
            while line := await _read_line(reader):
                self._queue.put_nowait(_decoded(line))

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._exit_fd)
        self._gone.set()
        assert self._child is not None
        self._queue.put_nowait(Ended(self._child.wait()))

    async def _tell(self, line: str) -> None:
        assert self._writer is not None
        self._writer.write(line.encode() + b"\n")
        # A guest that has gone says so in the queue, and better than the socket does.
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def _next(self, *kinds: type[T]) -> T:
        # A command that ends while something else is asked for is news for later.
        ran = self._ran[0] if self._ran else None
        if isinstance(ran, kinds):
            self._ran.pop(0)
            return ran
        while True:
            item = await self._queue.get()
            if isinstance(item, kinds):
                return item
            if isinstance(item, guest.Line):
                self._lines.append(item)
            if isinstance(item, guest.Ran):
                self._ran.append(item)
            reason = complaint(item)
            if reason is not None:
                hint = item.hint or None if isinstance(item, guest.Failure) else None
                raise self._failed(reason, hint)

    async def _quit(self) -> None:
        with contextlib.suppress(Exception):  # it may end before it answers
            await self._qmp.execute("quit")
        await self._gone.wait()

    async def _close(self) -> None:
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.gather(self._monitor, return_exceptions=True)
        if self._exit_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._exit_fd)
            os.close(self._exit_fd)
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(Exception):  # how QEMU's end of the socket was closed is no news
            await self._qmp.disconnect()

    # What follows says what went wrong.

    async def _not_started(self) -> SkuError:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _GRACE_S)
        assert self._child is not None
        said = console_tail(self.qemu_log)
        return InfraError(
            f"{qemu.PROGRAM} did not start (status {self._child.poll()})"
            + _indented(said or ["it said nothing"]),
            where=self.qemu_log,
            hint="look at the board's [qemu] part and at --memory and --smp",
            data={"phase": Phase.START, "argv": self.argv},
        )

    def _failed(self, reason: str, hint: str | None) -> GuestFailed:
        tail = console_tail(self.serial_log)
        panic = panic_line(self.serial_log)
        return GuestFailed(
            f"in the phase {self._phase}, {reason}" + _indented([panic] if panic else tail),
            where=self.serial_log,
            hint=hint,
            data={"phase": self._phase, "reason": reason, "console": tail},
        )

    def _timeout(self, phase: Phase) -> PhaseTimeout:
        allowed = limit(phase, self.vm.accelerator, self._factor)
        tail = console_tail(self.serial_log)
        return PhaseTimeout(
            f"the phase {phase} did not end within {allowed:g} s; the console's last lines"
            + _indented(tail or ["(the console is empty)"]),
            where=self.serial_log,
            hint="on a slow host, `--timeout-factor 3` gives three times as long; "
            "`--append loglevel=7` has the kernel say more",
            data={"phase": phase, "limit_s": allowed, "console": tail},
        )


async def _within(work: Coroutine[Any, Any, T], seconds: float) -> T:
    async with asyncio.timeout(seconds):
        return await work


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line; one that is too long comes back cut, and so does not decode."""
    try:
        return await reader.readline()
    except ValueError as error:
        return str(error).encode() + b"\n"


def _decoded(line: bytes) -> guest.Event | guest.Malformed:
    try:
        return guest.decode(line)
    except guest.Malformed as error:
        return error


def _death_signal() -> list[str]:
    """Return the prefix that makes QEMU end with us, even when we are killed outright."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if run.have("setpriv") else []


def _indented(lines: list[str]) -> str:
    return "".join(f"\n    {line}" for line in [":", *lines][1:]) if lines else ""
