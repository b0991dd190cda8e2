# SPDX-License-Identifier: GPL-2.0-only
"""A unit of a real systemd lives through an update: MariaDB, as Debian has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.errors import ExitCode
from sku_build.lab import Options, bundle, guest, mariadb, unit, update
from sku_build.lab.drill import NO_RESTORE, with_fault
from sku_build.lab.phases import Phase
from sku_build.lab.unit import Service

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not os.environ.get("SKU_TEST_SYSTEMD"),
        reason="two updates of a guest with systemd, up to eight minutes: `make test-systemd`",
    ),
]

_DATA_MIB = 32
_DROP_IN = f"/{mariadb.DROP_IN}"
_SETTINGS = f"/{mariadb.SETTINGS}"
# As Debian has it: with a mount namespace, io_uring and 8 TiB of addresses in one piece.
_AS_PACKAGED = (
    f"mv {_DROP_IN} /var/tmp/drop-in; mv {_SETTINGS} /var/tmp/settings; "
    f"systemctl daemon-reload; systemctl restart {mariadb.UNIT}"
)
_AS_BEFORE = (
    f"mv /var/tmp/drop-in {_DROP_IN}; mv /var/tmp/settings {_SETTINGS}; "
    f"systemctl daemon-reload; systemctl restart {mariadb.UNIT}"
)


@pytest.fixture(scope="module")
def guest_of_units(
    first_bundle: Path,
    next_bundle: Path,
    qemu_virt: Board,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Service, guest.Init]]:
    """A guest whose database serves a client; the tests are in an order."""
    options = Options(directory=tmp_path_factory.mktemp("unit"))
    first, second = (bundle.load(path, qemu_virt) for path in (first_bundle, next_bundle))
    with unit.service(first, second, qemu_virt, data_mib=_DATA_MIB, options=options) as served:
        yield served
        machine = served[0].machine
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()


def test_a_unit_that_does_not_run_or_is_none_is_refused(
    guest_of_units: tuple[Service, guest.Init],
) -> None:
    machine = guest_of_units[0].machine
    with machine.phase(Phase.CHECK):
        said = machine.run("skuctl check --unit nowhere", check=False)
        assert said.status == ExitCode.CHECK
        assert "nowhere.service is inactive, and has no main process" in said.output
        said = machine.run("skuctl check --unit ../x", check=False)
        assert said.status == ExitCode.USER
        assert "cannot take '../x" in said.output
        said = machine.run("skuctl check --unit lab-network", check=False)
        assert "lab-network.service is active, and has no main process" in said.output


def test_an_undone_update_leaves_the_unit_alone_and_the_journal_knows(
    guest_of_units: tuple[Service, guest.Init],
) -> None:
    served, _ = guest_of_units
    machine = served.machine
    with machine.phase(Phase.UPDATE):
        before = served.census()
        command = served.command("--pause-before", "jump", "--phase-timeout", "jump=1")
        ended = machine.run(command, check=False)
        assert ended.status == ExitCode.TIMED_OUT, ended.output
        assert served.census() == before
        said = machine.run(
            f"journalctl --sync; journalctl --no-pager --output json SKU_UNIT={mariadb.UNIT}"
        ).output
    records = [json.loads(line) for line in said.splitlines()]
    late = next(item for item in records if "did not end in time" in item["MESSAGE"])
    assert (late["PRIORITY"], late["SKU_PHASE"]) == ("3", "jump")
    assert late["SYSLOG_IDENTIFIER"] == "skuctl"
    assert any("undone" in item["MESSAGE"] for item in records)


def test_a_unit_lives_through_an_update(
    guest_of_units: tuple[Service, guest.Init], qemu_virt: Board
) -> None:
    served, init = guest_of_units
    result = unit.go_through(served, init, qemu_virt, data_mib=_DATA_MIB)
    assert result.broken == []
    assert result.first.release != result.second.release
    assert result.traffic.requests > 0
    assert result.report.pages << 2 > _DATA_MIB << 10
    assert any("the application is back" in line for line in result.said)
    assert any("came through the update" in line for line in result.said)
    with served.machine.phase(Phase.CHECK):
        # Stored where it stays over a reset, and nothing is left that waits for systemd.
        kept = json.loads(served.machine.run("cat /var/lib/sku/report.json").output)
        assert kept["pages"] == result.report.pages
        assert "sku" not in served.machine.run("ls -R /run/systemd/system").output


def test_what_debian_sets_is_refused_with_what_to_set(
    guest_of_units: tuple[Service, guest.Init],
) -> None:
    served, _ = guest_of_units
    machine = served.machine
    with machine.phase(Phase.UPDATE):
        machine.run(_AS_PACKAGED)
        said = machine.run(served.command(verb="check"), check=False)
        machine.run(_AS_BEFORE)
    assert said.status == ExitCode.CHECK
    assert "is anon_inode:[io_uring]" in said.output
    assert "innodb_linux_aio=aio" in said.output
    assert "GiB of addresses" in said.output
    assert "innodb_buffer_pool_size_max" in said.output
    assert "mount namespace of its own" in said.output
    assert "ProtectSystem=" in said.output


def test_a_unit_that_is_not_back_is_not_started_and_a_later_restore_has_it_adopted(
    guest_of_units: tuple[Service, guest.Init],
) -> None:
    """Last. The first try finds no CRIU."""
    served, _ = guest_of_units
    machine = served.machine
    with machine.phase(Phase.UPDATE):
        machine.run(update.MOUNT)
        pid = served.shown()["MainPID"]
        update.jump(served.run, machine, with_fault(served, NO_RESTORE), served.second)
        machine.run("systemctl is-system-running --wait", check=False)
        machine.run(f"systemctl start {mariadb.UNIT}")
        held = served.shown()
        assert (held["MainPID"], held["ActiveState"]) == ("0", "inactive")
        machine.run("mv /usr/sbin/criu.away /usr/sbin/criu")
        machine.run("skuctl restore")
        shown = served.shown()
        assert (shown["MainPID"], shown["ActiveState"]) == (pid, "active")
        said = machine.run(f"mariadb --execute 'CHECKSUM TABLE {mariadb.DATABASE}.{mariadb.TABLE}'")
        assert mariadb.TABLE in said.output
        machine.run(f"systemctl stop {mariadb.UNIT}")
        assert machine.run(f"cat /proc/{pid}/comm", check=False).status != 0
