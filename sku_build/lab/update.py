# SPDX-License-Identifier: GPL-2.0-only
"""An update under a running application: ours, and the ordinary one it is measured against."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sku_build.board import Board
from sku_build.errors import CheckError
from sku_build.lab import application, bundle, guest, phases, qemu, results
from sku_build.lab import update_result as outcome
from sku_build.lab.application import Census
from sku_build.lab.bundle import Bundle
from sku_build.lab.client import INTERVAL_S, Client
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run, record
from sku_build.lab.traffic import Traffic
from sku_build.lab.update_result import Report, Stamp, UpdateResult, Way, WayResult

REPORT = "/run/sku/report.json"
FAILED = "/run/sku/failed"
SHARE = "/bundle"
# The channel serves one mount, and lets nobody else in while there is one.
MOUNT = (
    f"mkdir -p {SHARE}; mountpoint -q {SHARE} || "
    f"mount -t 9p next {SHARE} -o ro,trans=virtio,version=9p2000.L,msize=524288"
)
_MIB_A_FACTOR = 512  # every so many MiB of data, the time-outs grow by once what they were
_MEMORY_MIB = 1536  # what the guest has besides half as much again as the data


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What the application holds: ``data_mib`` MiB, in ``huge`` pages wherever they can be.

    Its client sends a request every ``interval_s`` seconds. ``verify`` has the update compare all
    memory with checksums.
    """

    data_mib: int = 256
    huge: bool = False
    verify: bool = False
    interval_s: float = INTERVAL_S


class Service:
    """A guest that serves a client, up to the point where its kernel is to be replaced."""

    def __init__(self, run: Run, machine: Machine, client: Client, second: Bundle) -> None:
        self.run = run
        self.machine = machine
        self.client = client
        self.second = second
        self.place = SHARE
        self.pid = 0
        self.verify = False
        self.anonymous_kib, self.huge_kib = 0, 0
        self.seconds = phases.limit(Phase.CHECK, machine.vm.accelerator, run.options.timeout_factor)

    def fill(self, load: Load, pid: int) -> None:
        """Fill the application, and note how much memory that took."""
        self.pid = pid
        self.verify = load.verify
        application.fill(self.client, load.data_mib, seconds=self.seconds)
        self.anonymous_kib, self.huge_kib = application.resident_kib(self.machine, pid)

    def census(self) -> Census:
        """Return what the application holds and is now; the client must be at rest."""
        with self.machine.phase(Phase.CHECK):
            return application.census(self.machine, self.client, self.pid, seconds=self.seconds)

    def mount(self) -> None:
        """Let the guest see the second bundle."""
        self.machine.run(MOUNT)

    @property
    def next_kernel(self) -> str:
        """The options that tell ``skuctl`` the next kernel; :meth:`mount` comes first."""
        return next_kernel(self.run, self.second, self.place)

    def command(self, *words: str) -> str:
        """Return the command that updates the kernel, with more ``words`` for ``skuctl``."""
        return " ".join([f"skuctl update --pid {self.pid}", *words, self.next_kernel])

    def jump(self, number: int = 1) -> tuple[list[guest.Line], guest.Init]:
        """Have the guest update its kernel while the client sends; :meth:`mount` comes first.

        Returns the log of the kernel that is left, the run's ``number``, and how the next one came
        up. Raises CheckError with what ``skuctl`` said when there is none, and its exit status as
        data.
        """
        lines = self.run.log(self.machine, number)
        self.client.start()
        command = self.command(*(["--verify"] if self.verify else []))
        return lines, jump(self.run, self.machine, command, self.second)


def next_kernel(run: Run, second: Bundle, place: str = SHARE) -> str:
    """Return the options that tell ``skuctl`` of the bundle that the guest has at ``place``."""
    return (
        f"--image {place}/{bundle.IMAGE} --initrd {place}/{bundle.INITRAMFS} "
        f"--cmdline '{run.cmdline(second)}'"
    )


