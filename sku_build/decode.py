# SPDX-License-Identifier: GPL-2.0-only
"""Typed decoding of TOML files, with errors that name the file and the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from sku_build.errors import UserError

T = TypeVar("T")

_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_PLACE = re.compile(r"^(?P<what>.*?) - at `(?P<path>[^`]+)`$")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint naming the nearest known words, or None when nothing is near."""
    near = difflib.get_close_matches(word, sorted(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else None


def load_toml(path: Path, kind: type[T]) -> T:
    """Decode the TOML file ``path`` into the msgspec struct ``kind``.

    Raises :class:`UserError` naming the file, the key and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=path) from error
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"not valid TOML: {error}", where=path) from error
    except msgspec.ValidationError as error:
        raise _explained(str(error), path, kind) from error


def _explained(message: str, path: Path, kind: type[object]) -> UserError:
    unknown = _UNKNOWN.search(message)
    if unknown:
        parent = (unknown["path"] or "$").removeprefix("$").lstrip(".")
        key = f"{parent}.{unknown['field']}" if parent else unknown["field"]
        hint = did_you_mean(unknown["field"], _field_names(kind))
        return UserError(f"unknown key {key}", where=path, hint=hint)
    place = _PLACE.match(message)
    if place:
        key = place["path"].removeprefix("$").lstrip(".")
        return UserError(f"key {key}: {place['what']}", where=path)
    return UserError(message, where=path)


def _field_names(kind: object) -> set[str]:
    names: set[str] = set()
    todo = [kind]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type) and issubclass(item, msgspec.Struct):
            for field in msgspec.structs.fields(item):
                names.add(field.encode_name)
                todo.append(field.type)
        else:
            todo.extend(getattr(item, "__args__", ()))
    return names
