# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that watches itself, through the selftest of ``pin_mem`` again and again and an update.

The series' unit tests run at the boot. The selftest takes memory out of tasks, and gives it back
in all the ways there are: when asked to, when closed, killed or refused. Then redis is updated to
the same kernel. No kernel may complain of any of it.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from sku_build import composition, git, image, layout, metadata, run, toolchain
from sku_build import tree as trees
from sku_build.board import Board
from sku_build.errors import CheckError, UserError
from sku_build.lab import bundle, kunit, qemu, update, watched
from sku_build.lab.kunit import Suite
from sku_build.lab.machine import Machine
from sku_build.lab.results import FORMAT
from sku_build.lab.scenario import Options, Run
from sku_build.lab.update import Load
from sku_build.lab.watched import Watched

FRAGMENT = "debug"
SELFTEST = "pin_mem_test"
_SOURCES = {
    f"{SELFTEST}.c": f"tools/testing/selftests/pin_mem/{SELFTEST}.c",
    "pin_mem.h": "include/uapi/linux/pin_mem.h",
}

# What must be built in for a run to mean anything; configs/debug.config.j2 asks for more.
WATCHERS = (
    *("KASAN", "PROVE_LOCKING", "DEBUG_ATOMIC_SLEEP", "DEBUG_VM", "PAGE_POISONING"),
    "DEBUG_KMEMLEAK",
)
# What the selftest looks at besides, where the kernel has it: memory that must be refused, swap.
_TESTED = (
    *("CONFIG_HUGETLBFS=y", "CONFIG_USERFAULTFD=y", "CONFIG_KSM=y", "CONFIG_SWAP=y"),
    *("CONFIG_DEVMEM=y", "CONFIG_STRICT_DEVMEM=y"),
)
# Poisoning is built in, and off unless asked for. The console is searched for complaints, some of
# which are no warnings to the kernel, such as kmemleak's.
_APPEND = "page_poison=1 loglevel=7"
_SLOWNESS = 6  # how much longer everything may take than in an ordinary kernel
# Requests at the ordinary rate would leave such a guest no time for an update.
_INTERVAL_S = 0.2
_MEMORY_MIB = 3072  # KASAN's shadow alone is an eighth of it
_MORE_MIB = 1024  # for a guest whose size is that of an ordinary kernel

_TEST = f"/bundle/{SELFTEST} local"
_SWAP_ON = (
    "[ ! -e /proc/swaps ] || { dd if=/dev/zero of=/swap bs=1M count=64 status=none && "
    "chmod 600 /swap && mkswap -q /swap && swapon /swap; }"
)
_SWAP_OFF = "[ ! -e /swap ] || { swapoff /swap && rm /swap; }"
_LEAKS = "/sys/kernel/debug/kmemleak"
# An object that changed since the last scan, or is younger than 5 s, is not reported: two scans.
_SCAN = f"echo scan >{_LEAKS} && sleep 6 && echo scan >{_LEAKS} && cat {_LEAKS}"
# How CPUs came here: what became of the record, how many were parked, and how many came from there.
_PARK = "/sys/kernel/cpu_park"
_PARKED = f"cat {_PARK}/record {_PARK}/teardown_parked {_PARK}/bringup_parked 2>&1"
_VERDICT = re.compile(r"^(?P<bad>not )?ok \d+ (?P<what>.*)$", re.MULTILINE)


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of the selftest: how many checks it made, which failed, which it could not do."""

    checks: int
    failed: list[str]
    skipped: list[str]


class DebugResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab debug``; ``complaints`` is all that must not be, empty when well.

    ``suites`` are the unit tests of both kernels. ``parked`` has what the second one says of the
    CPUs of the first: what became of their record, how many were parked, how many came from there.
    """

    format: int = FORMAT
    kind: Literal["debug"] = "debug"
    board: str
    release: str
    watchers: list[str]
    suites: list[Suite] = []
    loops: list[Loop]
    data_mib: int
    update: Watched
    parked: list[str] = []
    leaks: list[str]
    complaints: list[str] = []
    directory: str


def build(tree_name: str, board: Board) -> Path:
    """Build the board's kernel with the fragment ``debug``, into the cache; return the bundle."""
    tree = trees.ensure(tree_name)
    output = layout.cache_dir("debug") / f"{board.name}-{tree.name}"
    chosen = composition.of_board(board, tree.kernel)
    names = [item.name for item in chosen.series]
    image.build(
        tree,
        board,
        series=chosen.series,
        left_out=chosen.left_out,
        output=output,
        fragments=[FRAGMENT],
        extra=(*_TESTED, *(f"CONFIG_{symbol}=y" for symbol in kunit.symbols(names))),
    )
    return output


