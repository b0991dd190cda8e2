# SPDX-License-Identifier: GPL-2.0-only
"""The words of ``skuctl``: one table, and its help, manual page and completions agree with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sku_build import layout, run

from .runtime_parts import compiled

# What bash does, without a terminal: the word that is completed is the last.
_ASK_BASH = """
set -eu
source <(skuctl completion bash)
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_skuctl
printf '%s\\n' "${COMPREPLY[@]}"
"""


# What zsh's _arguments would get; the option is one that only this command has.
_ASK_ZSH = """
_arguments() { print -l -- ${(M)@:#--no-verify*}; }
words=(skuctl restore --)
CURRENT=3
_skuctl
"""


@pytest.fixture(scope="module")
def skuctl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words") / "skuctl"
    driver = Path(__file__).with_name("test_runtime_words.c")
    return compiled(driver, ("completion", "words"), made, {})


@pytest.fixture(scope="module")
def table(skuctl: Path) -> dict[str, list[str]]:
    """The options of each command, by its word."""
    rows = (line.split() for line in run.run([skuctl, "table"]).stdout.splitlines())
    return {row[0]: row[1:] for row in rows}


def shell(skuctl: Path, *argv: str) -> str:
    """Run ``argv`` with ``skuctl`` on its PATH and return what it printed."""
    path = f"{skuctl.parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        argv,
        env={"PATH": path, "HOME": str(skuctl.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def completed(skuctl: Path, *words: str) -> list[str]:
    return shell(skuctl, "bash", "-c", _ASK_BASH, "bash", "skuctl", *words).split()


def test_every_word_is_in_the_help_and_in_the_manual_page(
    skuctl: Path, table: dict[str, list[str]]
) -> None:
    page = (layout.data_root() / "packaging" / "man" / "skuctl.8").read_text().replace("\n", " \n")
    told = run.run([skuctl, "help"]).stdout
    assert {"update", "restore", "completion"} <= set(table)
    for command, options in table.items():
        assert f"\n  {command} " in told
        assert f"\n.It Cm {command} \n" in page
        for option in options:
            assert f"\n    --{option} " in told
            assert f"Fl -{option} " in page


def test_no_line_of_the_help_is_wider_than_a_terminal(skuctl: Path) -> None:
    told = run.run([skuctl, "help"]).stdout.splitlines()
    assert [line for line in told if len(line) > 80] == []


def test_bash_completes_commands_and_the_options_of_each(
    skuctl: Path, table: dict[str, list[str]]
) -> None:
    assert completed(skuctl, "") == list(table)
    assert completed(skuctl, "re") == ["report", "restore", "rescue"]
    for command, options in table.items():
        if command != "completion":
            assert completed(skuctl, command, "--") == [f"--{name}" for name in options]


def test_bash_completes_what_an_option_takes(skuctl: Path, tmp_path: Path) -> None:
    (tmp_path / "Image").touch()
    (tmp_path / "In").mkdir()
    assert completed(skuctl, "update", "--pause-before", "s") == ["silence", "seal"]
    assert completed(skuctl, "update", "--phase-timeout", "f") == ["freeze="]
    assert completed(skuctl, "check", "--freezer", "") == ["criu", "command"]
    assert completed(skuctl, "completion", "z") == ["zsh"]
    assert completed(skuctl, "load", "--image", f"{tmp_path}/Im") == [f"{tmp_path}/Image"]
    assert completed(skuctl, "load", "--bundle", f"{tmp_path}/I") == [f"{tmp_path}/In"]
    assert completed(skuctl, "update", "--cmdline", "") == []


@pytest.mark.skipif(not run.have("zsh"), reason="no zsh here; `make packages` installs it")
def test_zsh_takes_what_completes_it(skuctl: Path) -> None:
    script = "autoload -Uz compinit; compinit -D -u; source <(skuctl completion zsh)"
    said = shell(skuctl, "zsh", "-f", "-c", f"{script}; print $_comps[skuctl]; which _skuctl")
    assert said.startswith("_skuctl\n")
    assert "--phase-timeout" in said
    words = shell(skuctl, "zsh", "-f", "-c", f"{script}{_ASK_ZSH}")
    assert words.split("\n")[:2] == [
        "--no-verify[also with memory that differs from its checksum]",
        "",
    ]


@pytest.mark.skipif(not run.have("fish"), reason="no fish here; `make packages` installs it")
def test_fish_completes_commands_options_and_values(skuctl: Path) -> None:
    def completed(line: str) -> list[str]:
        script = f'skuctl completion fish | source; complete -C"{line}"'
        return [said.split("\t")[0] for said in shell(skuctl, "fish", "-c", script).splitlines()]

    assert sorted(completed("skuctl re")) == ["report", "rescue", "restore"]
    assert sorted(completed("skuctl restore --n")) == ["--name", "--no-verify"]
    assert sorted(completed("skuctl update --freezer ")) == ["command", "criu"]


def test_a_shell_that_is_not_known_is_refused(skuctl: Path) -> None:
    ended = subprocess.run([skuctl, "completion", "csh"], capture_output=True, check=False)
    assert ended.returncode != 0
    assert not ended.stdout
