# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU traces of a guest's devices while something goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sku_build.lab.machine import Machine


@contextlib.contextmanager
def traced(machine: Machine, events: tuple[str, ...]) -> Iterator[list[str]]:
    """Trace ``events`` within the block; what is yielded has their lines after it.

    QEMU writes a line for each to its log, which stays.
    """
    lines: list[str] = []
    begin = machine.qemu_log.stat().st_size
    _switch(machine, events, on=True)
    yield lines
    _switch(machine, events, on=False)
    with machine.qemu_log.open(encoding="utf-8", errors="replace") as log:
        log.seek(begin)
        lines += log.read().splitlines()


def _switch(machine: Machine, events: tuple[str, ...], *, on: bool) -> None:
    for event in events:
        machine.monitor("trace-event-set-state", name=event, enable=on)
