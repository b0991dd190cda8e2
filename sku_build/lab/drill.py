# SPDX-License-Identifier: GPL-2.0-only
"""Drills: an update that goes wrong on purpose, and what must be as before afterwards.

They run in a guest that :func:`sku_build.lab.update.service` has started, one after the other:
whatever a drill leaves behind would show in the next one.
"""

from __future__ import annotations

import base64
import mmap
import re
import shlex
import time
from typing import Protocol

import msgspec

from sku_build.errors import CheckError
from sku_build.lab import application, results, update
from sku_build.lab import update_result as outcome
from sku_build.lab.application import Census
from sku_build.lab.phases import Phase
from sku_build.lab.update import Service

# What the runtime goes through before the point of no return, and in which of it CRIU runs.
PHASES = ("check", "load", "silence", "detach", "dump", "seal", "jump")
WITH_CRIU = ("silence", "detach", "dump")
_POLL_S = 0.1
_PATIENCE = 100  # polls: who undoes may still be busy when the update has ended

# Each prints something only when there is something left; {pid} is the application.
_LEFTOVERS = {
    "a table of packet filters": "nft list tables",
    "haste": "grep -v '^0$' /sys/kernel/rcu_expedited",
    "a loaded kernel": "grep -v '^0$' /sys/kernel/kexec_loaded",
    "an initramfs kept": "grep -v '^none$' /sys/kernel/kept_initramfs/next 2>/dev/null",
    "a stopped thread": "grep -l '^State:.[tT]' /proc/{pid}/task/*/status",
    "a process of the update": "pgrep -a -x 'criu|skuctl'",
    "a wish for pids": "cat /proc/sys/kernel/pid_reserve_next 2>/dev/null | grep .",
}


def leftovers(service: Service) -> list[str]:
    """Return what an update has left in the guest, none of which may stay after an undone one."""
    found = []
    for what, command in _LEFTOVERS.items():
        said = service.machine.run(command.format(pid=service.pid), check=False).output.strip()
        if said:
            found.append(f"{what} is left: {said}")
    return found


class Fault(msgspec.Struct, frozen=True):
    """A fault: when an update holds before ``phase``, the guest's shell does ``action``.

    ``$UPDATE`` is the process of the update there.
    """

    phase: str
    action: str


def kill_update(phase: str) -> Fault:
    """Return the fault that the update itself is killed outright."""
    return Fault(phase, "kill -9 $UPDATE")


def kill_criu(phase: str) -> Fault:
    """Return the fault that CRIU is killed outright; ``phase`` is one of :data:`WITH_CRIU`."""
    return Fault(phase, "pkill -9 -x criu")


_HANDOVER_TEST = "/sys/kernel/debug/kho/test"  # with CONFIG_KEXEC_HANDOVER_TEST


def no_memory(phase: str, nth: int) -> Fault:
    """Return the fault that from ``phase`` on the ``nth`` block to be handed over finds no memory.

    It takes a kernel with the handover's test driver, as :func:`damaged_record` does. An update
    that has fewer blocks jumps.
    """
    return Fault(phase, f"echo {nth} >{_HANDOVER_TEST}/starve")


def damaged_record(name: str) -> str:
    """Return the command that has a bit of a record flipped after this kernel's last check."""
    return f"echo content:{name} >{_HANDOVER_TEST}/corrupt"


_SEALED = "everything is sealed"
_GO = "go"


def waits(phase: str) -> Fault:
    """Return the fault that the guest waits before ``phase`` for :func:`spoil`."""
    action = (
        f"echo '{_SEALED}' >/dev/console; until test -e {update.SHARE}/{_GO}; do sleep 0.1; done"
    )
    return Fault(phase, action)


def spoil(service: Service, content: bytes) -> int:
    """Change the first byte of each ``content`` in the memory of a guest that :func:`waits`.

    The guest's memory must be a file (:class:`sku_build.lab.scenario.Options`). Returns how many
    there were, and lets the guest go on. Raises CheckError when it does not get there.
    """
    memory, console = service.machine.vm.memory, service.machine.serial_log
    assert memory is not None
    deadline = time.monotonic() + service.seconds
    while _SEALED.encode() not in console.read_bytes():
        if time.monotonic() > deadline:
            raise CheckError("the update did not get to where it is to wait", where=console)
        time.sleep(_POLL_S)
    with memory.open("r+b") as file, mmap.mmap(file.fileno(), 0) as ram:
        found = [match.start() for match in re.finditer(re.escape(content), ram)]
        for at in found:
            ram[at] ^= 1
    (service.second.path / _GO).touch()
    return len(found)


# Only the next kernel finds out: it has no CRIU.
NO_RESTORE = Fault("jump", "mv /usr/sbin/criu /usr/sbin/criu.away; sync")


# The next kernel's CRIU fails when it is started first.
STARTS_OF_CRIU = "/run/criu.starts"
_TOO_EARLY = f"""#!/bin/sh
echo "$1" >>{STARTS_OF_CRIU}
test -n "$(sed -n 2p {STARTS_OF_CRIU})" || exit 1
exec /usr/sbin/criu.real "$@"
"""
RESTORE_TOO_EARLY = Fault(
    "jump",
    "mv /usr/sbin/criu /usr/sbin/criu.real; "
    f"echo {base64.b64encode(_TOO_EARLY.encode()).decode()} | base64 -d >/usr/sbin/criu; "
    "chmod +x /usr/sbin/criu; sync",
)


class Drilled(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill ended: the update's exit status and last words, and what is not as before."""

    status: int
    output: str
    wrong: list[str]


def drill(service: Service, before: Census, command: str) -> Drilled:
    """Run an update that must not get to its jump, while the client sends.

    ``command`` is the update's, as :meth:`Service.command` or :func:`with_fault` gives it. Raises
    GuestFailed when another kernel comes up.
    """
    machine = service.machine
    with machine.phase(Phase.UPDATE):
        known = len(machine.kernel_log())
        service.client.start()
        ran = machine.run(command, check=False)
        found = leftovers(service)
        for _ in range(_PATIENCE):
            if not found:
                break
            time.sleep(_POLL_S)
            found = leftovers(service)
        seen = service.client.stop(service.seconds)
        said = machine.kernel_log()[known:]
    told = [line.text for line in results.unexpected(said, service.run.expected)]
    after = service.census()
    wrong = [*found, *outcome.broken_promises(before, after, seen, told)]
    return Drilled(status=ran.status, output=ran.output, wrong=wrong)


class Updating(Protocol):
    """A guest that can be told to update its kernel."""

    def command(self, *words: str) -> str:
        """Return the command of ``skuctl`` that does it, with more ``words`` for that."""
        ...


def with_fault(service: Updating, fault: Fault, *words: str) -> str:
    """Return the command of an update that meets with ``fault``, with more ``words`` for it."""
    command = service.command(*words, "--pause-before", fault.phase)
    return application.script("drill", fault.phase, shlex.quote(fault.action), command)
