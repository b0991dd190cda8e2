# SPDX-License-Identifier: GPL-2.0-only
"""A ``.config`` is read, merged and compared as the kernel's ``conf`` means it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sku_build.kconfig import dotconfig
from sku_build.kconfig.fragment import read_option
from sku_build.kconfig.model import Mismatch, Place, Request

_VALUES = st.one_of(
    st.sampled_from(["y", "m", "n"]),
    st.integers(-9, 99).map(str),
    st.integers(0, 99).map(hex),
    st.text('ab \\"#=', max_size=4).map(lambda text: '"' + text.replace('"', "") + '"'),
)
_CONFIGS = st.dictionaries(st.text("ABC_0", min_size=1, max_size=4), _VALUES, max_size=8)


@settings(max_examples=50, deadline=None)
@given(_CONFIGS)
def test_what_is_written_is_read_back(config: dict[str, str]) -> None:
    text = "\n".join(dotconfig.line(symbol, value) for symbol, value in config.items())
    assert dotconfig.parse(f"# Linux/arm64 6.1 Kernel Configuration\n\n{text}\n") == config


@settings(max_examples=50, deadline=None)
@given(_CONFIGS, _CONFIGS)
def test_merge_holds_every_request_and_the_rest_of_the_base(
    base: dict[str, str], asked: dict[str, str]
) -> None:
    text = "\n".join(dotconfig.line(symbol, value) for symbol, value in base.items())
    requests = [Request(symbol, value, Place("a", 1)) for symbol, value in asked.items()]
    merged = dotconfig.merge(text, requests)
    assert dotconfig.parse(merged) == base | asked
    assert len(merged.split("\n")) - 1 == max(1, len(base | asked)), "each symbol once"


def test_requests_come_last_so_that_they_win_a_choice() -> None:
    merged = dotconfig.merge("CONFIG_SMALL=y\nCONFIG_Z=y\n", [read_option("CONFIG_LARGE=y")])
    assert merged.splitlines()[-1] == "CONFIG_LARGE=y"


@pytest.mark.parametrize(
    ("wanted", "actual"),
    [("n", None), ("n", "n"), ("12", "12"), ("0x1F", "0x1f"), ("1f", "0x1f"), ('""', '""')],
)
def test_values_that_mean_the_same(wanted: str, actual: str | None) -> None:
    assert dotconfig.same_value(wanted, actual)


@pytest.mark.parametrize(
    ("wanted", "actual"),
    [("y", None), ("n", "y"), ("m", "y"), ('""', None), ("0", None), ("12", "13"), ('"a"', '"b"')],
)
def test_values_that_differ(wanted: str, actual: str | None) -> None:
    assert not dotconfig.same_value(wanted, actual)


def test_only_missed_requests_are_listed_in_their_order() -> None:
    asked = [read_option(text) for text in ("CONFIG_B=y", "CONFIG_A=n", "CONFIG_C=m")]
    assert dotconfig.compare(asked, {"A": "y", "C": "m"}) == [
        Mismatch(asked[0], None),
        Mismatch(asked[1], "y"),
    ]
