# SPDX-License-Identifier: GPL-2.0-only
"""The initramfs: ``sku-init`` as ``/init``, unpacked and as an uncompressed, sorted cpio archive.

No device node is needed (``sku-init`` mounts devtmpfs itself), so neither is root.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sku_build import arm64, layout, run
from sku_build.errors import CheckError, UserError
from sku_build.toolchain import Toolchain

_DIRECTORIES = ("bundle", "dev", "mnt", "proc", "run", "sys")
# What the runtime installs on a target, and what its Makefile calls it.
INSTALLED = {
    "usr/bin/skuctl": "skuctl",
    "usr/lib/sku/criu/sku.so": "sku.so",
    "usr/lib/sku/sku-init": "sku-init",
}
# The same for the lab's guest.
PROGRAMS = {
    "usr/bin/skuctl": "skuctl",
    "usr/lib/sku/sku-agent": "sku-agent",
    "usr/lib/sku/criu/sku.so": "sku.so",
}


def runtime_dir() -> Path:
    """Return the directory of the C sources of what runs on the target."""
    return layout.data_root() / "runtime"


def build_runtime(toolchain: Toolchain, out: Path) -> Path:
    """Compile the runtime into the directory ``out`` and return ``sku-init``.

    It is always gcc that compiles it: a static program needs a C library, and the cross libraries
    are those of gcc. Raises CheckError when it does not compile or is for the wrong machine.
    """
    _make(toolchain, out)
    return _checked(out / "sku-init")


def install_runtime(out: Path, root: Path) -> None:
    """Copy what :func:`build_runtime` left in ``out`` to its places on a target, below ``root``.

    Raises CheckError when a program is for the wrong machine.
    """
    for path, name in INSTALLED.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_checked(out / name), target)
        target.chmod(0o755)


def build_programs(toolchain: Toolchain, out: Path) -> dict[str, Path]:
    """Compile the whole runtime into ``out``; return its files by their path on the target.

    Without a leading ``/``. Raises as :func:`build_runtime`.
    """
    _make(toolchain, out)
    return {path: _checked(out / name) for path, name in PROGRAMS.items() if (out / name).exists()}


def _make(toolchain: Toolchain, out: Path) -> None:
    source = runtime_dir()
    if not (source / "Makefile").is_file():
        raise UserError("the runtime's sources are missing", where=source)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    argv = ["make", "--no-print-directory", "-C", str(source), f"OUT={out}"]
    done = run.run([*argv, f"CROSS_COMPILE={toolchain.cross}", "all"], check=False)
    if done.status != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        errors = [line for line in said if "error:" in line] or said[-1:]
        raise CheckError(
            f"the runtime does not compile: {errors[0] if errors else f'status {done.status}'}",
            where=source,
            data={"output": said},
        )


def _checked(program: Path) -> Path:
    arm64.check_elf(program)
    return program


def unpack(init: Path, root: Path, *, epoch: int) -> None:
    """Make the initramfs as a directory ``root``, with ``init`` as ``/init``.

    Modes do not depend on the umask, and every date is ``epoch`` (seconds since 1970).
    """
    root.mkdir(parents=True)
    shutil.copyfile(init, root / "init")
    (root / "init").chmod(0o755)
    for name in _DIRECTORIES:
        (root / name).mkdir()
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    for path in (*root.rglob("*"), root):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def pack(root: Path, archive: Path) -> None:
    """Write the directory ``root`` to the cpio ``archive``: newc, sorted, owned by root.

    The format is that of Documentation/driver-api/early-userspace/buffer-format.rst. The same
    directory gives the same bytes, whoever packs it, wherever it lies.
    """
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    run.run(
        [
            *("cpio", "--quiet", "--null", "--create", "--format=newc"),
            *("--reproducible", "--owner=+0:+0", f"--file={archive}"),
        ],
        cwd=root,
        stdin="\0".join([".", *names]) + "\0",
    )
