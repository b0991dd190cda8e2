# SPDX-License-Identifier: GPL-2.0-only
"""A guest whose init is systemd, and in which MariaDB is one of its units, as Debian made it."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from sku_build import initramfs, toolchain
from sku_build.bundle import content
from sku_build.lab import application, rootfs
from sku_build.lab.client import ConnectionBroke
from sku_build.lab.rootfs import Account, Guest
from sku_build.lab.traffic import Notes, Traffic

PORT = 3306
UNIT = "mariadb.service"
USER = "sku"
DATABASE = "sku"
INIT = "/usr/lib/systemd/systemd"
AGENT_UNIT = "sku-agent.service"
DROP_IN = f"etc/systemd/system/{UNIT}.d/sku.conf"
SETTINGS = "etc/mysql/mariadb.conf.d/99-sku.cnf"
TABLE, COUNTER = "data", "counter"
_ROW_BYTES = 960
_MIB = 1 << 20
_PAUSE_S = 0.005

GUEST = Guest(
    packages=("systemd", "systemd-sysv", "mariadb-server"),
    accounts=(
        Account("redis", 101, "var/lib/redis"),
        Account("mysql", 102, "var/lib/mysql"),
        Account("systemd-journal", 103, "run/log/journal"),
    ),
)

# What a guest without a console, a user or a new release has no use for: each takes its time.
_MASKED = (
    *("getty.target", "getty@tty1.service", "serial-getty@ttyAMA0.service", "ldconfig.service"),
    *("systemd-firstboot.service", "systemd-sysusers.service", "systemd-update-done.service"),
    *("systemd-journal-catalog-update.service", "systemd-logind.service"),
    *("systemd-hostnamed.socket", "systemd-creds.socket", "systemd-sysext.socket"),
    *("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "kmod-static-nodes.service"),
    *("systemd-modules-load.service", "systemd-tpm2-setup.service"),
    *("systemd-pcrextend.socket", "systemd-pcrlock.socket"),
    *("systemd-tpm2-setup-early.service", "systemd-ask-password-console.path"),
    *("systemd-ask-password-wall.path", "systemd-tmpfiles-clean.timer", "dpkg-db-backup.timer"),
)
_NETWORK = """\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
# The update brings the network back before there is an init.
ExecStart=/bin/sh -c 'ip address show eth0 | grep -q 10.0.2.15 || { \\
    ip link set lo up; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; \\
    ip route add default via 10.0.2.2; }'
"""
_AGENT = """\
[Unit]
# Of what is there without it, nothing is missing.
DefaultDependencies=no
After=basic.target

[Service]
ExecStart=/usr/lib/sku/sku-agent --service
KillMode=process
"""
_TARGET = f"""\
[Unit]
Wants={AGENT_UNIT} lab-network.service
"""
_DATABASE = """\
[mariadbd]
bind-address = 0.0.0.0
skip-name-resolve
innodb_buffer_pool_size = 128M
# What the update asks for, see docs/systemd.md.
innodb_buffer_pool_size_max = 128M
innodb_linux_aio = aio
"""
# What the update asks for as well; and of what Debian does after each start, nothing.
_UNIT = """\
[Service]
ProtectSystem=no
ProtectControlGroups=no
ProtectHome=no
ExecStartPost=
"""


_INITIALISE = f"""\
#!/bin/sh
# What the package's postinst does, and an account for the client, which may come from anywhere.
set -e
install -d -o mysql -g mysql -m 0755 /var/lib/mysql
mariadb-install-db --user=mysql --auth-root-authentication-method=normal --skip-test-db \\
    >/var/log/install-db 2>&1 || {{ tail -n 5 /var/log/install-db; exit 1; }}
install -d -o mysql -m 0755 /run/mysqld
systemctl start {UNIT}
mariadb --execute "CREATE DATABASE {DATABASE}; CREATE USER '{USER}'@'%';
    GRANT ALL ON {DATABASE}.* TO '{USER}'@'%'"
