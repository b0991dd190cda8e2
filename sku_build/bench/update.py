# SPDX-License-Identifier: GPL-2.0-only
"""An update under redis: how long a client waits, how that grows, and what a kept page costs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sku_build import board as boards
from sku_build import composition, console, image, lab, layout
from sku_build import tree as trees
from sku_build.bench import scattered
from sku_build.bench.comparison import Comparison, Report
from sku_build.board import Board
from sku_build.errors import CheckError, UserError
from sku_build.lab import Way, bundle, qemu, update, update_result, watched
from sku_build.lab.machine import Machine
from sku_build.lab.traffic import Traffic
from sku_build.lab.update import Load
from sku_build.lab.update_result import WayResult
from sku_build.metadata import Metadata
from sku_build.tree import Tree

BOARD = "qemu-virt"
_PLAIN_SERIES = "deferred_init"  # what the ordinary way gets: it is no part of the update
_BASE_PER_HUGE = 512

# The driver that the handover's own tests use, and what it is asked for: every second page.
_TEST_DRIVER = (
    "CONFIG_DEBUG_FS=y",
    "CONFIG_KEXEC_HANDOVER_DEBUGFS=y",
    "CONFIG_KEXEC_HANDOVER_TEST=y",
)


class Copy(msgspec.Struct, frozen=True):
    """What ``skuctl measure`` says: how long copying a page takes, by its size."""

    copy_4k_ns: float
    copy_2m_ns: float


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """How much redis holds, in MiB: where both ways are compared, and where growth is looked at."""

    data_mib: int = 1024
    large_mib: int = 4096
    small_mib: int = 256


class Bench:
    """What the parts of a run share: the kernels, built when first asked for, and the settings."""

    def __init__(
        self,
        tree: Tree,
        board: Board,
        sizes: Sizes,
        *,
        rounds: int,
        timeout_factor: float,
        output: Path | None,
    ) -> None:
        self.tree, self.board, self.sizes, self.rounds = tree, board, sizes, rounds
        self._factor, self._output = timeout_factor, output
        self._kernels: dict[str, Metadata] = {}

    def options(self, name: str, factor: float = 1, memory_mib: int | None = None) -> lab.Options:
        """Return the options of the run ``name``, whose result stays in a directory of its own."""
        return lab.Options(
            memory_mib=memory_mib,
            timeout_factor=self._factor * factor,
            directory=self._output / name if self._output else None,
        )

    @property
    def inputs(self) -> dict[str, Any]:
        """What all of it was measured on: also the kernels that were needed, and their sizes."""
        qemu_part = qemu.qemu_part(self.board)
        return {
            "tree": self.tree.origin,
            "board": self.board.name,
            "series": self.board.series,
            "releases": [built.release for built in self._kernels.values()],
            "image_mib": {name: _image_mib(built) for name, built in self._kernels.items()},
            "data_mib": dataclasses.asdict(self.sizes),
            "accelerator": qemu.accelerator(),
            "cpus": qemu_part.smp,
            "rounds": self.rounds,
        }

    @functools.cached_property
    def running(self) -> Path:
        """The bundle that every update begins with."""
        return self._built("running", self.board.series)

    @functools.cached_property
    def next(self) -> Path:
        """The one it ends with: the same kernel under another release."""
        return self._built("next", self.board.series, localversion="-next")

    @functools.cached_property
    def plain(self) -> Path:
        """The kernel of the ordinary way, without our series."""
        return self._built("plain", [_PLAIN_SERIES], localversion="-plain")

    @functools.cached_property
    def testing(self) -> Path:
        """The kernel with the handover's test driver."""
        return self._built("testing", self.board.series, extra=_TEST_DRIVER)

    def _built(
        self, name: str, series: Sequence[str], *, localversion: str = "", extra: Sequence[str] = ()
    ) -> Path:
        output = layout.cache_dir("bench") / f"update-{self.tree.name}" / name
        chosen = composition.compose(series, self.tree.kernel)
        self._kernels[name] = image.build(
            self.tree,
            self.board,
            series=chosen.series,
            left_out=chosen.left_out,
            output=output,
            localversion=localversion,
            extra=extra,
        )
        return output

    def ways(self, name: str, load: Load, ways: Sequence[Way]) -> list[WayResult]:
        """Update with ``load``, each of the ``ways``; raises CheckError for a broken promise."""
        with console.step(f"Update with {described(load)}, {' and '.join(ways)}"):
            result = update.update(
                self.running,
                self.next,
                board=self.board,
                load=load,
                ways=ways,
                plain_path=self.plain if Way.ORDINARY in ways else None,
                options=self.options(name),
            )
        for way in result.ways:
            kept(way.broken, f"{way.way}, {described(load)}", way.directory)
        return result.ways


