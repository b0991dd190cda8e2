# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sku_build import verify
from sku_build.verify import Difference

SYSTEM_MAP = """\
0000000000000000 A _kernel_flags_le_lo32
0000000000600000 A _kernel_size_le_lo32
ffff800008000000 T _text
ffff800008010000 T start_kernel
ffff800008500000 D linux_banner
"""


def two(tmp_path: Path, name: str, first: bytes, second: bytes) -> tuple[Path, Path]:
    for side, content in (("a", first), ("b", second)):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_bytes(content)
    return tmp_path / "a", tmp_path / "b"


def relocatable(section: str, content: bytes) -> bytes:
    """An ELF64 file with one section, and the table of section names."""
    names = b"\0" + section.encode() + b"\0.shstrtab\0"
    at = 64 + len(content) + len(names)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\2\1\1", 1, 183, 1, 0, 0, at, 0, 64, 0, 0, 64, 3, 2),
    )
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(content), 0, 0, 1, 0)
    at_names = 64 + len(content)
    table += struct.pack("<IIQQQQIIQQ", 2 + len(section), 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
    return header + content + names + table


@pytest.mark.parametrize(
    ("first", "second", "offset"),
    [
        (b"abc", b"abd", 2),
        (b"abc", b"abcd", 3),
        (bytes(1 << 20) + b"a", bytes(1 << 20) + b"b", 1 << 20),
        (b"", b"x", 0),
    ],
)
def test_the_first_differing_byte_is_found(
    tmp_path: Path, first: bytes, second: bytes, offset: int
) -> None:
    a, b = two(tmp_path, "f", first, second)
    assert verify.first_difference(a / "f", b / "f") == offset


def test_equal_bundles_have_no_difference(tmp_path: Path) -> None:
    a, b = two(tmp_path, "Image", b"same", b"same")
    assert verify.compare(a, b, ["Image"]) == []


def test_a_difference_in_the_image_names_the_symbol(tmp_path: Path) -> None:
    a, b = two(tmp_path, "Image", bytes(0x500020), bytes(0x500010) + b"x" + bytes(15))
    (a / "System.map").write_text(SYSTEM_MAP)
    assert verify.compare(a, b, ["Image"]) == [
        Difference("Image", 0x500010, "linux_banner+0x10"),
    ]


def test_a_difference_in_a_module_names_the_section(tmp_path: Path) -> None:
    first, second = relocatable(".modinfo", b"vermagic=a"), relocatable(".modinfo", b"vermagic=b")
    a, b = two(tmp_path, "fake.ko", first, second)
    assert verify.compare(a, b, ["fake.ko"]) == [
        Difference("fake.ko", 64 + 9, "section .modinfo"),
    ]


def test_a_difference_in_the_config_names_the_line(tmp_path: Path) -> None:
    a, b = two(tmp_path, "config", b"CONFIG_A=y\nCONFIG_B=1\n", b"CONFIG_A=y\nCONFIG_B=2\n")
    (found,) = verify.compare(a, b, ["config"])
    assert found.where == "line 2 (CONFIG_B=1)"
    assert str(found) == "config: differs from byte 0x14 on, in line 2 (CONFIG_B=1)"


def test_a_file_that_only_one_build_has_is_a_difference(tmp_path: Path) -> None:
    a, b = two(tmp_path, "Image", b"same", b"same")
    (a / "only.dtb").touch()
    assert verify.compare(a, b, ["Image", "only.dtb"]) == [Difference("only.dtb", None, None)]


def test_an_offset_before_or_without_text_has_no_symbol(tmp_path: Path) -> None:
    (tmp_path / "System.map").write_text("0000000000000000 A _kernel_flags\n")
    assert verify.symbol_at(tmp_path / "System.map", 0) is None
