# SPDX-License-Identifier: GPL-2.0-only
"""From a tree, a board and a list of series to a bundle directory that can be booted.

Objects are kept in the cache and shared by variants; the bundle directory is put in place in one
step, at success only. A build with nothing to do returns at once.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

import sku_build
from sku_build import (
    arm64,
    async_probe,
    builddir,
    bundledir,
    console,
    git,
    initramfs,
    kbuild,
    kconfig,
    kernel_sbom,
    partial_init,
    plan,
)
from sku_build import metadata as records
from sku_build import tree as trees
from sku_build.board import Board
from sku_build.builddir import BuildDirectory
from sku_build.composition import LeftOut
from sku_build.errors import CheckError, SkuError, UserError
from sku_build.kbuild import Kbuild
from sku_build.metadata import Metadata
from sku_build.plan import Plan
from sku_build.series import Series
from sku_build.tree import Tree


class _Record:
    """The metadata of a build under way, written to its file at every change."""

    def __init__(self, metadata: Metadata, path: Path) -> None:
        self.metadata = metadata
        self._path = path

    def update(self, **changes: Any) -> None:
        self.metadata = msgspec.structs.replace(self.metadata, **changes)
        records.write(self.metadata, self._path)

    @contextlib.contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Do a step: announce it, and note that it is under way and then how long it took."""
        self.update(step=name)
        begin = time.monotonic()
        with console.step(title):
            yield
        taken = round(time.monotonic() - begin, 3)
        self.update(timings=self.metadata.timings | {name: taken})

    @contextlib.contextmanager
    def fate(self) -> Iterator[None]:
        """Write how it ended, whatever ended it; a full disk must not hide the reason."""
        try:
            yield
        except BaseException as error:
            status = "failed" if isinstance(error, Exception) else "interrupted"
            message = error.message if isinstance(error, SkuError) else repr(error)
            with contextlib.suppress(OSError):
                self.update(status=status, error=message)
            raise


def first_record(planned: Plan, output: Path | None) -> Metadata:
    """Return the metadata as known before anything is built."""
    tree, applied = planned.tree, planned.applied
    return Metadata(
        status="building",
        step="start",
        sku=sku_build.__version__,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        reproduce=plan.reproducer(planned, output),
        board=planned.board.name,
        arch=planned.board.arch,
        cmdline=partial_init.cmdline(planned.board, planned.series),
        tree=records.TreeRecord(
            name=tree.name,
            kind=tree.kind,
            version=tree.version,
            origin=tree.origin,
            base=applied.base,
            commit=applied.commit,
        ),
        series=[records.SeriesRecord(item.name, str(item.version)) for item in planned.series],
        left_out=list(planned.left_out),
        patches=applied.patches,
        localversion=planned.localversion,
        source_date_epoch=planned.epoch,
        toolchain={"name": planned.toolchain.name} | planned.toolchain.describe(),
        inputs=plan.inputs(planned),
        host=records.host(),
        fingerprint=planned.fingerprint(),
    )


