# SPDX-License-Identifier: GPL-2.0-only
"""The application that is updated under: redis in the guest, with data, and what must not change.

The guest's root file system holds the scripts below; the lab runs them over its channel.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from sku_build import initramfs, toolchain
from sku_build.errors import CheckError
from sku_build.lab import rootfs
from sku_build.lab.client import COUNTER, Client
from sku_build.lab.machine import Machine

PORT = 6379
AGENT = "/usr/lib/sku/sku-agent"
IMAGES = "/var/lib/criu"
SCRIPTS = "usr/lib/sku-lab"
_VALUE_BYTES = 950
_ENTRY_BYTES = 1074  # what a key of DEBUG POPULATE with such a value takes of redis' memory
_MIB = 1 << 20

_NETWORK = """\
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
"""

# The server's terminal, and every other descriptor it could inherit, would be dumped with it.
_START = f"""\
#!/bin/sh
# start THP PID: redis with transparent huge pages as it likes (madvise) or everywhere (always),
# under the next pid that comes (any) or one that a kernel which starts will not give out (high)
set -e
{_NETWORK}echo 1 > /proc/sys/vm/overcommit_memory
echo "$1" > /sys/kernel/mm/transparent_hugepage/enabled
[ "$1" = always ] && disable=no || disable=yes
if [ "$2" = high ] || [ ! -e /proc/sys/kernel/pid_reserve_next ]; then
    echo 20000 > /proc/sys/kernel/ns_last_pid
fi
setsid redis-server --port {PORT} --bind 0.0.0.0 --protected-mode no --save "" --appendonly no \\
    --daemonize no --logfile /var/log/redis/redis.log --dir /var/lib/redis \\
    --enable-debug-command yes --disable-thp "$disable" </dev/null >/dev/null 2>&1 &
tries=0
until grep -q ':{PORT:04X} .* 0A ' /proc/net/tcp; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || {{ cat /var/log/redis/redis.log; exit 1; }}
    sleep 0.1
done
# Fills what CRIU knows of this kernel: an update would not begin on a machine without it.
criu check >/dev/null 2>&1 || true
"""

# The ordinary way: docs/checkpoint.md says why each line is there.
_DUMP = f"""\
#!/bin/sh
# dump PID
set -e
mkdir -p {IMAGES}
criu dump -t "$1" -D {IMAGES} -o dump.log --tcp-established --network-lock nftables || {{
    tail -n 5 {IMAGES}/dump.log
    exit 1
}}
"""
_RESTORE = f"""\
#!/bin/sh
set -e
nft -f /{SCRIPTS}/silence.nft
{_NETWORK}echo 0 > /proc/sys/net/ipv4/tcp_window_scaling
criu restore -D {IMAGES} -o restore.log --tcp-established -d \\
    --action-script /{SCRIPTS}/open || {{
    tail -n 5 {IMAGES}/restore.log
    exit 1
}}
echo 1 > /proc/sys/net/ipv4/tcp_window_scaling
"""
_SILENCE = f"""\
table inet sku {{
    chain in {{
        type filter hook input priority -300; policy accept;
        meta mark 0xC114 accept; tcp dport {PORT} drop;
    }}
    chain out {{
        type filter hook output priority -300; policy accept;
        meta mark 0xC114 accept; tcp sport {PORT} drop;
    }}
}}
"""
_OPEN = """\
#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = pre-resume ] || exit 0
exec nft delete table inet sku
"""

# Status 125: the update ended before it got there.
DRILL = """\
#!/bin/sh
# drill PHASE ACTION COMMAND…: run the update COMMAND, and do ACTION when it holds before PHASE
phase=$1 action=$2
shift 2
rm -f /run/sku/status /run/sku/continue
"$@" &
export UPDATE=$!
until [ "$(cat /run/sku/status 2>/dev/null)" = "$phase" ]; do
    if ! kill -0 $UPDATE 2>/dev/null; then
        wait $UPDATE
        echo "ended before $phase, status $?"
        exit 125
    fi
    sleep 0.1
