# SPDX-License-Identifier: GPL-2.0-only
"""What the host lacks for building kernels and running the lab, and the command that mends it."""

from __future__ import annotations

import enum
import platform
import shutil
from pathlib import Path

import msgspec

from sku_build import layout, run


class State(enum.StrEnum):
    """How a requirement stands: ``missing`` stops the work, ``advice`` only makes it worse."""

    OK = "ok"
    MISSING = "missing"
    ADVICE = "advice"


class Finding(msgspec.Struct, frozen=True):
    """One requirement of the host: what was found, why it matters, the command that mends it."""

    name: str
    state: State
    found: str
    why: str
    fix: str | None = None


class _Need(msgspec.Struct, frozen=True):
    probe: str
    package: str
    why: str
    optional: bool = False


_PROGRAMS = (
    _Need("git", "git", "trees, branches and applying patches"),
    _Need("make", "make", "building the kernel"),
    _Need("gcc", "gcc", "the kernel's own build tools"),
    _Need("flex", "flex", "the kernel's Kconfig parser"),
    _Need("bison", "bison", "the kernel's Kconfig parser"),
    _Need("bc", "bc", "time constants of the kernel"),
    _Need("xz", "xz-utils", "unpacking kernel sources"),
    _Need("cpio", "cpio", "packing the initramfs"),
    _Need("rsync", "rsync", "installing kernel headers"),
    _Need("depmod", "kmod", "boards with modules"),
    _Need("qemu-system-aarch64", "qemu-system-arm", "the lab"),
    _Need("apt-get", "apt", "kernel sources of the distribution; `sku tree add PATH` needs none"),
    _Need("mke2fs", "e2fsprogs", "the lab's guest image", optional=True),
    _Need("ccache", "ccache", "rebuilds in a fraction of the time", optional=True),
    _Need("clang", "clang lld llvm", "`sku build --llvm`", optional=True),
    _Need("ld.lld", "clang lld llvm", "`sku build --llvm`", optional=True),
    _Need("sparse", "sparse", "checking kernel patches", optional=True),
    _Need("ssh-keygen", "openssh-client", "signing and verifying bundles", optional=True),
)
_CROSS = _Need(
    "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "compiling for arm64"
)
_HEADERS = (
    _Need("openssl/ssl.h", "libssl-dev", "the kernel's certificate tools"),
    _Need("libelf.h", "libelf-dev", "the kernel's object tools"),
)
_MIN_FREE_GIB = 20
_GIB = 1 << 30


def examine() -> list[Finding]:
    """Return the state of every requirement, the missing ones included."""
    programs = list(_PROGRAMS)
    if platform.machine() != "aarch64":
        programs.append(_CROSS)
    findings = [_examine(need, shutil.which(need.probe)) for need in programs]
    findings += [_examine(need, _header(need.probe)) for need in _HEADERS]
    return [*findings, _disk(), _acceleration()]


def _examine(need: _Need, found: str | None) -> Finding:
    if found:
        return Finding(need.probe, State.OK, found, need.why)
    state = State.ADVICE if need.optional else State.MISSING
    return Finding(need.probe, state, "not found", need.why, f"apt-get install {need.package}")


def _header(name: str) -> str | None:
    if not run.have("gcc"):
        return None
    source = f"#include <{name}>\n"
    compiled = run.run(["gcc", "-fsyntax-only", "-xc", "-"], stdin=source, check=False)
    return "compiles" if compiled.status == 0 else None


def _disk() -> Finding:
    cache: Path = layout.cache_root()
    free = shutil.disk_usage(cache).free / _GIB
    why = f"trees, objects and ccache take up to {_MIN_FREE_GIB} GiB"
    if free >= _MIN_FREE_GIB:
        return Finding("free disk", State.OK, f"{free:.0f} GiB", why)
    fix = f"free some space, or set SKU_CACHE to a larger disk (now {cache})"
    return Finding("free disk", State.ADVICE, f"{free:.0f} GiB", why, fix)


def _acceleration() -> Finding:
    why = "guests run at native speed instead of being emulated"
    if platform.machine() == "aarch64":
        usable = Path("/dev/kvm").exists()
        state = State.OK if usable else State.ADVICE
        fix = None if usable else "load the kvm module, or add yourself to the group kvm"
        return Finding("KVM", state, "/dev/kvm" if usable else "not found", why, fix)
    return Finding("KVM", State.OK, "not for arm64 guests here: emulated", why)
