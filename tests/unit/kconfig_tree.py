# SPDX-License-Identifier: GPL-2.0-only
"""The tiny Kconfig tree of the unit tests, and a stand-in for the kernel's ``conf``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sku_build.kconfig import dotconfig, parser
from sku_build.kconfig.explain import explain
from sku_build.kconfig.fragment import read_option
from sku_build.kconfig.model import Problem

TREE = Path(__file__).parent / "data" / "kconfig"


def environment(tree: Path = TREE) -> dict[str, str]:
    return {"srctree": str(tree), "SRCARCH": "tiny", "TINY_COMMAND": "echo probed"}


def load(directory: Path, tree: Path = TREE) -> parser.Kconfig:
    return parser.load(environment(tree), directory)


def write_config(kconfig: parser.Kconfig, given: str, scratch: Path) -> str:
    """Return what kconfiglib makes of the text of a ``.config``."""
    path = scratch / "given.config"
    path.write_text(given, encoding="utf-8")
    kconfig.load_config(str(path))
    return str(kconfig._config_contents(""))


def values(kconfig: parser.Kconfig, given: str, scratch: Path) -> Mapping[str, str]:
    return dotconfig.parse(write_config(kconfig, given, scratch))


def problems(kconfig: parser.Kconfig, scratch: Path, *lines: str) -> dict[str, Problem]:
    """Request ``lines`` and return what was lost, explained, by symbol."""
    requests = [read_option(text) for text in lines]
    config = values(kconfig, dotconfig.merge("", requests), scratch)
    by_symbol = {request.symbol: request for request in requests}
    missed = dotconfig.compare(requests, config)
    return {item.request.symbol: explain(kconfig, item, by_symbol) for item in missed}


def definition(symbol: str, tree: Path = TREE) -> str:
    """Return ``file:line`` of a symbol's definition, found without kconfiglib."""
    for path in sorted(tree.rglob("Kconfig*")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if f"config {symbol}" in lines:
            return f"{path.relative_to(tree)}:{lines.index(f'config {symbol}') + 1}"
    raise AssertionError(f"{symbol} is defined nowhere")
