# SPDX-License-Identifier: GPL-2.0-only
"""What users copy into their CI is valid there, and calls commands and options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sku_build import board
from sku_build.cli import cli

TEMPLATES = Path(__file__).parents[2] / "ci" / "templates"
SCHEMAS = {
    "gitlab-ci.yml": ["vendor.gitlab-ci"],
    "github.yml": ["vendor.github-workflows", "custom.github-workflows-require-timeout"],
}


def valid(schema: str, path: Path) -> bool:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_template_is_valid_for_its_engine(name: str, tmp_path: Path) -> None:
    for schema in SCHEMAS[name]:
        assert valid(schema, TEMPLATES / name)
    broken = tmp_path / name
    text = (TEMPLATES / name).read_text()
    broken.write_text(re.sub(r"\n( *)(script|runs-on):", r"\n\1scripd:", text))
    assert not valid(SCHEMAS[name][0], broken)


def commands(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        found = re.match(r"\s*(?:- )?(?:run: )?sku (.+)", line)
        if found:
            # ${KEY:+--sign "$FILE"}: the options that are there when the variable is.
            yield shlex.split(re.sub(r"\$\{\w+:\+(.*?)\}", r"\1", found[1]))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_commands_of_a_template_exist_with_their_options(name: str) -> None:
    called = list(commands((TEMPLATES / name).read_text()))
    assert {words[0] for words in called} >= {"tree", "check", "build", "bundle", "lab", "report"}
    for words in called:
        command: click.Command = cli
        rest = list(words)
        with click.Context(cli) as context:
            while isinstance(command, click.Group):
                found = command.get_command(context, rest.pop(0))
                assert found is not None, words
                command = found
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= known, words


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_boards_of_a_template_are_ours(name: str) -> None:
    (listed,) = re.findall(r"(?i)\bboard: \[(.+)\]", (TEMPLATES / name).read_text())
    assert set(listed.split(", ")) <= set(board.names())