def _produce(
    planned: Plan, work: BuildDirectory, *, slot: str, bundle: Path, record: _Record, strict: bool
) -> None:
    board = planned.board
    with record.step("source", f"Switching the source to {planned.applied.commit[:12]}"):
        source = trees.source_dir(planned.tree, planned.applied.commit, slot=slot)
    with record.step("config", "Configuring"):
        asked = async_probe.check_source(source, board)
        report = kconfig.configure(
            source,
            work.objects,
            board=board,
            series=planned.series,
            toolchain=planned.toolchain,
            version=planned.tree.kernel,
            extra=planned.extra,
        )
        record.update(
            config=records.ConfigRecord(
                base=report.base,
                fragments=report.fragments,
                extra=list(planned.extra),
                sha256=report.sha256,
                requested=len(report.requested),
                waived=report.waived,
            )
        )
    _check_reproducible(report.obstacles, strict=strict)
    kernel = Kbuild(
        source=source,
        objects=work.objects,
        toolchain=planned.toolchain,
        epoch=planned.epoch,
        localversion=planned.localversion,
        jobs=planned.jobs,
    )
    with record.step("kernel", f"Building Linux {planned.tree.version} for {board.name}"):
        try:
            _make_kernel(kernel, work, board)
        except CheckError as error:
            _name_suspects(planned, error)
            raise
        hits, misses = work.compilations()
        header = checked_image(kernel.objects, board)
        record.update(
            release=kernel.release(),
            ccache=records.CcacheRecord(hits, misses) if planned.toolchain.ccache else None,
            image=records.ImageRecord(
                text_offset=header.text_offset,
                image_size=header.image_size,
                page_kib=header.page_kib,
                efi_stub=header.efi_stub,
            ),
        )
    if planned.sbom:
        with record.step("sbom", "Writing the kernel's SBOM"):
            target = bundle / kernel_sbom.DIRECTORY
            kernel_sbom.make(kernel, log=work.root / "sbom.log", target=target)
    with record.step("initramfs", "Making the initramfs"):
        init = initramfs.build_runtime(planned.toolchain, work.root / "runtime")
        initramfs.install_runtime(work.root / "runtime", bundle / "runtime")
        initramfs.unpack(init, bundle / "initramfs", epoch=planned.epoch)
        initramfs.pack(bundle / "initramfs", bundle / "initramfs.cpio")
    with record.step("collect", "Collecting"):
        _collect(kernel, board, work, bundle)
        async_probe.check_built(asked, bundle / "System.map", bundle / "modules")
        record.update(artefacts=records.artefacts(bundle))


def _check_reproducible(obstacles: Sequence[kconfig.Obstacle], *, strict: bool) -> None:
    if obstacles and strict:
        raise CheckError(
            "this configuration cannot give the same bytes twice:\n"
            + "\n".join(f"    {obstacle}" for obstacle in obstacles),
            hint="change the board's fragments, or build without --verify",
            data={"obstacles": obstacles},
        )
    for obstacle in obstacles:
        console.warn(f"not reproducible: {obstacle}")


def _make_kernel(kernel: Kbuild, work: BuildDirectory, board: Board) -> None:
    config = (work.objects / ".config").read_text(encoding="utf-8")
    fresh = work.is_fresh
    steps = kbuild.make(
        kernel,
        ["Image", *(["modules"] if board.modules else []), *board.dtbs],
        title="make",
        log=work.log,
        total=work.expected_steps(config),
        statslog=work.statslog,
    )
    work.record_steps(steps, config, full=fresh)


def _name_suspects(planned: Plan, error: CheckError) -> None:
    """Add to a compile error which of the applied patches changed the file it is in."""
    applied = planned.applied
    data = error.data if isinstance(error.data, dict) else {}
    file = data.get("file")
    if file is None or applied.commit == applied.base:
        return
    log = git.git(
        *("log", "--format=%s", f"{applied.base}..{applied.commit}", "--", file),
        cwd=trees.cache_repository(),
        env=trees.object_env(planned.tree),
        check=False,
    )
    suspects = log.stdout.splitlines()
    if suspects:
        error.data = {**data, "patches": suspects}
        error.hint = f"changed by the patch {'; '.join(map(repr, suspects))}; {error.hint}"


def _check_inputs_kept(planned: Plan, metadata: Metadata) -> None:
    """Refuse a result whose inputs were edited under the build.

    Its fingerprint would be that of what it was not made from: reverting the edit would then make
    it pass for up to date, and a second build that came out differently would look irreproducible.
    """
    if planned.fingerprint() != metadata.fingerprint:
        raise UserError(
            "the runtime's sources or the fragments were changed while this was being built",
            where=initramfs.runtime_dir().parent,
            hint="run it again; what was compiled is kept",
        )


def checked_image(objects: Path, board: Board) -> arm64.ImageHeader:
    """Return the header of the Image just built, after checking that the board can take it."""
    image = objects / "arch" / board.arch / "boot" / "Image"
    if not image.is_file():
        raise CheckError("make left no Image", where=image)
    header = arm64.read_image_header(image)
    if header.big_endian:
        raise CheckError("the Image is big-endian, and the runtime is not", where=image)
    if header.page_kib not in (None, board.machine.page_kib):
        raise CheckError(
            f"the Image has pages of {header.page_kib} KiB, and the board {board.name} "
            f"asks for {board.machine.page_kib} KiB",
            where=image,
            hint="compare page_kib in board.toml with the fragments",
        )
    arm64.check_elf(objects / "vmlinux")
    return header


