# SPDX-License-Identifier: GPL-2.0-only
"""The exit codes and the shape of errors, as a user or a pipeline sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sku_build.cli
from sku_build.errors import CheckError, InfraError, PhaseTimeout, SkuError, UserError


def sku(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sku_build", *args], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("kind", "status"), [(UserError, 2), (CheckError, 3), (InfraError, 1), (PhaseTimeout, 5)]
)
def test_each_kind_of_error_has_its_exit_code(
    kind: type[SkuError],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise kind("the message", where="the place", hint="the remedy")

    monkeypatch.setattr(sku_build.cli.cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        sku_build.cli.main()
    assert caught.value.code == status
    said = capsys.readouterr().err
    assert all(text in said for text in ("the message", "the place", "the remedy"))


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sku_build.cli.cli, "main", interrupt)
    with pytest.raises(SystemExit) as caught:
        sku_build.cli.main()
    assert caught.value.code == 130


def test_sigterm_is_an_interrupt_that_cleans_up() -> None:
    script = (
        "import os, signal, sku_build.cli as cli\n"
        "from sku_build import run\n"
        "def work(**_):\n"
        "    with run.process(['sleep', '60']) as child:\n"
        "        print(child.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        child.wait()\n"
        "cli.cli.main = work\n"
        "cli.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 130, ended.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)


def test_a_full_disk_is_a_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(**_: object) -> None:
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr(sku_build.cli.cli, "main", fill)
    with pytest.raises(SystemExit) as caught:
        sku_build.cli.main()
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "/some/file" in said
    assert "Traceback" not in said


def test_a_wrong_option_is_the_users_error() -> None:
    done = sku("doctor", "--no-such-option")
    assert done.returncode == 2
    assert "no-such-option" in done.stderr


def test_an_error_is_one_json_document_when_json_was_asked_for(tmp_path: Path) -> None:
    done = sku("series", "show", "no-such-series", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert "no-such-series" in document["error"]
    assert document["exit_code"] == 2


def test_every_command_that_is_listed_can_be_loaded() -> None:
    context = sku_build.cli.cli.make_context("sku", ["--help"], resilient_parsing=True)
    for name in sku_build.cli.cli.list_commands(context):
        assert sku_build.cli.cli.get_command(context, name) is not None, name


def test_start_up_loads_no_station_that_is_not_asked_for() -> None:
    script = "import sys, sku_build.cli; print([m for m in ('git', 'kconfiglib', 'jinja2', 'qemu')"
    done = subprocess.run(
        [sys.executable, "-c", script + " if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
