# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the lab against a QEMU that only plays one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click.testing
import msgspec
import pytest

from sku_build import board as boards
from sku_build.cli import lab as cli
from sku_build.errors import CheckError, InfraError, PhaseTimeout, SkuError, UserError
from sku_build.lab import GuestFailed, Options, boot, guest, kexec, phases, qemu
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from tests.unit import lab_fakes
from tests.unit.lab_fakes import BOARD

_BOOTS = """
serial.write("Booting Linux\\n")
init()
log("node 0 deferred pages initialised in 5ms")
power_off()
"""

_JUMPS = """
init()
assert hear() == "load Image initramfs.cpio console=ttyAMA0 quiet sku.lab=poweroff"
say(event="load", counter=70000000)
say(event="loaded", counter=76250000)
log("first")
assert hear() == "jump"
say(event="jump", counter=80000000)
init(counter={second}, release="6.1.0-next")
log("second", level=4)
power_off()
"""


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the cache and the sockets to the test, see that no socket stays, and hang briefly."""
    sockets = Path(tempfile.mkdtemp(prefix="sku-test-"))  # a socket's path must be short
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    for phase in Phase:
        monkeypatch.setitem(phases._LIMITS, phase, (10, 10))
    yield
    assert not list(sockets.iterdir())
    sockets.rmdir()


def _is_running(pid_file: Path) -> bool:
    return Path(f"/proc/{int(pid_file.read_text())}").exists()


def test_a_boot_ends_with_its_result_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = lab_fakes.install_qemu(tmp_path, monkeypatch, _BOOTS)
    bundle = lab_fakes.bundle(tmp_path / "b")
    result = boot(bundle, board=BOARD, options=Options(directory=tmp_path / "run"))
    assert result.kernel.release == "6.1.0-fake"
    assert result.kernel.boot_ms == 1000.0
    assert result.kernel.deferred_ms == [5]
    assert result.machine.qemu == "9.8.7"
    assert [phase.phase for phase in result.phases] == ["start", "first-kernel", "shutdown"]
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["kernel"]["deferred_ms"] == [5]
    assert "deferred pages" in (tmp_path / "run" / "kernel-1.log").read_text()
    assert (tmp_path / "run" / "serial.log").read_text() == "Booting Linux\n"
    assert not _is_running(pid)


def test_kexec_times_the_load_and_the_jump_on_the_guests_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _JUMPS.format(second=142500000))
    first, second = (lab_fakes.bundle(tmp_path / name) for name in "ab")
    result = kexec(first, second, board=BOARD, options=Options(append="quiet"))
    assert result.load_ms == 100.0
    assert result.kexec_ms == result.second.boot_ms == 1000.0
    assert (result.first.release, result.second.release) == ("6.1.0-fake", "6.1.0-next")
    assert [line.text for line in result.second.warnings] == ["second"]
    assert {phase.phase for phase in result.phases} >= {"load", "jump", "second-kernel"}


def test_a_counter_that_the_jump_reset_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _JUMPS.format(second=79999999))
    first, second = (lab_fakes.bundle(tmp_path / name) for name in "ab")
    with pytest.raises(CheckError, match="virtual counter"):
        kexec(first, second, board=BOARD, options=Options(append="quiet"))


@pytest.mark.parametrize(
    ("script", "before", "phase"),
    [
        ("time.sleep(60)", "", Phase.FIRST_KERNEL),
        ("init(); log(); time.sleep(60)", "", Phase.SHUTDOWN),
        ("", "time.sleep(60)", Phase.START),
    ],
)
def test_a_hang_is_named_by_its_phase_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, before: str, phase: Phase
) -> None:
    monkeypatch.setitem(phases._LIMITS, phase, (0.3, 0.3))
    script = f"serial.write('the last line\\n'); {script}"
    pid = lab_fakes.install_qemu(tmp_path, monkeypatch, script, before=before)
    bundle = lab_fakes.bundle(tmp_path / "b")
    with pytest.raises(PhaseTimeout) as raised:
        boot(bundle, board=BOARD)
    assert f"the phase {phase} did not end within" in raised.value.message
    assert ("the last line" in raised.value.message) == (phase != Phase.START)
    assert raised.value.where is not None
    assert raised.value.where.endswith("serial.log")
    assert isinstance(raised.value.data, dict)
    assert raised.value.data["phase"] == phase
    assert not pid.exists() or not _is_running(pid)


def test_only_what_was_started_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process of the same name, and the lab's own parent, live on."""
    lab_fakes.install_qemu(tmp_path, monkeypatch, "time.sleep(60)")
    monkeypatch.setitem(phases._LIMITS, Phase.FIRST_KERNEL, (0.2, 0.2))
    name = str(tmp_path / "qemu-system-aarch64")
    argv = [name, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(argv, executable=sys.executable) as other:
        try:
            with pytest.raises(PhaseTimeout):
                boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD)
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("event('GUEST_PANICKED', action='pause')", "panicked"),
        ("event('SHUTDOWN', guest=True, reason='guest-reset')", "guest-reset"),
        ("os._exit(7)", "status 7"),
        ("port.write(b'{\"event\": \\n')", "cannot read"),
        ("port.write(b'x' * (1 << 21) + b'\\n')", "cannot read"),
        ("init(protocol=2)", "protocol 2"),
        ("say(event='error', message='cannot open X', errno=2, hint='do Y')", "cannot open X"),
        ("init(); init()", "out of turn"),
    ],
)
def test_a_guest_that_fails_ends_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    panic = "Kernel panic - not syncing: why\\n" + "registers\\n" * 50 + "---[ end Kernel panic"
    script = f"serial.write('{panic}'); serial.flush(); {script}; time.sleep(60)"
    pid = lab_fakes.install_qemu(tmp_path, monkeypatch, script)
    bundle = lab_fakes.bundle(tmp_path / "b")
    begin = time.monotonic()
    with pytest.raises(GuestFailed) as raised:
        boot(bundle, board=BOARD)
    assert time.monotonic() - begin < 5
    assert said in raised.value.message
    assert "in the phase first-kernel" in raised.value.message
    assert "Kernel panic - not syncing: why" in raised.value.message
    assert "---[ end" not in raised.value.message
    assert not _is_running(pid)


