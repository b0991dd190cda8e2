# SPDX-License-Identifier: GPL-2.0-only
"""An update under a unit of a real systemd, which must not see that anything happened."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from sku_build.board import Board
from sku_build.lab import application, bundle, guest, mariadb, phases, qemu
from sku_build.lab import update as updates
from sku_build.lab import update_result as outcome
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine, PhaseTime
from sku_build.lab.phases import Phase
from sku_build.lab.results import FORMAT, KernelBoot, MachineRecord
from sku_build.lab.scenario import Options, Run, record
from sku_build.lab.traffic import Traffic
from sku_build.lab.update_result import Report, Span

_MEMORY_MIB = 1536
_FACTOR = 2  # a distribution's init is more to start than the lab's
# A CPU of a guest that a busy host leaves aside for 21 s is no fault of the kernel's.
_PATIENT = "rcupdate.rcu_cpu_stall_timeout=300"
_MIB_A_FACTOR = 256  # every so many MiB of data, the time-outs grow by once what they were
_SHOWN = "MainPID", "ActiveState", "SubState", "Type", "ControlGroup", "NRestarts"
# The update is over when the unit has been adopted, and the drop-ins are gone.
_SETTLED = (
    "tries=0; while [ -e /run/sku/unit ] || systemctl is-active -q sku-settle.service; do "
    "tries=$((tries + 1)); [ $tries -lt 900 ] || exit 1; sleep 0.1; done"
)


class UnitCensus(msgspec.Struct, frozen=True, kw_only=True):
    """What systemd says of the unit, and the database of its data; an update changes none of it.

    ``shown`` is what ``systemctl show`` has of it, ``failed`` the units that have failed,
    ``connection`` the number that the database gave to the client's connection.
    """

    shown: dict[str, str]
    processes: list[int]
    failed: list[str]
    drop_ins: list[str]
    rows: int
    checksum: int
    connection: int


class UnitResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab unit``; ``broken`` has a sentence for each broken promise.

    ``said`` is what the journal of the next kernel has of the runtime, with the field ``SKU_UNIT``.
    """

    format: int = FORMAT
    kind: Literal["unit"] = "unit"
    board: str
    unit: str
    data_mib: int
    machine: MachineRecord
    first: KernelBoot
    second: KernelBoot
    before: UnitCensus
    after: UnitCensus
    traffic: Traffic
    said: list[str]
    spans: list[Span]
    report: Report
    broken: list[str]
    phases: list[PhaseTime]
    directory: str


class Service:
    """A guest under systemd whose database serves a client."""

    def __init__(self, run: Run, machine: Machine, client: mariadb.Client, second: Bundle) -> None:
        self.run = run
        self.machine = machine
        self.client = client
        self.second = second
        self.seconds = phases.limit(Phase.CHECK, machine.vm.accelerator, run.options.timeout_factor)

    def shown(self) -> dict[str, str]:
        """Return what systemd says of the unit."""
        names = ",".join(_SHOWN)
        said = self.machine.run(f"systemctl show --property {names} {mariadb.UNIT}").output
        return dict(line.split("=", 1) for line in said.splitlines())

    def census(self) -> UnitCensus:
        """Return what the unit is and holds now; the client must be at rest."""
        shown = self.shown()
        processes = self.machine.run(f"cat /sys/fs/cgroup{shown['ControlGroup']}/cgroup.procs")
        failed = self.machine.run("systemctl list-units --failed --plain --no-legend").output
        drop_ins = self.machine.run(
            f"systemctl show --property DropInPaths --value {mariadb.UNIT}"
        ).output
        return UnitCensus(
            shown=shown,
            processes=sorted(int(word) for word in processes.output.split()),
            failed=[line.split()[0] for line in failed.splitlines() if line.strip()],
            drop_ins=drop_ins.split(),
            rows=self.client.ask(f"SELECT COUNT(*) FROM {mariadb.TABLE}"),
            checksum=self.client.ask(f"CHECKSUM TABLE {mariadb.TABLE}"),
            connection=self.client.ask("SELECT CONNECTION_ID()"),
        )

    def command(self, *words: str, verb: str = "update") -> str:
        """Return the command of ``skuctl`` that is about the unit, with more ``words`` for it."""
        options = updates.next_kernel(self.run, self.second)
        return " ".join([f"skuctl {verb} --unit {mariadb.UNIT}", *words, options])

    def jump(self) -> guest.Init:
        """Have the guest update its kernel, and return how the second one came up.

        Raises CheckError with what ``skuctl`` said when there is no second one.
        """
        return updates.jump(self.run, self.machine, self.command(), self.second)

    def settle(self) -> None:
        """Wait until systemd has adopted the unit and all is as before it."""
        self.machine.run(_SETTLED)

    def journal(self, *matches: str) -> str:
        """Return the messages of the journal since the boot that match, a line each."""
        words = " ".join(matches)
        return self.machine.run(f"journalctl --boot --no-pager --output cat {words}").output


