# SPDX-License-Identifier: GPL-2.0-only
"""The one place where a process is started."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sku_build import console
from sku_build.errors import InfraError

_KEPT_ENVIRONMENT = ("HOME", "LOGNAME", "PATH", "TERM", "TMPDIR", "USER", "XDG_CACHE_HOME")
_TAIL_LINES = 20
_GRACE_S = 5
_inherited: set[int] = set()


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a finished process left: its exit status and its captured text."""

    status: int
    stdout: str
    stderr: str


def says_disk_full(text: str) -> bool:
    """Return whether a program's messages say that it ran out of disk; git has words of its own."""
    return "No space left on device" in text or "Out of diskspace" in text


class CommandError(InfraError):
    """A command that had to succeed did not; ``status``, ``stdout`` and ``stderr`` are kept."""

    def __init__(self, argv: Sequence[str], result: Result, where: Path | None = None) -> None:
        tail = (result.stderr.strip() or result.stdout.strip()).splitlines()[-_TAIL_LINES:]
        said = "\n".join(f"    {line}" for line in tail)
        what = (
            "the disk is full"
            if says_disk_full(result.stderr)
            else f"{argv[0]} failed with status {result.status}"
        )
        super().__init__(
            what + (f":\n{said}" if said else ""),
            where=where,
            hint=f"the command was: {shlex.join(argv)}",
        )
        self.result = result


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: built from scratch, C locale, UTC, plus ``extra``."""
    env = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    env |= {"LC_ALL": "C", "TZ": "UTC"}
    return env | dict(extra or {})


def have(program: str) -> bool:
    """Return whether ``program`` is on PATH."""
    return shutil.which(program) is not None


def _require(program: str) -> None:
    if not have(program):
        raise InfraError(
            f"{program} is not installed",
            hint="`sku doctor` names the package and the command that installs it",
        )


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Result:
    """Run a command to its end and return what it printed.

    Standard input is closed unless ``stdin`` gives its text. ``env`` is added to
    :func:`environment`. ``timeout`` is in seconds. Raises :class:`CommandError` when ``check`` and
    the status is not 0, and :class:`InfraError` when the program is missing or the time is over.
    """
    args = [os.fspath(arg) for arg in argv]
    _require(args[0])
    console.debug(f"+ {shlex.join(args)}")
    try:
        done = subprocess.run(
            args,
            cwd=cwd,
            env=environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            pass_fds=tuple(_inherited),
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InfraError(
            f"{args[0]} did not end within {timeout:g} s", hint=f"the command: {shlex.join(args)}"
        ) from error
    result = Result(done.returncode, done.stdout, done.stderr)
    if check and result.status != 0:
        raise CommandError(args, result, cwd)
    return result


@contextlib.contextmanager
def inherited(lock: int) -> Iterator[None]:
    """Let what is started meanwhile hold the open file ``lock`` too.

    A lock on it then lasts for as long as anything runs that was started under it, also after this
    process was killed: a compiler that outlives its sku still reads the source that is locked.
    """
    _inherited.add(lock)
    try:
        yield
    finally:
        _inherited.discard(lock)


@contextlib.contextmanager
def process(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    **popen: object,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own; whatever is left of it is ended on the way out.

    It is asked first: make removes the targets it was busy with, which otherwise would look newer
    than their sources and be taken for whole by the next build.
    """
    args = [os.fspath(arg) for arg in argv]
    _require(args[0])
    console.debug(f"+ {shlex.join(args)}")
    child: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
        args,
        cwd=cwd,
        env=environment(env),
        start_new_session=True,
        pass_fds=tuple(_inherited),
        **{"stdin": subprocess.DEVNULL, **popen},
    )
    with child:
        try:
            yield child
        finally:
            if child.poll() is None:
                _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(_GRACE_S)
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def stream(
    argv: Sequence[str | os.PathLike[str]],
    on_line: Callable[[str], None],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a long command; every output line goes to the file ``log`` and to ``on_line``.

    Standard error is merged into standard output. The result holds the last lines only; the status
    is the caller's to judge.
    """
    tail: collections.deque[str] = collections.deque(maxlen=200)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with (
        log.open("w", buffering=1, encoding="utf-8", errors="replace") as sink,
        process(argv, cwd=cwd, env=env, **pipes) as child,
    ):
        assert child.stdout is not None
        for raw in child.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            sink.write(line + "\n")
            tail.append(line)
            on_line(line)
        status = child.wait()
    return Result(status, "\n".join(tail), "")
