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
from typing import TYPE_CHECKING

import msgspec

from sku_build.errors import SkuError

# rich is imported where it is used: loading it takes as long as applying a patch.
if TYPE_CHECKING:
    from rich.console import Console

_NO_TERMINAL_WIDTH = 120


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

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


def _print(label: str, style: str, message: str) -> None:
    """Print a line to standard error: a label in a style, and plain text after it."""
    from rich.text import Text

    _console(stderr=True).print(Text.assemble((label, style), message), soft_wrap=True)


def debug(message: str) -> None:
    """Print a line that only ``--debug`` shows."""
    if _state.debug:
        _print(message, "dim", "")


def note(message: str) -> None:
    """Print one line of progress to standard error."""
    if not _state.quiet:
        _print("", "", "  " * _state.depth + message)


def warn(message: str) -> None:
    """Print a warning to standard error, even when quiet."""
    _print("warning: ", "yellow", message)


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
        with _bar(console, title, total) as advance:
            yield advance
    else:
        yield _line_progress(title, total)


@contextlib.contextmanager
def _bar(console: Console, title: str, total: int | None) -> Iterator[Advance]:
    from rich import progress
    from rich.markup import escape

    columns = (
        progress.TextColumn("  " * _state.depth + "{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("[dim]{task.fields[detail]}"),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(title), total=total, detail="")
        yield lambda completed, detail: bar.update(
            task, completed=completed, detail=escape(detail[-40:])
        )


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
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    out = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left")
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
    _print("error: ", "bold red", error.message)
    if error.where:
        _print("  where: ", "bold", error.where)
    if error.hint:
        _print("  what to do: ", "bold", error.hint)
