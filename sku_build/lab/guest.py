# SPDX-License-Identifier: GPL-2.0-only
"""What ``sku-init`` says on the lab's port: one JSON object a line; see docs/lab.md."""

from __future__ import annotations

import msgspec

PROTOCOL = 1


class _Event(msgspec.Struct, frozen=True, tag_field="event"):
    pass


class Init(_Event, frozen=True, tag="init"):
    """The first process runs; ``counter`` is CNTVCT_EL0 at its first instruction."""

    protocol: int
    counter: int
    counter_hz: int
    release: str
    version: str
    cmdline: str
    cpus_online: str
    cpus_possible: str
    memory_kib: int
    page_size: int
    uptime_ns: int


class Load(_Event, frozen=True, tag="load"):
    """Loading the next kernel begins."""

    counter: int


class Loaded(_Event, frozen=True, tag="loaded"):
    """The next kernel is loaded."""

    counter: int


class Unloaded(_Event, frozen=True, tag="unloaded"):
    """No next kernel is loaded any more."""

    counter: int


class Jump(_Event, frozen=True, tag="jump"):
    """The jump begins: nothing follows from this kernel, unless it fails."""

    counter: int


class PowerOff(_Event, frozen=True, tag="poweroff"):
    """The guest powers off."""

    counter: int


class Put(_Event, frozen=True, tag="put"):
    """The text is written to the file."""

    counter: int


class Content(_Event, frozen=True, tag="content"):
    """What a file holds; a byte is the character of the same code point."""

    text: str
    counter: int = 0


class Ran(_Event, frozen=True, tag="ran"):
    """A shell command ended with ``status`` (128 and the signal if one killed it).

    ``output`` is the end of what it printed, standard error included; ``counter`` when it ended.
    """

    status: int
    output: str
    counter: int = 0


class Line(_Event, frozen=True, tag="line"):
    """A record of the kernel's log: syslog level, facility 0 for the kernel, stamp in µs."""

    level: int
    facility: int
    us: int
    text: str


class Kmsg(_Event, frozen=True, tag="kmsg"):
    """The log is complete: records sent, and records overwritten before they could be read."""

    lines: int
    lost: int


class Failure(_Event, frozen=True, tag="error"):
    """A command could not be done; ``errno`` is 0 when no system call failed."""

    message: str
    errno: int
    hint: str


Event = (
    Init | Load | Loaded | Unloaded | Jump | PowerOff | Put | Content | Ran | Line | Kmsg | Failure
)

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_SHOWN = 200


class Malformed(Exception):
    """A line of the guest is not one of the events above; the text says why and shows it."""


def decode(line: bytes) -> Event:
    """Return the event in one line of the channel; raises :class:`Malformed`."""
    try:
        event = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = line[:_SHOWN].decode("utf-8", "backslashreplace").rstrip("\n")
        raise Malformed(f"{error}: {shown!r}") from error
    if isinstance(event, Init) and event.protocol != PROTOCOL:
        raise Malformed(f"its sku-init speaks protocol {event.protocol}, the lab {PROTOCOL}")
    return event


def count_cpus(cpus: str) -> int:
    """Return how many CPUs a list such as ``0-3,8`` names; raises ValueError when it is none."""
    total = 0
    for part in cpus.split(","):
        low, _, high = part.partition("-")
        total += int(high or low) - int(low) + 1
    return total
