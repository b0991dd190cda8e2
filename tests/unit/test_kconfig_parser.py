# SPDX-License-Identifier: GPL-2.0-only
"""kconfiglib understands today's Kconfig language, and leaves no trace in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sku_build.errors import InfraError
from sku_build.kconfig import crosscheck, parser
from sku_build.kconfig.model import Disagreement
from sku_build.kconfig.parser import Kconfig, definitions
from tests.unit.kconfig_tree import TREE, definition, environment, load, values


@pytest.fixture(scope="module")
def kconfig(tmp_path_factory: pytest.TempPathFactory) -> Kconfig:
    return load(tmp_path_factory.mktemp("kconfig"))


def test_every_symbol_is_defined_where_the_file_says(kconfig: Kconfig) -> None:
    found = {symbol.name: definitions(symbol) for symbol in kconfig.unique_defined_syms}
    assert len(found) > 20
    assert found == {name: [definition(name)] for name in found}


def test_attribute_words_count_only_outside_of_help_texts(kconfig: Kconfig) -> None:
    assert kconfig.transitional == {"OLD_NAME"}
    assert "modules" in kconfig.syms["MODULES"].nodes[0].help
    assert "transitional" in kconfig.syms["MODULES"].nodes[0].help


def test_modules_attribute_lets_tristates_be_m(kconfig: Kconfig, tmp_path: Path) -> None:
    assert values(kconfig, "CONFIG_MODULES=y\nCONFIG_BUS=m\n", tmp_path)["BUS"] == "m"
    assert values(kconfig, "CONFIG_BUS=m\n", tmp_path)["BUS"] == "y"


@pytest.mark.parametrize(
    ("net", "bus", "highest"),
    [("n", "n", "y"), ("y", "n", None), ("y", "m", "m"), ("y", "y", "y")],
)
def test_conditional_dependency_holds_only_under_its_condition(
    kconfig: Kconfig, tmp_path: Path, net: str, bus: str, highest: str | None
) -> None:
    given = f"CONFIG_MODULES=y\nCONFIG_NET={net}\nCONFIG_BUS={bus}\nCONFIG_CONDITIONAL=y\n"
    assert values(kconfig, given, tmp_path).get("CONDITIONAL") == highest


@pytest.mark.parametrize(
    ("bus", "other", "highest"),
    [
        ("n", "n", "y"),
        ("y", "n", None),
        ("m", "n", None),  # `EXPERT || !(BUS && …)` would give m here; conf compares with n
        ("y", "m", "y"),  # conf turns `!CONDITIONAL = n` into `CONDITIONAL != n`
        ("y", "y", "y"),
    ],
)
def test_condition_is_compared_with_n_as_conf_does(
    kconfig: Kconfig, tmp_path: Path, bus: str, other: str, highest: str | None
) -> None:
    given = "\n".join(
        [
            "CONFIG_MODULES=y",
            f"CONFIG_BUS={bus}",
            f"CONFIG_CONDITIONAL={other}",
            "CONFIG_CONDITIONAL_COMPLEX=y\n",
        ]
    )
    assert values(kconfig, given, tmp_path).get("CONDITIONAL_COMPLEX") == highest


def test_commands_see_the_environment_of_kbuild_and_nothing_else_does(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    before = dict(os.environ)
    assert load(tmp_path).syms["FROM_SHELL"].str_value == "probed"
    assert dict(os.environ) == before


def test_environment_comes_back_when_the_tree_cannot_be_parsed(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text("config A\n\tnew-attribute\n", encoding="utf-8")
    before = dict(os.environ)
    with pytest.raises(InfraError, match="Kconfig:2") as caught:
        load(tmp_path, tmp_path)
    assert caught.value.where == str(tmp_path)
    assert dict(os.environ) == before


def test_nothing_of_kconfiglib_spills_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kconfig = parser.load(environment(TREE) | {"TINY_COMMAND": "echo noise >&2"}, tmp_path)
    values(kconfig, "CONFIG_NET=m\nCONFIG_COUNT=1000\nCONFIG_NOT_THERE=y\nrubbish\n", tmp_path)
    assert capfd.readouterr() == ("", "")


def test_disagreement_on_a_value_is_told_with_its_cause(kconfig: Kconfig, tmp_path: Path) -> None:
    config = dict(values(kconfig, "CONFIG_OLD_NAME=y\nCONFIG_NET=y\n", tmp_path))
    assert crosscheck.disagreements(kconfig, config, config) == []
    assert crosscheck.disagreements(kconfig, ["EXPERT"], {}) == [], "absent is as good as n"
    # conf would have carried the value of the transitional symbol over
    (found,) = crosscheck.disagreements(kconfig, ["NET", "NEW_NAME"], config | {"NEW_NAME": "y"})
    assert (found.symbol, found.kconfiglib, found.olddefconfig) == ("NEW_NAME", "n", "y")
    assert found.note is not None and found.note.startswith("transitional")
    assert crosscheck.disagreements(kconfig, ["COUNT"], config | {"COUNT": "5"}) == [
        Disagreement("COUNT", "4", "5")
    ]