def debug(
    path: Path, *, board: Board, rounds: int, load: Load, options: Options | None = None
) -> DebugResult:
    """Put the bundle at ``path``, built with the fragment ``debug``, through all of it.

    Raises UserError for a bundle without what watches, CheckError for one without the selftest, and
    as :func:`sku_build.lab.update.update`; complaints are in the result.
    """
    options = options or Options()
    load = dataclasses.replace(load, interval_s=_INTERVAL_S)
    whole = Run("debug", board, options)
    first = bundle.load(path, board)
    watchers = check_watchers(path)
    memory_mib = options.memory_mib or _MEMORY_MIB + load.data_mib * 3 // 2
    slow = dataclasses.replace(_watching(options), memory_mib=memory_mib, directory=whole.directory)
    with tempfile.TemporaryDirectory(prefix="sku-debug-") as temporary:
        second = dataclasses.replace(first, path=shared(first, Path(temporary)))
        done, before, after = watched.watched(
            update.prepared(board, load, slow),
            first,
            second,
            load,
            before=lambda it: (kunit.ran(it), selftests(it, rounds), leaked(it)),
            after=lambda it: (kunit.ran(it), parked(it), leaked(it)),
        )
    result = DebugResult(
        board=board.name,
        release=done.first.release,
        watchers=watchers,
        suites=before[0] + after[0],
        loops=before[1],
        data_mib=load.data_mib,
        update=done,
        parked=after[1],
        leaks=before[2] + after[2],
        directory=str(whole.directory),
    )
    said = complaints(result, config_of(path))
    return whole.keep(msgspec.structs.replace(result, complaints=said))


def watching(options: Options, board: Board) -> Options:
    """Return ``options`` for a kernel with the fragment ``debug``: more of memory and of time."""
    memory_mib = options.memory_mib or qemu.qemu_part(board).memory_mib
    return dataclasses.replace(_watching(options), memory_mib=memory_mib + _MORE_MIB)


def _watching(options: Options) -> Options:
    return dataclasses.replace(
        options,
        append=" ".join(part for part in (options.append, _APPEND) if part),
        timeout_factor=options.timeout_factor * _SLOWNESS,
    )


def config_of(path: Path) -> str:
    """Return the text of the configuration of the bundle at ``path``; empty if it has none."""
    config = path / "config"
    return config.read_text(encoding="utf-8") if config.is_file() else ""


def check_watchers(path: Path) -> list[str]:
    """Return what of the kernel watches it; raises UserError when some of it is missing."""
    text = config_of(path)
    missing = [name for name in WATCHERS if f"CONFIG_{name}=y\n" not in text]
    if missing:
        raise UserError(
            f"this kernel does not watch itself: it has no {', '.join(missing)}",
            where=path,
            hint=f"build it with `sku build --fragment {FRAGMENT}`, or give no bundle",
        )
    return list(WATCHERS)


def shared(item: bundle.Bundle, directory: Path) -> Path:
    """Put what the guest is to see into ``directory``: the next kernel, and the selftest."""
    for file in (item.image, item.initramfs):
        shutil.copyfile(file, directory / file.name)
    build_selftest(item.path, directory)
    return directory


def build_selftest(path: Path, directory: Path) -> Path:
    """Compile the selftest of the kernel that the bundle at ``path`` was made from.

    It comes from the commit the bundle names. Raises CheckError when it has none, as without the
    series ``pin_mem``, or when the commit is gone from the cache.
    """
    made = metadata.read(path)
    environment = trees.object_env(trees.ensure(made.tree.name))
    with tempfile.TemporaryDirectory(prefix="sku-selftest-") as sources:
        for name, where in _SOURCES.items():
            text = git.read_file(
                made.tree.commit, where, cwd=trees.cache_repository(), env=environment
            )
            if text is None:
                raise CheckError(
                    f"the source of this kernel has no {where}",
                    where=path,
                    hint="build the bundle again, with the series pin_mem",
                )
            Path(sources, name).write_text(text, encoding="utf-8")
        program = directory / SELFTEST
        compiler = f"{toolchain.choose(made.arch).cross}gcc"
        source = Path(sources, f"{SELFTEST}.c")
        run.run([compiler, "-static", "-O2", "-Wall", "-o", program, source])
    return program


