# SPDX-License-Identifier: GPL-2.0-only
"""The C runtime: what of it needs no arm64 machine, run on this one; and the whole of it, compiled.

The parts run under the address and undefined-behaviour sanitizers, which end the program at the
first fault.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sku_build import arm64, layout, run

_PARTS = (
    *("command", "copied", "facts", "file", "journal", "json", "kmsg", "lines", "problem", "shell"),
    "volume",
)
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover")
_LINE_MAX = 4096
_OUTPUT_MAX = 65536

Part = Callable[[str, bytes], list[dict[str, object]]]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Return a function that feeds lines to a part and returns the objects it prints."""
    runtime = layout.data_root() / "runtime"
    driver = Path(__file__).with_name("test_runtime_parts.c")
    program = tmp_path_factory.mktemp("runtime") / "parts"
    sources = [driver, *(runtime / f"{name}.c" for name in _PARTS)]
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-g", *_SANITIZERS, *_WARNINGS]
    run.run(["gcc", *flags, f"-I{runtime}", "-o", program, *sources])

    def feed(name: str, text: bytes) -> list[dict[str, object]]:
        done = subprocess.run([program, name], input=text, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return feed


def _noise(seed: int, alphabet: bytes, lines: int) -> bytes:
    rng = random.Random(seed)
    return b"".join(bytes(rng.choices(alphabet, k=rng.randrange(60))) + b"\n" for _ in range(lines))


def test_every_byte_comes_out_as_valid_json(part: Part) -> None:
    text = bytes(byte for byte in range(1, 256) if byte != ord("\n"))
    assert part("text", text + b"\n") == [{"text": text.decode("latin-1")}]


def test_a_text_longer_than_the_writers_buffer_is_whole(part: Part) -> None:
    text = b"\x01" * (_LINE_MAX - 1)  # six bytes each, escaped
    assert part("text", text + b"\n") == [{"text": text.decode()}]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_taken(part: Part) -> None:
    text = b"x" * (3 * _LINE_MAX) + b"\nnext\n" + b"y" * _LINE_MAX + b"\nlast\n"
    refused: dict[str, object] = {"errno": errno.E2BIG}
    assert part("text", text) == [refused, {"text": "next"}, refused, {"text": "last"}]


def test_many_lines_in_one_read_are_all_taken(part: Part) -> None:
    said = part("text", b"".join(b"%d\n" % number for number in range(3000)))
    assert [item["text"] for item in said] == [str(number) for number in range(3000)]


def test_load_keeps_the_command_line_as_it_came(part: Part) -> None:
    (said,) = part("command", b'load Image initramfs.cpio console=ttyAMA0  a="b c"\n')
    assert (said["image"], said["initrd"]) == ("Image", "initramfs.cpio")
    assert said["cmdline"] == 'console=ttyAMA0  a="b c"'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"fly",
        b"jump now",
        b"loadImage",
        b"load",
        b"load Image",
        b"load  Image initramfs.cpio",
        b"load ../Image initramfs.cpio x",
        b"load Image .. x",
        b"JUMP",
        b"get",
        b"get ",
        b"get relative",
        b"get /a b",
        b"put",
        b"put /a",
        b"put /a ",
        b"put a b",
        b"put  /a b",
        b"run",
        b"run ",
        b"unload it",
    ],
)
def test_a_malformed_command_is_refused_with_a_reason(part: Part, line: bytes) -> None:
    (said,) = part("command", line + b"\n")
    assert said["wrong"]


def test_the_verbs_are_told_apart(part: Part) -> None:
    said = part("command", b"jump\nkmsg\nload a b\npoweroff\nget /a\nput /a b\nrun c\nunload\n")
    assert len({item["verb"] for item in said}) == 8
    assert said[2]["cmdline"] == ""


def test_put_keeps_the_text_as_it_came(part: Part) -> None:
    (said,) = part("command", b"put /sys/a/b 3000  2 0 \n")
    assert (said["path"], said["text"]) == ("/sys/a/b", "3000  2 0 ")


def test_run_keeps_the_command_as_it_came(part: Part) -> None:
    (said,) = part("command", b"run  echo 'a  b' > /c; run d \n")
    assert said["text"] == " echo 'a  b' > /c; run d "


