# SPDX-License-Identifier: GPL-2.0-only
"""What a debug run takes for a complaint; the run itself is `sku lab debug`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from sku_build import board as boards
from sku_build.cli import lab as command
from sku_build.errors import CheckError, ExitCode, UserError
from sku_build.lab import debug, guest
from sku_build.lab.debug import DebugResult, Loop
from sku_build.lab.results import KernelBoot
from sku_build.lab.traffic import Traffic
from sku_build.lab.update_result import Report
from sku_build.lab.watched import Watched

PASSED = "# a note\nok 1 records\nok 2 swapped pages # SKIP no swap\n1..2\n# local: 0 of 2 failed\n"
LEAKED = """\
unreferenced object 0xffff0000c1a2b300 (size 128):
  comm "pin_mem_test", pid 71, jiffies 4294901340 (age 20.1s)
  backtrace:
    [<000000000fd1cd06>] kmalloc_trace+0x2c/0x3c
unreferenced object 0xffff0000c1a2b400 (size 64):
  comm "redis-server", pid 43, jiffies 4294901340 (age 20.1s)
"""
KERNEL = KernelBoot(
    release="6.1.0",
    version="",
    cmdline="",
    cpus=2,
    cpus_possible=2,
    secondary_cpus=1,
    memory_kib=1,
    page_size=4096,
    counter=0,
    counter_hz=1,
    boot_ms=0,
    uptime_ms=0,
    deferred_ms=[],
    warnings=[],
    log="kernel-1.log",
)
DONE = Watched(
    first=KERNEL,
    second=KERNEL,
    traffic=Traffic(requests=5, replies=5, wrong=0, normal_ms=5, blackout_ms=9, slowest_ms=9),
    report=Report(counter_hz=1, stamps=[], pages=16384, huge=0, image_bytes=9, pages_bytes=0),
    broken=[],
)
WELL = Loop(checks=2, failed=[], skipped=[])


def test_a_pass_of_the_selftest_is_counted() -> None:
    assert debug.loop(PASSED, 0) == Loop(
        checks=2, failed=[], skipped=["swapped pages # SKIP no swap"]
    )


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (PASSED.replace("ok 1", "not ok 1"), 1, "records"),
        ("ok 1 records\nBail out! fork: Cannot allocate memory\n", 1, "Bail out! fork"),
        ("ok 1 records\n1..2\n", 0, "1..2"),
        (PASSED, 139, "status 139"),
        ("", 127, "it said nothing"),
    ],
)
def test_a_pass_that_failed_or_ended_early_is_no_success(text: str, status: int, said: str) -> None:
    (failed,) = debug.loop(text, status).failed
    assert said in failed


def test_the_selftest_is_not_run_again_after_a_failure() -> None:
    class Machine:
        passes = 0

        def run(self, command: str, *, check: bool = True) -> guest.Ran:
            if debug.SELFTEST not in command:
                return guest.Ran(0, "")
            self.passes += 1
            return guest.Ran(self.passes - 1, PASSED if self.passes == 1 else "")

    machine = Machine()
    loops = debug.selftests(machine, 5)  # type: ignore[arg-type]
    assert [bool(item.failed) for item in loops] == [False, True]
    assert machine.passes == 2


def test_each_report_of_kmemleak_is_one_leak() -> None:
    first, second = debug.leaks(LEAKED)
    assert "kmalloc_trace" in first
    assert "redis-server" in second
    assert debug.leaks("") == []


def test_a_run_without_a_report_has_no_complaint() -> None:
    assert debug.complaints([WELL, WELL], DONE, []) == []


def test_whatever_a_run_met_is_a_complaint() -> None:
    failed = Loop(checks=2, failed=["records"], skipped=[])
    broken = msgspec.structs.replace(DONE, broken=["a kernel complained: BUG: KASAN"])
    assert debug.complaints([WELL, failed], broken, debug.leaks(LEAKED)) == [
        "pass 2 of the selftest failed: records",
        "a kernel leaks memory: unreferenced object 0xffff0000c1a2b300 (size 128):",
        "a kernel leaks memory: unreferenced object 0xffff0000c1a2b400 (size 64):",
        "a kernel complained: BUG: KASAN",
    ]


def _bundle(path: Path, config: str) -> Path:
    path.mkdir()
    (path / "config").write_text(config)
    return path


def test_a_kernel_that_does_not_watch_itself_is_refused(tmp_path: Path) -> None:
    path = _bundle(tmp_path / "b", "CONFIG_KASAN=y\n# CONFIG_PROVE_LOCKING is not set\n")
    with pytest.raises(UserError, match="PROVE_LOCKING.*DEBUG_KMEMLEAK") as caught:
        debug.check_watchers(path)
    assert "KASAN" not in caught.value.message
    assert "--fragment debug" in str(caught.value.hint)


def test_the_fragment_has_all_that_must_watch() -> None:
    text = (boards.boards_dir().parent / "configs" / "debug.config.j2").read_text()
    assert [name for name in debug.WATCHERS if f"CONFIG_{name}=y\n" not in text] == []


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_complaint_is_exit_status_3_and_told_once(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = DebugResult(
        board="qemu-virt",
        release="6.1.0",
        watchers=[],
        loops=[WELL],
        data_mib=64,
        update=DONE,
        leaks=[],
        complaints=["pass 1 of the selftest failed: records"],
        directory=str(tmp_path),
    )
    monkeypatch.setattr(debug, "debug", lambda *_, **__: result)
    given = ["debug", str(tmp_path), "--board", "qemu-virt", *words]
    ran = CliRunner().invoke(command.lab, given)
    assert isinstance(ran.exception, CheckError)
    assert ran.exception.exit_code is ExitCode.CHECK
    assert "pass 1 of the selftest" in ran.exception.message
    assert ("passes of the selftest" in ran.output) is not bool(words)
