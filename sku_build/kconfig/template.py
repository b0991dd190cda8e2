# SPDX-License-Identifier: GPL-2.0-only
"""Rendering of fragment templates, keeping the file and line that every line came from.

A mark holding file and line is put in front of each piece of literal text, after jinja has dealt
with whitespace control and before it compiles the template. The marks travel through conditions,
loops, includes and macros with the text, and are taken off again when the result is read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2
import jinja2.ext
import msgspec
from jinja2.lexer import Token, TokenStream

from sku_build.decode import did_you_mean
from sku_build.errors import UserError
from sku_build.kconfig.model import Place
from sku_build.version import KernelVersion

SUFFIX = ".config.j2"

_MARK = "\x01{name}\x02{line}\x03"
_MARKED = re.compile("\x01([^\x02]*)\x02([0-9]+)\x03")


class Line(msgspec.Struct, frozen=True):
    """A rendered line that is not blank, and where its text was written."""

    text: str
    place: Place


@functools.total_ordering
class TemplateVersion:
    """A kernel version that templates may compare with text: ``{% if version >= "6.12" %}``."""

    def __init__(self, version: KernelVersion) -> None:
        self._version = version

    def __eq__(self, other: object) -> bool:
        return self._version == _version(other)

    def __lt__(self, other: object) -> bool:
        return self._version < _version(other)

    def __hash__(self) -> int:
        return hash(self._version)

    def __str__(self) -> str:
        return str(self._version)


def _version(value: object) -> KernelVersion:
    if isinstance(value, TemplateVersion):
        return value._version
    return value if isinstance(value, KernelVersion) else KernelVersion.parse(str(value))


class _Marks(jinja2.ext.Extension):
    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        # Or the last line of an included template would run into the next one of the includer.
        return source if source.endswith("\n") else f"{source}\n"

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type == "data":
                yield Token(token.lineno, "data", _marked(token, stream.name or "?"))
            elif token.type == "variable_begin":
                # Text that an expression makes up has no literal text of its own to be marked.
                yield Token(token.lineno, "data", _mark(token, stream.name or "?"))
                yield token
            else:
                yield token


def _mark(token: Token, name: str, offset: int = 0) -> str:
    return _MARK.format(name=name, line=token.lineno + offset)


def _marked(token: Token, name: str) -> str:
    lines = token.value.split("\n")
    return "\n".join(
        _mark(token, name, offset) + line if line else line for offset, line in enumerate(lines)
    )


def fragment_names(directory: Path) -> list[str]:
    """Return the names of the fragments in ``directory``, sorted, without their suffix."""
    return sorted(path.name.removesuffix(SUFFIX) for path in directory.glob(f"*{SUFFIX}"))


def render(fragment: str, directory: Path, context: Mapping[str, object]) -> list[Line]:
    """Render ``directory/FRAGMENT.config.j2`` and return its lines with their places.

    ``{% include %}`` and ``{% import %}`` name files of the same directory. A syntax error, an
    undefined name, or whatever else goes wrong in a template is a UserError at its file and line.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        undefined=jinja2.StrictUndefined,
        extensions=[_Marks],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    try:
        text = environment.get_template(f"{fragment}{SUFFIX}").render(context)
    except jinja2.TemplateSyntaxError as error:
        place = f"{directory.name}/{error.name}:{error.lineno}"
        raise UserError(f"fragment: {error.message}", where=place) from error
    except jinja2.TemplateNotFound as error:
        raise _not_found(error, fragment, directory) from error
    except Exception as error:  # whatever an expression of a template can raise
        where = _raised_at(error, directory)
        if where is None:
            raise
        raise UserError(f"fragment: {error}", where=where) from error
    return list(_lines(text, directory.name))


def _not_found(error: jinja2.TemplateNotFound, fragment: str, directory: Path) -> UserError:
    missing = (error.name or fragment).removesuffix(SUFFIX)
    known = fragment_names(directory)
    return UserError(
        f"there is no fragment {missing!r}",
        where=_raised_at(error, directory) or directory,
        hint=did_you_mean(missing, known) or f"the fragments are: {', '.join(known) or 'none'}",
    )


def _raised_at(error: Exception, directory: Path) -> str | None:
    # jinja rewrites tracebacks so that a frame of a template has the template's file and line.
    where = None
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.parent == directory:
            where = f"{directory.name}/{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where


def _lines(text: str, directory: str) -> Iterator[Line]:
    place = Place(directory, 0)
    for raw in text.split("\n"):
        place = _place(raw, directory) or place
        line = _MARKED.sub("", raw).strip()
        if line:
            yield Line(line, place)


def _place(raw: str, directory: str) -> Place | None:
    # The mark nearest before the symbol's name: that is where the name itself was written.
    name = raw.find("CONFIG_")
    marks = [mark for mark in _MARKED.finditer(raw) if name < 0 or mark.end() <= name]
    if not marks:
        return None
    nearest = marks[-1] if name >= 0 else marks[0]
    return Place(f"{directory}/{nearest[1]}", int(nearest[2]))
