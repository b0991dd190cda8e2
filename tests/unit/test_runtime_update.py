# SPDX-License-Identifier: GPL-2.0-only
"""The parts of an update that run on any machine, under sanitizers.

What the kernel before this one hands over is hostile until it is checked.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sku_build import layout
from sku_build import series as patch_series
from tests.unit import tcp_peers
from tests.unit.runtime_parts import compiled

_PARTS = (
    *("app", "areas", "buffer", "child", "file", "freezer_criu", "handshakes", "image", "images"),
    *(
        "journal",
        "json",
        "kept",
        "net",
        "netlink",
        "pin",
        "problem",
        "reads",
        "segment",
        "silence",
        "state",
        "tasks",
    ),
    *("tcp", "waiting", "wake", "warm"),
)

Part = Callable[..., list[str]]

_SOON_S = 1.5  # the client's own timer takes longer, see tcp_peers


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("update")
    (directory / "state").mkdir()
    places = {
        "STATE_DIRECTORY": f"{directory}/state",
        "CHILD_PATH": f"{directory}/bin:/usr/bin:/bin",
    }
    return compiled(Path(__file__).with_suffix(".c"), _PARTS, directory / "parts", places)


@pytest.fixture
def part(program: Path) -> Part:
    """Return a function that runs a part on an argument and returns the lines it prints."""

    def feed(name: str, argument: object, *before: str) -> list[str]:
        argv = [*before, str(program), name, str(argument)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return feed


@pytest.fixture(scope="session")
def namespace() -> tuple[str, ...]:
    """Return the words before a command that give it a network of its own."""
    words = ("unshare", "--net")
    if subprocess.run([*words, "ip", "link"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no network namespace, or has no ip")
    return words


GOOD = "version 1\ntask 43\ntask 45\nport 6379\n"


def test_the_record_of_an_application_comes_back_as_it_was(part: Part, tmp_path: Path) -> None:
    file = tmp_path / "app"
    file.write_text(GOOD)
    assert part("app", file) == ["0", *GOOD.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version 1\n",
        "version 2\ntask 43\n",
        "version 1\ntask 0\n",
        "version 1\ntask 4194304\n",
        "version 1\ntask 99999999999999999999\n",
        "version 1\ntask -1\n",
        "version 1\ntask 43",
        "version 1\ntask 43\nport 0\n",
        "version 1\ntask 43\nport 65536\n",
        "version 1\ntask 43 44\n",
        "version 1\ntask 43\nfile 1\n",
        "version 1\ntask 43\n\n",
        "version 1\ntask 43\n" + "x" * 5000 + "\n",
        "version 1\ntask 43\n" + "port 1\n" * 1025,
    ],
)
def test_a_record_that_is_not_one_is_refused(part: Part, tmp_path: Path, text: str) -> None:
    file = tmp_path / "app"
    file.write_text(text)
    assert int(part("app", file)[0]) < 0


def test_noise_is_no_record_of_an_application(part: Part, tmp_path: Path) -> None:
    rng = random.Random(1)
    file = tmp_path / "app"
    for _ in range(50):
        file.write_bytes(GOOD.encode() + rng.randbytes(rng.randrange(1, 200)))
        assert int(part("app", file)[0]) < 0


_SETUP = """
ip link set lo up
ip link add name sku0 type {kind}
ip link set sku0 mtu 1400 up
ip address add 192.0.2.1/24 dev sku0
ip address add 2001:db8::1/64 dev sku0 nodad
ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev sku0
ip route add 198.51.100.0/24 via 192.0.2.9
ip route add default via 192.0.2.9
"""
_SHOW = "ip -o address; ip route; ip neighbour show nud permanent; ip -o link show up | cut -d: -f2"


def _without_numbers(lines: list[str]) -> list[str]:
    """Interfaces may have another number now; nobody is asked for an address a second time."""
    told = [line.split(": ", 1)[-1].strip() for line in lines if "fe80" not in line]
    return sorted(line.replace(" nodad", "") for line in told)


def test_a_network_is_set_up_again_under_other_interface_numbers(
    program: Path, namespace: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "net"
    save = f"set -e; {_SETUP.format(kind='bridge')}\n{program} net-save {file}; {_SHOW}"
    load = (
        "set -e; ip link add name other type bridge; ip link add name sku0 type bridge\n"
        f"{program} net-load {file}; {_SHOW}"
    )
    said = []
    for script in (save, load):
        done = subprocess.run(
            [*namespace, "sh", "-c", script], capture_output=True, text=True, check=False
        )
        if "Unknown device type" in done.stderr or "not supported" in done.stderr:
            pytest.skip(f"no interface can be made here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        result, *shown = done.stdout.splitlines()
        assert result == "0", done.stdout
        said.append(_without_numbers([line for line in shown if line]))
    assert any("192.0.2.1/24" in line for line in said[0])
    assert said[1] == said[0]


def test_no_damaged_record_of_the_network_is_read_past_its_end(
    part: Part, program: Path, namespace: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "net"
    part("net-save", file, *namespace)
    assert file.stat().st_size > struct.calcsize("IIQ")
    assert part("net", file, *namespace)[0] == "0"


def test_the_loopback_interface_is_up_before_the_rest(
    part: Part, namespace: tuple[str, ...]
) -> None:
    """Without it CRIU finds no kernel that it could do anything with."""
    assert part("loopback", "127.0.0.1", *namespace) == ["0", "-1 0"]


def test_many_ports_are_silenced_in_one_batch(part: Part, namespace: tuple[str, ...]) -> None:
    all_of_it, new = part("silence", 1024, *namespace)
    if -int(all_of_it) in {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL}:
        pytest.skip("this machine's kernel has no nf_tables")
    assert (all_of_it, new) == ("0", "0")


def _see(name: str, family: int, program: Path, namespace: tuple[str, ...]) -> dict[str, Any]:
    argv = [*namespace, sys.executable, tcp_peers.__file__, name, program, str(family)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "Unknown device type" in done.stderr:
        pytest.skip("this machine's kernel has no veth")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


@pytest.mark.parametrize("family", [4, 6])
def test_a_client_that_was_told_to_wait_sends_when_it_is_woken(
    program: Path, namespace: tuple[str, ...], family: int
) -> None:
    seen = _see("hushed", family, program, namespace)
    assert (seen["hush"], seen["window"]) == (["0"], 0)
    assert seen["unacked"] == 0, "it has sent what it was to keep"
    assert (seen["wake"], seen["backoff"] >= tcp_peers.BACKED_OFF) == (["0"], True)
    assert seen["said"] == "word 1", "what it sent, and that the address may be reused"
    assert seen["after_s"] < _SOON_S
    assert seen["window_again"] > 0


@pytest.mark.parametrize("family", [4, 6])
def test_what_was_lost_is_sent_again_when_the_client_is_woken(
    program: Path, namespace: tuple[str, ...], family: int
) -> None:
    seen = _see("lost", family, program, namespace)
    assert (seen["wake"], seen["backoff"] >= tcp_peers.BACKED_OFF) == (["0"], True)
    assert seen["said"] == "word 1"
    assert seen["after_s"] < _SOON_S


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_that_is_not_accepted_is_pending(
    program: Path, namespace: tuple[str, ...], family: int
) -> None:
    seen = _see("handshakes", family, program, namespace)
    assert seen == {"none": ["0", "0"], "one": ["0", "1"], "accepted": ["0", "0"]}


def test_areas_leave_out_the_pages_that_are_spared(part: Part) -> None:
    with subprocess.Popen(
        ["python3", "-c", "a = bytearray(8 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        said = part("areas", child.pid)
        child.communicate(b"\n")
    cut = said.index("-")
    every, rest = (
        [tuple(int(n, 16) for n in line.split()) for line in lines]
        for lines in (said[:cut], said[cut + 1 :])
    )
    assert all(end - start >= 1 << 20 for start, end in every)
    start, end = every[0]
    assert rest == [(start, start + 8192), (start + 12288, end - 4096), *every[1:]]


def test_tasks_and_their_numbers_are_found(part: Part) -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    try:
        while (said := part("tasks", child.pid))[1] != "2":
            pass
        numbers = {n for word in said[2].split(",") for n in _range(word)}
        assert child.pid in numbers
        assert len(numbers) == 2
    finally:
        subprocess.run(["pkill", "-s", str(child.pid)], check=False)
        child.wait()
    assert part("tasks", child.pid) == [str(-errno.ESRCH)]


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    return range(int(first), int(last or first) + 1)


def test_the_ports_of_a_process_are_found_each_once(part: Part) -> None:
    code = (
        "import socket\n"
        "a = socket.create_server(('127.0.0.1', 0)); b = a.dup()\n"
        "c = socket.create_server(('::1', 0), family=socket.AF_INET6) if socket.has_ipv6 else a\n"
        "d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.bind(('127.0.0.1', 0))\n"
        "print(*sorted({a.getsockname()[1], c.getsockname()[1]}), flush=True); input()"
    )
    with subprocess.Popen(
        ["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        ports = child.stdout.readline().split()
        result, *found = part("ports", child.pid)
        child.communicate("\n")
    if -int(result) in {errno.EPERM, errno.ENOSYS}:
        pytest.skip("descriptors of another process cannot be had here")
    assert (result, found) == ("0", ports)


def test_a_program_is_told_by_its_status_its_output_and_its_time(part: Part) -> None:
    assert part("child", "echo said; exit 7") == ["7", "said"]
    assert part("child", "kill -9 $$") == [str(128 + 9)]
    assert part("child", "sleep 60") == [str(-errno.ETIMEDOUT)]


_CRIU = """#!/bin/sh
sleep {late}
[ -z "{early_end}" ] || exit {early_end}
first=$(cat "$3/inventory.img")
echo "$first" >>"$3/restored"
echo "(00.1) Error (criu/some.c:1): it is {end}" >"$5"
exit {end}
"""


@pytest.mark.parametrize(("late", "wait_ms"), [("0", 300), ("0.3", 0)])
@pytest.mark.parametrize(("early_end", "end"), [("", 0), ("", 1), ("3", 1)])
def test_criu_is_held_until_there_is_something_to_restore(
    part: Part, program: Path, late: str, wait_ms: int, early_end: str, end: int
) -> None:
    """It waits for its first image, or comes when that is there; it restores once, in any case."""
    criu = program.parent / "bin" / "criu"
    criu.parent.mkdir(exist_ok=True)
    images = program.parent / "state" / "images"
    shutil.rmtree(images, ignore_errors=True)
    criu.write_text(_CRIU.format(late=late, early_end=early_end, end=end))
    criu.chmod(0o755)
    result, said = part("restore", wait_ms)
    assert (int(result) < 0) == bool(end), said
    if early_end:
        assert f"status {early_end}" in said
        return
    assert (images / "restored").read_text() == "inventory\n"
    assert not end or "it is 1" in said


def test_the_programs_of_a_process_are_found_each_once(part: Part) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        while "sleep" not in Path(f"/proc/{child.pid}/maps").read_text():
            pass
        result, *found = part("warm", child.pid)
        child.kill()
    assert result == "0"
    assert len(found) == len(set(found))
    assert str(Path(f"{shutil.which('sleep')}").resolve()) in found
    assert all(path.startswith("/") for path in found)


def test_a_list_to_read_ahead_holds_nobody_up(part: Part, tmp_path: Path) -> None:
    """It comes from the kernel before this one: a pipe, a device, noise, a list without an end."""
    fifo, file = tmp_path / "fifo", tmp_path / "list"
    os.mkfifo(fifo)
    for content in (
        f"{fifo}\n/dev/tty\n/none\n{tmp_path}\n{file}\n".encode(),
        b"/" + b"x" * 5000 + b"\n/bin/sh\n",
        b"/bin/sh",
        b"\n\0\n" + bytes(range(256)),
        b"",
    ):
        file.write_bytes(content)
        assert part("read", file) == ["0", "0"]
    file.write_bytes(b"/bin/sh\n" * 10000)
    assert part("read", file)[0] == str(-errno.E2BIG)


def _image(flags: int, tail: bytes, magic: bytes = b"ARM\x64") -> bytes:
    return struct.pack("<8xQQQ24x4s4x", 0, 0, flags, magic) + tail


PIN_READS = "[kho reads]\nkho kho-v4\npin_mem 1 2\npage_shift 12\nva_bits 48\nhuge_pages pmd"
PID_READS = "[kho reads]\npid_reserve 1"
READS = f"..{PIN_READS}\0..{PID_READS}\0..".encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "for a kernel"),
        (b"short", "for a kernel"),
        (_image(0b0010, READS, b"MZ\0\0"), "for a kernel"),
        (_image(0b0011, READS), "for a kernel"),
        (_image(0b0110, READS), "pages of 65536 bytes"),
        (_image(0b0010, b"pin_mem- kho-v4"), "does not say what it reads"),
        (_image(0b0010, b"[kho reads]\n\0"), "does not say what it reads"),
        (_image(0b0010, b"[kho reads]\npin_mem\0"), "a damaged text"),
        (_image(0b0010, b"[kho reads]\npin_mem \0"), "a damaged text"),
        (_image(0b0010, b"[kho reads]\npin_mem 1\x01\0"), "a damaged text"),
        (_image(0b0010, b"[kho reads]\n" + b"p" * 32 + b" 1\0"), "a damaged text"),
        (_image(0b0010, b"[kho reads]\npin_mem 1\npin_mem 1\0"), "a damaged text"),
        (_image(0b0010, READS + READS), "a damaged text"),
        (_image(0b0010, b"[kho reads]\npin_mem 1" + b" 1" * 1000), "a damaged text"),
        (_image(0b0010, b"[kho reads]\n" + b"pin_mem 1"), ""),
        (_image(0b0010, READS), ""),
        (_image(0b0010, READS + b"[kho reads]\n\0"), ""),
    ],
)
def test_a_kernel_that_cannot_take_over_is_told(
    part: Part, tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "Image"
    file.write_bytes(content)
    result, said = part("image", file)
    assert why in said
    assert (int(result) < 0) == bool(why)


def _machine(directory: Path, **files: str) -> Path:
    """Make the files with which a running kernel says what it writes."""
    places = {
        "pin_mem": "sys/class/misc/pin_mem/reads",
        "pid_reserve": "proc/sys/kernel/pid_reserve_reads",
    }
    for name, text in files.items():
        file = directory / places[name]
        file.parent.mkdir(parents=True)
        file.write_text(f"{text}\n")
    return directory


@pytest.mark.parametrize(
    ("old", "new", "why", "hint"),
    [
        (b"", b"", "", ""),
        (b"va_bits 48", b"va_bits 52", "", ""),
        (b"pin_mem 1 2", b"pin_mem 2 3", "", ""),
        (b"pin_mem 1 2", b"new 1\npin_mem 2", "", ""),
        (b"va_bits 48", b"va_bits 39", "va_bits is 48 here, and 39 there", "virtual addresses"),
        (b"pin_mem 1 2", b"pin_mem 1", "pin_mem is 2 here, and 1 there", "series pin_mem"),
        (b"pin_mem 1 2", b"pin_mem 22", "pin_mem is 2 here, and 22 there", "series pin_mem"),
        (b"kho-v4", b"kho-v5", "kho is kho-v4 here, and kho-v5 there", "handover"),
        (b"page_shift 12", b"page_shift 16", "page_shift is 12 here", "page size"),
        (b"\nhuge_pages pmd", b"", "huge_pages is pmd here, and none there", "TRANSPARENT"),
        (b"pid_reserve 1", b"pid_reserve 2", "pid_reserve is 1 here", "--no-pid-reserve"),
        (b"pid_reserve 1", b"other 1", "pid_reserve is 1 here, and none there", "--no-pid"),
    ],
)
def test_a_next_kernel_must_read_what_this_one_writes(
    part: Part, tmp_path: Path, old: bytes, new: bytes, why: str, hint: str
) -> None:
    _machine(tmp_path, pin_mem=PIN_READS, pid_reserve=PID_READS)
    (tmp_path / "Image").write_bytes(_image(0b0010, READS.replace(old, new)))
    result, said, todo, _ = part("reads", tmp_path)
    assert (int(result) < 0) == bool(why)
    assert why in said
    assert hint in todo


def test_what_is_not_written_or_not_wanted_need_not_be_read(part: Part, tmp_path: Path) -> None:
    image = _image(0b0010, PIN_READS.encode())
    one, other = (tmp_path / name for name in ("one", "other"))
    _machine(one, pin_mem=PIN_READS)
    _machine(other, pin_mem=PIN_READS, pid_reserve=PID_READS)
    for directory in (one, other):
        (directory / "Image").write_bytes(image)
    assert part("reads", one)[0] == "0"
    assert int(part("reads", other)[0]) < 0
    assert part("reads-no-pids", other)[0] == "0"


@pytest.mark.parametrize(
    ("here", "there", "word"),
    [
        ("\nmemfd luo-v5/memfd-v2", "\nmemfd luo-v5/memfd-v2", "memfds"),
        ("\nmemfd luo-v5/memfd-v2", "\nmemfd luo-v4/memfd-v2 luo-v5/memfd-v2", "memfds"),
        ("\nmemfd luo-v5/memfd-v2", "\nmemfd luo-v5/memfd-v1", "no memfds"),
        ("\nmemfd luo-v5/memfd-v2", "", "no memfds"),
        ("", "\nmemfd luo-v5/memfd-v2", "no memfds"),
    ],
)
def test_memfds_need_not_be_read_but_it_is_known_whether_they_are(
    part: Part, tmp_path: Path, here: str, there: str, word: str
) -> None:
    _machine(tmp_path, pin_mem=PIN_READS + here)
    (tmp_path / "Image").write_bytes(_image(0b0010, f"{PIN_READS}{there}\0".encode()))
    assert part("reads", tmp_path) == ["0", "", "", word]


def test_a_running_kernel_that_does_not_say_what_it_writes_is_told(
    part: Part, tmp_path: Path
) -> None:
    _machine(tmp_path, pid_reserve=PID_READS)
    (tmp_path / "Image").write_bytes(_image(0b0010, READS))
    result, said, *_ = part("reads", tmp_path)
    assert int(result) < 0
    assert "no /sys/class/misc/pin_mem/reads" in said


def test_the_word_against_kept_files_is_the_kernels_wherever_its_own_words_end(part: Part) -> None:
    assert part("kept", "-- b") == ["0", "kept_initramfs=off -- b"]
    assert part("kept", "a -- b") == [str(-errno.ENAMETOOLONG), ""]


def test_the_interface_is_that_of_the_kernels_series() -> None:
    ours = (layout.data_root() / "runtime" / "pin_mem_uapi.h").read_text()
    mail = patch_series.load("pin_mem").directory / "0001-mm-pin_mem-add-the-interface.patch"
    added = mail.read_text().rpartition("\n@@ ")[2].partition("\n")[2].partition("\n-- \n")[0]
    assert ours == "".join(f"{line[1:]}\n" for line in added.splitlines())
