# SPDX-License-Identifier: GPL-2.0-only
"""The compiler a kernel is built with: gcc or LLVM, cross or native, through ccache or not."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import shutil
from typing import Literal

from sku_build import layout, run
from sku_build.errors import InfraError, UserError

Name = Literal["gcc", "llvm"]

# Kernel name of the architecture: (machine as uname prints it, prefix of the cross tools).
_ARCHITECTURES = {"arm64": ("aarch64", "aarch64-linux-gnu-")}

# What LLVM=1 makes kbuild call (Documentation/kbuild/llvm.rst), and Debian's packages of them.
_LLVM_PROGRAMS = {
    "clang": "clang",
    "ld.lld": "lld",
    "llvm-ar": "llvm",
    "llvm-nm": "llvm",
    "llvm-objcopy": "llvm",
    "llvm-objdump": "llvm",
    "llvm-readelf": "llvm",
    "llvm-strip": "llvm",
}
_CCACHE_SIZE = "5G"
# What a user's environment may say to ccache: where results are shared with other machines.
_CCACHE_SHARED = ("CCACHE_REMOTE_STORAGE", "CCACHE_REMOTE_ONLY")


@dataclasses.dataclass(frozen=True, slots=True)
class Toolchain:
    """A choice of compiler for one architecture; :func:`choose` makes it and checks it is there.

    ``cross`` is the prefix of the GNU cross tools, empty on a native host. ``host_ccache`` is
    whether ccache may answer for programs of the build itself: `make sbom` does not know it there.
    """

    name: Name
    arch: str
    cross: str
    ccache: bool
    host_ccache: bool = True

    @property
    def compiler(self) -> str:
        """The C compiler kbuild calls, without ccache in front."""
        return "clang" if self.name == "llvm" else f"{self.cross}gcc"

    @property
    def host_compiler(self) -> str:
        """The compiler of the programs that run during the build."""
        return "clang" if self.name == "llvm" else "gcc"

    @property
    def linker(self) -> str:
        """The linker kbuild calls."""
        return "ld.lld" if self.name == "llvm" else f"{self.cross}ld"

    def make_args(self) -> list[str]:
        """Return the variables that select this toolchain on the kernel's ``make`` command line."""
        args = [f"ARCH={self.arch}"]
        if self.cross:
            # LLVM too: before 5.15 clang learns its --target from CROSS_COMPILE alone.
            args.append(f"CROSS_COMPILE={self.cross}")
        if self.name == "llvm":
            # LLVM_IAS=1 is the default since f12b034afeb3 (5.15); before, GNU as would be called.
            args += ["LLVM=1", "LLVM_IAS=1"]
        if self.ccache:
            args.append(f"CC=ccache {self.compiler}")
        if self.ccache and self.host_ccache:
            args.append(f"HOSTCC=ccache {self.host_compiler}")
        return args

    def environment(self) -> dict[str, str]:
        """Return what ccache needs in the environment of ``make``; empty without ccache.

        The build directory is kept out of the hash (a prefix map takes it out of the objects, see
        :mod:`sku_build.kbuild`), so another build directory hits. ``CCACHE_BASEDIR`` is not set:
        it would turn the source's path into a relative one behind kbuild's back, which then no
        longer matches kbuild's ``-fmacro-prefix-map``, and ``__FILE__`` would differ from that of
        a build without ccache. The compilers are told apart by what they say of themselves: a
        reinstalled compiler of the same version keeps its hits, a new version does not, and
        clang's tiny driver binary is not mistaken for all of clang.
        """
        if not self.ccache:
            return {}
        shared = {name: os.environ[name] for name in _CCACHE_SHARED if os.environ.get(name)}
        versions = "; ".join(_version(cc) for cc in (self.compiler, self.host_compiler))
        return {
            "CCACHE_DIR": str(layout.cache_dir("ccache")),
            "CCACHE_MAXSIZE": _CCACHE_SIZE,
            "CCACHE_NOHASHDIR": "1",
            "CCACHE_COMPILERCHECK": f"string:{versions}",
            **shared,
        }

    def describe(self) -> dict[str, str]:
        """Return what each program says of its version: ``cc``, ``ld``, ``ccache`` if used."""
        said = {"cc": _version(self.compiler), "ld": _version(self.linker)}
        if self.ccache:
            said["ccache"] = _version("ccache")
        return said


def _version(program: str) -> str:
    return _version_of(shutil.which(program) or program)


@functools.cache
def _version_of(program: str) -> str:
    lines = run.run([program, "--version"]).stdout.splitlines()
    return lines[0].strip() if lines else program


def choose(arch: str, *, llvm: bool = False, ccache: bool = True) -> Toolchain:
    """Return the toolchain for kernels of ``arch``, cross unless this host is of that kind.

    ``ccache`` asks for ccache where it is installed; it is not required. Raises UserError for an
    architecture we do not build for, and InfraError naming the package when a program is missing.
    """
    if arch not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise UserError(f"cannot build for {arch!r}", hint=f"the architectures are: {known}")
    machine, prefix = _ARCHITECTURES[arch]
    cross = "" if platform.machine() == machine else prefix
    if llvm:
        needed = dict(_LLVM_PROGRAMS)
    else:
        suffix = f"-{prefix.rstrip('-')}" if cross else ""
        needed = {f"{cross}gcc": f"gcc{suffix}", f"{cross}ld": f"binutils{suffix}", "gcc": "gcc"}
    missing = {program: package for program, package in needed.items() if not run.have(program)}
    if missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        raise InfraError(
            f"the {'LLVM' if llvm else 'gcc'} toolchain for {arch} is incomplete: "
            f"{', '.join(missing)} not found on PATH",
            hint=f"on Debian: apt-get install {packages}; `sku doctor` shows all that is missing",
        )
    return Toolchain("llvm" if llvm else "gcc", arch, cross, ccache and run.have("ccache"))
