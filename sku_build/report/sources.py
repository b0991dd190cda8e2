# SPDX-License-Identifier: GPL-2.0-only
"""The results that a report is made of: files that `sku lab update` and `sku bench` left."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import msgspec

from sku_build.bench import comparison
from sku_build.bench.comparison import Report
from sku_build.errors import SkuError, UserError
from sku_build.lab import results, rundir
from sku_build.lab.update_result import UpdateResult

_FILES = (rundir.RESULT, "report.json")
_MAX_BYTES = 64 << 20
_PLACE = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<key>.*)`$")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A result and the file it is from."""

    path: Path
    result: UpdateResult | Report


def load(path: Path) -> Source:
    """Return the result in a file, or in the directory that a run or a bench left.

    Raises UserError naming the file and the key for everything else.
    """
    file = _file(path)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UserError(f"larger than {_MAX_BYTES >> 20} MiB: not a result", where=file)
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=file) from error
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not JSON: {error}", where=file) from error
    kind, expected = _kind(given, file)
    if given.get("format") != expected:
        raise UserError(
            f"key format: {given.get('format')!r}, and this sku reads {expected}",
            where=file,
            hint="run it again, or make the page with the sku that made the result",
        )
    try:
        result = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        place = _PLACE.match(str(error))
        said = f"key {place['key']}: {place['what']}" if place else str(error)
        raise UserError(
            said, where=file, hint="the file is broken, or from another version: run it again"
        ) from error
    except SkuError as error:
        raise UserError(f"key comparisons: {error.message}", where=file) from error
    _check_numbers(given, file)
    return Source(file, result)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in _FILES if (path / name).is_file()]
    if not found:
        raise UserError(f"the directory has no {' or '.join(_FILES)}", where=path)
    return found[0]


def _kind(given: Any, file: Path) -> tuple[type[UpdateResult | Report], int]:
    if isinstance(given, dict):
        if given.get("kind") == "update":
            return UpdateResult, results.FORMAT
        if "kind" not in given and "bench" in given:
            return Report, comparison.FORMAT
    kind = given.get("kind") if isinstance(given, dict) else None
    raise UserError(
        f"key kind: {kind!r} cannot be shown" if kind else "no result: neither kind nor bench",
        where=file,
        hint="a report is made of what `sku lab update` and `sku bench` leave",
    )


def _check_numbers(value: Any, file: Path, key: str = "") -> None:
    """Refuse numbers that no clock gives: a page laid out by them would be without sense."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_numbers(item, file, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_numbers(item, file, f"{key}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"key {key}: not a finite number", where=file)
