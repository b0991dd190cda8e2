# SPDX-License-Identifier: GPL-2.0-only
"""The runs of the lab: each is a machine and the phases it goes through."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from sku_build import board as boards
from sku_build.board import Board, QemuPart
from sku_build.errors import CheckError, UserError
from sku_build.lab import bundle, firmware, guest, profile, qemu, results, rundir
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.qemu import Accelerator
from sku_build.lab.results import BootResult, KernelBoot, KexecResult, MachineRecord

# sku-init powers off, rather than waits, when it finds that nobody is there.
_LAB_OPTION = "sku.lab=poweroff"

R = TypeVar("R", bound=msgspec.Struct)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a run may be given besides its bundles.

    ``append`` is added to every kernel's command line; ``memory_mib`` and ``smp`` take the place
    of the board's; ``timeout_factor`` stretches every time-out; ``directory`` takes the result and
    the logs (None: a new one in the cache, where the latest runs are kept). ``tap`` is a tap device
    of this machine that the guest's network is to be, in place of QEMU's user mode.
    ``icount`` has the guest's clock count instructions instead of time. ``memory`` is a file that
    becomes the guest's memory, for whoever wants to look into it, or to spoil it. ``words`` are
    told to QEMU: devices that no board has.
    """

    append: str = ""
    memory_mib: int | None = None
    smp: int | None = None
    timeout_factor: float = 1.0
    directory: Path | None = None
    tap: str | None = None
    icount: bool = False
    memory: Path | None = None
    words: tuple[str, ...] = ()


def boot(path: Path, *, board: Board, options: Options | None = None) -> BootResult:
    """Boot the bundle at ``path`` on ``board``'s virtual machine, and power it off.

    Raises UserError for a bundle that cannot be booted there, PhaseTimeout and GuestFailed when
    the guest does not do what it should.
    """
    run = Run("boot", board, options or Options())
    first = bundle.load(path, board)
    with run.machine(first) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            init = run.started(machine, first)
            lines = run.log(machine, 1)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return run.keep(
        BootResult(
            board=board.name,
            machine=record(machine),
            kernel=run.kernel(init, lines, 1, since=0),
            phases=machine.phases,
            directory=str(run.directory),
        )
    )


