# SPDX-License-Identifier: GPL-2.0-only
"""The runtime's source package: this version's, whole, and the same bytes each time."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import sku_build
from sku_build import layout, packages
from sku_build.errors import UserError


def test_the_source_package_has_the_version_and_no_template(tmp_path: Path) -> None:
    made = packages.make(tmp_path, maintainer="Me <me@example.org>")
    assert not list(made.directory.rglob("*.j2"))
    version = sku_build.__version__
    changelog = (made.directory / "debian" / "changelog").read_text()
    assert changelog.startswith(f"sku-runtime ({version}) ")
    assert " -- Me <me@example.org>  " in changelog
    assert re.search(rf"^Version: +{re.escape(version)}$", _spec(made), re.MULTILINE)
    assert (made.directory / "debian" / "rules").stat().st_mode & 0o111
    sources = {path.name for path in (layout.data_root() / "runtime").glob("*.c")}
    assert {path.name for path in (made.directory / "runtime").glob("*.c")} == sources
    with tarfile.open(made.archive) as tar:
        assert {name.split("/")[0] for name in tar.getnames()} == {f"sku-runtime-{version}"}


def _spec(made: packages.Packaged) -> str:
    return (made.directory / "sku-runtime.spec").read_text()


def test_the_archive_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (packages.make(tmp_path / name).archive for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_a_maintainer_is_a_name_and_an_address(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="maintainer"):
        packages.make(tmp_path, maintainer="me")


def test_the_scripts_are_valid_shell() -> None:
    packaging = layout.data_root() / "packaging"
    for shell, path in (
        ("sh", packaging / "initramfs-tools" / "sku"),
        ("bash", packaging / "dracut" / "module-setup.sh"),
        ("bash", packaging / "completion" / "bash" / "skuctl"),
    ):
        subprocess.run([shell, "-n", path], check=True)