def _collect(kernel: Kbuild, board: Board, work: BuildDirectory, bundle: Path) -> None:
    boot = kernel.objects / "arch" / board.arch / "boot"
    shutil.copyfile(boot / "Image", bundle / "Image")
    shutil.copyfile(kernel.objects / "System.map", bundle / "System.map")
    shutil.copyfile(kernel.objects / ".config", bundle / "config")
    for name in board.dtbs:
        target = bundle / "dtbs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(boot / "dts" / name, target)
    if board.modules:
        kbuild.make(
            kernel,
            ["modules_install"],
            title="modules",
            log=work.root / "modules.log",
            total=None,
            extra={"INSTALL_MOD_PATH": str(bundle / "modules"), "INSTALL_MOD_STRIP": "1"},
        )
        # They point to where the kernel was built, on this machine.
        for link in (
            *bundle.glob("modules/lib/modules/*/build"),
            *bundle.glob("modules/lib/modules/*/source"),
        ):
            link.unlink()


def build(
    tree: Tree,
    board: Board,
    *,
    series: Sequence[Series],
    output: Path,
    llvm: bool = False,
    localversion: str = "",
    jobs: int | None = None,
    ccache: bool = True,
    extra: Sequence[str] = (),
    fragments: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
) -> Metadata:
    """Build ``board``'s kernel of ``tree`` with ``series`` on it into the directory ``output``.

    An earlier bundle in ``output`` is replaced, at success only; anything else there is refused
    (UserError). ``extra`` symbols and ``fragments`` come on top of the board's; ``left_out`` are
    its series that this kernel goes without. ``jobs`` defaults to the processors this process may
    use. The result's ``reused`` says that there was nothing to
    do. Raises CheckError when a patch, the configuration, the compiler or the Image is not as it
    must be; the metadata and the log of a failed build stay in the cache, at the place the error
    names.
    """
    bundledir.check(output)
    planned = plan.make(
        tree,
        board,
        series=series,
        llvm=llvm,
        localversion=localversion,
        jobs=jobs,
        ccache=ccache,
        extra=extra,
        fragments=fragments,
        left_out=left_out,
    )
    return carry_out(planned, output)


def carry_out(planned: Plan, output: Path, *, strict: bool = False) -> Metadata:
    """Build ``planned`` into ``output``, unless that is there already; see :func:`build`.

    ``strict`` refuses a configuration that cannot give the same bytes twice; otherwise a warning
    says so.
    """
    target = output.absolute()
    bundledir.check(target)
    with builddir.exclusive(f"output-{_short_hash(str(target))}", of=str(output)):
        done = records.up_to_date(target, planned.fingerprint())
        if done:
            console.note(f"nothing to do: {output} is what would be built")
            return done
        with bundledir.replacing(target) as bundle:
            work = builddir.find(planned.slot, planned.board.name, planned.toolchain.name)
            return build_into(
                planned, work, slot=planned.slot, bundle=bundle, output=output, strict=strict
            )


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build_into(
    planned: Plan,
    work: BuildDirectory,
    *,
    slot: str,
    bundle: Path,
    output: Path | None = None,
    strict: bool = False,
) -> Metadata:
    """Build ``planned`` with the objects of ``work`` into the empty directory ``bundle``.

    ``slot`` names the source directory; ``output`` is what the reproducing command is to name.
    """
    with builddir.exclusive(slot, of=slot), work.in_use():
        record = _Record(first_record(planned, output), work.metadata)
        with record.fate():
            _produce(planned, work, slot=slot, bundle=bundle, record=record, strict=strict)
            _check_inputs_kept(planned, record.metadata)
            record.update(status="complete", step="done")
            shutil.copyfile(work.log, bundle / "build.log")
            records.write(record.metadata, bundle / records.FILE_NAME)
    return record.metadata
