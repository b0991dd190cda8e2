# SPDX-License-Identifier: GPL-2.0-only
"""Proof that a bundle can be built again: the same bytes, elsewhere, by compilers that run."""

from __future__ import annotations

import bisect
import dataclasses
import shutil
import tempfile
from pathlib import Path

import msgspec

from sku_build import arm64, image, layout
from sku_build import metadata as records
from sku_build.builddir import BuildDirectory
from sku_build.errors import CheckError
from sku_build.metadata import Metadata
from sku_build.plan import Plan

_CHUNK = 1 << 20
_SLOT = "verify"
_OF_THE_HOST = ("scripts", "tools")  # programs for the build; they name its directories
_NAMED = 8


class Difference(msgspec.Struct, frozen=True):
    """An artefact that came out differently; ``offset`` is that of the first differing byte.

    ``where`` says what lies there: a symbol of the kernel, a section of a module, a line of text.
    None for both when one of the builds has no such file.
    """

    path: str
    offset: int | None
    where: str | None

    def __str__(self) -> str:
        if self.offset is None:
            return f"{self.path}: only one of the two builds has it"
        inside = f", in {self.where}" if self.where else ""
        return f"{self.path}: differs from byte {self.offset:#x} on{inside}"


class Verification(msgspec.Struct, frozen=True):
    """The outcome of building twice; ``compared`` are the paths that were."""

    compared: list[str]
    differences: list[Difference]
    seconds: float


def build_again(
    planned: Plan, bundle: Path, built: Metadata, first: BuildDirectory | None = None
) -> Verification:
    """Build ``planned`` a second time and compare with ``bundle``, which ``built`` describes.

    The second build has another source directory, another build directory, and no ccache. Raises
    CheckError naming each artefact that differs and where it begins to, and the objects that do if
    ``first``, where the bundle was built, has not been used for something else since.
    """
    again = dataclasses.replace(
        planned, toolchain=dataclasses.replace(planned.toolchain, ccache=False)
    )
    with tempfile.TemporaryDirectory(prefix="again-", dir=layout.cache_dir("verify")) as name:
        work, second = BuildDirectory(Path(name) / "work"), Path(name) / "bundle"
        second.mkdir()
        rebuilt = image.build_into(
            again, work, slot=f"{_SLOT}-{planned.slot}", bundle=second, strict=True
        )
        compared = sorted(
            {item.path for item in built.artefacts} | {item.path for item in rebuilt.artefacts}
        )
        differences = compare(bundle, second, compared)
        if differences:
            _keep(second, bundle)
            objects = differing_objects(first.objects, work.objects) if first else []
    if differences:
        raise CheckError(
            "the second build came out differently:\n"
            + "\n".join(f"    {difference}" for difference in differences)
            + _named(objects),
            where=bundle,
            hint=f"the second build is kept as {_kept_as(bundle)}, for diffoscope or cmp",
            data={"differences": differences, "objects": objects},
        )
    return Verification(compared, [], sum(rebuilt.timings.values()))


def _kept_as(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.name}.second")


def _keep(second: Path, bundle: Path) -> None:
    shutil.rmtree(_kept_as(bundle), ignore_errors=True)
    shutil.move(second, _kept_as(bundle))


def _named(objects: list[str]) -> str:
    if not objects:
        return ""
    more = f" and {len(objects) - _NAMED} more" if len(objects) > _NAMED else ""
    return f"\n    objects that differ: {', '.join(objects[:_NAMED])}{more}"


def differing_objects(first: Path, second: Path) -> list[str]:
    """Return the object files of the kernel that two build directories both have, and not the same.

    An artefact that differs in nothing but its build-id does so because of one of them: of its
    debug information, which is not in the artefact.
    """
    names = (file.relative_to(second) for file in sorted(second.rglob("*.o")))
    return [
        str(name)
        for name in names
        if name.parts[0] not in _OF_THE_HOST
        and (first / name).is_file()
        and records.sha256(first / name) != records.sha256(second / name)
    ]


def compare(first: Path, second: Path, paths: list[str]) -> list[Difference]:
    """Return in what the files ``paths`` of two bundle directories differ."""
    found: list[Difference] = []
    for path in paths:
        one, two = first / path, second / path
        if not (one.is_file() and two.is_file()):
            found.append(Difference(path, None, None))
        elif records.sha256(one) != records.sha256(two):
            offset = first_difference(one, two)
            found.append(Difference(path, offset, _place(first, path, offset)))
    return found


def first_difference(one: Path, two: Path) -> int:
    """Return the offset of the first byte in which two files differ, or the shorter one's size."""
    offset = 0
    with one.open("rb") as left, two.open("rb") as right:
        while True:
            a, b = left.read(_CHUNK), right.read(_CHUNK)
            if a != b or not a:
                same = min(len(a), len(b))
                return offset + next((i for i in range(same) if a[i] != b[i]), same)
            offset += len(a)


def _place(bundle: Path, path: str, offset: int) -> str | None:
    file = bundle / path
    if path == "Image":
        return symbol_at(bundle / "System.map", offset)
    data = file.read_bytes()
    for section in arm64.elf_sections(data):
        if section.offset <= offset < section.offset + section.size:
            return f"section {section.name}"
    if path in ("config", "System.map"):
        line = data[:offset].count(b"\n")
        text = data.splitlines()[line : line + 1]
        return f"line {line + 1}" + (f" ({text[0].decode(errors='replace')})" if text else "")
    return None


def symbol_at(system_map: Path, offset: int) -> str | None:
    """Return the symbol at an offset of the Image, which starts with ``_text``; None if unknown."""
    entries: list[tuple[int, str]] = []
    for line in system_map.read_text(encoding="utf-8").splitlines():
        address, _, rest = line.partition(" ")
        # Lower symbols are absolute ones (sizes, offsets), not places.
        if rest[2:] and address.startswith("ffff"):
            entries.append((int(address, 16), rest[2:]))
    start = next((address for address, name in entries if name == "_text"), None)
    if start is None:
        return None
    entries.sort()
    index = bisect.bisect_right(entries, (start + offset, "\U0010ffff")) - 1
    return f"{entries[index][1]}+{start + offset - entries[index][0]:#x}" if index >= 0 else None
