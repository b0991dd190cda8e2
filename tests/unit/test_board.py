# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import board
from sku_build.errors import ExitCode, UserError

GOOD = """
name = "toy"
summary = "a toy"
arch = "arm64"
series = []
cmdline = "quiet"
[config]
base = "allnoconfig"
fragments = []
[machine]
cpus = 2
memory_gib = 4
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "boards" / "toy" / "board.toml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    monkeypatch.setenv("SKU_DATA", str(tmp_path))
    return path


@pytest.mark.parametrize("name", board.names())
def test_every_shipped_board_is_well_formed(name: str) -> None:
    assert board.load(name).name == name


def test_an_unknown_board_is_named_with_the_nearest_known_one(toy: Path) -> None:
    with pytest.raises(UserError) as caught:
        board.load("toi")
    assert caught.value.exit_code == ExitCode.USER
    assert "'toi'" in caught.value.message
    assert caught.value.hint == "did you mean toy?"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("cpus = 2", "cpuz = 2"), "unknown key machine.cpuz"),
        (("cpus = 2", 'cpus = "two"'), "key machine.cpus: Expected `int`, got `str`"),
        (("cpus = 2", ""), "key machine: Object missing required field `cpus`"),
        (('name = "toy"', 'name = "other"'), "the directory is 'toy'"),
        (("cpus = 2", "cpus = "), "not valid TOML"),
    ],
)
def test_a_malformed_board_names_the_file_and_the_key(
    toy: Path, change: tuple[str, str], says: str
) -> None:
    toy.write_text(GOOD.replace(*change))
    with pytest.raises(UserError) as caught:
        board.load("toy")
    assert says in caught.value.message
    assert caught.value.where == str(toy)


def test_a_misspelt_key_gets_a_suggestion(toy: Path) -> None:
    toy.write_text(GOOD.replace("cpus = 2", "cpuz = 2"))
    with pytest.raises(UserError) as caught:
        board.load("toy")
    assert caught.value.hint is not None
    assert "cpus" in caught.value.hint


def test_a_fragment_is_added_once_and_the_board_stays_as_it_is(toy: Path) -> None:
    plain = board.load("toy")
    more = board.with_fragments(plain, ["debug", "arm64", "debug"])
    assert more.config.fragments == ["debug", "arm64"]
    assert plain.config.fragments == []
