# SPDX-License-Identifier: GPL-2.0-only
"""A bundle that cannot be booted is refused before a machine is started, and says why."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from sku_build import bundle as packing
from sku_build.errors import CheckError, UserError
from sku_build.lab import bundle
from tests.unit import bundle_samples as samples
from tests.unit import lab_fakes


def test_a_whole_bundle_is_accepted(tmp_path: Path) -> None:
    path = lab_fakes.bundle(tmp_path / "b", release="6.1.0-x")
    found = bundle.load(path, lab_fakes.BOARD)
    assert (found.image, found.release) == (path / "Image", "6.1.0-x")


@pytest.mark.parametrize("name", ["Image", "initramfs.cpio", "metadata.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = lab_fakes.bundle(tmp_path / "b")
    (path / name).unlink()
    with pytest.raises(UserError, match=name) as raised:
        bundle.load(path, lab_fakes.BOARD)
    assert raised.value.where == str(path)
    assert raised.value.hint


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such bundle"):
        bundle.load(tmp_path / "gone", lab_fakes.BOARD)


def test_a_bundle_for_another_board_is_refused(tmp_path: Path) -> None:
    path = lab_fakes.bundle(tmp_path / "b", board="kunpeng920")
    with pytest.raises(UserError, match="built for the board kunpeng920, not for fake"):
        bundle.load(path, lab_fakes.BOARD)


@pytest.mark.parametrize("status", ["building", "failed", "interrupted"])
def test_a_build_that_did_not_finish_is_refused(tmp_path: Path, status: str) -> None:
    path = lab_fakes.bundle(tmp_path / "b", status=status)
    with pytest.raises(UserError, match=status):
        bundle.load(path, lab_fakes.BOARD)


def test_a_compressed_image_is_refused_and_its_compression_named(tmp_path: Path) -> None:
    path = lab_fakes.bundle(tmp_path / "b")
    (path / "Image").write_bytes(gzip.compress(bytes(4096)))
    with pytest.raises(CheckError, match="gzip"):
        bundle.load(path, lab_fakes.BOARD)


def test_what_was_packed_for_a_target_is_taken_as_well(tmp_path: Path) -> None:
    built = samples.build(tmp_path / "build")
    (built / "Image").write_bytes((lab_fakes.bundle(tmp_path / "b") / "Image").read_bytes())
    samples.change(built, artefacts=samples.metadata.artefacts(built))
    packing.make(built, tmp_path / "packed")
    found = bundle.load(tmp_path / "packed", lab_fakes.BOARD)
    assert (found.cmdline, found.release) == (samples.CMDLINE, "6.1.192")
    with pytest.raises(UserError, match="not for qemu-virt"):
        bundle.load(tmp_path / "packed", msgspec.structs.replace(lab_fakes.BOARD, name="qemu-virt"))