def test_a_text_goes_into_a_file_that_exists_and_into_no_other(part: Part, tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("")
    done, failed = part("put", f"{there} 3 2 0\n{missing} x\n".encode())
    assert done == {"result": 0}
    assert there.read_text() == "3 2 0"
    assert failed["result"] == errno.ENOENT
    assert str(missing) in str(failed["message"])
    assert not missing.exists()


def test_a_write_that_the_kernel_refuses_is_told_with_its_errno(part: Part) -> None:
    (said,) = part("put", b"/proc/self/oom_score_adj nonsense\n")
    assert said["result"] == errno.EINVAL


def test_a_file_is_sent_whole_or_not_at_all(part: Part, tmp_path: Path) -> None:
    """The driver's buffer has eight bytes."""
    contents = [b"", b"a\n", b'\x00\xff"\\', b"12345678", b"123456789"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    asked = "".join(f"{tmp_path / str(number)}\n" for number in range(len(contents)))
    *sent, refused = part("get", asked.encode())
    assert [item["text"] for item in sent] == [
        content.decode("latin-1") for content in contents[:4]
    ]
    assert refused["result"] == errno.EFBIG


def test_what_could_block_the_first_process_is_not_opened_for_the_lab(
    part: Part, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        for name, line in (("get", f"{path}\n"), ("put", f"{path} x\n")):
            (said,) = part(name, line.encode())
            assert said["result"], path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("in-place 0 13697024\n", {"bytes": 0, "total": 13697024, "reason": ""}),
        (
            "relocated 4096 8192 no room in scratch\n",
            {"bytes": 4096, "total": 8192, "reason": "no room in scratch"},
        ),
        ("relocated 4096 8192 " + 200 * "x", {"bytes": 4096, "total": 8192, "reason": 79 * "x"}),
        ("none\n", {}),
        ("in-place\n", {}),
        ("relocated 2 1\n", {}),
        ("relocated x y\n", {}),
        ("", {}),
    ],
)
def test_what_a_jump_copies_is_read_or_nothing_is_said(
    part: Part, tmp_path: Path, text: str, said: dict[str, object]
) -> None:
    told = tmp_path / "told"
    told.write_text(text)
    assert part("copied", f"{told}\n".encode()) == [said]


def test_a_kernel_log_record_is_taken_apart(part: Part) -> None:
    (said,) = part("kmsg", b"12,345,6789,-;cacheinfo: a;b, and \\x41\n")
    assert said == {
        "level": 4,
        "facility": 1,
        "sequence": 345,
        "us": 6789,
        "text": "cacheinfo: a;b, and \\x41",
    }


def test_fields_that_a_later_kernel_adds_are_stepped_over(part: Part) -> None:
    (said,) = part("kmsg", b"6,1,2,-,caller=T1;text\n")
    assert said["text"] == "text"


@pytest.mark.parametrize(
    "record", [b"", b"6", b"6,1,2", b"6,1,2,-", b",1,2,-;x", b"6,x,2,-;y", b"6,1,%d0,-;x" % 2**64]
)
def test_what_is_no_record_is_not_taken_for_one(part: Part, record: bytes) -> None:
    assert part("kmsg", record + b"\n") == [{}]


@pytest.mark.parametrize("name", ["command", "kmsg", "option", "value"])
def test_noise_is_survived(part: Part, name: str) -> None:
    assert len(part(name, _noise(1, b"0123456789,;- loadjumpget./\t\xff", 2000))) == 2000
    assert len(part(name, _noise(2, bytes(set(range(256)) - {10}), 2000))) == 2000


@pytest.mark.parametrize(
    ("cmdline", "found"),
    [
        (b"console=ttyAMA0 sku.lab=poweroff", 1),
        (b"sku.lab=poweroff quiet", 1),
        (b"  sku.lab=poweroff  ", 1),
        (b"sku.lab=poweroffs", 0),
        (b"xsku.lab=poweroff", 0),
        (b"sku.lab=wait", 0),
        (b"sku.lab", 0),
        (b"sku.lab=poweroff sku.lab=wait", 0),
        (b"", 0),
    ],
)
def test_an_option_is_a_whole_word_of_the_command_line(
    part: Part, cmdline: bytes, found: int
) -> None:
    assert part("option", cmdline + b"\n") == [{"found": found}]


@pytest.mark.parametrize(
    ("cmdline", "value"),
    [
        (b"quiet root=/dev/vda rw", "/dev/vda"),
        (b"root=/dev/vda root=/dev/vdb", "/dev/vdb"),
        (b"rootflags=root=x root=/dev/vda xroot=y root", "/dev/vda"),
        (b"root=UUID=1-2  ", "UUID=1-2"),
        (b"root=/dev/vda root=", ""),
        (b"root=" + b"x" * 15, "x" * 15),
        (b"root=" + b"x" * 16, None),
        (b"rootwait root", None),
        (b"", None),
    ],
)
def test_the_last_value_on_the_command_line_counts(
    part: Part, cmdline: bytes, value: str | None
) -> None:
    """The driver's buffer has sixteen bytes."""
    assert part("value", b"root " + cmdline + b"\n") == [{} if value is None else {"value": value}]


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        (b"echo a; echo b >&2; exit 3", 3, "a\nb\n"),
        (b"kill -9 $$", 128 + signal.SIGKILL, ""),
        (b"cat", 0, ""),
        (b"echo $HOME", 0, "/root\n"),
        (b"echo $PATH", 0, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
        (b'[ "$(cut -d " " -f 6 /proc/$$/stat)" = $$ ] && echo leads', 0, "leads\n"),
        (b"ls /proc/$$/fd; true", 0, "0\n1\n2\n"),
    ],
)
def test_a_shell_command_is_told_with_its_status_and_what_it_said(
    part: Part, command: bytes, status: int, output: str
) -> None:
    (said,) = part("shell", command + b"\n")
    assert (said["status"], said["output"]) == (status, output)


