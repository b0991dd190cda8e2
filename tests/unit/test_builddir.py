# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sku_build import builddir, kbuild
from sku_build.builddir import BuildDirectory

CONFIG = "CONFIG_A=y\n" * 100


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildDirectory:
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "cache"))
    work = builddir.find("6.1", "board", "gcc")
    with work.in_use():
        pass
    return work


def objects(work: BuildDirectory, count: int) -> None:
    (work.objects / "kernel").mkdir(exist_ok=True)
    for number in range(count):
        (work.objects / "kernel" / f"{number}.o").touch()


def test_variants_share_a_directory_and_compilers_do_not(work: BuildDirectory) -> None:
    assert builddir.find("6.1", "board", "gcc") == work
    assert builddir.find("6.1", "board", "llvm") != work
    assert builddir.find("a/b", "board", "gcc").root.parent == work.root.parent


def test_the_first_build_is_estimated_from_the_configuration(work: BuildDirectory) -> None:
    assert work.expected_steps(CONFIG) == kbuild.estimated_steps(CONFIG.splitlines())


def test_the_next_full_build_is_estimated_from_the_last(work: BuildDirectory) -> None:
    work.record_steps(1234, CONFIG, full=True)
    assert work.expected_steps(CONFIG) == 1234


def test_a_resumed_build_counts_what_is_there(work: BuildDirectory) -> None:
    work.record_steps(1234, CONFIG, full=True)
    objects(work, 34)
    assert work.expected_steps(CONFIG) == 1200


def test_a_complete_build_of_the_same_configuration_has_no_estimate(work: BuildDirectory) -> None:
    work.record_steps(1234, CONFIG, full=True)
    (work.objects / "vmlinux").touch()
    assert work.expected_steps(CONFIG) is None
    assert work.expected_steps(CONFIG + "CONFIG_B=y\n") == 1234


def test_a_partial_build_does_not_spoil_the_count(work: BuildDirectory) -> None:
    work.record_steps(1000, CONFIG, full=True)
    work.record_steps(3, CONFIG, full=False)
    assert work.expected_steps(CONFIG) == 1000
    work.record_steps(900, CONFIG, full=True)
    assert work.expected_steps(CONFIG) == 900


def test_objects_survive_a_killed_process_but_not_a_machine_that_went_down(
    work: BuildDirectory,
) -> None:
    objects(work, 1)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    (work.root / "busy").write_text(boot)
    with work.in_use():
        assert not work.is_fresh
    (work.root / "busy").write_text("another boot\n")
    with work.in_use():
        assert work.is_fresh


def test_ccache_events_of_the_last_make_are_counted(work: BuildDirectory) -> None:
    assert work.compilations() == (0, 0)
    work.statslog.write_text(
        "# a.c\nlocal_storage_hit\ndirect_cache_hit\n# b.c\npreprocessed_cache_hit\n"
        "# c.c\ndirect_cache_miss\npreprocessed_cache_miss\ncache_miss\n"
    )
    assert work.compilations() == (2, 1)
    with work.in_use():
        assert work.compilations() == (0, 0)


def hold(started: object, seconds: float) -> None:
    with builddir.exclusive("6.1", of="6.1"):
        started.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


def test_two_builds_of_one_source_wait_for_each_other(work: BuildDirectory) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    other = context.Process(target=hold, args=(started, 0.3))
    other.start()
    assert started.wait(10)
    begin = time.monotonic()
    with builddir.exclusive("6.12", of="6.12"):
        assert time.monotonic() - begin < 0.2
    with builddir.exclusive("6.1", of="6.1"):
        assert time.monotonic() - begin > 0.2
    other.join()


def test_a_source_is_locked_until_the_last_that_was_started_on_it_has_ended(
    work: BuildDirectory, tmp_path: Path
) -> None:
    script = (
        "import os; from sku_build import builddir, run\n"
        "with builddir.exclusive('6.1', of='6.1'), run.process(['cat', 'end']):\n"
        "    os.kill(os.getpid(), 9)"
    )
    os.mkfifo(tmp_path / "end")
    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    with (
        (work.root.parent / "6.1.lock").open() as lock,
        (tmp_path / "end").open("w"),
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with builddir.exclusive("6.1", of="6.1"):
        pass
