# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sku_build import run
from sku_build.errors import InfraError


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


def test_the_environment_is_built_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-k")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    printed = run.run(["env"], env={"ARCH": "arm64"}).stdout.splitlines()
    assert {"LC_ALL=C", "TZ=UTC", "ARCH=arm64"} <= set(printed)
    assert not [line for line in printed if line.startswith("MAKEFLAGS")]


def test_standard_input_is_closed_unless_given() -> None:
    assert run.run(["cat"]).stdout == ""
    assert run.run(["cat"], stdin="text").stdout == "text"


def test_a_failure_tells_the_status_the_last_lines_and_the_command() -> None:
    with pytest.raises(run.CommandError) as caught:
        run.run(["sh", "-c", "echo the reason >&2; exit 3"])
    assert "status 3" in caught.value.message
    assert "the reason" in caught.value.message
    assert "sh -c" in str(caught.value.hint)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(InfraError, match="no-such-program is not installed"):
        run.run(["no-such-program"])


def test_a_time_out_is_an_error_that_names_the_command() -> None:
    with pytest.raises(InfraError, match=r"sleep did not end within 0\.1 s"):
        run.run(["sleep", "60"], timeout=0.1)


def test_what_a_process_started_ends_with_it_and_nothing_else_does() -> None:
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        script = "sleep 60 & echo $!; wait"
        with run.process(["sh", "-c", script], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            grandchild = int(child.stdout.readline())
            child.stdout.close()
            assert alive(grandchild)
        deadline = time.monotonic() + 5
        while alive(grandchild) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(grandchild)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_stream_keeps_a_log_and_hands_out_every_line(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "print('one'); import sys; print('two', file=sys.stderr); sys.exit(4)"
    argv = [sys.executable, "-uc", script]
    result = run.stream(argv, lines.append, log=tmp_path / "log")
    assert result.status == 4
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_an_interrupt_while_streaming_kills_the_command(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        pids.append(int(line))
        signal.raise_signal(signal.SIGINT)

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run.stream(["sh", "-c", "echo $$; sleep 60"], interrupt, log=tmp_path / "log")
    assert not alive(pids[0])
