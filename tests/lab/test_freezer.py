# SPDX-License-Identifier: GPL-2.0-only
"""An application that two commands freeze and bring back, as its users would do it by hand.

It is a redis without a port, beside the one that the lab's client talks to: what it holds goes into
a snapshot of its own making.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.errors import ExitCode
from sku_build.lab import Options, bundle, guest, update
from sku_build.lab.phases import Phase
from sku_build.lab.update import Load, Service

pytestmark = pytest.mark.lab

_KEYS = 2000
_SOCKET = "/run/second.sock"
_CLI = f"redis-cli -s {_SOCKET}"
_START = f"""#!/bin/sh
# start DIRECTORY: with the snapshot that is there, if there is one; until it answers
cd /
setsid redis-server --port 0 --unixsocket {_SOCKET} --dir "$1" --save "" --daemonize no \\
    --enable-debug-command yes </dev/null >/dev/null 2>&1 &
until {_CLI} ping 2>/dev/null | grep -q PONG; do sleep 0.1; done
"""
_FREEZE = f"""#!/bin/sh
set -e
{_CLI} --rdb "$SKU_IMAGES/dump.rdb" >/dev/null
{_CLI} shutdown nosave
while [ -d "/proc/$SKU_PID" ]; do sleep 0.1; done
"""
_RESTORE = """#!/bin/sh
set -e
cp "$SKU_IMAGES/dump.rdb" /var/lib/second/
exec /root/start /var/lib/second
"""


@pytest.fixture(scope="module")
def served(
    first_bundle: Path,
    next_bundle: Path,
    qemu_virt: Board,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A guest with the second redis, filled."""
    load = Load(data_mib=16)
    run = update.prepared(qemu_virt, load, Options(directory=tmp_path_factory.mktemp("freezer")))
    bundles = (bundle.load(path, qemu_virt) for path in (first_bundle, next_bundle))
    with update.service(run, *bundles, load) as (service, _):
        machine = service.machine
        with machine.phase(Phase.LOAD):
            service.mount()
            for name, text in (("start", _START), ("freeze", _FREEZE), ("restore", _RESTORE)):
                code = base64.b64encode(text.encode()).decode()
                machine.run(f"echo {code} | base64 -d >/root/{name}; chmod +x /root/{name}")
            machine.run("mkdir -p /var/lib/second; /root/start /var/lib/second")
            machine.run(f"{_CLI} debug populate {_KEYS} key 500")
        yield service
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def _command(service: Service, freeze: str, *words: str, restore: str = "/root/restore") -> str:
    pid = service.machine.run(f"{_CLI} info server | grep -a process_id | tr -dc 0-9").output
    service.pid = int(pid)
    return service.command(
        *("--freezer", "command", "--freeze-command", f"'{freeze}'"),
        *("--restore-command", f"'{restore}'", *words),
    )


def _holds(service: Service) -> list[str]:
    said = service.machine.run(f"{_CLI} dbsize; {_CLI} debug digest").output.split()
    assert said[0] == str(_KEYS)
    return said


def test_what_a_command_has_stopped_goes_on_when_the_update_is_undone(served: Service) -> None:
    with served.machine.phase(Phase.UPDATE):
        before = _holds(served)
        command = _command(
            served, "kill -STOP $SKU_PID", "--pause-before", "seal", "--phase-timeout", "seal=1"
        )
        ended = served.machine.run(command, check=False)
        assert ended.status == ExitCode.TIMED_OUT, ended.output
        assert _holds(served) == before


def test_a_freeze_command_that_fails_ends_the_update(served: Service) -> None:
    with served.machine.phase(Phase.UPDATE):
        before = _holds(served)
        ended = served.machine.run(_command(served, "echo no room >&2; exit 7"), check=False)
        assert ended.status == ExitCode.ROLLED_BACK, ended.output
        assert "status 7" in ended.output
        assert "no room" in served.machine.run("cat /run/sku/dump.log").output
        assert _holds(served) == before


def test_what_the_shell_does_not_understand_is_refused(served: Service) -> None:
    with served.machine.phase(Phase.UPDATE):
        ended = served.machine.run(_command(served, "true", restore="if true"), check=False)
        assert ended.status == ExitCode.CHECK, ended.output
        assert "restore command" in ended.output


def test_what_a_command_has_ended_is_brought_back_when_the_update_is_undone(
    served: Service,
) -> None:
    with served.machine.phase(Phase.UPDATE):
        before = _holds(served)
        command = _command(
            served, "/root/freeze", "--pause-before", "seal", "--phase-timeout", "seal=1"
        )
        ended = served.machine.run(command, check=False)
        assert ended.status == ExitCode.TIMED_OUT, ended.output
        assert _holds(served) == before


def test_an_application_comes_back_by_its_own_commands(served: Service) -> None:
    """Last: the guest is another one afterwards."""
    machine = served.machine
    with machine.phase(Phase.UPDATE):
        before = _holds(served)
        machine.begin(_command(served, "/root/freeze"))
        match machine.expect(guest.Init, guest.Ran):
            case guest.Ran(output=output):
                pytest.fail(output)
            case guest.Init() as init:
                served.run.check_release(init, served.second)
    with machine.phase(Phase.CHECK):
        assert _holds(served) == before
        assert update.read_report(machine).pages == 0
