# SPDX-License-Identifier: GPL-2.0-only
"""What in a resolved configuration makes two builds of the same source differ.

See ``Documentation/kbuild/reproducible-builds.rst`` in the kernel, and the files named below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sku_build.kconfig import dotconfig
from sku_build.kconfig.model import Obstacle

_AUTOMATIC_KEY = '"certs/signing_key.pem"'


def _is_on(value: str) -> bool:
    return value in ("y", "m")


def _is_automatic_key(value: str) -> bool:
    return value == _AUTOMATIC_KEY


def _is_text(value: str) -> bool:
    return value != '""'


_RANDSTRUCT = "the layout of structures is shuffled by a seed drawn for each build directory"

# symbol, which values break it, reason, remedy
_OBSTACLES: tuple[tuple[str, Callable[[str], bool], str, str], ...] = (
    (
        # certs/Makefile makes the key for whatever embeds it, MODULE_SIG_ALL or not.
        "MODULE_SIG_KEY",
        _is_automatic_key,
        "a signing key is generated for each build directory, and its certificate is built in",
        '# CONFIG_MODULE_SIG is not set, or CONFIG_MODULE_SIG_KEY="" or a key of your own',
    ),
    (
        # up to 5.18; scripts/gcc-plugins/gen-random-seed.sh
        "GCC_PLUGIN_RANDSTRUCT",
        _is_on,
        _RANDSTRUCT,
        "# CONFIG_GCC_PLUGIN_RANDSTRUCT is not set",
    ),
    (
        # since 595b893e2087 (5.19), for clang too; scripts/gen-randstruct-seed.sh
        "RANDSTRUCT",
        _is_on,
        _RANDSTRUCT,
        "CONFIG_RANDSTRUCT_NONE=y",
    ),
    (
        "GCC_PLUGIN_LATENT_ENTROPY",
        _is_on,
        "the compiler draws random constants into the code",
        "# CONFIG_GCC_PLUGIN_LATENT_ENTROPY is not set",
    ),
    (
        "LOCALVERSION_AUTO",
        _is_on,
        "the release name depends on the git state of the source directory",
        "# CONFIG_LOCALVERSION_AUTO is not set",
    ),
    (
        # VMLINUX_PATH in arch/arm64/kernel/Makefile
        "DEBUG_EFI",
        _is_on,
        "the absolute path of vmlinux is written into the Image",
        "# CONFIG_DEBUG_EFI is not set",
    ),
    (
        "GCOV_KERNEL",
        _is_on,
        "the absolute path of each object is written into it",
        "# CONFIG_GCOV_KERNEL is not set",
    ),
    (
        # scripts/pahole-flags.sh; scripts/Makefile.btf of later kernels can ask for fixed output
        "DEBUG_INFO_BTF",
        _is_on,
        "pahole 1.22 and later writes types in the order its threads happen to end, unless the "
        "kernel asks it for +reproducible_build (1.27)",
        "# CONFIG_DEBUG_INFO_BTF is not set",
    ),
    (
        # usr/gen_init_cpio.c; kernels whose usr/gen_initramfs.sh has -d can fix them
        "INITRAMFS_SOURCE",
        _is_text,
        "the modification times of the initramfs's files are packed with them",
        'CONFIG_INITRAMFS_SOURCE="": the initramfs is built and loaded on its own',
    ),
)


def reproducibility_problems(config: Mapping[str, str] | Path) -> list[Obstacle]:
    """Return what in ``config`` breaks reproducible builds.

    ``config`` is a ``.config``, or symbol → value as written in one. It is taken for granted that
    KBUILD_BUILD_TIMESTAMP, _USER and _HOST are fixed and that prefix maps hide the build directory
    from debug information; see :mod:`sku_build.kbuild`.
    """
    if isinstance(config, Path):
        config = dotconfig.parse(config.read_text(encoding="utf-8"))
    return [
        Obstacle(symbol, config[symbol], reason, remedy)
        for symbol, breaks, reason, remedy in _OBSTACLES
        if symbol in config and breaks(config[symbol])
    ]
