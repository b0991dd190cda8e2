# SPDX-License-Identifier: GPL-2.0-only
"""The one place that prints.

Results (tables, JSON) go to standard output; progress, steps and errors go to standard error, so
that ``sku … --json | jq`` always works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sku_build.errors import SkuError

_NO_TERMINAL_WIDTH = 120


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _NO_TERMINAL_WIDTH
    return Console(stderr=stderr, highlight=False, width=width)


@dataclasses.dataclass(slots=True)
class _State:
    debug: bool = False
    quiet: bool = False
    depth: int = 0


_state = _State()


def configure(*, debug: bool = False, quiet: bool = False) -> None:
    """Set how much is said: ``debug`` shows every command run, ``quiet`` hides steps."""
    _state.debug = debug
    _state.quiet = quiet


def is_debug() -> bool:
    """Return whether commands and tracebacks are to be shown."""
    return _state.debug


def debug(message: str) -> None:
    """Print a line that only ``--debug`` shows."""
    if _state.debug:
        _console(stderr=True).print(f"[dim]{escape(message)}[/dim]", soft_wrap=True)


def note(message: str) -> None:
    """Print one line of progress to standard error."""
    if not _state.quiet:
        indent = "  " * _state.depth
        _console(stderr=True).print(f"{indent}{escape(message)}", soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning to standard error, even when quiet."""
    _console(stderr=True).print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, indent what is said inside it, and print how long it took."""
    note(f"‣ {title}…")
    begin = time.monotonic()
    _state.depth += 1
    try:
        yield
    except BaseException:
        _state.depth -= 1
        raise
    _state.depth -= 1
    note(f"  {title}: done in {time.monotonic() - begin:.1f} s")


Advance = Callable[[int, str], None]


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Show a bar with an estimate; yields ``advance(completed, detail)``.

    ``total`` is in whatever unit the caller counts (files, bytes, objects); None means unknown.
    Without a terminal a line is printed at every tenth instead of a moving bar.
    """
    console = _console(stderr=True)
    if _state.quiet:
        yield lambda completed, detail: None
    elif console.is_terminal:
        columns = (
            TextColumn("  " * _state.depth + "{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(escape(title), total=total, detail="")
            yield lambda completed, detail: bar.update(
                task, completed=completed, detail=escape(detail[-40:])
            )
    else:
        yield _line_progress(title, total)


def _line_progress(title: str, total: int | None) -> Advance:
    begin = time.monotonic()
    shown = 0

    def advance(completed: int, detail: str) -> None:
        nonlocal shown
        if not total or completed * 10 // total <= shown:
            return
        shown = completed * 10 // total
        elapsed = time.monotonic() - begin
        left = max(0.0, elapsed * (total - completed) / completed)
        note(f"{title}: {completed} of about {total}, {elapsed:.0f} s, about {left:.0f} s left")

    return advance


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of plain text to standard output; long cells fold, nothing is cut."""
    out = Table(title=title, box=rich.box.SIMPLE_HEAD, title_justify="left")
    for name in columns:
        out.add_column(name, overflow="fold")
    for row in rows:
        out.add_row(*(escape(cell) for cell in row))
    _console(stderr=False).print(out)


def say(text: str) -> None:
    """Print one line of a result to standard output."""
    print(text)


def emit_json(value: object) -> None:
    """Print a result (dataclasses, structs, dicts, enums, paths) as indented JSON."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    print(msgspec.json.format(encoded, indent=2).decode())


def report_error(error: SkuError) -> None:
    """Print an error for a person: what, where, what to do."""
    console = _console(stderr=True)
    console.print(f"[bold red]error:[/bold red] {escape(error.message)}", soft_wrap=True)
    if error.where:
        console.print(f"  [bold]where:[/bold] {escape(error.where)}", soft_wrap=True)
    if error.hint:
        console.print(f"  [bold]what to do:[/bold] {escape(error.hint)}", soft_wrap=True)
