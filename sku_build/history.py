# SPDX-License-Identifier: GPL-2.0-only
"""What past runs measured: one line of JSON a run, in the cache; see docs/bench.md.

Beside it is the whole result of the latest run of each kind, for `sku report` without arguments.
"""

from __future__ import annotations

import fcntl
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import console, files, layout
from sku_build.bench.comparison import Comparison, Report, now
from sku_build.errors import UserError
from sku_build.lab.update_result import UpdateResult, Way

FORMAT = 1
_FILE = "runs.jsonl"
_LATEST = "latest"


class Measure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One comparison of a run: medians in ``unit``, either way may be missing, and the goals.

    ``goal`` is of the ratio, ours ÷ ordinary, ``goal_difference`` of ours less ordinary.
    """

    name: str
    unit: str
    ours: float | None = None
    ordinary: float | None = None
    goal: float | None = None
    goal_difference: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours ÷ ordinary, None when one of them is missing."""
        return self.ours / self.ordinary if self.ours is not None and self.ordinary else None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run: ``when`` is UTC in ISO 8601, ``broken`` how many promises it did not keep."""

    format: int
    when: str
    run: str
    release: str = ""
    board: str = ""
    machine: str = ""
    broken: int = 0
    measures: list[Measure]


_DECODER = msgspec.json.Decoder(Entry)


def directory() -> Path:
    """Return the history's directory in the cache."""
    return layout.cache_dir("history")


def of_update(result: UpdateResult, when: str) -> Entry:
    """Return what is kept of an update in the lab."""
    size = f"{result.data_mib} MiB{', huge pages' if result.huge else ''}"

    def measure(name: str, field: str) -> Measure:
        took = {item.way: float(getattr(item.traffic, field)) for item in result.ways}
        return Measure(
            name=f"{name}, {size}",
            unit="ms",
            ours=took.get(Way.OURS),
            ordinary=took.get(Way.ORDINARY),
        )

    way = result.ways[0]
    return Entry(
        format=FORMAT,
        when=when,
        run="lab update",
        release=way.first.release,
        board=result.board,
        machine=f"{way.machine.accelerator}, {way.machine.smp} CPUs",
        broken=sum(len(item.broken) for item in result.ways),
        measures=[
            measure("blackout", "blackout_ms"),
            measure("longest wait for a reply", "slowest_ms"),
        ],
    )


def of_report(report: Report) -> Entry:
    """Return what is kept of a bench."""
    inputs = report.inputs
    releases = inputs.get("releases")
    machine = [str(inputs[key]) for key in ("accelerator",) if key in inputs]
    machine += [f"{inputs['cpus']} CPUs"] if "cpus" in inputs else []
    return Entry(
        format=FORMAT,
        when=report.when,
        run=f"bench {report.bench}",
        release=str(releases[0]) if isinstance(releases, list) and releases else "",
        board=str(inputs.get("board", "")),
        machine=", ".join(machine),
        measures=[_of_comparison(item) for item in report.comparisons],
    )


def _of_comparison(item: Comparison) -> Measure:
    return Measure(
        name=item.name,
        unit=item.unit,
        ours=round(statistics.median(item.ours), 4),
        ordinary=round(statistics.median(item.ordinary), 4),
        goal=item.goal,
        goal_difference=item.goal_difference,
    )


def keep(result: UpdateResult | Report) -> None:
    """Append a run to the history and keep its result as the latest of its kind.

    A run is not lost for a history that cannot be written: then a warning says so.
    """
    entry = of_update(result, now()) if isinstance(result, UpdateResult) else of_report(result)
    try:
        append(entry, directory() / _FILE)
        kept = directory() / _LATEST / f"{entry.run.replace(' ', '-')}.json"
        kept.parent.mkdir(exist_ok=True)
        files.replace(kept, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    except (OSError, UserError) as error:
        console.warn(f"this run is not in the history: {error}")


def append(entry: Entry, path: Path) -> None:
    """Add a line to the file ``path``; one that another run was killed in is ended first."""
    line = msgspec.json.encode(entry) + b"\n"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def read(path: Path) -> tuple[list[Entry], list[str]]:
    """Return the runs in the file, oldest first, and a sentence for each line that is none.

    A file that is not there has no runs.
    """
    entries, problems = [], []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"line {number}: {error}")
            continue
        if entry.format != FORMAT:
            problems.append(f"line {number}: format {entry.format}, and this sku reads {FORMAT}")
            continue
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry.when), problems


def runs() -> tuple[list[Entry], list[str]]:
    """Return the history in the cache; see :func:`read`."""
    return read(directory() / _FILE)


def latest() -> Sequence[Path]:
    """Return the files that hold the latest result of each kind of run."""
    return sorted((directory() / _LATEST).glob("*.json"))