def test_a_qemu_that_refuses_its_options_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = "sys.stderr.write('unsupported machine type\\n'); sys.exit(1)"
    lab_fakes.install_qemu(tmp_path, monkeypatch, "", before=before)
    with pytest.raises(InfraError, match="unsupported machine type"):
        boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD)


def test_a_missing_qemu_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match="not installed") as raised:
        boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD)
    assert "apt-get install" in (raised.value.hint or "")
    assert not (tmp_path / "cache").exists()


def test_a_kernel_that_is_not_the_bundles_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _BOOTS)
    with pytest.raises(CheckError, match=r"runs 6\.1\.0-fake, and the bundle holds 6\.1\.9"):
        boot(lab_fakes.bundle(tmp_path / "b", release="6.1.9"), board=BOARD)


def test_a_pattern_that_is_none_is_the_boards_fault(tmp_path: Path) -> None:
    assert BOARD.qemu is not None
    part = msgspec.structs.replace(BOARD.qemu, expected_warnings=["a(b"])
    with pytest.raises(UserError, match=r"expected_warnings: 'a\(b'"):
        boot(lab_fakes.bundle(tmp_path / "b"), board=msgspec.structs.replace(BOARD, qemu=part))


def test_text_that_would_be_a_second_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one line"):
        boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD, options=Options(append="a\npoweroff"))


def test_an_interrupt_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"os.kill({os.getpid()}, {int(signal.SIGINT)}); time.sleep(60)"
    pid = lab_fakes.install_qemu(tmp_path, monkeypatch, script)
    with pytest.raises(KeyboardInterrupt):
        boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD)
    assert not _is_running(pid)


def test_the_cache_keeps_the_latest_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _BOOTS)
    runs = tmp_path / "cache" / "lab"
    for number in range(30):
        (runs / f"boot-{number}").mkdir(parents=True)
        os.utime(runs / f"boot-{number}", (number, number))
    boot(lab_fakes.bundle(tmp_path / "b"), board=BOARD)
    left = {path.name for path in runs.iterdir()}
    assert len(left) == 20
    assert "boot-10" not in left
    assert "boot-29" in left


