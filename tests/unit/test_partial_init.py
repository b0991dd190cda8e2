# SPDX-License-Identifier: GPL-2.0-only
"""What a board says of waiting devices becomes words of the command line, or is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sku_build import async_probe, board, partial_init
from sku_build import series as patch_series
from sku_build.board import Board, PartialInitPart
from sku_build.errors import UserError


def having(waits: list[str], needed: list[str] | None = None, timeout: int = 60) -> Board:
    part = PartialInitPart(waits=waits, needed=needed or [], timeout=timeout)
    return msgspec.structs.replace(board.load("qemu-virt"), cmdline="quiet", partial_init=part)


def test_the_words_are_those_of_the_kernel() -> None:
    wanted = having(["e1000e", "pci:0000:00/12.0/*"], ["pci:0000:00/10.0/00.0"], 30)
    assert partial_init.cmdline(wanted, patch_series.resolve(["partial_init"])) == (
        "quiet partial_init=e1000e,pci:0000:00/12.0/*,!pci:0000:00/10.0/00.0 "
        "partial_init.timeout=30"
    )


def test_a_kernel_without_the_series_is_told_nothing() -> None:
    assert partial_init.cmdline(having(["e1000e"]), []) == "quiet"


def test_a_board_that_lets_nothing_wait_keeps_its_command_line() -> None:
    plain = board.load("qemu-virt")
    assert partial_init.cmdline(plain, patch_series.resolve(["partial_init"])) == plain.cmdline
    assert partial_init.drivers(plain) == {}


@pytest.mark.parametrize(
    "pattern",
    ["e1000e", "*", "a[bc]d", "[!a]x", "[]a]", "a\\*", "pci:0000:01:00.0", "a!b", "x-y_z"],
)
def test_a_pattern_is_taken(pattern: str) -> None:
    partial_init.check(having([pattern]))


@pytest.mark.parametrize(
    "pattern",
    ["", "!", "!a", "[", "a[b", "a[]", "[!]", "a\\", "a b", "a,b", "café", "a\x01", "a\n"],
)
@pytest.mark.parametrize("key", ["waits", "needed"])
def test_what_the_kernel_would_refuse_is_refused(key: str, pattern: str) -> None:
    wanted = having(["a"], [pattern]) if key == "needed" else having([pattern])
    with pytest.raises(UserError, match=rf"^key partial_init\.{key}: .* is no pattern") as raised:
        partial_init.check(wanted)
    assert str(raised.value.where).endswith("qemu-virt/board.toml")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (having([]), "waits: is empty"),
        (having(["x" * 512, "y" * 511]), "waits: the kernel takes 1023 characters, .* are 1024"),
        (having(["a"], timeout=0), "timeout: is 0, and must be 1 to 3600 seconds"),
        (having(["a"], timeout=3601), "timeout: is 3601"),
    ],
)
def test_what_cannot_be_is_said(wanted: Board, message: str) -> None:
    with pytest.raises(UserError, match=message):
        partial_init.check(wanted)


def test_a_driver_that_the_kernel_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "nic.c").write_text(
        'static struct pci_driver nic_driver = {\n\t.name = "nic",\n};\n'
    )
    found = async_probe.check_source(tmp_path, having(["nic", "ni[bc]", "pci:x"], ["nic"]))
    assert {driver.variable for driver in found} == {"nic_driver"}
    with pytest.raises(
        UserError, match=r"^key partial_init.waits: no driver of this kernel is called cni$"
    ):
        async_probe.check_source(tmp_path, having(["cni"], ["nic"]))
    with pytest.raises(UserError, match=r"^key partial_init.needed: no driver .* called cni"):
        async_probe.check_source(tmp_path, having(["nic"], ["cni"]))