def _image_mib(built: Metadata) -> float:
    sizes = {artefact.path: artefact.size for artefact in built.artefacts}
    return round(sizes[bundle.IMAGE] / (1 << 20), 2)


def described(load: Load) -> str:
    """Return what redis holds, for people."""
    return f"{load.data_mib} MiB in {'2 MiB' if load.huge else '4 KiB'} pages"


def kept(broken: Sequence[str], what: str, where: str | Path) -> None:
    """Raise CheckError when a run broke a promise: what it took then is no result."""
    if broken:
        raise CheckError(f"{what}: {len(broken)} promises broken: {broken[0]}", where=where)


def compare_blackouts(bench: Bench) -> list[Comparison]:
    """The client's blackout and its longest wait for a reply, ours against the ordinary way."""
    load = Load(bench.sizes.data_mib)
    done = [
        bench.ways(f"blackout-{number + 1}", load, [Way.OURS, Way.ORDINARY])
        for number in range(bench.rounds)
    ]

    def samples(way: Way, seen: Callable[[Traffic], float]) -> list[float]:
        return [seen(item.traffic) for ways in done for item in ways if item.way is way]

    def comparison(
        name: str, seen: Callable[[Traffic], float], goal: float | None = None
    ) -> Comparison:
        return Comparison(
            name=f"{name} at {load.data_mib} MiB",
            ours_is="the memory kept in place",
            ordinary_is="stock CRIU to the disk and a plain kexec, without our series",
            unit="ms",
            ours=samples(Way.OURS, seen),
            ordinary=samples(Way.ORDINARY, seen),
            goal=goal,
        )

    return [
        comparison("blackout", lambda traffic: traffic.blackout_ms, goal=0.1),
        comparison("longest wait for a reply", lambda traffic: traffic.slowest_ms),
    ]


def compare_sizes(bench: Bench) -> list[Comparison]:
    """The client's blackout with much memory against that with little, both our way."""
    return [_grown(bench, huge=huge) for huge in (False, True)]


def _grown(bench: Bench, *, huge: bool) -> Comparison:
    loads = [Load(size, huge) for size in (bench.sizes.large_mib, bench.sizes.small_mib)]
    samples: dict[Load, list[float]] = {load: [] for load in loads}
    for number in range(bench.rounds):
        for load in loads:
            name = f"growth-{load.data_mib}{'-huge' if huge else ''}-{number + 1}"
            (way,) = bench.ways(name, load, [Way.OURS])
            samples[load].append(way.traffic.blackout_ms)
    large, small = loads
    return Comparison(
        name=f"growth of the blackout, {'2 MiB' if huge else '4 KiB'} pages",
        ours_is=described(large),
        ordinary_is=described(small),
        unit="ms",
        ours=samples[large],
        ordinary=samples[small],
        goal=1.5,
    )


def compare_pages(bench: Bench) -> list[Comparison]:
    """Taking a page out and putting it back in, against copying it in the same guest."""
    return [_per_page(bench, huge=huge) for huge in (False, True)]


