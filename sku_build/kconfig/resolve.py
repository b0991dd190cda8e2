# SPDX-License-Identifier: GPL-2.0-only
"""From fragments to a proven ``.config``.

The board's base configuration is made, the requests of all fragments are put on top, and the
kernel's ``make olddefconfig`` decides. Then every request is compared with the outcome, and what
was lost is explained with the help of kconfiglib.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import git, layout
from sku_build.board import Board
from sku_build.errors import CheckError
from sku_build.kconfig import crosscheck, dotconfig, parser
from sku_build.kconfig import report as wording
from sku_build.kconfig.conf import Conf
from sku_build.kconfig.explain import explain
from sku_build.kconfig.fragment import Wanted, combine, read_option, read_requests
from sku_build.kconfig.model import ConfigReport, Disagreement, Mismatch, Problem, Waived
from sku_build.kconfig.reproducible import reproducibility_problems
from sku_build.kconfig.template import TemplateVersion, render
from sku_build.series import Series
from sku_build.toolchain import Toolchain
from sku_build.version import KernelVersion

# Bump when the meaning of what is kept in the build directory changes.
_FORMAT = 1
_STATE = ".sku-kconfig"


class _Kept(msgspec.Struct, frozen=True):
    """What is kept in a build directory: the last outcome, and the hash of what led to it."""

    key: str
    report: ConfigReport


@dataclasses.dataclass(frozen=True, slots=True)
class _Inputs:
    """All that a configuration depends on; the keys hash it, and are None where it has no id."""

    base: str
    fragments: list[str]
    wanted: Wanted
    base_key: str | None
    key: str | None


def fragments_dir() -> Path:
    """Return the directory of the fragment templates."""
    return layout.data_root() / "configs"


def wanted_of(
    board: Board,
    series: Sequence[Series],
    version: KernelVersion,
    toolchain: str,
    extra: Sequence[str] = (),
) -> tuple[list[str], Wanted]:
    """Return the names of the fragments, in their order, and what they ask for together.

    First come the board's, then one for each series that has one, then ``extra``: lines such as
    ``CONFIG_X=y``. Raises UserError, naming file and line, for whatever is wrong with them.
    """
    context = {
        "board": board,
        "series": {item.name for item in series},
        "version": TemplateVersion(version),
        "kernel": KernelVersion.parse,
        "toolchain": toolchain,
    }
    own = [item.config for item in series if item.config is not None]
    names = list(dict.fromkeys([*board.config.fragments, *own]))
    lines = [line for name in names for line in render(name, fragments_dir(), context)]
    requests = [*read_requests(lines), *(read_option(text) for text in extra)]
    return names, combine(requests)


def configure(
    source: Path,
    build: Path,
    *,
    board: Board,
    series: Sequence[Series],
    toolchain: Toolchain,
    version: KernelVersion,
    extra: Sequence[str] = (),
    cross_check: bool = False,
) -> ConfigReport:
    """Configure the kernel in ``source`` for ``board`` and prove the result.

    ``build/.config`` is written only when it changed, and no make runs when nothing it depends on
    did: fragments, base, toolchain, and the commit checked out in ``source`` (a directory that is
    not a git work tree of its own is always configured anew). ``extra`` are lines such as
    ``CONFIG_X=y``. With ``cross_check`` the values kconfiglib computes for the requested symbols
    are compared with those of ``conf`` even when there is nothing to explain.

    Raises UserError for a fragment that is wrong or contradicts another, and CheckError with the
    :class:`ConfigReport` as data when a request without a waiver was not reached; ``.config`` is
    then left as it was.
    """
    conf = Conf(source.resolve(), build.resolve(), toolchain)
    fragments, wanted = wanted_of(board, series, version, toolchain.name, extra)
    inputs = _inputs(conf, board.config.base, fragments, wanted)
    kept = _kept_report(conf.build, inputs)
    if kept and not (cross_check and kept.disagreements is None):
        return msgspec.structs.replace(kept, reused=True)

    conf.build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{_STATE}-", dir=conf.build) as name:
        scratch = Path(name)
        base = _base(conf, inputs, scratch)
        config, report = _resolve(conf, inputs, base, scratch, cross_check=cross_check)
        if report.problems:
            raise CheckError(
                wording.summary(report.problems, len(report.requested)),
                hint="change the line of the fragment, or let it be missed: # waiver: reason",
                data=msgspec.to_builtins(report),
            )
        _replace(conf.build / ".config", config, scratch)
        if inputs.key is not None:
            encoded = msgspec.json.encode(_Kept(inputs.key, report)).decode()
            _replace(conf.build / _STATE / "report.json", encoded, scratch)
    return report


def _inputs(conf: Conf, base: str, fragments: list[str], wanted: Wanted) -> _Inputs:
    commit = _commit(conf.source)
    if commit is None:
        return _Inputs(base, fragments, wanted, None, None)
    toolchain = conf.toolchain.make_args(), conf.toolchain.describe()
    base_key = _digest(_FORMAT, str(conf.source), commit, base, toolchain)
    return _Inputs(base, fragments, wanted, base_key, _digest(base_key, fragments, wanted))


def _commit(source: Path) -> str | None:
    """Return the commit in ``source``, None unless it is the top of a git work tree."""
    top = git.git("rev-parse", "--show-toplevel", cwd=source, check=False).stdout.strip()
    return git.resolve("HEAD", cwd=source) if top and Path(top) == source else None


def _digest(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _kept_report(build: Path, inputs: _Inputs) -> ConfigReport | None:
    try:
        kept = msgspec.json.decode((build / _STATE / "report.json").read_bytes(), type=_Kept)
        present = hashlib.sha256((build / ".config").read_bytes()).hexdigest()
    except (OSError, msgspec.MsgspecError):
        return None
    return kept.report if kept.key == inputs.key and kept.report.sha256 == present else None


def _base(conf: Conf, inputs: _Inputs, scratch: Path) -> str:
    """Return the base configuration: the one kept in the build directory, or made anew."""
    kept = conf.build / _STATE / "base.config"
    mark = f"# made from {inputs.base_key}\n"
    if inputs.base_key is not None and kept.is_file():
        text = kept.read_text(encoding="utf-8")
        if text.startswith(mark):
            return text
    conf.base(inputs.base, scratch / "base.config")
    text = mark + (scratch / "base.config").read_text(encoding="utf-8")
    _replace(kept, text, scratch)
    return text


def _resolve(
    conf: Conf, inputs: _Inputs, base: str, scratch: Path, *, cross_check: bool
) -> tuple[str, ConfigReport]:
    """Return the resolved ``.config`` and what is to be said about it."""
    requests = inputs.wanted.requests
    merged, resolved = scratch / "merged.config", scratch / "resolved.config"
    merged.write_text(dotconfig.merge(base, requests), encoding="utf-8")
    shutil.copyfile(merged, resolved)
    warnings = conf.resolve(resolved)
    text = resolved.read_text(encoding="utf-8")
    config = dotconfig.parse(text)
    missed = dotconfig.compare(requests, config)
    lost = [item for item in missed if item.request.waiver is None]
    problems: list[Problem] = []
    disagreements: list[Disagreement] | None = None
    if lost or cross_check:
        kconfig = parser.load(conf.environment(scratch), conf.build)
        kconfig.load_config(str(merged))
        disagreements = crosscheck.disagreements(kconfig, [r.symbol for r in requests], config)
        kconfig.load_config(str(resolved))
        by_symbol = {request.symbol: request for request in requests}
        problems = [explain(kconfig, item, by_symbol) for item in lost]
    return text, ConfigReport(
        base=inputs.base,
        fragments=inputs.fragments,
        requested=requests,
        problems=problems,
        waived=[*inputs.wanted.yielded, *(_waived(m) for m in missed if m.request.waiver)],
        disagreements=disagreements,
        warnings=warnings,
        obstacles=reproducibility_problems(config),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _waived(missed: Mismatch) -> Waived:
    request = missed.request
    return Waived(
        symbol=request.symbol,
        wanted=request.value,
        actual=missed.actual,
        place=request.place,
        waiver=request.waiver or "",
    )


def _replace(path: Path, text: str, scratch: Path) -> None:
    """Give ``path`` this text at once or not at all; a file that has it already is not touched."""
    path.parent.mkdir(exist_ok=True)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    new = scratch / f"new-{path.name}"
    new.write_text(text, encoding="utf-8")
    new.replace(path)
