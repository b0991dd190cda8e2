# SPDX-License-Identifier: GPL-2.0-only
"""An update under redis: how long a client waits, how that grows, and what a kept page costs."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from sku_build import board as boards
from sku_build import console, image, lab, layout
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison, Report
from sku_build.board import Board
from sku_build.errors import CheckError, UserError
from sku_build.lab import Way, bundle, guest, results, update, update_result, watched
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Run
from sku_build.lab.update import Load
from sku_build.lab.update_result import WayResult
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
_KHO = "/sys/kernel/debug/kho"
_PAGES = 1_000_000
_SCATTERED_MIB = 10240  # twice as many pages, and room beside them
_SCATTERED_JUMPS = 5  # of each kind, a round: the host's noise is as large as what is looked for
_SCATTERED_SLOWNESS = 4  # of handing out two million pages, against what the time-outs are for


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

    def options(self, name: str, factor: float = 1, memory_mib: int | None = None) -> lab.Options:
        """Return the options of the run ``name``, whose result stays in a directory of its own."""
        return lab.Options(
            memory_mib=memory_mib,
            timeout_factor=self._factor * factor,
            directory=self._output / name if self._output else None,
        )

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
        image.build(
            self.tree,
            self.board,
            series=patch_series.resolve(series),
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


def described(load: Load) -> str:
    """Return what redis holds, for people."""
    return f"{load.data_mib} MiB in {'2 MiB' if load.huge else '4 KiB'} pages"


def kept(broken: Sequence[str], what: str, where: str | Path) -> None:
    """Raise CheckError when a run broke a promise: what it took then is no result."""
    if broken:
        raise CheckError(f"{what}: {len(broken)} promises broken: {broken[0]}", where=where)


def compare_blackouts(bench: Bench) -> list[Comparison]:
    """The client's blackout, ours against the ordinary way."""
    load = Load(bench.sizes.data_mib)
    done = [
        bench.ways(f"blackout-{number + 1}", load, [Way.OURS, Way.ORDINARY])
        for number in range(bench.rounds)
    ]
    blackout = {
        way: [item.traffic.blackout_ms for ways in done for item in ways if item.way is way]
        for way in Way
    }
    return [
        Comparison(
            name=f"blackout at {load.data_mib} MiB",
            ours_is="the memory kept in place",
            ordinary_is="stock CRIU to the disk and a plain kexec, without our series",
            unit="ms",
            ours=blackout[Way.OURS],
            ordinary=blackout[Way.ORDINARY],
            goal=0.1,
        )
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
    options = bench.options("scattered", _SCATTERED_SLOWNESS, _SCATTERED_MIB)
    run = Run("scattered", bench.board, options)
    kernel = bundle.load(bench.testing, bench.board)
    samples: dict[bool, list[float]] = {False: [], True: []}
    jumps = bench.rounds * _SCATTERED_JUMPS
    with run.machine(kernel, share=kernel.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            run.started(machine, kernel)
        with console.progress("jumps", 2 * jumps) as advance:
            for number in range(2 * jumps):
                scattered = number % 2 == 1
                samples[scattered].append(_jump(run, machine, kernel, scattered=scattered))
                advance(number + 1, "with scattered pages" if scattered else "without")
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return [
        Comparison(
            name=f"boot with {_PAGES} scattered pages kept",
            ours_is="from the jump to the first process, every second page preserved",
            ordinary_is="the same with nothing preserved",
            unit="ms",
            ours=samples[True],
            ordinary=samples[False],
            goal_difference=50,
        )
    ]


def _jump(run: Run, machine: Machine, kernel: Bundle, *, scattered: bool) -> float:
    """Jump into the same kernel; return how long its first process took to come, in ms."""
    with machine.phase(Phase.LOAD):
        if scattered:
            machine.put(f"{_KHO}/test/keep", f"{_PAGES} 2 0")
        machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {run.cmdline(kernel)}")
        machine.expect(guest.Loaded)
    with machine.phase(Phase.JUMP):
        machine.tell("jump")
        jump = machine.expect(guest.Jump)
    with machine.phase(Phase.SECOND_KERNEL):
        init = run.started(machine, kernel)
    if scattered:
        with machine.phase(Phase.CHECK):
            intact(machine.get(f"{_KHO}/test/verify"), machine.serial_log)
    return results.elapsed_ms(jump.counter, init.counter, init.counter_hz)


def intact(verdict: str, where: Path) -> None:
    """Raise CheckError unless the test driver got back every page as it was.

    Reading its verdict also frees them, so that there is room for the next ones.
    """
    told = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", verdict)}
    expected = {"blocks": _PAGES, "lost": 0, "wrong": 0, "twice": 0}
    if not verdict.startswith("ok ") or told | expected != told:
        raise CheckError(f"the preserved pages are not intact: {verdict.strip()}", where=where)


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
        inputs={
            "tree": bench.tree.origin,
            "board": bench.board.name,
            "rounds": rounds,
        },
        comparisons=comparisons,
    )
    if output:
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
        (output / "report.json").write_bytes(encoded + b"\n")
    return report