# Fills what CRIU knows of this kernel.
criu check >/dev/null 2>&1 || true
"""


def root_image() -> Path:
    """Return the guest's root file system with the runtime, its units and the database's settings.

    Raises as :func:`sku_build.lab.rootfs.image`.
    """
    system = "etc/systemd/system"
    extra: dict[str, Path | str] = {
        "etc/machine-id": "5b1e0f5a2d3c4c6e9a0d736b75000001\n",
        "etc/mysql/my.cnf": "!include /etc/mysql/mariadb.cnf\n",
        SETTINGS: _DATABASE,
        f"{application.SCRIPTS}/initialise": _INITIALISE,
        f"{application.SCRIPTS}/drill": application.DRILL,
        f"{system}/{AGENT_UNIT}": _AGENT,
        f"{system}/lab-network.service": _NETWORK,
        f"{system}/default.target": "[Unit]\nRequires=multi-user.target\nAllowIsolate=yes\n",
        f"{system}/multi-user.target.d/lab.conf": _TARGET,
        DROP_IN: _UNIT,
    }
    # An empty file masks a unit.
    extra |= {f"{system}/{name}": "" for name in _MASKED}
    extra |= {f"usr/lib/systemd/system/{unit.name}": unit for unit in content.units()}
    with tempfile.TemporaryDirectory(prefix="sku-runtime-") as out:
        programs = initramfs.build_programs(toolchain.choose("arm64"), Path(out, "runtime"))
        return rootfs.image(extra | programs, guest=GUEST).path


class Client:
    """A connection to the database on a ``port`` of ``host``; closed with the ``with`` block.

    It is in one of two states, as :class:`sku_build.lab.client.Client`: :meth:`ask` sends a
    statement; between :meth:`start` and :meth:`stop` one transaction follows the other, each of
    which adds one to a number and gets it back.
    """

    def __init__(self, port: int, host: str) -> None:
        self._where = {"host": host, "port": port}
        self._connection: pymysql.connections.Connection | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._notes = Notes()

    def __enter__(self) -> Self:
        try:
            self._connection = pymysql.connect(
                **self._where, user=USER, database=DATABASE, autocommit=True, connect_timeout=30
            )
        except pymysql.MySQLError as error:
            raise ConnectionBroke(f"cannot connect to the guest's database: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._connection is not None:
            # Not close(): that would wait for a server that may be gone.
            self._connection._force_close()
        if self._thread is not None:
            self._thread.join()

    def ask(self, statement: str) -> Any:
        """Send a statement; return the first column of the first row of its result, if any.

        Raises :class:`ConnectionBroke` when the connection is gone or the statement fails.
        """
        try:
            return self._execute(statement)
        except (pymysql.MySQLError, OSError) as error:
            raise ConnectionBroke(f"{statement[:40]} was not answered: {error}") from error

    def fill(self, mib: int) -> None:
        """Make a table of as many rows, each with a text of its own, as take ``mib`` MiB."""
        self.ask(f"CREATE TABLE {COUNTER} (n BIGINT NOT NULL) ENGINE=InnoDB")
        self.ask(f"INSERT INTO {COUNTER} VALUES (0)")
        self.ask(f"CREATE TABLE {TABLE} (id INT PRIMARY KEY, text VARCHAR(1000)) ENGINE=InnoDB")
        self.ask(
            f"INSERT INTO {TABLE} SELECT seq, REPEAT(MD5(seq), {_ROW_BYTES // 32}) "
            f"FROM seq_1_to_{mib * _MIB // _ROW_BYTES}"
        )

    def start(self) -> None:
        """Begin to send."""
        self._stopping.clear()
        self._notes = Notes()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> Traffic:
        """End the stream after the reply that is missing; ``seconds`` may pass until it is there.

        What was seen is returned; when the reply does not come, it says so, and the connection is
        gone.
        """
        self._stopping.set()
        assert self._thread is not None
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._notes.broke(f"a request had no reply after {seconds:g} s")
            assert self._connection is not None
            self._connection._force_close()
            self._thread.join()
        self._thread = None
        return self._notes.traffic()

    def _execute(self, statement: str) -> Any:
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return row[-1] if row else cursor.lastrowid

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._notes.sends()
                statement = f"UPDATE {COUNTER} SET n = LAST_INSERT_ID(n + 1)"
                self._notes.answered(self._execute(statement))
                self._stopping.wait(_PAUSE_S)
        except (pymysql.MySQLError, OSError, AttributeError, ValueError) as error:
            # The last two are what PyMySQL runs into when the connection is closed under it.
            self._notes.broke(error)