done
sh -c "$action"
touch /run/sku/continue
wait $UPDATE
"""


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """What the application holds and is; an update must not change any of it.

    ``digest`` is redis' own over all keys and values, ``run_id`` what the server called itself
    when it started, ``connection`` the number it gave to the client's connection.
    """

    pid: int
    tids: list[int]
    keys: int
    digest: str
    run_id: str
    connection: int


def root_image() -> Path:
    """Return the guest's root file system with the runtime's programs and the lab's scripts.

    Raises CheckError when the runtime does not have all of its programs.
    """
    with tempfile.TemporaryDirectory(prefix="sku-runtime-") as out:
        programs = initramfs.build_programs(toolchain.choose("arm64"), Path(out, "runtime"))
        missing = sorted(set(initramfs.PROGRAMS) - set(programs))
        if missing:
            raise CheckError(
                f"the runtime has no {', '.join(Path(path).name for path in missing)}",
                where=initramfs.runtime_dir(),
                hint="`make all` there must make them; an update in the lab needs them",
            )
        scripts = {
            "start": _START,
            "dump": _DUMP,
            "restore": _RESTORE,
            "open": _OPEN,
            "drill": DRILL,
        }
        extra: dict[str, Path | str] = {f"{SCRIPTS}/{name}": text for name, text in scripts.items()}
        extra[f"{SCRIPTS}/silence.nft"] = _SILENCE
        return rootfs.image(extra | programs).path


def script(name: str, *words: str | int) -> str:
    """Return the command that runs one of the lab's scripts in the guest."""
    return " ".join([f"/{SCRIPTS}/{name}", *map(str, words)])


def start(machine: Machine, *, huge: bool, high_pid: bool) -> int:
    """Start redis, ``huge`` with transparent huge pages wherever it can; return its pid.

    ``high_pid`` is for a restore with nothing but CRIU: the next kernel gives low pids to its own
    threads, and keeps none free without the series ``pid_reserve``.
    """
    machine.run(script("start", "always" if huge else "madvise", "high" if high_pid else "any"))
    return int(machine.run("pgrep -x redis-server").output)


def keys_in(mib: int) -> int:
    """Return how many keys take ``mib`` MiB of redis' memory."""
    return mib * _MIB // _ENTRY_BYTES


def fill(client: Client, mib: int, *, seconds: float) -> None:
    """Have redis make as many keys, each with a value of its own, as take ``mib`` MiB."""
    client.ask("DEBUG", "POPULATE", keys_in(mib), "key", _VALUE_BYTES, seconds=seconds)


def census(machine: Machine, client: Client, pid: int, *, seconds: float) -> Census:
    """Ask the application what it holds, and the guest what it is."""
    client.ask("SET", COUNTER, 0)  # it went on, as it should: the digest is of all the rest
    facts = dict(
        line.split(":", 1) for line in client.ask("INFO", "server").splitlines() if ":" in line
    )
    running = machine.run(f"pgrep -x redis-server; ls /proc/{pid}/task", check=False)
    found, *tids = (int(word) for word in running.output.split())
    return Census(
        pid=found,
        tids=sorted(tids),
        keys=client.ask("DBSIZE"),
        digest=client.ask("DEBUG", "DIGEST", seconds=seconds),
        run_id=facts["run_id"],
        connection=client.ask("CLIENT", "ID"),
    )


def resident_kib(machine: Machine, pid: int) -> tuple[int, int]:
    """Return how much anonymous memory the server has, and how much of it in huge pages (KiB)."""
    said = machine.run(f"cat /proc/{pid}/smaps_rollup").output
    fields = {line.split(":")[0]: line.split()[1] for line in said.splitlines()[1:]}
    return int(fields["Anonymous"]), int(fields["AnonHugePages"])
