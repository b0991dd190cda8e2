# SPDX-License-Identifier: GPL-2.0-only
"""The drivers that a board names, in ``driver_async_probe=`` or for partial init: do they exist?

The kernel says nothing of a name that no driver has, so that a misspelt or renamed one costs its
time again at each boot and nobody notices. The name is looked up in the source, and the driver that
has it among what was built.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from sku_build import board as boards
from sku_build import git, partial_init
from sku_build.board import Board
from sku_build.errors import CheckError, UserError

OPTION = "driver_async_probe"
# drivers/base/dd.c, ASYNC_DRV_NAMES_MAX_LEN, with the NUL; the rest of a longer list is dropped.
_LIST_MAX = 255

# struct platform_driver gen_pci_driver = { … } at the left margin, and what a name is given by.
_DRIVER = re.compile(
    r"^(?:static\s+)?struct\s+\w*driver\s+(?P<variable>\w+)(?:\s+\w+)?\s*=\s*\{(?P<body>.*?)^\}",
    re.MULTILINE | re.DOTALL,
)
_NAME = re.compile(r"\.(?:\w+\.)*name\s*=\s*(?:\"(?P<text>[^\"]*)\"|(?P<symbol>\w+))")
_MODULE_NAME = "KBUILD_MODNAME"


@dataclasses.dataclass(frozen=True, slots=True)
class Driver:
    """A driver in the kernel's source: the name it registers, its variable and its file."""

    name: str
    variable: str
    file: str


def names(cmdline: str) -> list[str]:
    """Return the driver names that a kernel command line asks for, without the ``*`` for all."""
    given = [word.partition("=")[2] for word in _words(cmdline) if word.startswith(f"{OPTION}=")]
    # The last one counts: each overwrites the list.
    return [name for name in given[-1].split(",") if name not in ("", "*")] if given else []


def _words(cmdline: str) -> list[str]:
    try:
        return shlex.split(cmdline)
    except ValueError:  # a lone quote is the kernel's business
        return cmdline.split()


def drivers(source: Path, name: str) -> list[Driver]:
    """Return the drivers in the kernel's ``source`` that register themselves as ``name``."""
    spelt = _grep(source, "-lF", "-e", f'"{name}"', "--", "*.c", "*.h")
    # A name may also be that of the file, which the compiler is told, or be defined in a header.
    called = _grep(source, "-lw", "-e", _MODULE_NAME, "--", "*.c")
    texts = {file: _read(source / file) for file in spelt}
    texts |= {file: _read(source / file) for file in called if _is_called(file, name)}
    found = []
    for file, text in sorted(texts.items()):
        symbols = _symbols(text, name) | ({_MODULE_NAME} if _is_called(file, name) else set())
        users = [file] if file.endswith(".c") else _beside(source, file)
        for user in users:
            found += [
                Driver(name, variable, user)
                for variable in _variables(_read(source / user), name, symbols)
            ]
    return found


def _grep(source: Path, *args: str) -> list[str]:
    # The directory may be one that git does not know.
    return git.git("grep", "--no-index", *args, cwd=source, check=False).stdout.splitlines()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _is_called(file: str, name: str) -> bool:
    return file.endswith(".c") and Path(file).stem.replace("-", "_") == name.replace("-", "_")


def _beside(source: Path, header: str) -> list[str]:
    return [str(path.relative_to(source)) for path in (source / header).parent.glob("*.c")]


def _symbols(text: str, name: str) -> set[str]:
    """Return what stands for the name in a file: macros, and variables that are set to it."""
    quoted = re.escape(f'"{name}"')
    return {
        *re.findall(rf"#\s*define\s+(\w+)\s+{quoted}", text),
        *re.findall(rf"(?<![.\w])(\w+)(?:\[\])?\s*=\s*{quoted}", text),
    }


def _variables(text: str, name: str, symbols: set[str]) -> Iterator[str]:
    for driver in _DRIVER.finditer(text):
        given = _NAME.finditer(driver["body"])
        if any(item["text"] == name or item["symbol"] in symbols for item in given):
            yield driver["variable"]


def check_source(source: Path, board: Board) -> list[Driver]:
    """Return the drivers that the board names, as the kernel's ``source`` has them.

    Raises UserError for a name that no driver has, and for a list that the kernel would cut short
    or refuse.
    """
    wanted = names(board.cmdline)
    where = boards.boards_dir() / board.name / "board.toml"
    if len(",".join(wanted)) > _LIST_MAX:
        raise UserError(
            f"key cmdline: {OPTION}= may have {_LIST_MAX} characters, the kernel drops the rest",
            where=where,
        )
    asked = {f"key cmdline, {OPTION}=": wanted} | partial_init.drivers(board)
    found = {name: drivers(source, name) for having in asked.values() for name in having}
    for key, having in asked.items():
        unknown = [name for name in having if not found[name]]
        if unknown:
            raise UserError(
                f"{key}: no driver of this kernel is called {' or '.join(unknown)}",
                where=where,
                hint="the name is the driver's own, as in /sys/bus/*/drivers, not the module's",
                data={"unknown": unknown},
            )
    return [driver for having in found.values() for driver in having]


def check_built(asked: Iterable[Driver], system_map: Path, modules: Path) -> None:
    """Raise CheckError when one of the drivers ``asked`` for is not in what was built.

    It is there when the variable of a driver with that name is a symbol of the kernel
    (``system_map``) or of a module below the directory ``modules``.
    """
    variables: dict[str, set[str]] = {}
    for driver in asked:
        variables.setdefault(driver.name, set()).add(driver.variable)
    if not variables:
        return
    symbols = {line.split()[-1] for line in system_map.read_text().splitlines() if line}
    missing = {name: those for name, those in variables.items() if not those & symbols}
    for module in modules.rglob("*.ko") if missing else ():
        content = module.read_bytes()
        for name in [*missing]:
            if any(b"\0" + variable.encode() + b"\0" in content for variable in missing[name]):
                del missing[name]
    if missing:
        raise CheckError(
            f"the board's command line names {' and '.join(sorted(missing))}, "
            "and this configuration does not build it",
            where=system_map,
            hint="request the driver in a fragment of the board, or drop the name",
            data={"missing": sorted(missing)},
        )