def _invoke(monkeypatch: pytest.MonkeyPatch, *args: object) -> click.testing.Result:
    monkeypatch.setattr(boards, "load", lambda name: BOARD)
    return click.testing.CliRunner().invoke(cli.lab, [str(arg) for arg in args])


def test_the_command_prints_a_table_of_both_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _JUMPS.format(second=142500000))
    first, second = (lab_fakes.bundle(tmp_path / name) for name in "ab")
    done = _invoke(monkeypatch, "kexec", first, second, "--append", "quiet")
    assert done.exit_code == 0
    for text in ("6.1.0-fake", "6.1.0-next", "1000.0 ms from the jump", "second-kernel"):
        assert text in done.stdout


def test_the_command_prints_one_json_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab_fakes.install_qemu(tmp_path, monkeypatch, _BOOTS)
    done = _invoke(monkeypatch, "boot", lab_fakes.bundle(tmp_path / "b"), "--json")
    assert json.loads(done.stdout)["kind"] == "boot"


def test_warnings_fail_the_command_when_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'init()\nlog("something is wrong", level=4)\npower_off()'
    lab_fakes.install_qemu(tmp_path, monkeypatch, script)
    done = _invoke(monkeypatch, "boot", lab_fakes.bundle(tmp_path / "b"), "--fail-on-warnings")
    assert isinstance(done.exception, SkuError)
    assert done.exception.exit_code == 3
    assert "something is wrong" in done.exception.message


_ANSWERS = """
assert hear() == "put /sys/a 3 2 0"
say(event="put", counter=1)
assert hear() == "get /sys/a"
say(event="content", text="a\\u00ff\\n")
time.sleep(60)
"""
_SHELL = """
assert hear() == "run true"
say(event="ran", status=0, output="fine\\n", counter=7)
assert hear() == "run false"
say(event="ran", status=1, output="one\\ntwo\\n", counter=8)
assert hear() == "run sleep 1"
assert hear() == "get /sys/a"
say(event="ran", status=137, output="", counter=9)
say(event="content", text="meanwhile")
assert hear() == "run jump"
init(release="next")
time.sleep(60)
"""


@pytest.fixture
def talking(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """A machine in a phase, whose guest answers commands: two about files, unless told others."""
    script = getattr(request, "param", _ANSWERS)
    lab_fakes.install_qemu(tmp_path, monkeypatch, script)
    vm = qemu.VirtualMachine(
        machine="virt",
        cpu="max",
        smp=1,
        memory_mib=512,
        accelerator=qemu.Accelerator.TCG,
        kernel=tmp_path / "Image",
        initramfs=tmp_path / "initramfs.cpio",
        cmdline="",
    )
    with Machine(vm, tmp_path) as machine, machine.phase(Phase.FIRST_KERNEL):
        yield machine


def test_files_of_the_guest_are_written_and_read(talking: Machine) -> None:
    talking.put("/sys/a", "3 2 0")
    assert talking.get("/sys/a") == "a\xff\n"


@pytest.mark.parametrize("talking", [_SHELL], indirect=True)
def test_commands_of_the_guests_shell_are_run_and_waited_for(talking: Machine) -> None:
    assert talking.run("true") == guest.Ran(status=0, output="fine\n", counter=7)
    with pytest.raises(GuestFailed, match="`false` ended with status 1") as raised:
        talking.run("false")
    assert "two" in raised.value.message
    talking.begin("sleep 1")
    # The end of a command is kept for who waits for it, whatever is asked for meanwhile.
    assert talking.get("/sys/a") == "meanwhile"
    assert talking.expect(guest.Init, guest.Ran) == guest.Ran(status=137, output="", counter=9)
    talking.begin("jump")
    assert isinstance(talking.expect(guest.Init, guest.Ran), guest.Init)


@pytest.mark.parametrize("command", ["", "true\npoweroff"])
def test_a_shell_command_is_one_line(talking: Machine, command: str) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        talking.run(command)


@pytest.mark.parametrize(
    ("path", "text"), [("/a b", "x"), ("/a\n", "x"), ("/a", "x\njump"), ("/a", "")]
)
def test_a_file_command_is_one_line_with_all_its_words(
    talking: Machine, path: str, text: str
) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        talking.put(path, text)
    if path != "/a":
        with pytest.raises(ValueError, match="cannot be told"):
            talking.get(path)