def kexec(
    first_path: Path,
    second_path: Path,
    *,
    board: Board,
    options: Options | None = None,
    costs: int | None = None,
) -> KexecResult:
    """Boot the first bundle, load the second one's kernel in the guest, and jump into it.

    With ``costs``, the second kernel logs its initcalls, and the result has that many of the
    largest costs of its boot. Raises as :func:`boot`, and CheckError when the guest's counter did
    not survive the jump.
    """
    run = Run("kexec", board, options or Options())
    first = bundle.load(first_path, board)
    second = bundle.load(second_path, board)
    with run.machine(first, share=second.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            init = run.started(machine, first)
        with machine.phase(Phase.LOAD):
            cmdline = run.cmdline(second) + (f" {profile.CMDLINE}" if costs else "")
            machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {cmdline}")
            load = machine.expect(guest.Load)
            loaded = machine.expect(guest.Loaded)
            lines = run.log(machine, 1)
        jump = machine.jump()
        with machine.phase(Phase.SECOND_KERNEL):
            next_init = run.started(machine, second)
            next_lines = run.log(machine, 2)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    hz = init.counter_hz
    kexec_ms = results.elapsed_ms(jump.counter, next_init.counter, hz)
    return run.keep(
        KexecResult(
            board=board.name,
            machine=record(machine),
            first=run.kernel(init, lines, 1, since=0),
            second=run.kernel(next_init, next_lines, 2, since=jump.counter),
            load_ms=results.elapsed_ms(load.counter, loaded.counter, hz),
            kexec_ms=kexec_ms,
            phases=machine.phases,
            directory=str(run.directory),
            profile=(profile.profile(next_lines, boot_ms=kexec_ms, count=costs) if costs else None),
        )
    )


class Run:
    """What the steps of one run share: its board, its options, and the directory it leaves."""

    def __init__(self, kind: str, board: Board, options: Options) -> None:
        if not options.append.isprintable():
            raise UserError("--append must be one line of printable text")
        self.part = qemu.qemu_part(board)
        self.nodes = board.machine.nodes
        self.options = options
        self.expected = _patterns(board, self.part)
        qemu.require()
        self._kind = kind

    @functools.cached_property
    def directory(self) -> Path:
        """The directory for the result and the logs, made when it is needed first."""
        return rundir.create(self._kind, self.options.directory)

    def machine(
        self,
        first: bundle.Bundle,
        *,
        share: Path | None = None,
        disk: Path | None = None,
        guest_port: int | None = None,
    ) -> Machine:
        """Return the board's machine with the bundle it boots first, and what else it has."""
        vm = qemu.VirtualMachine(
            machine=self.part.machine,
            cpu=self.part.cpu,
            smp=self.options.smp or self.part.smp,
            memory_mib=self.options.memory_mib or self.part.memory_mib,
            accelerator=Accelerator.TCG if self.options.icount else qemu.accelerator(),
            kernel=first.image,
            initramfs=first.initramfs,
            cmdline=self.cmdline(first),
            nodes=self.nodes,
            firmware=firmware.image(self.part.firmware) if self.part.firmware else None,
            devices=tuple(self.part.devices),
            disks=tuple(self.part.disks),
            nics=tuple(self.part.nics),
            share=share,
            disk=disk,
            guest_port=guest_port,
            tap=self.options.tap,
            icount=self.options.icount,
            memory=self.options.memory,
            words=self.options.words,
        )
        return Machine(vm, self.directory, factor=self.options.timeout_factor)

    def cmdline(self, item: bundle.Bundle) -> str:
        """Return the command line for the kernel of a bundle."""
        return " ".join(part for part in (item.cmdline, self.options.append, _LAB_OPTION) if part)

    def started(self, machine: Machine, item: bundle.Bundle) -> guest.Init:
        """Wait until a kernel has come up, and see that it is the one of the bundle."""
        return self.check_release(machine.expect(guest.Init), item)

    def check_release(self, init: guest.Init, item: bundle.Bundle) -> guest.Init:
        """Return ``init``; raises CheckError when it is not the bundle's kernel that came up."""
        if item.release is not None and init.release != item.release:
            raise CheckError(
                f"the guest runs {init.release}, and the bundle holds {item.release}",
                where=item.path,
                hint="the Image is not the one of this build: build the bundle again",
            )
        return init

    def log(self, machine: Machine, number: int) -> list[guest.Line]:
        """Fetch the log of the run's kernel ``number``, and keep it in a file."""
        lines = machine.kernel_log()
        text = (f"<{line.level}>[{line.us / 1e6:12.6f}] {line.text}\n" for line in lines)
        (self.directory / rundir.kernel_log(number)).write_text("".join(text), encoding="utf-8")
        return lines

    def kernel(
        self, init: guest.Init, lines: list[guest.Line], number: int, *, since: int
    ) -> KernelBoot:
        """Return how the run's kernel ``number`` came up, on the counter since ``since``."""
        log = rundir.kernel_log(number)
        return results.kernel_boot(init, lines, since=since, log=log, expected=self.expected)

    def keep(self, result: R) -> R:
        """Write the result to its file, and return it."""
        encoded = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
        (self.directory / rundir.RESULT).write_bytes(encoded)
        return result


def _patterns(board: Board, part: QemuPart) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text) for text in part.expected_warnings]
    except re.error as error:
        raise UserError(
            f"key qemu.expected_warnings: {error.pattern!r} is no regular expression: {error.msg}",
            where=boards.boards_dir() / board.name / "board.toml",
        ) from error


def record(machine: Machine) -> MachineRecord:
    """Return what is kept of a machine in a result."""
    vm = machine.vm
    return MachineRecord(
        qemu=machine.version,
        accelerator=vm.accelerator,
        cpu=vm.cpu,
        smp=vm.smp,
        memory_mib=vm.memory_mib,
        argv=machine.argv,
    )
