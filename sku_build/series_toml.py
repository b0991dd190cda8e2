# SPDX-License-Identifier: GPL-2.0-only
"""series.toml written: only the list of patches changes, all else stays as a person wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import tomlkit
from tomlkit.items import AoT, Table, Whitespace

from sku_build.series import PatchEntry, Series


def with_patches(text: str, patches: Sequence[PatchEntry], renamed: Mapping[str, str]) -> str:
    """Return the text of a series.toml with ``patches`` as its ``[[patch]]`` tables, in order.

    A table that is there already keeps its comments and layout; ``renamed`` is new file → old.
    """
    document = tomlkit.parse(text)
    present = document.get("patch", [])
    before = [(table["file"], list(table["kernels"])) for table in present]
    if before == [(item.file, item.kernels) for item in patches]:
        return text
    known: dict[str, Table] = {str(table["file"]): table for table in present}
    tables = [_table(item, known.get(renamed.get(item.file, item.file))) for item in patches]
    if not tables:
        document.pop("patch", None)
    elif present:
        document["patch"] = AoT(tables)
    else:
        document.append("patch", AoT(tables))
    text = tomlkit.dumps(document).rstrip("\n") + "\n"
    return re.sub(r"\n{3,}(?=\[\[patch\]\]\n)", "\n\n", text)  # a new table brings its own


def _table(item: PatchEntry, known: Table | None) -> Table:
    table = tomlkit.table() if known is None else known
    if table.get("file") != item.file:
        table["file"] = item.file
    if list(table.get("kernels", [])) != item.kernels:
        table["kernels"] = item.kernels
    for key, value in (("status", item.status), ("checkpatch", item.checkpatch)):
        if value and table.get(key) != value:
            table[key] = value
    body = table.value.body
    while body and isinstance(body[-1][1], Whitespace):
        body.pop()
    table.add(tomlkit.nl())
    return table


def new(series: Series) -> str:
    """Return the text of a new series.toml."""
    document = tomlkit.document()
    document.add(tomlkit.comment("SPDX-License-Identifier: GPL-2.0-only"))
    for key in ("name", "version", "summary", "requires", "config", "docs"):
        if value := getattr(series, key):
            document.add(key, value)
    document.add(tomlkit.nl())
    return with_patches(tomlkit.dumps(document), series.patches, {})


def replaced(series: Series, patches: Sequence[PatchEntry]) -> Series:
    """Return ``series`` with other patches."""
    return msgspec.structs.replace(series, patches=list(patches))
