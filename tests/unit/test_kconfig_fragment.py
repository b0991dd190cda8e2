# SPDX-License-Identifier: GPL-2.0-only
"""Fragments are read to the letter, and cannot contradict each other unnoticed."""

from __future__ import annotations

import pytest

from sku_build.errors import UserError
from sku_build.kconfig.fragment import combine, read_option, read_requests
from sku_build.kconfig.model import Place, Request, Waived
from sku_build.kconfig.template import Line


def lines(*texts: str, file: str = "configs/a.config.j2") -> list[Line]:
    return [Line(text, Place(file, number)) for number, text in enumerate(texts, 1)]


def requests(*texts: str, file: str = "configs/a.config.j2") -> list[Request]:
    return read_requests(lines(*texts, file=file))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("CONFIG_X=y", "y"),
        ("CONFIG_X=m # a remark", "m"),
        ("CONFIG_X=-12", "-12"),
        ("CONFIG_X=0x1F", "0x1F"),
        (r'CONFIG_X="a \"b\" # c"', r'"a \"b\" # c"'),
        ("# CONFIG_X is not set", "n"),
        ("CONFIG_X=n", "n"),
    ],
)
def test_every_form_of_a_value_is_read(text: str, value: str) -> None:
    assert requests(text) == [Request("X", value, Place("configs/a.config.j2", 1))]


def test_comments_are_skipped() -> None:
    assert requests("# CONFIG_X is needed by Y", "#CONFIG_X=y", "# words") == []


@pytest.mark.parametrize(
    "text",
    [
        "CONFIG_X",
        "CONFIG_X=",
        "CONFIG_X=yes",
        "CONFIG_X=unquoted",
        'CONFIG_X="open',
        "CONFIG_X = y",
        "X=y",
        "CONFIG_X=y CONFIG_Y=y",
        "#CONFIG_X is not set",
        "# CONFIG_X not set",
        "# CONFIG_X is unset",
    ],
)
def test_whatever_is_not_understood_is_an_error_at_its_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        requests("CONFIG_A=y", text)
    assert caught.value.where == "configs/a.config.j2:2"


def test_waiver_keeps_its_reason() -> None:
    (on, off) = requests("CONFIG_X=y # waiver: no such CPU", "# CONFIG_Y is not set # Waiver: old")
    assert (on.waiver, off.waiver) == ("no such CPU", "old")


@pytest.mark.parametrize("text", ["CONFIG_X=y # waiver:", "CONFIG_X=y # waiver"])
def test_waiver_without_a_reason_is_an_error(text: str) -> None:
    with pytest.raises(UserError, match="needs a reason") as caught:
        requests(text)
    assert caught.value.where == "configs/a.config.j2:1"


def test_same_value_twice_is_one_request() -> None:
    asked = [*requests("CONFIG_X=y"), *requests("CONFIG_X=y", file="configs/b.config.j2")]
    assert combine(asked).requests == asked[:1]
    assert combine(requests("CONFIG_X=n", "# CONFIG_X is not set")).yielded == []


def test_contradiction_names_both_places_and_values() -> None:
    asked = [
        *requests("CONFIG_OTHER=y", "CONFIG_X=y"),
        *requests("# CONFIG_X is not set", file="configs/b.config.j2"),
    ]
    with pytest.raises(UserError) as caught:
        combine(asked)
    assert "CONFIG_X is y at configs/a.config.j2:2 and n at configs/b.config.j2:1" in str(
        caught.value
    )


def test_every_contradiction_is_told_at_once() -> None:
    with pytest.raises(UserError, match=r"CONFIG_X.*CONFIG_Y"):
        combine(requests("CONFIG_X=1", "CONFIG_Y=y", "CONFIG_X=2", "CONFIG_Y=m"))


def test_waived_line_yields_whichever_comes_first() -> None:
    firm = requests("CONFIG_X=n")
    waived = requests("CONFIG_X=y # waiver: nice to have", file="configs/b.config.j2")
    for asked in ([*firm, *waived], [*waived, *firm]):
        wanted = combine(asked)
        assert wanted.requests == firm
        assert wanted.yielded == [
            Waived("X", "y", None, waived[0].place, "nice to have", firm[0].place)
        ]


def test_of_two_waived_lines_the_later_wins() -> None:
    wanted = combine(requests("CONFIG_X=y # waiver: a", "CONFIG_X=m # waiver: b"))
    assert [request.value for request in wanted.requests] == ["m"]
    assert [waived.wanted for waived in wanted.yielded] == ["y"]


def test_option_of_the_command_line_is_its_own_place() -> None:
    assert str(read_option("CONFIG_X=y").place) == "--set CONFIG_X=y"
    for bad in ("X=y", "# nothing", ""):
        with pytest.raises(UserError):
            read_option(bad)
