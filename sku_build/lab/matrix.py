# SPDX-License-Identifier: GPL-2.0-only
"""All kernel lines, one after the other: applied, configured, built, booted, and updated across.

Nothing ends the run before its time: what goes wrong with a line is its result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from sku_build import board as boards
from sku_build import composition, console, git, image, layout, outcome, plan
from sku_build import tree as trees
from sku_build.board import Board
from sku_build.composition import LeftOut
from sku_build.errors import CheckError, ExitCode, SkuError, UserError
from sku_build.lab import results, scenario, update
from sku_build.lab.scenario import Options
from sku_build.metadata import Metadata
from sku_build.tree import Tree

FORMAT = 1
# Without these no application's memory gets from one kernel to another.
NEEDED = ("handover", "pid_reserve", "pin_mem")
DATA_MIB = 64
_BEGIN = "<!-- sku matrix: from {}; `make test-matrix` makes it -->"
_END = "<!-- sku matrix ends -->"

T = TypeVar("T")


class Step(msgspec.Struct, frozen=True):
    """One thing tried; ``said`` is why it is not ``ok``.

    ``refused`` is an update that ``skuctl`` would not begin, with the application untouched.
    """

    state: Literal["ok", "failed", "refused", "left-out"]
    said: str = ""


class LineResult(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel line: its version, the board's series that it got, and how far it came.

    ``patches`` counts them by outcome, ``symbols`` those of the configuration that were asked for
    and came out so, ``build`` stands for apply, config and build; the first that fails says why.
    ``inputs`` is the fingerprint of all that the bundle depends on, empty when it cannot be told.
    """

    line: str
    version: str
    series: list[str]
    left_out: list[LeftOut]
    patches: dict[str, int] = {}
    symbols: int = 0
    build: Step
    boot: Step
    inputs: str = ""


