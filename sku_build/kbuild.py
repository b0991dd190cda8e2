# SPDX-License-Identifier: GPL-2.0-only
"""Running the kernel's make: the same bytes every time, with progress, and errors that say where.

Source of the variables: Documentation/kbuild/kbuild.rst and reproducible-builds.rst.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sku_build import console, run
from sku_build.errors import CheckError, InfraError, SkuError
from sku_build.toolchain import Toolchain

# Debug information names these instead of the directories of one machine. Without a map, the
# build-id in the Image's notes, a hash over the debug information too, would depend on the path.
_SOURCE_AS = "/usr/src/linux"
_BUILD_AS = "/usr/src/linux-build"

_SHORT_LINE = re.compile(r"^  (?P<verb>[A-Z][A-Z0-9_+]*)(?: \[M\])? +(?P<what>\S.*)$")


@dataclasses.dataclass(frozen=True, slots=True)
class Kbuild:
    """One kernel source and the directory it is built in; ``epoch`` is the time stamped into it.

    ``epoch`` is in seconds since 1970, the date of the base commit, so that neither the clock nor
    a patch of a series that changes no code changes the Image.
    """

    source: Path
    objects: Path
    toolchain: Toolchain
    epoch: int
    localversion: str
    jobs: int

    def command(self, *targets: str) -> list[str]:
        """Return the make command for ``targets``.

        make is told to end when this process dies, however it dies: a compiler left running
        would write into a directory the next build already works in, and make removes the targets
        it was busy with only when it gets the chance.
        """
        return [
            *("setpriv", "--pdeathsig", "TERM", "--"),
            *("make", "--no-print-directory", f"-j{self.jobs}"),
            *("-C", str(self.source), f"O={self.objects}"),
            *self.toolchain.make_args(),
            *self._variables(),
            *targets,
        ]

    def directories(self) -> dict[str, str]:
        """Return what the directories of this build are called in all that is to be the same."""
        return {str(self.objects): _BUILD_AS, str(self.source): _SOURCE_AS}

    def _variables(self) -> list[str]:
        maps = " ".join(
            f"-fdebug-prefix-map={at}={name}" for at, name in self.directories().items()
        )
        return [
            # Set, even if empty: or setlocalversion appends a '+' for a tree not at a tag.
            f"LOCALVERSION={self.localversion}",
            f"KBUILD_BUILD_TIMESTAMP={build_timestamp(self.epoch)}",
            "KBUILD_BUILD_USER=sku",
            "KBUILD_BUILD_HOST=sku",
            "KBUILD_BUILD_VERSION=1",
            f"KCFLAGS={maps}",
            f"KAFLAGS={maps}",
        ]

    def environment(self, statslog: Path | None = None) -> dict[str, str]:
        """Return what make needs besides its arguments; ``statslog`` is where ccache counts."""
        env = {"SOURCE_DATE_EPOCH": str(self.epoch), **self.toolchain.environment()}
        if statslog is not None and self.toolchain.ccache:
            env["CCACHE_STATSLOG"] = str(statslog)
        return env

    def release(self) -> str:
        """Return what ``uname -r`` will say; the kernel must have been built."""
        path = self.objects / "include" / "config" / "kernel.release"
        return path.read_text(encoding="utf-8").strip()


def build_timestamp(epoch: int) -> str:
    """Return ``epoch`` as ``date`` prints it in the C locale and UTC.

    The text ends up in ``uname -v``, and kbuild's scripts read it back with ``date -d``.
    """
    when = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[when.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day} {months[when.month - 1]} {when.day:2} {when:%H:%M:%S} UTC {when.year}"


def estimated_steps(config: Iterable[str]) -> int:
    """Return how many short lines a full build of the resolved ``config`` will print, about.

    ``config`` is the lines of a ``.config``. Used until a build of the same kind has been counted.
    """
    enabled = sum(line.rstrip().endswith(("=y", "=m")) for line in config)
    return _STEPS_ALWAYS + int(_STEPS_PER_SYMBOL * enabled)


# A straight line through counted full builds of `make Image` of 6.1 on arm64 (see
# tests/lab/test_build.py, which checks that the estimate is right within a factor of two).
_STEPS_ALWAYS = 300
_STEPS_PER_SYMBOL = 2.0


def make(
    kbuild: Kbuild,
    targets: Sequence[str],
    *,
    title: str,
    log: Path,
    total: int | None,
    statslog: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> int:
    """Run make, show its progress against ``total`` steps, and return how many steps it took.

    ``extra`` are further variables of the command line. Raises CheckError with the first error of
    the compiler, linker or kbuild, its file and line and the log's path, and InfraError when the
    disk is full, memory ran out or a tool is missing.
    """
    argv = kbuild.command(*(f"{name}={value}" for name, value in (extra or {}).items()), *targets)
    steps = 0
    with console.progress(title, total) as advance:

        def on_line(line: str) -> None:
            nonlocal steps
            short = _SHORT_LINE.match(line)
            if short:
                steps += 1
                advance(steps, short["what"])

        done = run.stream(argv, on_line, log=log, env=kbuild.environment(statslog))
    if done.status != 0:
        with log.open(encoding="utf-8", errors="replace") as lines:
            raise explained_failure(lines, log=log, source=kbuild.source, status=done.status)
    return steps


_AT = r"(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)?"

_DOCTOR = "`sku doctor` names the package and the command that installs it"

# What went wrong around the compiler: reported as such wherever it appears in the log.
_INFRASTRUCTURE: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"No space left on device"),
        "the disk is full",
        "free some space (the build needs a few GB) or point SKU_CACHE at another disk",
    ),
    (
        re.compile(r"Killed signal terminated program|\bKilled$|virtual memory exhausted"),
        "the compiler was killed, most likely because memory ran out",
        "run it again with fewer jobs (--jobs)",
    ),
    (
        re.compile(r"fatal error: (?P<what>(?:openssl|gelf|libelf|gmp)[\w./-]*): No such file"),
        "the host lacks the header {what}, which the kernel's host programs include",
        _DOCTOR,
    ),
)

# Said by the shell; a probe may say it too and mean no harm, so a better explanation comes first.
_NO_PROGRAM = re.compile(
    r"(?:sh|bash): (?:(?:line )?\d+: )?(?P<what>[\w.+-]+): (?:command )?not found"
)

# The patch, the tree or its configuration, in the order of what tells most.
_ERRORS: tuple[re.Pattern[str], ...] = (
    re.compile(rf"^{_AT} (?:fatal )?error: (?P<message>.+)$"),
    re.compile(rf"^{_AT} (?P<message>(?:Error|syntax error|Warning: .*treated as error).*)$"),
    re.compile(r"^\S*ld(?:\.lld|\.bfd)?: error: (?P<message>.+)$"),
    re.compile(
        r"^(?:\S*ld(?:\.bfd)?: )?(?:(?P<file>[^\s:(]+):)?\(\S+\): (?P<message>undefined .+)$"
    ),
    re.compile(rf"^(?:\S*ld(?:\.bfd)?: )?{_AT} (?P<message>undefined .+)$"),
    re.compile(r"^ERROR: (?P<message>modpost: .+)$"),
    re.compile(r"^\S*ld(?:\.bfd)?: (?P<message>(?!warning).+)$"),
    re.compile(rf"^{_AT} \*\*\* (?P<message>.+?)(?:\.  Stop\.)?$"),
    re.compile(r"^\*\*\* (?P<message>\S.+)$"),
    re.compile(r"^(?:make\S*): \*\*\* (?P<message>No rule.+?)(?:\.  Stop\.)?$"),
    re.compile(r"^(?:make\S*): \*\*\* (?P<message>\[.+)$"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class BuildErrorLine:
    """The line of a build log that says what is wrong; ``file`` is relative to the source."""

    message: str
    file: str | None
    line: int | None


def first_error(lines: Iterable[str], *, source: Path) -> BuildErrorLine | None:
    """Return the first error in a build log, of the most telling kind that is in it, or None."""
    best: tuple[int, re.Match[str]] | None = None
    for line in lines:
        text = line.rstrip("\n").replace("\N{LEFT SINGLE QUOTATION MARK}", "'")
        for rank, pattern in enumerate(_ERRORS[: best[0]] if best else _ERRORS):
            match = pattern.match(text)
            if match:
                best = rank, match
                break
        if best and best[0] == 0:
            break
    if best is None:
        return None
    found = best[1].groupdict()
    return BuildErrorLine(
        message=found["message"],
        file=_in_source(found.get("file"), source),
        line=int(found["line"]) if found.get("line") else None,
    )


def _in_source(name: str | None, source: Path) -> str | None:
    if name is None:
        return None
    path = Path(os.path.normpath(name))
    return str(path.relative_to(source)) if path.is_relative_to(source) else name


def explained_failure(lines: Iterable[str], *, log: Path, source: Path, status: int) -> SkuError:
    """Return the exception for a build that ended with ``status`` and printed ``lines``."""
    kept = list(lines)
    for line in kept:
        for pattern, message, remedy in _INFRASTRUCTURE:
            match = pattern.search(line.rstrip())
            if match:
                return InfraError(
                    f"the build stopped: {message.format(**match.groupdict())}",
                    where=log,
                    hint=remedy,
                    data={"log": str(log)},
                )
    error = first_error(kept, source=source)
    if error is None or error.message.startswith("["):
        absent = next(filter(None, map(_NO_PROGRAM.search, kept)), None)
        if absent or error is None:
            said = f"{absent['what']} is not installed" if absent else "it named no error"
            return InfraError(
                f"make ended with status {status}: {said}",
                where=log,
                hint=_DOCTOR if absent else "read the end of the log",
                data={"log": str(log)},
            )
    place = error.file and (f"{error.file}:{error.line}" if error.line else error.file)
    return CheckError(
        f"the kernel does not build: {error.message}",
        where=place or log,
        hint=f"the whole log is {log}",
        data={**dataclasses.asdict(error), "log": str(log)},
    )
