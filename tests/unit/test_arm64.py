# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from sku_build import arm64
from sku_build.errors import CheckError


def header(*, flags: int = 0b1010, image_size: int = 1 << 20) -> bytes:
    """The 64 bytes of Documentation/arch/arm64/booting.rst."""
    start = struct.pack("<2sHIQQQ", b"MZ", 0, 0, 0x80000, image_size, flags)
    return start + bytes(24) + b"ARM\x64" + bytes(4)


def elf(machine: int, *, bits: int = 2, order: int = 1) -> bytes:
    numbers = "<" if order == 1 else ">"
    return b"\x7fELF" + bytes([bits, order, 1]) + bytes(9) + struct.pack(numbers + "HH", 2, machine)


def test_the_header_of_an_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Image"
    path.write_bytes(header() + bytes(1000))
    assert arm64.read_image_header(path) == arm64.ImageHeader(
        text_offset=0x80000, image_size=1 << 20, page_kib=4, big_endian=False, efi_stub=True
    )


@pytest.mark.parametrize(("flags", "page_kib"), [(0, None), (2, 4), (4, 16), (6, 64)])
def test_the_page_size_is_read_from_the_flags(
    tmp_path: Path, flags: int, page_kib: int | None
) -> None:
    (tmp_path / "Image").write_bytes(header(flags=flags))
    assert arm64.read_image_header(tmp_path / "Image").page_kib == page_kib


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(header()) + bytes(64), "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(96), "compressed with zstd"),
        (b"\x04\x22\x4d\x18" + bytes(96), "compressed with lz4"),
        (
            b"MZ\0\0zimg" + bytes(16) + b"gzip" + bytes(100),
            "an EFI zboot image, gzip-compressed inside",
        ),
        (elf(183) + bytes(100), "an ELF file for aarch64"),
        (b"", "0 bytes"),
        (bytes(100), "magic"),
    ],
)
def test_what_is_not_an_uncompressed_image_is_named(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "Image"
    path.write_bytes(content)
    with pytest.raises(CheckError, match=said) as caught:
        arm64.read_image_header(path)
    assert caught.value.where == str(path)
    assert "arch/arm64/boot/Image" in (caught.value.hint or "")


def test_an_image_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Image").write_bytes(header(image_size=512) + bytes(1000))
    with pytest.raises(CheckError, match="1064 bytes and says it needs only 512"):
        arm64.read_image_header(tmp_path / "Image")


def test_an_elf_file_for_aarch64_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "init").write_bytes(elf(183))
    arm64.check_elf(tmp_path / "init")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (elf(62), r"x86-64 \(64-bit little-endian\)"),
        (elf(40, bits=1), r"arm \(32-bit little-endian\)"),
        (elf(183, order=2), r"aarch64 \(64-bit big-endian\)"),
        (elf(9999), "machine 9999"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF", "not an ELF file"),
    ],
)
def test_a_program_for_another_machine_is_refused_by_name(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "init").write_bytes(content)
    with pytest.raises(CheckError, match=said):
        arm64.check_elf(tmp_path / "init")


def test_sections_of_a_damaged_elf_file_are_none() -> None:
    assert arm64.elf_sections(b"") == []
    assert arm64.elf_sections(elf(183) + b"\xff" * 64) == []
