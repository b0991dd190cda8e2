# SPDX-License-Identifier: GPL-2.0-only
"""kconfiglib, taught the Kconfig language of current kernels.

kconfiglib 14.1.0, the last release, knows the language as of 5.10. This adds

- ``modules`` as an attribute of its own (6dd85ff178cd, 5.13),
- ``transitional`` (f9afce4f32e9, 6.18), and
- ``depends on X if Y`` (in 7.3, not in 6.12), which means what ``menu_add_dep`` in
  ``scripts/kconfig/menu.c`` makes of it: ``X || (Y = n)``.

Lines are taught one at a time as they are tokenised, so that files and line numbers stay right. It
serves to explain; what a configuration resolves to is for ``make olddefconfig`` to say.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kconfiglib

from sku_build import run
from sku_build.errors import InfraError
from sku_build.kconfig import dotconfig

_FUNCTIONS_MODULE = "sku_build.kconfig.preprocessor"


class Kconfig(kconfiglib.Kconfig):  # type: ignore[misc]
    """The parsed Kconfig tree of a kernel; ``transitional`` holds the names of such symbols."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self.environment = dict(environment)
        self.directory = directory
        self.transitional: set[str] = set()
        super().__init__("Kconfig", warn=False, suppress_traceback=False)

    def _open(self, filename: str, mode: str) -> Any:
        if mode != "r":
            return super()._open(filename, mode)
        # Read at once: kconfiglib leaves files open when it gives up on one.
        with super()._open(filename, mode) as file:
            return io.StringIO(file.read())

    def _tokenize(self, s: str) -> Any:
        word = s.partition("#")[0].strip()
        if word == "modules":
            return super()._tokenize("\toption modules\n")
        if word == "transitional":
            self.transitional.add(self.defined_syms[-1].name)
            return (None,)
        return super()._tokenize(s)

    def _expect_expr_and_eol(self) -> Any:
        expression = self._parse_expr(True)
        if self._tokens[0] is kconfiglib._T_DEPENDS and self._check_token(kconfiglib._T_IF):
            expression = self._make_or(expression, self._is_off(self._parse_expr(True)))
        if self._tokens[self._tokens_i] is not None:
            self._trailing_tokens_error()
        return expression

    def _is_off(self, condition: Any, *, equal: bool = True) -> Any:
        # expr_trans_compare(condition, equal ? E_EQUAL : E_UNEQUAL, &symbol_no) in expr.c
        if not isinstance(condition, tuple):
            relation = kconfiglib.EQUAL if equal else kconfiglib.UNEQUAL
            return (relation, condition, self.n)
        operator = condition[0]
        if operator is kconfiglib.NOT:
            return self._is_off(condition[1], equal=not equal)
        if operator is kconfiglib.AND:
            off = self._make_or(self._is_off(condition[1]), self._is_off(condition[2]))
        elif operator is kconfiglib.OR:
            off = self._make_and(self._is_off(condition[1]), self._is_off(condition[2]))
        else:
            off = (kconfiglib.NOT, condition)
        return off if equal else (kconfiglib.NOT, off)


def load(environment: Mapping[str, str], directory: Path) -> Kconfig:
    """Parse the Kconfig tree at ``environment["srctree"]``.

    ``environment`` is what kbuild exports to ``conf``, and ``directory`` is where the commands that
    Kconfig files run (compiler probes) are run. Raises InfraError when the tree cannot be parsed.
    """
    try:
        with _exported(environment):
            return Kconfig(environment, directory)
    except kconfiglib.KconfigError as error:
        raise InfraError(
            f"kconfiglib cannot parse this kernel's Kconfig: {' '.join(str(error).split())}",
            where=environment.get("srctree"),
            hint="the configuration itself is made without it; only explanations need it",
        ) from error


@contextlib.contextmanager
def _exported(environment: Mapping[str, str]) -> Iterator[None]:
    # kconfiglib takes everything it is told from os.environ, while it parses.
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment, KCONFIG_FUNCTIONS=_FUNCTIONS_MODULE)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def shell(kconfig: Kconfig, command: str) -> str:
    """Run a command of a Kconfig file and return its output as ``$(shell,…)`` expands to it."""
    done = run.run(
        ["sh", "-c", command], cwd=kconfig.directory, env=kconfig.environment, check=False
    )
    return done.stdout.rstrip("\n").replace("\n", " ")


def value(symbol: Any) -> str | None:
    """Return a symbol's computed value as its line in ``.config`` has it, None without a line."""
    written = dotconfig.parse(symbol.config_string)
    found = written.get(symbol.name)
    if found is None and symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
        return str(symbol.str_value) if symbol.str_value != "n" else None
    return found


def definitions(symbol: Any) -> list[str]:
    """Return where a symbol or choice is defined, as ``file:line`` relative to the source."""
    return [f"{node.filename}:{node.linenr}" for node in symbol.nodes]
