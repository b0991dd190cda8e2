# SPDX-License-Identifier: GPL-2.0-only
"""Every way of losing a request is told by its cause, its reasons and the places behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build.kconfig import report
from sku_build.kconfig.model import Cause, Problem, Reason
from sku_build.kconfig.parser import Kconfig
from tests.unit.kconfig_tree import definition, load, problems


@pytest.fixture(scope="module")
def kconfig(tmp_path_factory: pytest.TempPathFactory) -> Kconfig:
    return load(tmp_path_factory.mktemp("kconfig"))


def texts(reasons: list[Reason]) -> list[str]:
    return [reason.text for reason in reasons]


def told(problem: Problem) -> str:
    return "\n".join(report.describe(problem))


def test_request_that_is_reached_is_no_problem(kconfig: Kconfig, tmp_path: Path) -> None:
    assert problems(kconfig, tmp_path, "CONFIG_NET=y", "# CONFIG_CPU is not set") == {}


def test_unmet_terms_are_named_with_their_values_and_definitions(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_DRIVER=y", "CONFIG_NET=y")["DRIVER"]
    assert lost.cause is Cause.DEPENDENCY
    assert lost.defined == [definition("DRIVER")]
    assert (lost.wanted, lost.actual) == ("y", None)
    assert lost.reasons == [
        Reason(
            "BUS is n",
            [definition("BUS")],
            [Reason("nothing stands in its way: request CONFIG_BUS=y")],
        )
    ]


def test_met_terms_are_left_out_and_requested_ones_name_their_line(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    lines = ("CONFIG_DRIVER=y", "CONFIG_BUS=y", "CONFIG_NET=n")
    lost = problems(kconfig, tmp_path, *lines)["DRIVER"]
    assert texts(lost.reasons) == ["NET is n"]
    assert lost.reasons[0].because[0] == Reason("NET is requested as n", ["--set CONFIG_NET=n"])


def test_each_operand_of_an_or_is_explained(kconfig: Kconfig, tmp_path: Path) -> None:
    lines = ("CONFIG_DRIVER=y", "CONFIG_BUS=y", "CONFIG_NET=y", "CONFIG_BROKEN_BY=y")
    (reason,) = problems(kconfig, tmp_path, *lines)["DRIVER"].reasons
    assert reason.text == "!BROKEN_BY || NEVER_DEFINED is n"
    assert texts(reason.because) == [
        "BROKEN_BY is y",
        "NEVER_DEFINED is not defined for this architecture",
    ]
    assert reason.because[0].because[0].where == ["--set CONFIG_BROKEN_BY=y"]


def test_dependency_that_is_m_keeps_a_tristate_from_y(kconfig: Kconfig, tmp_path: Path) -> None:
    lines = ("CONFIG_MODULES=y", "CONFIG_NET=y", "CONFIG_BUS=m", "CONFIG_DRIVER=y")
    lost = problems(kconfig, tmp_path, *lines)["DRIVER"]
    assert (lost.actual, lost.cause) == ("m", Cause.DEPENDENCY)
    assert texts(lost.reasons) == ["BUS is m"]


def test_nothing_can_be_m_without_modules(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_BUS=m")["BUS"]
    assert lost.reasons == [
        Reason("MODULES is n, so that nothing can be m", [definition("MODULES")])
    ]


def test_dependency_without_prompt_leads_to_what_selects_it(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    (reason,) = problems(kconfig, tmp_path, "CONFIG_DEEP=y")["DEEP"].reasons
    assert (reason.text, reason.where) == ("HAVE_FEATURE is n", [definition("HAVE_FEATURE")])
    (without_prompt,) = reason.because
    assert "no prompt" in without_prompt.text and "selected by CPU (n)" in without_prompt.text
    (cpu,) = without_prompt.because
    assert (cpu.text, cpu.where) == ("CPU is n", [definition("CPU")])
    assert texts(cpu.because) == ["nothing stands in its way: request CONFIG_CPU=y"]


def test_nothing_is_told_twice(kconfig: Kconfig, tmp_path: Path) -> None:
    first, second = problems(kconfig, tmp_path, "CONFIG_TWICE=y")["TWICE"].reasons
    assert (first.text, second.text) == ("DEEP is n", "DEEP || NET is n")
    assert first.because != []
    assert texts(second.because) == ["DEEP is n", "NET is n"]
    assert second.because[0].because == []


def test_unwanted_symbol_names_its_selectors(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "# CONFIG_FORCED is not set", "CONFIG_CPU=y")["FORCED"]
    assert (lost.cause, lost.actual) == (Cause.SELECTED, "y")
    assert lost.reasons == [
        Reason(
            "selected by CPU, which is y",
            [definition("CPU")],
            [Reason("CPU is requested as y", ["--set CONFIG_CPU=y"])],
        )
    ]


def test_hidden_prompt_names_its_condition(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_ONLY_EXPERTS=n")["ONLY_EXPERTS"]
    assert (lost.cause, lost.actual) == (Cause.INVISIBLE, "y")
    (reason,) = lost.reasons
    assert reason.text == "its prompt shows only if EXPERT"
    assert reason.where == [definition("ONLY_EXPERTS")]
    assert reason.because[0].where == [definition("EXPERT")]


def test_symbol_without_prompt_says_so(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_HAVE_FEATURE=y")["HAVE_FEATURE"]
    assert lost.cause is Cause.INVISIBLE
    assert "no prompt" in lost.reasons[0].text


def test_choice_names_the_member_that_won_and_who_asked_for_it(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_SMALL=y", "CONFIG_LARGE=y")["SMALL"]
    assert lost.cause is Cause.CHOICE
    (reason,) = lost.reasons
    assert "LARGE is" in reason.text
    assert reason.because == [Reason("LARGE is requested as y", ["--set CONFIG_LARGE=y"])]


def test_choice_cannot_be_left_empty(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_SMALL=n")["SMALL"]
    assert lost.cause is Cause.CHOICE
    assert "request another (LARGE, HUGE)" in lost.reasons[0].text


def test_member_of_a_choice_may_fail_by_its_own_dependency(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_HUGE=y")["HUGE"]
    assert (lost.cause, texts(lost.reasons)) == (Cause.DEPENDENCY, ["NET is n"])


def test_number_out_of_range_is_told_its_limits(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_COUNT=65", "CONFIG_NET=y")["COUNT"]
    assert (lost.cause, lost.actual) == (Cause.RANGE, "4")
    assert "1 to 64" in lost.reasons[0].text
    assert problems(kconfig, tmp_path, "CONFIG_COUNT=65") == {}, "the range is only there if NET"


@pytest.mark.parametrize(
    ("line", "symbol", "kind"),
    [
        ("CONFIG_NET=m", "NET", "bool"),
        ("CONFIG_COUNT=y", "COUNT", "int"),
        ("CONFIG_NAME=y", "NAME", "string"),
        ('CONFIG_MASK="0x10"', "MASK", "hex"),
    ],
)
def test_value_of_another_type_is_told_the_type(
    kconfig: Kconfig, tmp_path: Path, line: str, symbol: str, kind: str
) -> None:
    lost = problems(kconfig, tmp_path, line)[symbol]
    assert lost.cause is Cause.TYPE
    assert kind in lost.reasons[0].text


def test_string_that_is_absent_is_explained_like_any_other(
    kconfig: Kconfig, tmp_path: Path
) -> None:
    lost = problems(kconfig, tmp_path, 'CONFIG_NAME="x"')["NAME"]
    assert (lost.cause, texts(lost.reasons)) == (Cause.DEPENDENCY, ["NET is n"])


def test_transitional_symbol_names_its_successor(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_OLD_NAME=y")["OLD_NAME"]
    assert lost.cause is Cause.TRANSITIONAL
    (reason,) = lost.reasons
    assert "NEW_NAME" in reason.text and reason.where == [definition("NEW_NAME")]


def test_unknown_symbol_is_told_its_neighbours(kconfig: Kconfig, tmp_path: Path) -> None:
    lost = problems(kconfig, tmp_path, "CONFIG_DIRVER=y")["DIRVER"]
    assert (lost.cause, lost.defined) == (Cause.UNKNOWN, [])
    assert lost.did_you_mean[0] == "DRIVER"
    assert "did you mean DRIVER" in told(lost)


def test_symbol_of_another_architecture_is_told_where_it_is(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "arch" / "other").mkdir(parents=True)
    (tree / "sub").mkdir()
    (tree / "Kconfig").write_text('config A\n\tbool "A"\n', encoding="utf-8")
    (tree / "arch" / "other" / "Kconfig").write_text(
        "\nconfig OTHER_CPU\n\tbool\n", encoding="utf-8"
    )
    lost = problems(load(tmp_path, tree), tmp_path, "CONFIG_OTHER_CPU=y")["OTHER_CPU"]
    assert lost.reasons == [
        Reason("only defined for other architectures", ["arch/other/Kconfig:2"])
    ]


def test_words_name_request_value_definition_and_reason(kconfig: Kconfig, tmp_path: Path) -> None:
    text = told(problems(kconfig, tmp_path, "CONFIG_DRIVER=y", "CONFIG_NET=y")["DRIVER"])
    assert text.splitlines() == [
        "CONFIG_DRIVER: wanted y, is absent  (--set CONFIG_DRIVER=y)",
        f"  defined at {definition('DRIVER')}",
        f"  unmet dependency: BUS is n  ({definition('BUS')})",
        "    - nothing stands in its way: request CONFIG_BUS=y",
    ]