def selftests(machine: Machine, rounds: int) -> list[Loop]:
    """Have the guest run the selftest ``rounds`` times, as far as nothing fails.

    What each pass said is kept beside the logs.
    """
    machine.run(_SWAP_ON)
    loops = []
    for number in range(1, rounds + 1):
        ran = machine.run(_TEST, check=False)
        said = machine.serial_log.with_name(f"selftest-{number}.tap")
        said.write_text(ran.output, encoding="utf-8")
        loops.append(loop(ran.output, ran.status))
        if loops[-1].failed:
            break
    machine.run(_SWAP_OFF)
    return loops


def loop(text: str, status: int) -> Loop:
    """Return what a pass of the selftest said (TAP, the Test Anything Protocol)."""
    found = list(_VERDICT.finditer(text))
    failed = [item["what"] for item in found if item["bad"]]
    planned = re.search(r"^1\.\.(\d+)$", text, re.MULTILINE)
    if (status and not failed) or planned is None or int(planned[1]) != len(found):
        last = (text.strip().splitlines() or ["it said nothing"])[-1]
        failed.append(f"it ended early, with status {status}: {last}")
    return Loop(
        checks=len(found),
        failed=failed,
        skipped=[item["what"] for item in found if "# SKIP" in item["what"]],
    )


def leaked(machine: Machine) -> list[str]:
    """Return kmemleak's reports: memory of the running kernel that nothing points to."""
    return leaks(machine.run(_SCAN).output)


def leaks(text: str) -> list[str]:
    """Return the reports in what kmemleak's file holds: each begins with a line of its own."""
    parts = re.split(r"^(?=unreferenced object )", text, flags=re.MULTILINE)
    return [part.rstrip() for part in parts if part.startswith("unreferenced object ")]


def parked(machine: Machine) -> list[str]:
    """Return what the running kernel says of the CPUs of the one before, as in the result."""
    return machine.run(_PARKED, check=False).output.split("\n")[:3]


def not_used(result: DebugResult, config: str) -> Iterator[str]:
    """Yield a sentence for each of our ways of jumping that ``config`` has, and the update not."""
    report = result.update.report
    if "CONFIG_KEXEC_IN_PLACE=y\n" in config and report.jump_copied_bytes != 0:
        yield f"the jump copied {report.jump_copied_bytes} bytes"
    if "CONFIG_INITRAMFS_KEPT=y\n" in config and report.initramfs != "kept":
        yield f"the initramfs was not kept: {report.initramfs or 'nothing is said of it'}"
    others = str(result.update.second.cpus - 1)
    if "CONFIG_ARM64_CPU_PARK=y\n" in config and result.parked != ["accepted", others, others]:
        yield f"not all of the {others} other CPUs were parked: {', '.join(result.parked)}"


def complaints(result: DebugResult, config: str) -> list[str]:
    """Return a sentence for everything in ``result`` that must not be, of a kernel's ``config``."""

    def found() -> Iterator[str]:
        yield from kunit.complaints(result.suites, config)
        for number, item in enumerate(result.loops, 1):
            for what in item.failed:
                yield f"pass {number} of the selftest failed: {what}"
        for report in result.leaks:
            yield f"a kernel leaks memory: {report.splitlines()[0]}"
        yield from result.update.broken
        yield from not_used(result, config)

    return list(found())


def rows(result: DebugResult) -> list[tuple[str, str]]:
    """Return the rows of the table for people: what was done, and how it went."""
    checks = sum(item.checks for item in result.loops)
    skipped = sorted({what for item in result.loops for what in item.skipped})
    done = result.update
    cases = sum(suite.cases for suite in result.suites)
    names = {suite.name for suite in result.suites}
    return [
        ("kernel", result.release),
        ("built in", ", ".join(result.watchers)),
        ("unit tests, both kernels'", f"{cases} of {', '.join(sorted(names)) or 'no suite'}"),
        ("passes of the selftest", f"{len(result.loops)}, {checks} checks"),
        ("of them not possible here", ", ".join(skipped) or "none"),
        ("update under redis", f"{result.data_mib} MiB, {done.report.pages} pages kept"),
        ("answered", f"{done.traffic.replies} of {done.traffic.requests} requests"),
        ("CPUs parked, back from there", ", ".join(result.parked[1:])),
        ("leaks", str(len(result.leaks) or "none")),
        ("complaints", str(len(result.complaints) or "none")),
    ]
