# SPDX-License-Identifier: GPL-2.0-only
"""Puts the fake kernel, its compilers and a toolkit's data where the code under test looks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
COMPILERS = ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld", "gcc", "ccache")
LLVM = (
    *("clang", "ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-objdump", "llvm-readelf"),
    "llvm-strip",
)
# What the builds themselves call; everything else on this host is kept out of sight.
_HOST_TOOLS = (
    *(
        "basename",
        "cat",
        "cp",
        "cpio",
        "echo",
        "git",
        "grep",
        "ln",
        "make",
        "mkdir",
        "mv",
        "rm",
        "setpriv",
    ),
    *("sh", "sleep"),
)


def programs(directory: Path, *names: str) -> Path:
    """Return ``directory`` filled with the tools of the host that are needed and fake compilers."""
    directory.mkdir()
    for tool in _HOST_TOOLS:
        found = shutil.which(tool)
        assert found, f"{tool} is not installed"
        (directory / tool).symlink_to(found)
    for name in names:
        (directory / name).symlink_to(HERE / "bin" / "cc")
    return directory


def install(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make ``root`` a world with fake compilers, data and cache; return the kernel's source."""
    monkeypatch.setenv("PATH", str(programs(root / "bin", *COMPILERS, *LLVM)))
    monkeypatch.setenv("SKU_CACHE", str(root / "cache"))
    monkeypatch.setenv("SKU_DATA", str(root / "data"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    shutil.copytree(HERE / "runtime", root / "data" / "runtime")
    (root / "data" / "configs").mkdir()
    (root / "data" / "configs" / "base.config.j2").write_text("CONFIG_64BIT=y\n")
    shutil.copytree(HERE / "source", root / "source")
    return root / "source"
