# SPDX-License-Identifier: GPL-2.0-only
"""What an arm64 boot image and an arm64 program look like, checked before they are trusted.

Sources: Documentation/arch/arm64/booting.rst (Documentation/arm64 before 6.7) for the header,
drivers/firmware/efi/libstub/zboot-header.S for the EFI zboot image, elf(5) for ELF.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

from sku_build.errors import CheckError

_HEADER = struct.Struct("<IIQQQQQQ4sI")
_MAGIC = b"ARM\x64"
_PAGE_KIB = {0: None, 1: 4, 2: 16, 3: 64}

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x02\x21\x4c\x18": "lz4 (legacy)",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x5d\0\0": "lzma",
    b"\x89LZO": "lzo",
}

_ELF_MAGIC = b"\x7fELF"
_EM_AARCH64 = 183
_MACHINES = {
    3: "i386",
    20: "powerpc",
    22: "s390",
    40: "arm",
    62: "x86-64",
    183: "aarch64",
    243: "riscv",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ImageHeader:
    """The 64-byte header of an uncompressed arm64 ``Image``; offsets and sizes are in bytes.

    ``image_size`` is what the kernel occupies in memory, BSS included; ``page_kib`` is None when
    the image does not say.
    """

    text_offset: int
    image_size: int
    page_kib: int | None
    big_endian: bool
    efi_stub: bool


def read_image_header(path: Path) -> ImageHeader:
    """Return the header of the arm64 ``Image`` at ``path``.

    Raises CheckError saying what the file is instead (compressed, an EFI zboot image, an ELF
    file, too short), or that it is shorter than its header allows.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    size = path.stat().st_size
    if len(start) == _HEADER.size:
        code0, _, text_offset, image_size, flags, _, _, _, magic, _ = _HEADER.unpack(start)
        if magic == _MAGIC:
            if size > image_size > 0:
                raise CheckError(
                    f"the Image holds {size} bytes and says it needs only {image_size} in memory",
                    where=path,
                    hint="the file is damaged or has something appended; build it again",
                )
            return ImageHeader(
                text_offset=text_offset,
                image_size=image_size,
                page_kib=_PAGE_KIB[flags >> 1 & 3],
                big_endian=bool(flags & 1),
                efi_stub=code0 & 0xFFFF == 0x5A4D,  # "MZ"
            )
    raise CheckError(
        f"not an uncompressed arm64 Image: {_what_is(start)}",
        where=path,
        hint="take arch/arm64/boot/Image of the build directory (`make Image`), "
        "not Image.gz, vmlinuz.efi or vmlinux",
    )


def _what_is(start: bytes) -> str:
    if start[:2] == b"MZ" and start[4:8] == b"zimg":
        kind = start[24:32].rstrip(b"\0").decode("ascii", "replace")
        return f"it is an EFI zboot image, {kind}-compressed inside"
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            return f"it is compressed with {name}"
    if start.startswith(_ELF_MAGIC):
        return f"it is an ELF file for {_machine_name(start)}"
    if len(start) < _HEADER.size:
        return f"it has {len(start)} bytes, less than the header alone"
    return "the magic ARM\\x64 is missing at offset 0x38"


def check_elf(path: Path) -> None:
    """Raise CheckError unless ``path`` is a little-endian 64-bit ELF file for AArch64."""
    with path.open("rb") as file:
        start = file.read(20)
    if not start.startswith(_ELF_MAGIC) or len(start) < 20:
        raise CheckError("not an ELF file", where=path)
    if start[4:6] == b"\x02\x01" and int.from_bytes(start[18:20], "little") == _EM_AARCH64:
        return
    raise CheckError(
        f"an ELF file for {_machine_name(start)}, and it must be for aarch64",
        where=path,
        hint="it was built by a compiler for another machine: look at CROSS_COMPILE and CC",
    )


def _machine_name(start: bytes) -> str:
    if len(start) < 20:
        return "no machine (cut short)"
    bits = {1: "32-bit", 2: "64-bit"}.get(start[4], "")
    order = "big" if start[5] == 2 else "little"
    number = int.from_bytes(start[18:20], "big" if start[5] == 2 else "little")
    return f"{_MACHINES.get(number, f'machine {number}')} ({bits} {order}-endian)"


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """A section of an ELF file: where its bytes are in the file."""

    name: str
    offset: int
    size: int


_SHT_NOBITS = 8
_EHDR64 = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR64 = struct.Struct("<IIQQQQIIQQ")


def elf_sections(data: bytes) -> list[Section]:
    """Return the sections of a little-endian ELF64 file that take room in it; [] if it is none."""
    if len(data) < _EHDR64.size or not data.startswith(_ELF_MAGIC + b"\x02\x01"):
        return []
    *_, shoff, _, _, _, _, shentsize, shnum, shstrndx = _EHDR64.unpack_from(data)
    if shentsize != _SHDR64.size or shoff + shnum * shentsize > len(data) or shstrndx >= shnum:
        return []
    headers = [_SHDR64.unpack_from(data, shoff + index * shentsize) for index in range(shnum)]
    names = headers[shstrndx][4]
    return [
        Section(_string_at(data, names + name), offset, size)
        for name, kind, _, _, offset, size, *_ in headers
        if kind != _SHT_NOBITS
    ]


def _string_at(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset)
    return data[offset:end].decode("ascii", "replace")
