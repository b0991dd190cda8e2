# SPDX-License-Identifier: GPL-2.0-only
"""A build directory as ``sku build`` leaves it, small, and keys to sign with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from sku_build import metadata
from sku_build.metadata import (
    CcacheRecord,
    ConfigRecord,
    HostRecord,
    ImageRecord,
    InputRecord,
    Metadata,
    SeriesRecord,
    TreeRecord,
)
from sku_build.outcome import Outcome, PatchOutcome

EPOCH = 1_700_000_000
CMDLINE = "console=ttyAMA0 kho=on"
FILES = {
    "Image": b"kernel " * 1000,
    "System.map": b"0 T _text\n",
    "config": b"CONFIG_64BIT=y\n",
    "dtbs/hisilicon/a.dtb": b"tree",
    "initramfs.cpio": b"070701",
    "modules/lib/modules/6.1.192/fake.ko": b"module",
    "runtime/usr/bin/skuctl": b"\x7fELF skuctl",
    "runtime/usr/lib/sku/criu/sku.so": b"\x7fELF plugin",
    "runtime/usr/lib/sku/sku-init": b"\x7fELF init",
}


def key(path: Path) -> Path:
    """Make a new key pair, and return the private one; beside it is the public ``.pub``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a release", "-f", str(path)]
    subprocess.run(argv, check=True)
    return path


def build(root: Path, *, started: str = "2026-01-01T00:00:00+00:00", cpus: int = 4) -> Path:
    """Make a build directory; ``started`` and ``cpus`` differ between builds of the same."""
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if data.startswith(b"\x7fELF"):
            path.chmod(0o755)
    written = metadata.artefacts(root)
    (root / "initramfs" / "dev").mkdir(parents=True)
    (root / "initramfs" / "init").write_bytes(b"\x7fELF init")
    (root / "initramfs" / "init").chmod(0o755)
    (root / "build.log").write_text(f"{root}\n")
    patch = PatchOutcome("pin_mem", "0001-a.patch", "mm: a", Outcome.APPLIED, commit="c" * 40)
    skipped = PatchOutcome("pin_mem", "6.12/0001-a.patch", "mm: a", Outcome.SKIPPED)
    record = Metadata(
        status="complete",
        step="done",
        sku="0.1.0",
        started=started,
        reproduce=f"sku build --tree 6.1 --board fake --output {root}",
        board="fake",
        arch="arm64",
        cmdline=CMDLINE,
        tree=TreeRecord("6.1", "distribution", "6.1.192", "linux 6.1.192-2", "a" * 40, "b" * 40),
        series=[SeriesRecord("pin_mem", "0.1.0")],
        patches=[patch, skipped],
        localversion="",
        release="6.1.192",
        source_date_epoch=EPOCH,
        toolchain={"name": "gcc", "cc": "gcc 12", "ld": "ld 2.40", "ccache": f"ccache {cpus}"},
        inputs=[
            InputRecord("patch", "patchsets/pin_mem/0001-a.patch", "1" * 64),
            InputRecord("fragment", "configs/arm64.config.j2", "2" * 64),
            InputRecord("toolchain", "libc.a", "3" * 64),
        ],
        config=ConfigRecord("allnoconfig", ["arm64"], [], "4" * 64, 1, []),
        image=ImageRecord(0, 1 << 20, 4, False),
        ccache=CcacheRecord(cpus, 0),
        timings={"kernel": float(cpus)},
        artefacts=written,
        host=HostRecord("x86_64", "Debian", cpus),
        fingerprint="5" * 64,
    )
    metadata.write(record, root / metadata.FILE_NAME)
    return root


def change(root: Path, **fields: object) -> None:
    """Change fields of the record of a build."""
    record = msgspec.structs.replace(metadata.read(root), **fields)
    metadata.write(record, root / metadata.FILE_NAME)
