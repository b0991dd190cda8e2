# SPDX-License-Identifier: GPL-2.0-only
"""The runtime's packages, built by the distributions' own tools and looked at by their checkers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sku_build import packages

_NEEDED = (
    "dpkg-buildpackage",
    "dh",
    "lintian",
    "rpmbuild",
    "mkinitramfs",
    "dracut",
    "mandoc",
    "rpmlint",
)
_CROSS = "aarch64-linux-gnu-"
_UNIT = "usr/lib/systemd/system/sku-settle.service"
_KERNEL = "6.1.0-sku"
_COMPLETION = {
    "bash": "usr/share/bash-completion/completions/skuctl",
    "zsh": "usr/share/zsh/vendor-completions/_skuctl",
    "fish": "usr/share/fish/vendor_completions.d/skuctl.fish",
}
# In a mount namespace of its own: the package lies over this machine, which stays as it is.
_INSTALLED = """
set -e
over() { mount -t overlay overlay -o lowerdir="$1$2:$2" "$2"; }
for place in /usr/lib /usr/share/initramfs-tools; do over "$1" $place; done
mount -t tmpfs none /boot
echo CONFIG_RD_GZIP=y >/boot/config-"$2"
"""
_MKINITRAMFS = """
mkdir -p conf/scripts conf/hooks conf/conf.d
printf 'MODULES=list\\nBUSYBOX=n\\nCOMPRESS=gzip\\n' >conf/initramfs.conf
: >conf/modules
mkinitramfs -d conf -o initrd "$2"
"""
_DRACUT = 'dracut --force --no-kernel --kver "$2" -m sku initrd'
_LIST = {"mkinitramfs": "lsinitramfs", "dracut": "lsinitrd"}

pytestmark = pytest.mark.packages


def call(*argv: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> packages.Packaged:
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing and not os.environ.get("SKU_REQUIRE_PACKAGES"):
        pytest.skip(f"{', '.join(missing)} not installed: `make packages`")
    assert not missing
    where = tmp_path_factory.mktemp("packages")
    return packages.make(where, maintainer="A Builder <builder@debian.org>")


@pytest.fixture(scope="module")
def deb(source: packages.Packaged) -> Path:
    call("dpkg-buildpackage", "-aarm64", "-d", "-us", "-uc", "-b", cwd=source.directory)
    return next(source.directory.parent.glob("*_arm64.deb"))


@pytest.fixture(scope="module")
def installed(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    call("dpkg-deb", "-x", deb, root)
    modules = root / "usr" / "lib" / "modules" / _KERNEL
    modules.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin"):
        (modules / name).touch()
    return root


def test_the_debian_package_is_clean_by_lintian(deb: Path) -> None:
    call("lintian", "--no-cfg", "--fail-on", "error,warning", next(deb.parent.glob("*.changes")))


def test_the_debian_package_is_for_arm64_and_has_all_at_its_place(installed: Path) -> None:
    for path in ("usr/bin/skuctl", "usr/lib/sku/sku-init", "usr/lib/sku/criu/sku.so"):
        head = (installed / path).read_bytes()[:20]
        assert (head[:4], head[18:20]) == (b"\x7fELF", b"\xb7\0")
    for path in ("usr/share/man/man8/skuctl.8.gz", "etc/sku/keys", _UNIT, *_COMPLETION.values()):
        assert (installed / path).exists()


def test_the_rpm_has_the_same_programs(source: packages.Packaged, tmp_path: Path) -> None:
    options = ("--define", f"_topdir {tmp_path}", "--define", f"_cross {_CROSS}")
    call("rpmbuild", "-tb", "--nodeps", "--target", "aarch64", *options, source.archive)
    (made,) = tmp_path.rglob("*.aarch64.rpm")
    listed = call("rpm", "-qpl", made).splitlines()
    assert {"/usr/bin/skuctl", "/usr/lib/sku/sku-init", "/usr/lib/sku/criu/sku.so"} <= set(listed)
    assert f"/{_UNIT}" in listed
    assert "/usr/lib/dracut/modules.d/95sku/module-setup.sh" in listed
    assert {f"/{_COMPLETION[shell]}" for shell in ("bash", "fish")} <= set(listed)
    said = call("rpmlint", "--config", source.directory / "packaging" / "rpmlint.toml", made)
    assert "0 errors, 0 warnings" in said


@pytest.mark.parametrize("tool", _LIST)
def test_an_initramfs_of_the_distribution_carries_sku_init(
    tool: str, installed: Path, tmp_path: Path
) -> None:
    """Beside its own init, which an ordinary boot goes by."""
    over = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*over, _INSTALLED, "sh", installed, _KERNEL], check=False).returncode:
        pytest.skip("this machine gives no mount namespace, or has no overlayfs")
    script = _INSTALLED + {"mkinitramfs": _MKINITRAMFS, "dracut": _DRACUT}[tool]
    call(*over, script, "sh", installed, _KERNEL, cwd=tmp_path)
    listed = call(_LIST[tool], tmp_path / "initrd")
    names = {line.split()[-1] for line in listed.splitlines() if line.strip()}
    assert "sku-init" in names
    assert "init" in names or tool == "dracut"  # without a kernel dracut adds nothing of its own


def test_the_man_pages_are_clean(source: packages.Packaged) -> None:
    pages = sorted((source.directory / "packaging" / "man").iterdir())
    said = subprocess.run(
        ["mandoc", "-T", "lint", *pages], capture_output=True, text=True, check=False
    )
    wrong = [line for line in said.stdout.splitlines() if "referenced manual not found" not in line]
    assert wrong == []
