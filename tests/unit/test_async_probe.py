# SPDX-License-Identifier: GPL-2.0-only
"""Names in ``driver_async_probe=`` are those of drivers that the kernel has."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sku_build import async_probe, board
from sku_build.board import Board
from sku_build.errors import CheckError, UserError

# The ways in which the kernel's drivers give their names.
SOURCES = {
    "drivers/literal.c": """
static struct platform_driver literal_driver = {
	.driver = {
		.name = "by-literal",
	},
};
static const struct clk_ops other = {
	.name = "no-driver",
};
""",
    "drivers/macro.c": """
#define DRV_NAME	"by_macro"
static struct pci_driver macro_driver = {
	.name		= DRV_NAME,
};
""",
    "drivers/variable.c": """
static const char variable_name[] = "by_variable";
static struct pci_driver variable_driver = {
	.name     = variable_name,
};
""",
    "drivers/sub/name.h": '#define SUB_NAME "by_header"\n',
    "drivers/sub/main.c": """
#include "name.h"
struct pci_driver header_driver __refdata = {
	.name = SUB_NAME,
};
""",
    "drivers/by_file.c": """
static struct virtio_driver file_driver = {
	.driver.name =	KBUILD_MODNAME,
};
""",
    "drivers/another.c": """
static struct virtio_driver another_driver = {
	.driver.name =	KBUILD_MODNAME,
};
""",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for file, text in SOURCES.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    return tmp_path


def asking(value: str) -> Board:
    return msgspec.structs.replace(
        board.load("qemu-virt"), cmdline=f"console=ttyAMA0 driver_async_probe={value} quiet"
    )


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("console=ttyAMA0", []),
        ("a driver_async_probe=one,two b", ["one", "two"]),
        ("driver_async_probe=*,two", ["two"]),
        ('driver_async_probe="one two",three', ["one two", "three"]),
        ("driver_async_probe=one driver_async_probe=two", ["two"]),
        ("my.driver_async_probe=one", []),
        ("driver_async_probe=one '", ["one"]),
    ],
)
def test_names_are_taken_from_the_command_line_as_the_kernel_does(
    cmdline: str, expected: list[str]
) -> None:
    assert async_probe.names(cmdline) == expected


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("by-literal", "literal_driver"),
        ("by_macro", "macro_driver"),
        ("by_variable", "variable_driver"),
        ("by_header", "header_driver"),
        ("by_file", "file_driver"),
        ("another", "another_driver"),
    ],
)
def test_a_driver_is_found_however_it_gives_its_name(
    source: Path, name: str, variable: str
) -> None:
    assert [driver.variable for driver in async_probe.drivers(source, name)] == [variable]


@pytest.mark.parametrize("name", ["no-driver", "literal", "by_litera", "macro_driver", "main"])
def test_what_is_not_a_drivers_name_is_an_error_that_names_it(source: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no driver of this kernel is called {name}") as raised:
        async_probe.check_source(source, asking(f"by_macro,{name}"))
    assert raised.value.data == {"unknown": [name]}
    assert str(raised.value.where).endswith("boards/qemu-virt/board.toml")


def test_a_list_that_the_kernel_would_cut_short_is_an_error(source: Path) -> None:
    with pytest.raises(UserError, match="255 characters"):
        async_probe.check_source(source, asking(",".join(["by_macro"] * 30)))


def test_a_driver_that_was_not_built_is_an_error(source: Path, tmp_path: Path) -> None:
    asked = async_probe.check_source(source, asking("by_macro,by-literal"))
    system_map, modules = tmp_path / "System.map", tmp_path / "modules"
    system_map.write_text("ffffffc008000000 T _text\nffffffc008000010 d macro_driver\n")
    with pytest.raises(CheckError, match="names by-literal, and this configuration") as raised:
        async_probe.check_built(asked, system_map, modules)
    assert raised.value.data == {"missing": ["by-literal"]}
    modules.mkdir()
    (modules / "literal.ko").write_bytes(b"\x7fELF\0macro_driver\0literal_driver\0")
    async_probe.check_built(asked, system_map, modules)
    (modules / "literal.ko").write_bytes(b"\x7fELF\0not_literal_driver\0")
    with pytest.raises(CheckError):
        async_probe.check_built(asked, system_map, modules)


def test_a_board_without_the_option_has_nothing_to_be_checked(tmp_path: Path) -> None:
    plain = msgspec.structs.replace(board.load("qemu-virt"), cmdline="console=ttyAMA0")
    assert async_probe.check_source(tmp_path / "nowhere", plain) == []
    async_probe.check_built([], tmp_path / "nowhere", tmp_path)