def jump(run: Run, machine: Machine, command: str, second: Bundle) -> guest.Init:
    """Have the guest go through the update ``command``, and return how ``second`` came up.

    Raises CheckError with what ``skuctl`` said when there is no second kernel, and its exit status
    as data.
    """
    machine.begin(command)
    match machine.expect(guest.Init, guest.Ran):
        case guest.Init() as init:
            run.check_release(init, second)
        case guest.Ran(status=status, output=output):
            raise CheckError(
                f"skuctl ended with status {status}: {output.strip()}",
                where=machine.serial_log,
                data={"status": status},
            )
    return init


def prepared(board: Board, load: Load, options: Options) -> Run:
    """Return a run whose guest has a root file system, room for the data, and time for it."""
    part = qemu.qemu_part(board)
    root = f"root={part.root} rw init={application.AGENT}"
    memory = options.memory_mib or max(part.memory_mib, _MEMORY_MIB + load.data_mib * 3 // 2)
    sized = dataclasses.replace(
        options,
        append=" ".join(word for word in (options.append, root) if word),
        memory_mib=memory,
        timeout_factor=options.timeout_factor * (1 + load.data_mib / _MIB_A_FACTOR),
    )
    return Run("update", board, sized)


@contextlib.contextmanager
def service(
    run: Run,
    first: Bundle,
    second: Bundle,
    load: Load,
    *,
    way: Way = Way.OURS,
    share: Path | None = None,
) -> Iterator[tuple[Service, guest.Init]]:
    """Yield a guest that runs the first bundle and serves its client, filled with ``load``.

    It can see the directory ``share``: the second bundle, unless given.
    """
    disk = application.root_image()
    seen = share or second.path
    machine = run.machine(first, share=seen, disk=disk, guest_port=application.PORT)
    with contextlib.ExitStack() as stack:
        stack.enter_context(machine)
        with machine.phase(Phase.FIRST_KERNEL):
            init = run.started(machine, first)
        with machine.phase(Phase.APPLICATION):
            pid = application.start(machine, huge=load.huge, high_pid=way is Way.ORDINARY)
            assert machine.port is not None
            client = stack.enter_context(
                Client(machine.port, machine.host, interval_s=load.interval_s)
            )
            served = Service(run, machine, client, second)
            served.fill(load, pid)
        yield served, init


def update(
    first_path: Path,
    second_path: Path,
    *,
    board: Board,
    load: Load | None = None,
    ways: Sequence[Way] = (Way.OURS,),
    plain_path: Path | None = None,
    options: Options | None = None,
) -> UpdateResult:
    """Update the kernel under a redis that a client of this machine talks to, each of the ways.

    Our way goes from the first bundle to the second. The ordinary one does so too, unless
    ``plain_path`` is a bundle without our series: then that is both of its kernels. Raises as
    :func:`sku_build.lab.scenario.boot`; promises that did not hold are in the result.
    """
    load = load or Load()
    whole = Run("update", board, options or Options())
    first, second = (bundle.load(path, board) for path in (first_path, second_path))
    plain = bundle.load(plain_path, board) if plain_path else None
    done = []
    for way in ways:
        own = dataclasses.replace(whole.options, directory=whole.directory / way)
        run = prepared(board, load, own)
        if way is Way.OURS:
            done.append(_ours(run, first, second, load))
        else:
            done.append(_ordinary(run, plain or first, plain or second, load))
    return whole.keep(
        UpdateResult(
            board=board.name,
            data_mib=load.data_mib,
            huge=load.huge,
            ways=done,
            ratio=outcome.ratio(done),
            directory=str(whole.directory),
        )
    )


def _ours(run: Run, first: Bundle, second: Bundle, load: Load) -> WayResult:
    with service(run, first, second, load) as (served, init):
        machine, client = served.machine, served.client
        before = served.census()
        with machine.phase(Phase.UPDATE):
            served.mount()
            lines, next_init = served.jump()
        with machine.phase(Phase.CHECK):
            seen = client.stop(served.seconds)
            report = read_report(machine)
        after = served.census()
        with machine.phase(Phase.CHECK):
            next_lines = run.log(machine, 2)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    kernels = both_kernels(run, (init, lines), (next_init, next_lines), report)
    return _result(
        served,
        kernels,
        (before, after),
        seen,
        way=Way.OURS,
        copied_kib=report.pages_bytes >> 10,
        spans=outcome.spans(report.stamps, init.counter_hz),
        report=report,
        directory=str(run.directory),
    )


def _ordinary(run: Run, first: Bundle, second: Bundle, load: Load) -> WayResult:
    """Dump with stock CRIU to the disk, kexec, restore: the recipe of docs/checkpoint.md."""
    with service(run, first, second, load, way=Way.ORDINARY) as (served, init):
        machine, client = served.machine, served.client
        before = served.census()
        with machine.phase(Phase.LOAD):
            lines = run.log(machine, 1)
            client.start()
            machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {run.cmdline(second)}")
            loaded = machine.expect(guest.Loaded)
        with machine.phase(Phase.DUMP):
            dumped = machine.run(application.script("dump", served.pid))
            synced = machine.run("sync; mount -o remount,ro /")
        jump = machine.jump()
        with machine.phase(Phase.SECOND_KERNEL):
            next_init = run.started(machine, second)
        with machine.phase(Phase.RESTORE):
            restored = machine.run(application.script("restore"))
        with machine.phase(Phase.CHECK):
            seen = client.stop(served.seconds)
            copied = machine.run(f"cat {application.IMAGES}/pages-*.img | wc -c")
        after = served.census()
        with machine.phase(Phase.CHECK):
            next_lines = run.log(machine, 2)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    kernels = (
        run.kernel(init, lines, 1, since=0),
        run.kernel(next_init, next_lines, 2, since=jump.counter),
    )
    stamps = [
        Stamp("dump", loaded.counter),
        Stamp("sync", dumped.counter),
        Stamp("order", synced.counter),
        Stamp("jump", jump.counter),
        Stamp("restore", next_init.counter),
        Stamp("restore-end", restored.counter),
    ]
    return _result(
        served,
        kernels,
        (before, after),
        seen,
        way=Way.ORDINARY,
        copied_kib=int(copied.output) >> 10,
        spans=outcome.spans(stamps, init.counter_hz),
        report=None,
        directory=str(run.directory),
    )


def _result(
    served: Service,
    kernels: Sequence[results.KernelBoot],
    censuses: tuple[Census, Census],
    seen: Traffic,
    **of_the_way: Any,
) -> WayResult:
    """Return the result of one way, with ``of_the_way`` what is its own."""
    machine = served.machine
    return WayResult(
        **of_the_way,
        machine=record(machine),
        first=kernels[0],
        second=kernels[1],
        before=censuses[0],
        after=censuses[1],
        traffic=seen,
        anonymous_kib=served.anonymous_kib,
        huge_kib=served.huge_kib,
        broken=outcome.broken_promises(*censuses, seen, complaints(machine, *kernels)),
        phases=machine.phases,
    )


Booted = tuple[guest.Init, list[guest.Line]]


def both_kernels(
    run: Run, first: Booted, second: Booted, report: Report
) -> tuple[results.KernelBoot, results.KernelBoot]:
    """Return how the kernels of an update our way came up, from their reports and their logs."""
    init, lines = first
    next_init, next_lines = second
    return (
        run.kernel(init, lines, 1, since=0),
        run.kernel(next_init, next_lines, 2, since=jumped_at(report, init)),
    )


def jumped_at(report: Report, init: guest.Init) -> int:
    """Return the counter at the jump; that of ``init`` when the old kernel left no stamp."""
    return next((s.counter for s in report.stamps if s.phase == "kernel-jump"), init.counter)


def read_report(machine: Machine) -> Report:
    """Return what the runtime says of the update that led to the running kernel.

    Raises CheckError with the reason the runtime gave when it could not bring the application back.
    """
    said = machine.run(f"cat {REPORT} || cat {FAILED}", check=False)
    try:
        return msgspec.json.decode(said.output, type=Report)
    except msgspec.DecodeError as error:
        raise CheckError(
            f"no report of the update ({error}); the runtime left: {said.output.strip()!r}",
            where=machine.serial_log,
        ) from error


def complaints(machine: Machine, *kernels: results.KernelBoot) -> list[str]:
    """Return what the kernels of a run complained about: in their logs, and on the console."""
    logged = [line.text for kernel in kernels for line in kernel.warnings]
    shown = machine.serial_log.read_text(encoding="utf-8", errors="replace")
    told = [text for text in outcome.alarms(shown) if not any(line in text for line in logged)]
    return [*logged, *told]