@contextlib.contextmanager
def service(
    first: Bundle, second: Bundle, board: Board, *, data_mib: int, options: Options
) -> Iterator[tuple[Service, guest.Init]]:
    """Yield a guest that runs ``first`` and systemd, whose database holds ``data_mib`` MiB."""
    root = f"root={qemu.qemu_part(board).root} rw init={mariadb.INIT} {_PATIENT}"
    sized = dataclasses.replace(
        options,
        append=" ".join(word for word in (options.append, root) if word),
        memory_mib=options.memory_mib or _MEMORY_MIB + data_mib * 2,
        timeout_factor=options.timeout_factor * (_FACTOR + data_mib / _MIB_A_FACTOR),
    )
    run = Run("unit", board, sized)
    disk = mariadb.root_image()
    machine = run.machine(first, share=second.path, disk=disk, guest_port=mariadb.PORT)
    with contextlib.ExitStack() as stack:
        stack.enter_context(machine)
        with machine.phase(Phase.FIRST_KERNEL):
            init = run.started(machine, first)
        with machine.phase(Phase.APPLICATION):
            machine.run(application.script("initialise"))
            machine.run(updates.MOUNT)
            assert machine.port is not None
            client = stack.enter_context(mariadb.Client(machine.port, machine.host))
            client.fill(data_mib)
            served = Service(run, machine, client, second)
        yield served, init


def go_through(
    served: Service, first_init: guest.Init, board: Board, *, data_mib: int
) -> UnitResult:
    """Update the kernel under the unit, look at both sides of it, and restart the unit at last."""
    run, machine, client = served.run, served.machine, served.client
    with machine.phase(Phase.CHECK):
        before = served.census()
    with machine.phase(Phase.UPDATE):
        lines = run.log(machine, 1)
        client.start()
        init = served.jump()
        served.settle()
        seen = client.stop(served.seconds)
        report = updates.read_report(machine)
    with machine.phase(Phase.CHECK):
        after = served.census()
        said = served.journal(f"SKU_UNIT={mariadb.UNIT}").splitlines()
        broken = _restarted(served, after)
        next_lines = run.log(machine, 2)
    kernels = updates.both_kernels(run, (first_init, lines), (init, next_lines), report)
    complaints = updates.complaints(machine, *kernels)
    return run.keep(
        UnitResult(
            board=board.name,
            unit=mariadb.UNIT,
            data_mib=data_mib,
            machine=record(machine),
            first=kernels[0],
            second=kernels[1],
            before=before,
            after=after,
            traffic=seen,
            said=said,
            spans=outcome.spans(report.stamps, init.counter_hz),
            report=report,
            broken=[*outcome.broken_promises(before, after, seen, complaints), *broken],
            phases=machine.phases,
            directory=str(run.directory),
        )
    )


def update(
    first_path: Path,
    second_path: Path,
    *,
    board: Board,
    data_mib: int,
    options: Options | None = None,
) -> UnitResult:
    """Update the kernel under MariaDB, a unit of systemd that a client of this machine talks to.

    Raises as :func:`sku_build.lab.scenario.boot`; promises that did not hold are in the result.
    """
    first, second = (bundle.load(path, board) for path in (first_path, second_path))
    given = options or Options()
    with service(first, second, board, data_mib=data_mib, options=given) as (served, init):
        result = go_through(served, init, board, data_mib=data_mib)
        with served.machine.phase(Phase.SHUTDOWN):
            served.machine.power_off()
    return result


def _restarted(served: Service, before: UnitCensus) -> list[str]:
    """Restart the unit, and return what is not as it should be then.

    What the process says at its end must be in the journal as the unit's: it says it on the
    connection that was made anew for it.
    """
    pid = before.shown["MainPID"]
    served.machine.run(f"systemctl restart {mariadb.UNIT}")
    after = served.shown()
    found = []
    if after["ActiveState"] != "active" or after["MainPID"] in ("0", pid):
        found.append(f"after a restart the unit is {after}")
    last = served.journal(f"--unit {mariadb.UNIT}", f"_PID={pid}")
    if "Shutdown complete" not in last:
        found.append(f"the journal does not have what process {pid} said at its end: {last!r}")
    alive = served.machine.run(f"cat /proc/{pid}/comm", check=False)
    if alive.status == 0:
        found.append(f"process {pid} outlived the restart of its unit")
    return found


def rows(result: UnitResult) -> list[tuple[str, str]]:
    """Return the rows of the table for people."""
    seen = result.traffic
    return [
        ("kernels", f"{result.first.release} → {result.second.release}"),
        ("main process", f"{result.before.shown['MainPID']} → {result.after.shown['MainPID']}"),
        ("client's blackout", f"{seen.blackout_ms:.0f} ms"),
        ("a reply otherwise every", f"{seen.normal_ms:.1f} ms"),
        ("answered", f"{seen.replies} of {seen.requests} requests"),
        ("connection", seen.error or f"the same, {result.after.connection}"),
        ("rows, checksum", f"{result.after.rows}, {result.after.checksum}"),
        ("pages kept in place", str(result.report.pages)),
        ("promises broken", str(len(result.broken) or "none")),
    ]
