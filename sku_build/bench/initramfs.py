# SPDX-License-Identifier: GPL-2.0-only
"""The root file system of the next kernel: made of kept files against unpacked from an archive."""

from __future__ import annotations

import gzip
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sku_build import board as boards
from sku_build import console, image, initramfs, lab, layout, run
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison, Report
from sku_build.errors import CheckError
from sku_build.lab import bundle, guest
from sku_build.lab.bundle import Bundle
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Run

BOARD = "qemu-virt"
SERIES = "kept_initramfs"
_CONFIG = ("CONFIG_RD_GZIP=y", "CONFIG_RD_ZSTD=y")
# Unpacked before anything else goes on, so that nothing else is measured; no tmpfs can be kept.
_WORDS = "rootfstype=ramfs initramfs_async=0"
_KEPT = "/sys/kernel/kept_initramfs/came"
# Bytes of a file, as of programs, libraries and modules; and how much of it does not compress.
_SIZES = (4_000, 20_000, 60_000, 150_000, 400_000, 1_500_000)
_DENSE = 2
_GUEST_MIB = 1024  # beside five times the files: unpacked, loaded, read in, kept, and scratch
_FIRST, _LAST = "Unpacking initramfs...", "Freeing initrd memory"


def measure(
    *,
    tree_name: str,
    mib: int,
    rounds: int,
    timeout_factor: float = 1,
    output: Path | None = None,
) -> Report:
    """Jump again and again into a kernel with ``mib`` MiB of files in its initramfs.

    What is taken is the kernel's own time from the first line of the unpacking to the freeing of
    the archive, in ms. Raises CheckError when a kernel did not come up the way it was meant to.
    """
    tree, board = trees.ensure(tree_name), boards.load(BOARD)
    built = layout.cache_dir("bench") / f"initramfs-{tree.name}"
    series = patch_series.resolve([*dict.fromkeys((*board.series, SERIES))])
    record = image.build(tree, board, series=series, output=built, extra=_CONFIG)
    options = lab.Options(
        append=f"{_WORDS} kho_scratch=0,{2 * mib + 256}M,64M",
        memory_mib=_GUEST_MIB + 5 * mib,
        timeout_factor=timeout_factor,
        directory=output,
    )
    with tempfile.TemporaryDirectory(prefix="sku-initramfs-") as made:
        archives = make_archives(built, Path(made), mib)
        samples = _jumps(
            Run("initramfs", board, options),
            bundle.load(built, board),
            Path(made),
            archives,
            rounds,
        )
    return Report(
        bench="initramfs",
        inputs={"tree": tree.origin, "release": record.release, "mib": mib, "rounds": rounds},
        comparisons=[
            Comparison(
                name=f"root file system of {mib} MiB, against {name}",
                ours_is="made of kept files",
                ordinary_is=f"unpacked from {name}",
                unit="ms",
                ours=samples["kept"],
                ordinary=taken,
                goal=0.5,
            )
            for name, taken in samples.items()
            if name != "kept"
        ],
    )


def make_archives(built: Path, share: Path, mib: int) -> list[str]:
    """Put the kernel of ``built`` and its initramfs with more files into ``share``.

    Return the names of the archives there; an uncompressed one is called ``cpio``.
    """
    files = share / "files"
    fill(files, mib)
    initramfs.pack(files, share / "more")
    shutil.rmtree(files)
    plain = (built / bundle.INITRAMFS).read_bytes() + (share / "more").read_bytes()
    (share / "more").unlink()
    shutil.copyfile(built / bundle.IMAGE, share / bundle.IMAGE)
    (share / "cpio").write_bytes(plain)
    (share / "gzip").write_bytes(gzip.compress(plain, 6, mtime=0))
    if not run.have("zstd"):
        return ["cpio", "gzip"]
    run.run(["zstd", "--quiet", "-3", share / "cpio", "-o", share / "zstd"])
    return ["cpio", "gzip", "zstd"]


def fill(root: Path, mib: int) -> None:
    """Make a directory of files of many sizes, ``mib`` MiB in all, the same ones each time."""
    source = random.Random(mib)
    left, number = mib << 20, 0
    while left > 0:
        size = min(left, source.choice(_SIZES))
        folder = root / f"d{number // 64:03}"
        folder.mkdir(parents=True, exist_ok=True)
        dense = source.randbytes(size // _DENSE)
        (folder / f"f{number:05}").write_bytes(dense + bytes(size - len(dense)))
        left, number = left - size, number + 1


def _jumps(
    scenario: Run, first: Bundle, share: Path, archives: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Return the times by way, in ms: ``kept``, and each of the ``archives`` unpacked."""
    ways = [("kept", archives[0]), *((name, name) for name in archives)]
    samples: dict[str, list[float]] = {way: [] for way, _ in ways}
    with scenario.machine(first, share=share) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            scenario.started(machine, first)
        with console.progress("jumps", rounds * len(ways)) as advance:
            for done in range(rounds * len(ways)):
                way, archive = ways[done % len(ways)]
                samples[way].append(_jump(scenario, machine, first, archive, kept=way == "kept"))
                advance(done + 1, way)
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
    return samples


def _jump(scenario: Run, machine: Machine, kernel: Bundle, archive: str, *, kept: bool) -> float:
    words = scenario.cmdline(kernel) + ("" if kept else " kept_initramfs=off")
    with machine.phase(Phase.LOAD):
        machine.tell(f"load {bundle.IMAGE} {archive} {words}")
        machine.expect(guest.Loaded)
    machine.jump()
    with machine.phase(Phase.SECOND_KERNEL):
        scenario.started(machine, kernel)
    with machine.phase(Phase.CHECK):
        came = machine.get(_KEPT).strip()
        lines = machine.kernel_log()
    if (came == "kept") is not kept:
        raise CheckError(f"the root file system of {archive}: {came}", where=machine.serial_log)
    return unpacking_ms(lines)


def unpacking_ms(lines: Sequence[guest.Line]) -> float:
    """Return the ms between the first and the last line of the unpacking in a kernel's log.

    Raises CheckError when one is missing.
    """
    times = {}
    for line in lines:
        for mark in (_FIRST, _LAST):
            if line.text.startswith(mark):
                times[mark] = line.us
    if len(times) < len((_FIRST, _LAST)):
        raise CheckError("the kernel's log does not say when its initramfs was unpacked")
    return (times[_LAST] - times[_FIRST]) / 1000