def _per_page(bench: Bench, *, huge: bool) -> Comparison:
    load = Load(bench.sizes.data_mib, huge)
    ours, copies = [], []
    first, second = (bundle.load(path, bench.board) for path in (bench.running, bench.next))
    for number in range(bench.rounds):
        options = bench.options(f"page{'-huge' if huge else ''}-{number + 1}")
        run = update.prepared(bench.board, load, options)
        with console.step(f"Update with {described(load)}, and copies beside it"):
            done, before, after = watched.watched(
                run, first, second, load, before=_measure, after=_measure
            )
        run.keep(done)
        kept(done.broken, described(load), run.directory)
        if huge:
            _check_huge(done.report, run.directory)
        ours.append(per_page_ns(done.report))
        copies += [before, after]
    return Comparison(
        name=f"detach and attach a page of {'2 MiB' if huge else '4 KiB'}",
        ours_is="both phases of an update, by the base pages kept",
        ordinary_is="a copy into new memory, by base pages",
        unit="ns",
        ours=ours,
        ordinary=[copy.copy_2m_ns / _BASE_PER_HUGE if huge else copy.copy_4k_ns for copy in copies],
        goal=0.25,
    )


def _measure(machine: Machine) -> Copy:
    said = machine.run("skuctl measure --json").output
    try:
        return msgspec.json.decode(said, type=Copy)
    except msgspec.DecodeError as error:
        raise CheckError(f"skuctl measure said {said.strip()!r}: {error}") from error


def _check_huge(report: update_result.Report, where: Path) -> None:
    if report.huge < 0.8 * report.pages:
        raise CheckError(
            f"{report.huge} of {report.pages} pages were in huge ones: no measure of those",
            where=where,
        )


def per_page_ns(report: update_result.Report) -> float:
    """Return what the phases ``detach`` and ``attach`` took, by the pages kept.

    Raises CheckError when one of them was not stamped or nothing was kept.
    """
    took = {span.phase: span.ms for span in update_result.spans(report.stamps, report.counter_hz)}
    missing = {"detach", "attach"} - took.keys()
    if missing or not report.pages:
        what = f"no phase {' and '.join(sorted(missing))}" if missing else "no page"
        raise CheckError(f"the report of the update has {what}")
    return (took["detach"] + took["attach"]) * 1e6 / report.pages


def compare_boots(bench: Bench) -> list[Comparison]:
    """From the jump to the first process, with a million scattered pages preserved and without."""
    options = bench.options("scattered", scattered.SLOWNESS, scattered.MEMORY_MIB)
    return [scattered.compare(bench.testing, bench.board, options, rounds=bench.rounds)]


PARTS: dict[str, Callable[[Bench], list[Comparison]]] = {
    "blackout": compare_blackouts,
    "growth": compare_sizes,
    "page": compare_pages,
    "boot": compare_boots,
}


def measure(
    *,
    tree_name: str,
    sizes: Sizes,
    rounds: int,
    only: Sequence[str] = (),
    timeout_factor: float = 1,
    output: Path | None = None,
) -> Report:
    """Take the comparisons of :data:`PARTS`, or of those in ``only``, one guest at a time.

    ``output`` keeps the result of every run, and the report. Raises UserError for sizes that do
    not grow, CheckError when a run broke a promise.
    """
    if sizes.small_mib >= sizes.large_mib:
        raise UserError(
            f"{sizes.large_mib} MiB is not more than {sizes.small_mib} MiB",
            hint="--large-mib must be larger than --small-mib",
        )
    bench = Bench(
        trees.ensure(tree_name),
        boards.load(BOARD),
        sizes,
        rounds=rounds,
        timeout_factor=timeout_factor,
        output=output,
    )
    comparisons = [
        comparison
        for name, compare in PARTS.items()
        if not only or name in only
        for comparison in compare(bench)
    ]
    report = Report(
        bench="update",
        inputs=bench.inputs,
        comparisons=comparisons,
    )
    if output:
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
        (output / "report.json").write_bytes(encoded + b"\n")
    return report
