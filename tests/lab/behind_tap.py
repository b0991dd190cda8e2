# SPDX-License-Identifier: GPL-2.0-only
"""An update whose client is a real TCP stack: run by test_update.py in a network namespace.

Prints what the client's kernel could send before the next acknowledgement, before the update and
after it (bytes), and what of the application changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sku_build import board as boards
from sku_build import run
from sku_build.lab import Options, application, bundle, update
from sku_build.lab import update_result as outcome
from sku_build.lab.phases import Phase
from sku_build.lab.update import Load, Service

_TAP = "tap0"
_LARGE = 4 << 20
_SETUP = (
    f"ip tuntap add {_TAP} mode tap",
    f"ip address add 10.0.2.2/24 dev {_TAP}",
    f"ip link set {_TAP} up",
)


def window(service: Service) -> int:
    """Return how much the server lets the client send, after it has been sent a lot."""
    for _ in range(4):
        service.client.ask("SET", "large", "x" * _LARGE, seconds=service.seconds)
    service.client.ask("DEL", "large")
    shown = run.run(["ss", "-tinO", "dport", f"= :{application.PORT}"]).stdout
    (size,) = (word for word in shown.split() if word.startswith("snd_wnd:"))
    return int(size.split(":")[1])


def main(first: str, second: str, directory: str, factor: str = "1") -> None:
    """Update from one bundle to the other, and print the result as JSON."""
    for command in _SETUP:
        run.run(command.split())
    board = boards.load("qemu-virt")
    load = Load(data_mib=16)
    options = Options(directory=Path(directory), timeout_factor=float(factor), tap=_TAP)
    bundles = (bundle.load(Path(path), board) for path in (first, second))
    with update.service(update.prepared(board, load, options), *bundles, load) as (service, _):
        before = service.census()
        windows = [window(service)]
        with service.machine.phase(Phase.UPDATE):
            service.mount()
            service.jump()
        with service.machine.phase(Phase.CHECK):
            seen = service.client.stop(service.seconds)
            update.read_report(service.machine)
        windows.append(window(service))
        after = service.census()
        with service.machine.phase(Phase.SHUTDOWN):
            service.machine.power_off()
    broken = outcome.broken_promises(before, after, seen, [])
    print(json.dumps({"windows": windows, "broken": broken}))


if __name__ == "__main__":
    main(*sys.argv[1:])
