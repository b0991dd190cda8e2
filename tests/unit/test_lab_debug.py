# SPDX-License-Identifier: GPL-2.0-only
"""What a debug run takes for a complaint; the run itself is `sku lab debug`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from sku_build import board as boards
from sku_build.cli import lab as command
from sku_build.errors import CheckError, ExitCode, UserError
from sku_build.lab import debug, guest, kunit
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
RESULT = DebugResult(
    board="qemu-virt",
    release="6.1.0",
    watchers=[],
    loops=[WELL],
    data_mib=64,
    update=DONE,
    leaks=[],
    directory="",
)
CONFIG = "".join(
    f"CONFIG_{symbol}=y\n"
    for symbol in (
        *("PIN_MEM_KUNIT_TEST", "KEXEC_HANDOVER_KUNIT_TEST"),
        *("KEXEC_IN_PLACE", "INITRAMFS_KEPT", "ARM64_CPU_PARK"),
    )
)
UNIT_TESTS = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: kexec_handover
    1..2
    ok 1 - takes_a_sound_map
    ok 2 refuses_flipped_bits
# kexec_handover: pass:2 fail:0 skip:0 total:2
ok 1 kexec_handover
KTAP version 1
1..1
    # Subtest: pin_mem
    1..1
    ok 1 - sound
ok 1 pin_mem
"""


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


def test_the_selftest_is_not_run_again_after_a_failure(tmp_path: Path) -> None:
    class Machine:
        passes = 0
        serial_log = tmp_path / "serial.log"

        def run(self, command: str, *, check: bool = True) -> guest.Ran:
            if debug.SELFTEST not in command:
                return guest.Ran(0, "")
            self.passes += 1
            return guest.Ran(self.passes - 1, PASSED if self.passes == 1 else "")

    machine = Machine()
    loops = debug.selftests(machine, 5)  # type: ignore[arg-type]
    assert [bool(item.failed) for item in loops] == [False, True]
    assert machine.passes == 2
    assert (tmp_path / "selftest-1.tap").read_text() == PASSED


def test_each_report_of_kmemleak_is_one_leak() -> None:
    first, second = debug.leaks(LEAKED)
    assert "kmalloc_trace" in first
    assert "redis-server" in second
    assert debug.leaks("") == []


def _well() -> DebugResult:
    """Return the result of a run in which all was as it should be."""
    report = msgspec.structs.replace(DONE.report, jump_copied_bytes=0, initramfs="kept")
    return msgspec.structs.replace(
        RESULT,
        suites=kunit.suites(UNIT_TESTS),
        update=msgspec.structs.replace(DONE, report=report),
        parked=["accepted", "1", "1"],
    )


def test_a_run_without_a_report_has_no_complaint() -> None:
    assert debug.complaints(_well(), CONFIG) == []


def test_whatever_a_run_met_is_a_complaint() -> None:
    failed = Loop(checks=2, failed=["records"], skipped=[])
    well = _well()
    broken = msgspec.structs.replace(well.update, broken=["a kernel complained: BUG: KASAN"])
    result = msgspec.structs.replace(
        well,
        loops=[WELL, failed],
        update=broken,
        leaks=debug.leaks(LEAKED),
    )
    assert debug.complaints(result, CONFIG) == [
        "pass 2 of the selftest failed: records",
        "a kernel leaks memory: unreferenced object 0xffff0000c1a2b300 (size 128):",
        "a kernel leaks memory: unreferenced object 0xffff0000c1a2b400 (size 64):",
        "a kernel complained: BUG: KASAN",
    ]


def test_a_jump_that_does_not_use_what_the_kernel_has_is_a_complaint() -> None:
    well = _well()
    copied = msgspec.structs.replace(well.update.report, jump_copied_bytes=4096, initramfs="off")
    result = msgspec.structs.replace(
        well,
        update=msgspec.structs.replace(well.update, report=copied),
        parked=["wrong checksum", "1", "0"],
    )
    assert debug.complaints(result, CONFIG) == [
        "the jump copied 4096 bytes",
        "the initramfs was not kept: off",
        "not all of the 1 other CPUs were parked: wrong checksum, 1, 0",
    ]
    assert debug.complaints(result, UNIT_TESTS) == []


def test_unit_tests_are_read_by_suite() -> None:
    handover, pin_mem = kunit.suites(UNIT_TESTS)
    assert (handover.name, handover.cases, handover.failed) == ("kexec_handover", 2, [])
    assert (pin_mem.name, pin_mem.cases) == ("pin_mem", 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    ok 1 - sound", "    not ok 1 - sound", "the unit test pin_mem: sound failed"),
        ("ok 1 pin_mem", "not ok 1 pin_mem", "the unit test pin_mem: the suite failed"),
        (" - sound", " - sound # SKIP", "the unit test pin_mem: sound # SKIP was not done"),
        ("    ok 1 - sound\n", "", "the unit tests pin_mem did not run"),
        ("Subtest: pin_mem", "Subtest: other", "the unit tests pin_mem did not run"),
    ],
)
def test_a_unit_test_that_did_not_pass_is_a_complaint(old: str, new: str, said: str) -> None:
    found = kunit.suites(UNIT_TESTS.replace(old, new))
    assert list(kunit.complaints(found, CONFIG)) == [said]


def test_every_unit_test_of_the_series_is_known() -> None:
    """A series that brings unit tests along has them run by `sku lab debug`."""
    patches = (boards.boards_dir().parent / "patchsets").glob("*/*.patch")
    brought = {
        (path.parent.name, symbol)
        for path in patches
        for symbol in re.findall(r"^\+config (\w+_KUNIT_TEST)$", path.read_text(), re.MULTILINE)
    }
    assert brought == {(series, symbol) for series, (_, symbol) in kunit.SUITES.items()}


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
    said = ["pass 1 of the selftest failed: records"]
    result = msgspec.structs.replace(RESULT, complaints=said, directory=str(tmp_path))
    monkeypatch.setattr(debug, "debug", lambda *_, **__: result)
    given = ["debug", str(tmp_path), "--board", "qemu-virt", *words]
    ran = CliRunner().invoke(command.lab, given)
    assert isinstance(ran.exception, CheckError)
    assert ran.exception.exit_code is ExitCode.CHECK
    assert "pass 1 of the selftest" in ran.exception.message
    assert ("passes of the selftest" in ran.output) is not bool(words)