def test_of_a_long_output_the_end_is_kept(part: Part) -> None:
    (said,) = part("shell", b"seq 100000; exit 1\n")
    assert said["status"] == 1
    assert said["output"] == "".join(f"{number}\n" for number in range(1, 100001))[-_OUTPUT_MAX:]


@pytest.mark.parametrize("left", [b"sleep 30", b"yes"])
def test_the_end_of_the_shell_is_the_end_whoever_holds_its_output(part: Part, left: bytes) -> None:
    began = time.monotonic()
    (said,) = part("shell", b"echo before; " + left + b" & left=$!; (sleep 1; kill $left) & true\n")
    assert said["status"] == 0
    assert time.monotonic() - began < 10


def test_one_shell_command_at_a_time_and_the_next_one_starts_afresh(part: Part) -> None:
    first, second = part("shell", b"echo one\necho two\n")
    assert (first["output"], second["output"]) == ("one\n", "two\n")
    assert first["second"] == errno.EBUSY


def test_a_problem_names_the_object_and_the_errno_and_is_bounded(part: Part) -> None:
    short, cut = part("problem", b"/bundle/Image\n" + b"x" * 2000 + b"\n")
    assert short == {
        "message": "cannot open /bundle/Image: No such file or directory",
        "result": errno.ENOENT,
    }
    assert str(cut["message"]).startswith("cannot open xxx")


def test_a_file_system_is_known_by_its_uuid_and_by_nothing_else(part: Part, tmp_path: Path) -> None:
    uuid = "5b1e0f5a-2d3c-4c6e-9a0d-736b75000001"
    other = uuid.replace("1", "2")
    image, short = tmp_path / "image", tmp_path / "short"
    run.run(["mke2fs", "-q", "-t", "ext4", "-U", uuid, image, "1M"])
    broken = tmp_path / "broken"
    data = bytearray(image.read_bytes())
    short.write_bytes(data[: 1024 + 0x70])
    data[1024 + 0x38] ^= 1
    broken.write_bytes(data)
    asked = [(uuid.upper(), image), (other, image), (uuid, short), (uuid, broken), (uuid, tmp_path)]
    lines = "".join(f"{name} {path}\n" for name, path in asked).encode()
    assert [said["found"] for said in part("volume", lines)] == [1, 0, 0, 0, 0]
    bad = (uuid[:-1], uuid + "0", uuid.replace("-", ""), uuid.replace("f", "g"), "-" * 36)
    for text in bad:
        assert part("volume", f"{text} {image}\n".encode()) == [{"wrong": text}]


@pytest.mark.skipif(
    not run.have("aarch64-linux-gnu-gcc"), reason="no cross compiler for arm64 is installed"
)
def test_the_programs_are_static_arm64_ones_and_their_sources_stay_clean(tmp_path: Path) -> None:
    runtime = layout.data_root() / "runtime"
    before = sorted(runtime.rglob("*"))
    out = tmp_path / "out"
    programs = ("sku-init", "sku-agent", "skuctl")
    run.run(
        ["make", "-j2", "-C", runtime, "CROSS_COMPILE=aarch64-linux-gnu-", f"OUT={out}", *programs]
    )
    for program in programs:
        arm64.check_elf(out / program)
        assert b"/lib/ld-linux" not in (out / program).read_bytes()
    assert sorted(runtime.rglob("*")) == before
