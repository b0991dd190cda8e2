# SPDX-License-Identifier: GPL-2.0-only
"""What a kexec costs the link of a NIC, and who is pinged over it: kept, and set up anew.

The guest's network is a tap device in a network namespace, so :func:`measure` runs this module
there.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import msgspec

from sku_build import board as boards
from sku_build import console, lab, run
from sku_build.bench.comparison import Comparison
from sku_build.board import Board
from sku_build.errors import CheckError, InfraError
from sku_build.lab import application, bundle, guest, link_trace, qemu, results
from sku_build.lab.bundle import Bundle
from sku_build.lab.link_trace import Link
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.ping import Pings, Stream, allow
from sku_build.lab.qemu_trace import traced
from sku_build.lab.scenario import Run

KEPT, ANEW = "kept", "set up anew"
TAKEN_OVER = "link taken over as the kernel before has left it"
_ALONE = ("unshare", "--map-root-user", "--net")
_TAP = "tap0"
_PARAMETER = "/sys/module/e1000e/parameters/keep_link"
_UP = re.compile(r"^e1000e \S+ eth0: NIC Link is Up ")
# The NIC may be there only some time after the first process.
_OPEN = (
    "until [ -e /sys/class/net/eth0 ]; do sleep 0.02; done; "
    f"ip link set eth0 up && ip address add {qemu.GUEST_ADDRESS}/24 dev eth0 && "
    'until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.02; done'
)
_BEFORE, _AFTER = 50, 100
_SECONDS = 60.0


class Jumped(msgspec.Struct, frozen=True, kw_only=True):
    """A jump, from its command to the link and 100 replies more.

    ``receiving`` says, for each time that the NIC was allowed to write to memory, whether it was
    receiving then; ``astray`` how many frames it wrote to memory that was not its. ``carrier_ms``
    is from the jump to the carrier.
    """

    way: str
    taken_over: bool
    link: Link
    receiving: list[bool]
    astray: int
    pings: Pings
    carrier_ms: float


def can_be_had() -> bool:
    """Return whether this user can have a network namespace with a tap device."""
    made = run.run([*_ALONE, "ip", "tuntap", "add", _TAP, "mode", "tap"], check=False)
    return made.status == 0


def jumps(
    path: Path, *, board: str, rounds: int, timeout_factor: float, output: Path | None
) -> list[Jumped]:
    """Jump in both ways in turn, in one guest with one NIC, in a network namespace of its own.

    Raises InfraError where none can be had.
    """
    if not can_be_had():
        raise InfraError(
            "no network namespace with a tap device can be had here",
            hint="user namespaces must be allowed, and /dev/net/tun be there",
        )
    words = [str(path), board, str(rounds), str(timeout_factor), str(output or "")]
    done = run.run([*_ALONE, sys.executable, "-m", __name__, *words])
    return msgspec.json.decode(done.stdout, type=list[Jumped])


def measure(
    path: Path, *, board: str, rounds: int, timeout_factor: float, output: Path | None
) -> tuple[list[Comparison], list[str]]:
    """Compare both ways; raises CheckError when a link was not taken over, and as :func:`jumps`."""
    found = jumps(path, board=board, rounds=rounds, timeout_factor=timeout_factor, output=output)
    for jump in found:
        if jump.taken_over != (jump.way == KEPT):
            raise CheckError(f"the link was not {jump.way}", where=output)
    return comparisons(found), notes(found)


def comparisons(found: list[Jumped]) -> list[Comparison]:
    """Compare what the ways did to the link, and how long it took them."""
    samples = {
        ("link: resets of the PHY", "resets"): [float(jump.link.phy_resets) for jump in found],
        ("link: negotiations begun", "times"): [float(jump.link.negotiations) for jump in found],
        ("link: times it was lost", "times"): [float(jump.link.lost) for jump in found],
        ("link: from the jump to the carrier", "ms"): [jump.carrier_ms for jump in found],
        ("link: without a reply to pings", "ms"): [jump.pings.blackout_ms for jump in found],
    }
    kept = [jump.way == KEPT for jump in found]
    return [
        Comparison(
            name=name,
            ours_is=KEPT,
            ordinary_is=ANEW,
            unit=unit,
            ours=[value for value, ours in zip(values, kept, strict=True) if ours],
            ordinary=[value for value, ours in zip(values, kept, strict=True) if not ours],
        )
        for (name, unit), values in samples.items()
    ]


def notes(found: list[Jumped]) -> list[str]:
    """Return a sentence on the pings of each way."""
    told = []
    for way in (KEPT, ANEW):
        streams = [jump.pings for jump in found if jump.way == way]
        told.append(
            f"link {way}: of {sum(item.sent for item in streams)} pings, lost in the blackout: "
            f"{sum(item.lost_in_it for item in streams)}, beside it: "
            f"{sum(item.lost_beside_it for item in streams)}"
        )
    return told


def one_nic(board: Board) -> Board:
    """Return the board with the first of its NICs alone, and nothing that waits."""
    part = qemu.qemu_part(board)
    machine = msgspec.structs.replace(part, nics=part.nics[:1])
    return msgspec.structs.replace(board, qemu=machine, partial_init=None)


def _network(board: Board) -> None:
    """Make the tap device; the guest is its only neighbour, and known."""
    (mac,) = re.findall(r"mac=(\S+)", " ".join(qemu.qemu_part(board).nics))
    for command in (
        f"ip tuntap add {_TAP} mode tap",
        f"ip address add 10.0.2.2/24 dev {_TAP}",
        f"ip link set {_TAP} up",
        f"ip neighbour add {qemu.GUEST_ADDRESS} lladdr {mac} dev {_TAP} nud permanent",
    ):
        run.run(command.split())
    allow()


def _answered(stream: Stream, more: int) -> None:
    """Wait until so many ``more`` replies came."""
    if not stream.wait(stream.answered + more, _SECONDS):
        raise CheckError("the guest does not answer pings")


def _jump(scenario: Run, machine: Machine, item: Bundle, way: str, number: int) -> Jumped:
    with machine.phase(Phase.LOAD):
        machine.put(_PARAMETER, "Y" if way == KEPT else "N")
        machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {scenario.cmdline(item)}")
        machine.expect(guest.Loaded)
    stream = Stream(qemu.GUEST_ADDRESS)
    stream.begin()
    _answered(stream, _BEFORE)
    events = (*link_trace.EVENTS, *link_trace.DMA_EVENTS)
    with machine.phase(Phase.SECOND_KERNEL), traced(machine, events) as lines:
        machine.tell("jump")
        left = machine.expect(guest.Jump)
        init = scenario.started(machine, item)
        machine.run(_OPEN)
        _answered(stream, _AFTER)
    pinged = stream.end()
    with machine.phase(Phase.CHECK):
        logged = scenario.log(machine, number)
    (up,) = (line.us for line in logged if _UP.match(line.text))
    booted_ms = results.elapsed_ms(left.counter, init.counter, init.counter_hz)
    return Jumped(
        way=way,
        taken_over=any(TAKEN_OVER in line.text for line in logged),
        link=link_trace.count(lines),
        receiving=link_trace.receiving(lines),
        astray=link_trace.astray(lines),
        pings=pinged,
        # The log's clock begins some time after the jump; both tell when the first process ran.
        carrier_ms=booted_ms - (init.uptime_ns / 1e6 - up / 1e3),
    )


def main(path: str, name: str, rounds: str, factor: str, output: str) -> None:
    """Jump in both ways, and print what came of it as JSON."""
    board = one_nic(boards.load(name))
    _network(board)
    scenario = Run(
        "links",
        board,
        lab.Options(
            append=f"root={qemu.qemu_part(board).root} rw init={application.AGENT}",
            timeout_factor=float(factor),
            directory=Path(output) if output else None,
            tap=_TAP,
        ),
    )
    item = bundle.load(Path(path), board)
    found: list[Jumped] = []
    with scenario.machine(item, share=item.path, disk=application.root_image()) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            scenario.started(machine, item)
            machine.run(_OPEN)
        with console.progress("rounds", int(rounds)) as advance:
            for done in range(int(rounds)):
                for way in (KEPT, ANEW):
                    found.append(_jump(scenario, machine, item, way, 2 + len(found)))
                advance(done + 1, "done")
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    print(json.dumps(msgspec.to_builtins(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
