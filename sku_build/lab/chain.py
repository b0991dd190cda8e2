# SPDX-License-Identifier: GPL-2.0-only
"""Updates in a row: there and back again, under one application that was started once."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from sku_build.board import Board
from sku_build.lab import bundle, guest
from sku_build.lab import update as updates
from sku_build.lab import update_result as outcome
from sku_build.lab.application import Census
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.results import FORMAT, KernelBoot
from sku_build.lab.scenario import Options, Run
from sku_build.lab.traffic import Traffic
from sku_build.lab.update import Load, Service
from sku_build.lab.update_result import Span

_AVAILABLE = "grep MemAvailable: /proc/meminfo"
# A file that nobody has synced: it is in the page cache when the kernel is replaced.
_WRITE = (
    "mkdir -p /var/chain; cd /var/chain; head -c 1048576 /dev/urandom >{0}; sha256sum {0} >>sums"
)
# From the disk, and not from the cache; then the file system as a whole.
_READ_BACK = (
    "sync; echo 3 >/proc/sys/vm/drop_caches; "
    "cd /var/chain && sha256sum --check --quiet sums && wc -l <sums"
)
_FSCK = "cd /; mount -o remount,ro / && e2fsck -fn $(findmnt -no SOURCE /)"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One of the updates: ``after`` it, the application is what it was before the first.

    ``copied_kib`` is what CRIU wrote out and read back, ``available_kib`` the guest's memory that
    could be had afterwards: what an update does not give back is missing there.
    """

    release: str
    traffic: Traffic
    after: Census
    copied_kib: int
    available_kib: int
    spans: list[Span]


class ChainResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab chain``; ``broken`` has a sentence for each promise not kept."""

    format: int = FORMAT
    kind: Literal["chain"] = "chain"
    board: str
    data_mib: int
    huge: bool
    before: Census
    links: list[Link]
    broken: list[str]
    directory: str


def chain(
    first_path: Path,
    second_path: Path,
    *,
    board: Board,
    times: int,
    load: Load | None = None,
    options: Options | None = None,
) -> ChainResult:
    """Update the kernel ``times`` times, from the first bundle to the second, back, and so on.

    Redis serves a client all the time, and keeps its connection. Before each update a file is
    written that the disk does not have yet; in the end all are read back, and the file system is
    checked. Raises as :func:`sku_build.lab.update.update`; promises that did not hold are in the
    result.
    """
    load = load or Load()
    whole = Run("chain", board, options or Options())
    own = dataclasses.replace(whole.options, directory=whole.directory)
    run = updates.prepared(board, load, own)
    first, second = ends = [bundle.load(path, board) for path in (first_path, second_path)]
    share = _share(run.directory / "share", ends)
    links: list[Link] = []
    kernels: list[KernelBoot] = []
    with updates.service(run, first, second, load, share=share) as (served, init):
        machine = served.machine
        before = served.census()
        since = 0
        for number in range(1, times + 1):
            served.second, served.place = ends[number % 2], f"{updates.SHARE}/{number % 2}"
            with machine.phase(Phase.UPDATE):
                served.mount()
                machine.run(_WRITE.format(number))
                lines, next_init = served.jump(number)
            kernels.append(run.kernel(init, lines, number, since=since))
            init = next_init
            link, since = _link(served, init)
            links.append(link)
        with machine.phase(Phase.CHECK):
            kernels.append(run.kernel(init, run.log(machine, times + 1), times + 1, since=since))
            disk = _disk(machine, times)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    shutil.rmtree(share)
    told = [
        *disk,
        *(
            f"update {number} of {times}: {text}"
            for number, link in enumerate(links, 1)
            for text in outcome.broken_promises(before, link.after, link.traffic, [])
        ),
        *(f"a kernel complained: {text}" for text in updates.complaints(machine, *kernels)),
    ]
    return whole.keep(
        ChainResult(
            board=board.name,
            data_mib=load.data_mib,
            huge=load.huge,
            before=before,
            links=links,
            broken=told,
            directory=str(whole.directory),
        )
    )


def _share(share: Path, bundles: Sequence[Bundle]) -> Path:
    """Return a directory for the guest with both kernels: it can see one directory only."""
    for number, item in enumerate(bundles):
        place = share / str(number)
        place.mkdir(parents=True)
        shutil.copyfile(item.image, place / bundle.IMAGE)
        shutil.copyfile(item.initramfs, place / bundle.INITRAMFS)
    return share


def _link(served: Service, init: guest.Init) -> tuple[Link, int]:
    """Return what one update was like, and the counter at its jump."""
    with served.machine.phase(Phase.CHECK):
        seen = served.client.stop(served.seconds)
        report = updates.read_report(served.machine)
    after = served.census()
    with served.machine.phase(Phase.CHECK):
        available = served.machine.run(_AVAILABLE).output
    link = Link(
        release=init.release,
        traffic=seen,
        after=after,
        copied_kib=report.pages_bytes >> 10,
        available_kib=int(available.split()[1]),
        spans=outcome.spans(report.stamps, init.counter_hz),
    )
    return link, updates.jumped_at(report, init)


def _disk(machine: Machine, files: int) -> list[str]:
    """Return what is wrong with the disk: of the files that were written, and as a whole."""
    read = machine.run(_READ_BACK, check=False)
    checked = machine.run(_FSCK, check=False)
    found = []
    if read.status or read.output.split()[-1:] != [str(files)]:
        found.append(f"files on the disk are not as they were written: {read.output.strip()}")
    if checked.status:
        found.append(f"the file system is damaged: {checked.output.strip()}")
    return found


def rows(result: ChainResult) -> list[tuple[str, ...]]:
    """Return the rows of the table for people, one an update."""
    return [
        (
            str(number),
            link.release,
            f"{link.traffic.blackout_ms:.0f} ms",
            f"{link.traffic.replies} of {link.traffic.requests}",
            f"{link.copied_kib / 1024:.1f} MiB",
            f"{link.available_kib / 1024:.1f} MiB",
        )
        for number, link in enumerate(result.links, 1)
    ]


HEADINGS = ("update", "to", "client's blackout", "answered", "copied", "memory left")
