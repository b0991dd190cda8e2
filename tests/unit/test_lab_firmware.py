# SPDX-License-Identifier: GPL-2.0-only
"""Firmware out of a package: fetched once, and nothing from outside of the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sku_build import closure, run
from sku_build.board import FirmwarePart
from sku_build.closure import Closure
from sku_build.errors import UserError
from sku_build.lab import firmware

_PART = FirmwarePart(suite="bullseye", package="fw", path="usr/share/fw/CODE.fd")
_CONTROL = (
    "Package: fw\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: t\n"
)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let there be one package in the archive; return what counts its downloads."""
    root, package = tmp_path / "root", tmp_path / "fw_1_all.deb"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(_CONTROL)
    (root / "usr/share/fw").mkdir(parents=True)
    (root / "usr/share/fw/CODE.fd").write_text("code")
    (root / "usr/share/fw/OUT.fd").symlink_to("/etc/hostname")
    run.run(["dpkg-deb", "--root-owner-group", "--build", root, package])
    fetched: list[Closure] = []

    def fetch(wanted: Closure) -> list[Path]:
        fetched.append(wanted)
        return [package]

    def resolve(wanted: tuple[str, ...], *, suite: str, architecture: str) -> Closure:
        return Closure(suite, architecture, wanted, ())

    monkeypatch.setattr(closure, "resolve", resolve)
    monkeypatch.setattr(closure, "fetch", fetch)
    return lambda: len(fetched)


def test_firmware_is_fetched_once(archive: Callable[[], int]) -> None:
    path = firmware.image(_PART)
    assert (path.read_text(), archive()) == ("code", 1)
    assert (firmware.image(_PART), archive()) == (path, 1)


@pytest.mark.parametrize("path", ["usr/share/fw/none.fd", "usr/share/fw/OUT.fd", "../../x", "usr"])
def test_what_the_package_does_not_have_is_named(archive: Callable[[], int], path: str) -> None:
    part = FirmwarePart(suite="bullseye", package="fw", path=path)
    for _ in range(2):  # and nothing stays of it
        with pytest.raises(UserError, match="no such file") as caught:
            firmware.image(part)
        assert caught.value.where == path
