# SPDX-License-Identifier: GPL-2.0-only
"""What is to be built: the inputs of a build, chosen, checked and told apart by a fingerprint."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import sku_build
from sku_build import apply, git, initramfs, kernel_sbom, layout, metadata, run
from sku_build import board as boards
from sku_build.board import Board
from sku_build.composition import LeftOut
from sku_build.errors import UserError
from sku_build.kconfig.resolve import wanted_of
from sku_build.metadata import InputRecord
from sku_build.outcome import Applied
from sku_build.series import Series
from sku_build.toolchain import Toolchain, choose
from sku_build.tree import Tree

_LIBC = "libc.a"
_LOCALVERSION = re.compile(r"[-+.\w~]{0,32}", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """All that decides what a build yields, and how it is carried out.

    ``epoch`` is the date of the base commit in seconds since 1970; ``extra`` are symbols set on
    top of the board's fragments (``CONFIG_X=y``). ``fragments`` are those that ``board`` has got
    for this build alone, ``left_out`` its series that are not for this kernel. ``sbom`` asks for
    the kernel's own.
    """

    tree: Tree
    board: Board
    series: tuple[Series, ...]
    applied: Applied
    toolchain: Toolchain
    epoch: int
    localversion: str
    extra: tuple[str, ...]
    jobs: int
    fragments: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    sbom: bool = False

    @property
    def slot(self) -> str:
        """The name of the source directory in the cache that builds of this tree use."""
        return self.tree.name

    def fingerprint(self) -> str:
        """Return a hash over everything that the artefacts and their metadata depend on."""
        return metadata.fingerprint(
            sku=sku_build.__version__,
            format=metadata.FORMAT,
            commit=self.applied.commit,
            epoch=self.epoch,
            board=self.board,
            series=[(series.name, series.version) for series in self.series],
            config=wanted_of(
                self.board, self.series, self.tree.kernel, self.toolchain.name, self.extra
            ),
            runtime=metadata.tree_fingerprint(initramfs.runtime_dir()),
            localversion=self.localversion,
            toolchain=_compilers(self.toolchain),
            sbom=self.sbom,
        )


def _compilers(toolchain: Toolchain) -> dict[str, str]:
    """The versions that show in the result: ccache does not."""
    return {"name": toolchain.name} | {
        tool: said for tool, said in toolchain.describe().items() if tool != "ccache"
    }


def make(
    tree: Tree,
    board: Board,
    *,
    series: Sequence[Series],
    llvm: bool = False,
    localversion: str = "",
    jobs: int | None = None,
    ccache: bool = True,
    extra: Sequence[str] = (),
    fragments: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
    sbom: bool = False,
) -> Plan:
    """Return what is to be built; puts the series on the tree, in the cache, unless it is there.

    Raises UserError for a ``localversion`` that no kernel can have, and for an ``sbom`` of a kernel
    that makes none, InfraError for a toolchain that is not installed, and what
    :func:`sku_build.apply.apply_series` raises.
    """
    if not _LOCALVERSION.fullmatch(localversion):
        raise UserError(
            f"localversion {localversion!r} cannot be part of a kernel release",
            hint="at most 32 letters, digits and any of - + . _ ~, such as -next",
        )
    toolchain = choose(board.arch, llvm=llvm, ccache=ccache)
    applied = apply.apply_series(tree, series, branch=None)
    if sbom:
        kernel_sbom.require(tree, applied)
        toolchain = dataclasses.replace(toolchain, host_ccache=False)
    return Plan(
        tree=tree,
        board=boards.with_fragments(board, fragments),
        series=tuple(series),
        applied=applied,
        toolchain=toolchain,
        epoch=_commit_date(tree),
        localversion=localversion,
        extra=tuple(extra),
        jobs=jobs or len(os.sched_getaffinity(0)),
        fragments=tuple(fragments),
        left_out=tuple(left_out),
        sbom=sbom,
    )


def _commit_date(tree: Tree) -> int:
    shown = git.git("show", "-s", "--format=%ct", tree.commit, cwd=tree.repository)
    return int(shown.stdout.split()[-1])


def reproducer(planned: Plan, output: Path | None) -> str:
    """Return the command line that builds the same again."""
    argv = ["sku", "build", "--tree", planned.tree.name, "--board", planned.board.name]
    for series in planned.series:
        argv += ["--series", series.name]
    if not planned.series:
        argv.append("--no-series")
    if planned.toolchain.name == "llvm":
        argv.append("--llvm")
    if planned.localversion:
        argv.append(f"--localversion={planned.localversion}")
    for fragment in planned.fragments:
        argv += ["--fragment", fragment]
    for symbol in planned.extra:
        argv += ["--set", symbol]
    if planned.sbom:
        argv.append("--sbom")
    if output is not None:
        argv += ["--output", str(output)]
    return shlex.join(argv)


def inputs(planned: Plan) -> list[InputRecord]:
    """Return every file that the build is made from, but the tree's own, with its hash.

    The patches are those that were put on the tree; those of another kernel are left out.
    """
    root = layout.data_root()
    runtime = initramfs.runtime_dir()
    names, _ = wanted_of(
        planned.board, planned.series, planned.tree.kernel, planned.toolchain.name, planned.extra
    )
    directories = {series.name: series.directory for series in planned.series}
    files = [
        *(
            ("patch", directories[patch.series] / patch.file)
            for patch in planned.applied.patches
            if patch.commit
        ),
        *(("fragment", root / "configs" / f"{name}.config.j2") for name in names),
        *(("board", path) for path in root.glob(f"boards/{planned.board.name}/board.toml")),
        *(("runtime", path) for path in sorted(runtime.rglob("*")) if path.is_file()),
    ]
    return [
        *(
            InputRecord(kind, str(path.relative_to(root)), metadata.sha256(path))
            for kind, path in files
        ),
        *_tools(planned.toolchain),
    ]


def _tools(toolchain: Toolchain) -> list[InputRecord]:
    """The compiler, the linker, and the C library that the runtime is linked with."""
    found = {name: shutil.which(name) for name in (toolchain.compiler, toolchain.linker)}
    argv = [f"{toolchain.cross}gcc", f"-print-file-name={_LIBC}"]
    found[_LIBC] = run.run(argv, check=False).stdout.strip()
    return [
        InputRecord("toolchain", name, metadata.sha256(Path(path)))
        for name, path in found.items()
        if path and Path(path).is_file()
    ]
