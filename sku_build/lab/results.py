# SPDX-License-Identifier: GPL-2.0-only
"""What a run in the lab found out: the JSON that docs/lab.md describes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from sku_build.errors import CheckError
from sku_build.lab import guest
from sku_build.lab.machine import PhaseTime
from sku_build.lab.profile import Profile

FORMAT = 1

WARNING = 4  # KERN_WARNING; lower is worse
# mm/page_alloc.c up to 6.2, mm/mm_init.c later: "node %d deferred pages initialised in %ums"
_DEFERRED = re.compile(r"node \d+ deferred pages initialised in (\d+)ms")
# arch/arm64/kernel/smp.c
_SECONDARY = re.compile(r"CPU\d+: Booted secondary processor")
# What a kernel says when it begins and ends the parts of its boot, in the order of 6.1.
_MARKS = (
    ("clock", re.compile(r"^sched_clock: \d+ bits")),  # kernel/time/sched_clock.c
    ("cpus", re.compile(r"^smp: Bringing up secondary CPUs")),  # kernel/smp.c
    ("cpus-up", re.compile(r"^smp: Brought up \d+ node")),
    # init/initramfs.c, the second up to 5.12
    ("unpack", re.compile(r"^(?:Unpacking initramfs|Trying to unpack rootfs image)")),
    ("unpacked", re.compile(r"^Freeing initrd memory")),
    ("booted", re.compile(r"^Freeing unused kernel")),  # mm/page_alloc.c
    ("init", re.compile(r"^Run /init as init process")),  # init/main.c
    ("root", re.compile(r"^EXT4-fs \(\w+\): mounted filesystem")),
)
# kernel/locking/lockdep.c introduces itself with printk()s that have no level, so they get that of
# a warning.
_LOCKDEP = re.compile(
    r"^(?:Lock dependency validator: |\.\.\. (?:MAX_LOCK|CLASSHASH|CHAINHASH)"
    r"| memory used (?:by lock dependency|for stack traces)| per task-struct memory)"
)


class LogLine(msgspec.Struct, frozen=True):
    """A line of a kernel's log; ``us`` since its clock started, ``level`` as in syslog(2)."""

    level: int
    us: int
    text: str


class Mark(msgspec.Struct, frozen=True):
    """When a kernel said that a part of its boot began or ended; ``us`` since its clock started."""

    name: str
    us: int


class KernelBoot(msgspec.Struct, frozen=True, kw_only=True):
    """How one kernel came up.

    ``counter`` is CNTVCT_EL0 at the first instruction of ``sku-init``; ``boot_ms`` is the time to
    there on that counter, from power-on or from the jump; ``uptime_ms`` is the kernel's own idea
    of it. ``deferred_ms`` has one entry a node, ``warnings`` the lines of level 4 and worse,
    ``marks`` the parts of the boot that the log tells of.
    """

    release: str
    version: str
    cmdline: str
    cpus: int
    cpus_possible: int
    secondary_cpus: int
    memory_kib: int
    page_size: int
    counter: int
    counter_hz: int
    boot_ms: float
    uptime_ms: float
    deferred_ms: list[int]
    warnings: list[LogLine]
    log: str
    marks: list[Mark] = []


class MachineRecord(msgspec.Struct, frozen=True):
    """The virtual machine: QEMU's version, how it executed, its size and its whole command."""

    qemu: str
    accelerator: str
    cpu: str
    smp: int
    memory_mib: int
    argv: list[str]


class BootResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab boot``; ``directory`` holds it, the console and the kernel's log."""

    format: int = FORMAT
    kind: Literal["boot"] = "boot"
    board: str
    machine: MachineRecord
    kernel: KernelBoot
    phases: list[PhaseTime]
    directory: str

    @property
    def kernels(self) -> list[KernelBoot]:
        """The kernels in the order in which they ran."""
        return [self.kernel]


class KexecResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sku lab kexec``.

    ``load_ms`` is what loading the second kernel took, ``kexec_ms`` the time from the jump to the
    first instruction of the second ``sku-init``; both on the guest's counter. ``profile`` says what
    the latter was spent on, if that was asked for.
    """

    format: int = FORMAT
    kind: Literal["kexec"] = "kexec"
    board: str
    machine: MachineRecord
    first: KernelBoot
    second: KernelBoot
    load_ms: float
    kexec_ms: float
    phases: list[PhaseTime]
    directory: str
    profile: Profile | None = None

    @property
    def kernels(self) -> list[KernelBoot]:
        """The kernels in the order in which they ran."""
        return [self.first, self.second]


Result = BootResult | KexecResult


def elapsed_ms(begin: int, end: int, hz: int) -> float:
    """Return the time between two values of the counter, in ms.

    Raises CheckError when it ran backwards: then it did not survive the jump, and no time across
    the jump means anything.
    """
    if end < begin or hz <= 0:
        raise CheckError(
            f"the guest's virtual counter went from {begin} to {end} at {hz} Hz",
            hint="firmware or hypervisor resets CNTVOFF_EL2; times over the jump cannot be taken",
        )
    return round((end - begin) * 1000 / hz, 3)


def kernel_boot(
    init: guest.Init,
    lines: Sequence[guest.Line],
    *,
    since: int,
    log: str,
    expected: Sequence[re.Pattern[str]] = (),
) -> KernelBoot:
    """Return how a kernel came up.

    ``since`` is the counter at power-on (0) or at the jump, ``log`` the name of the file with
    ``lines``, ``expected`` the warnings that are none.
    """
    own = [line for line in lines if line.facility == 0]
    deferred = [match for line in own if (match := _DEFERRED.search(line.text))]
    try:
        cpus, possible = map(guest.count_cpus, (init.cpus_online, init.cpus_possible))
    except ValueError as error:
        raise CheckError(f"the guest reports a CPU list that is none: {error}") from error
    return KernelBoot(
        release=init.release,
        version=init.version,
        cmdline=init.cmdline,
        cpus=cpus,
        cpus_possible=possible,
        secondary_cpus=sum(bool(_SECONDARY.search(line.text)) for line in own),
        memory_kib=init.memory_kib,
        page_size=init.page_size,
        counter=init.counter,
        counter_hz=init.counter_hz,
        boot_ms=elapsed_ms(since, init.counter, init.counter_hz),
        uptime_ms=round(init.uptime_ns / 1e6, 3),
        deferred_ms=[int(match[1]) for match in deferred],
        warnings=[LogLine(line.level, line.us, line.text) for line in unexpected(own, expected)],
        log=log,
        marks=marks(own),
    )


def marks(lines: Sequence[guest.Line]) -> list[Mark]:
    """Return the parts of a boot that a kernel's log tells of, each the first time it is told."""
    found = [
        Mark(name, next(line.us for line in lines if pattern.search(line.text)))
        for name, pattern in _MARKS
        if any(pattern.search(line.text) for line in lines)
    ]
    return sorted(found, key=lambda mark: mark.us)


def unexpected(
    lines: Sequence[guest.Line], expected: Sequence[re.Pattern[str]]
) -> list[guest.Line]:
    """Return the kernel's own warnings, without those that are ``expected``."""
    return [
        line
        for line in lines
        if line.facility == 0
        and line.level <= WARNING
        and not any(known.search(line.text) for known in (_LOCKDEP, *expected))
    ]


def warnings(result: Result) -> list[tuple[str, LogLine]]:
    """Return every warning of a run with the release of the kernel that gave it."""
    return [(kernel.release, line) for kernel in result.kernels for line in kernel.warnings]


def summary(result: Result) -> list[tuple[str, ...]]:
    """Return the rows of the table for people: a property, and its value for each kernel."""
    kernels = result.kernels
    starts = ("from power-on", "from the jump")
    rows: list[tuple[str, list[str]]] = [
        ("release", [kernel.release for kernel in kernels]),
        ("CPUs up", [f"{kernel.cpus} of {kernel.cpus_possible}" for kernel in kernels]),
        ("memory", [f"{kernel.memory_kib >> 10} MiB" for kernel in kernels]),
        (
            "to the first process",
            [
                f"{kernel.boot_ms:.1f} ms {start}"
                for kernel, start in zip(kernels, starts, strict=False)
            ],
        ),
        ("of it the kernel's own", [f"{kernel.uptime_ms:.1f} ms" for kernel in kernels]),
        (
            "deferred page init",
            [", ".join(f"{ms} ms" for ms in kernel.deferred_ms) or "–" for kernel in kernels],
        ),
        ("warnings in the log", [str(len(kernel.warnings)) for kernel in kernels]),
    ]
    return [(name, *values) for name, values in rows]