class Move(msgspec.Struct, frozen=True):
    """An update under redis from a kernel of one line to one of another, or of the same."""

    first: str
    second: str
    result: Step


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; ``revision`` is the commit of this repository that it was run with."""

    format: int = FORMAT
    kind: Literal["matrix"] = "matrix"
    board: str
    revision: str
    data_mib: int = DATA_MIB
    lines: list[LineResult]
    moves: list[Move]

    @property
    def failures(self) -> list[str]:
        """A sentence for each thing that was tried and failed."""
        steps = [(f"{item.line}: build", item.build) for item in self.lines]
        steps += [(f"{item.line}: boot", item.boot) for item in self.lines]
        steps += [(f"{item.first} to {item.second}", item.result) for item in self.moves]
        return [f"{what}: {step.said}" for what, step in steps if step.state == "failed"]


def run(
    names: Sequence[str],
    *,
    board_name: str,
    output: Path | None = None,
    options: Options,
    earlier: Matrix | None = None,
) -> Matrix:
    """Try the trees ``names`` with the board, and all updates between those that can do one.

    Bundles go into the cache, and are used again when nothing changed; ``output`` takes the logs of
    the guests. What went well in ``earlier`` results of the same board is taken over from there, as
    far as its bundles would be made from the same inputs. Raises UserError for an unknown board or
    tree; all that fails is in the result.
    """
    board = boards.load(board_name)
    known = _Known(earlier if earlier and earlier.board == board.name else None)
    station = _Station(board, options, output)
    chosen = [trees.ensure(name) for name in names]
    lines = []
    for tree in chosen:
        with console.step(f"{tree.name} ({tree.version})"):
            inputs = _inputs(tree, board)
            lines.append(known.line(tree, inputs) or station.line(tree, inputs))
    moves = [
        known.move(first, second) or station.move(first, second)
        for first in lines
        for second in lines
    ]
    revision = git.git("rev-parse", "HEAD", cwd=layout.data_root(), check=False).stdout.strip()
    return Matrix(board=board.name, revision=revision, lines=lines, moves=moves)


def _inputs(tree: Tree, board: Board) -> str:
    chosen = composition.of_board(board, tree.kernel)
    planned, _ = _attempt(
        lambda: plan.make(tree, board, series=chosen.series, left_out=chosen.left_out)
    )
    return planned.fingerprint() if planned else ""


class _Known:
    """What earlier results say of lines and moves whose inputs are still the same."""

    def __init__(self, earlier: Matrix | None) -> None:
        self._lines = {item.line: item for item in earlier.lines} if earlier else {}
        moves = earlier.moves if earlier else []
        self._moves = {(item.first, item.second): item for item in moves}
        self._same: set[str] = set()

    def line(self, tree: Tree, inputs: str) -> LineResult | None:
        found = self._lines.get(tree.name)
        if found is None or not inputs or found.inputs != inputs or found.boot.state != "ok":
            return None
        self._same.add(tree.name)
        console.note(f"{tree.name}: nothing has changed since the earlier results")
        return found

    def move(self, first: LineResult, second: LineResult) -> Move | None:
        if not {first.line, second.line} <= self._same:
            return None
        found = self._moves.get((first.line, second.line))
        return found if found and found.result.state != "failed" else None


def _at(options: Options, output: Path | None, name: str) -> Options:
    return dataclasses.replace(options, directory=output / name) if output else options


def _attempt(work: Callable[[], T]) -> tuple[T | None, Step]:
    try:
        return work(), Step("ok")
    except SkuError as error:
        refused = error.data == {"status": int(ExitCode.CHECK)}
        said = error.message.partition("\n")[0]
        return None, Step("refused" if refused else "failed", said)


class _Station:
    """Where lines and moves are tried: a board, and what its guests are given."""

    def __init__(self, board: Board, options: Options, output: Path | None) -> None:
        self._board, self._options, self._output = board, options, output
        self._built: set[str] = set()

    def line(self, tree: Tree, inputs: str) -> LineResult:
        """Build a line, and boot it."""
        board, bundle = self._board, self._bundle(tree.name)
        chosen = composition.of_board(board, tree.kernel)
        built, build = _attempt(lambda: self._build(tree.name))
        boot = Step("left-out", "it was not built")
        if built is not None:
            options = _at(self._options, self._output, tree.name)
            booted, boot = _attempt(lambda: scenario.boot(bundle, board=board, options=options))
            warned = results.warnings(booted) if booted else []
            if warned:
                boot = Step("failed", f"its log has a warning: {warned[0][1].text}")
        config = built.config if built else None
        patches = built.patches if built else []
        return LineResult(
            line=tree.name,
            version=tree.version,
            series=[item.name for item in chosen.series],
            left_out=list(chosen.left_out),
            patches=outcome.counts(patches),
            symbols=config.requested - len(config.waived) if config else 0,
            build=build,
            boot=boot,
            inputs=inputs,
        )

    def move(self, first: LineResult, second: LineResult) -> Move:
        """Update from a line to another, both built when they are not."""
        what = f"{first.line}-to-{second.line}"
        step = _cannot(first) or _cannot(second)
        if step is None:
            with console.step(f"Update {first.line} to {second.line}"):
                _, step = _attempt(lambda: self._update(first.line, second.line, what))
        return Move(first.line, second.line, step)

    def _update(self, first: str, second: str, what: str) -> None:
        for name in (first, second):
            if name not in self._built:  # the line itself was taken over from earlier results
                self._build(name)
        paths = self._bundle(first), self._bundle(second)
        options = _at(self._options, self._output, what)
        _update(*paths, board=self._board, options=options)

    def _build(self, name: str) -> Metadata:
        tree = trees.ensure(name)
        chosen = composition.of_board(self._board, tree.kernel)
        output = self._bundle(name)
        made = image.build(
            tree, self._board, series=chosen.series, left_out=chosen.left_out, output=output
        )
        self._built.add(name)
        return made

    def _bundle(self, name: str) -> Path:
        return layout.cache_dir("matrix") / f"{self._board.name}-{name}"


def _cannot(line: LineResult) -> Step | None:
    missing = [name for name in NEEDED if name not in line.series]
    if missing:
        return Step("left-out", f"{line.line} goes without {', '.join(missing)}")
    if line.boot.state != "ok":
        return Step("left-out", f"{line.line} did not boot")
    return None


def _update(first: Path, second: Path, *, board: Board, options: Options) -> None:
    load = update.Load(DATA_MIB)
    done = update.update(first, second, board=board, load=load, options=options)
    broken = [text for way in done.ways for text in way.broken]
    if broken:
        raise CheckError("; ".join(broken))


def table(matrix: Matrix) -> str:
    """Return the results as one Markdown table, without the lines of what failed."""
    names = [item.line for item in matrix.lines]
    head = ["from", "series", "patches", "symbols", "build", "boot"]
    head += [f"update to {name}" for name in names]
    rows = [head, ["---"] * len(head)]
    for item in matrix.lines:
        moves = {move.second: move.result for move in matrix.moves if move.first == item.line}
        total = len(item.series) + len(item.left_out)
        rows.append(
            [
                item.version,
                f"{len(item.series)} of {total}",
                ", ".join(f"{count} {kind}" for kind, count in item.patches.items()),
                f"{item.symbols} proved",
                _word(item.build),
                _word(item.boot),
                *(_word(moves[name]) for name in names),
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _word(step: Step) -> str:
    return {"ok": "yes", "failed": "**no**", "refused": "refused", "left-out": "–"}[step.state]


def section(matrix: Matrix, source: str) -> str:
    """Return what stands in a document for the results in the file ``source``, marks included."""
    left: dict[str, list[str]] = {}
    for item in matrix.lines:
        for each in item.left_out:
            left.setdefault(f"{each.series}: {each.reason}", []).append(item.line)
    notes = [f"- {' and '.join(lines)} without {text}" for text, lines in left.items()]
    notes += [
        f"- {item.first} to {item.second} is refused before anything is touched: {item.result.said}"
        for item in matrix.moves
        if item.result.state == "refused"
    ]
    notes += [f"- **failed:** {text}" for text in matrix.failures]
    told = "".join(f"{note}\n" for note in notes)
    return f"{_BEGIN.format(source)}\n\n{table(matrix)}\n{told}\n{_END}"


def replace_section(text: str, matrix: Matrix, source: str) -> str:
    """Return the document ``text`` with its section made anew; UserError when it has none."""
    begin, end = text.find(_BEGIN.format(source)), text.find(_END)
    if begin < 0 or end < begin:
        raise UserError(
            "the document has no place for the matrix",
            hint=f"it begins with the line {_BEGIN.format(source)} and ends with {_END}",
        )
    return text[:begin] + section(matrix, source) + text[end + len(_END) :]


def read(path: Path) -> Matrix:
    """Return the results in a file that ``sku lab matrix`` wrote; UserError when it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Matrix)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"cannot read it: {error}", where=path) from error
