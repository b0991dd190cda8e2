# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import platform
from pathlib import Path

import msgspec
import pytest

from sku_build import metadata
from sku_build.errors import UserError
from sku_build.metadata import Metadata


def sample(**changes: object) -> Metadata:
    whole = Metadata(
        status="complete",
        step="done",
        sku="0",
        started="2026-01-01T00:00:00+00:00",
        reproduce="sku build",
        board="b",
        arch="arm64",
        cmdline="quiet",
        tree=metadata.TreeRecord("6.1", "distribution", "6.1.9", "deb", "a" * 40, "b" * 40),
        series=[metadata.SeriesRecord("deferred_init", "1.0.0")],
        patches=[],
        localversion="",
        source_date_epoch=1,
        toolchain={"name": "gcc"},
        host=metadata.host(),
        fingerprint="wanted",
    )
    return msgspec.structs.replace(whole, **changes)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle directory as a build leaves it, with a file below a directory."""
    (tmp_path / "initramfs").mkdir()
    (tmp_path / "initramfs" / "init").write_text("init")
    (tmp_path / "Image").write_text("image")
    (tmp_path / "dtbs" / "vendor").mkdir(parents=True)
    (tmp_path / "dtbs" / "vendor" / "a.dtb").write_text("tree")
    (tmp_path / "build.log").write_text("log")
    done = sample(artefacts=metadata.artefacts(tmp_path))
    metadata.write(done, tmp_path / metadata.FILE_NAME)
    return tmp_path


def test_what_is_written_is_what_is_read(bundle: Path) -> None:
    assert metadata.read(bundle) == sample(artefacts=metadata.artefacts(bundle))


def test_every_artefact_is_listed_with_size_and_hash(bundle: Path) -> None:
    assert [(item.path, item.size) for item in metadata.artefacts(bundle)] == [
        ("Image", 5),
        ("dtbs/vendor/a.dtb", 4),
    ]
    assert metadata.artefacts(bundle)[0].sha256 == metadata.sha256(bundle / "Image")


def test_a_failed_write_leaves_the_old_file_and_no_other(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(bundle.iterdir())

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        metadata.write(sample(status="failed"), bundle / metadata.FILE_NAME)
    assert sorted(bundle.iterdir()) == before
    assert metadata.read(bundle).status == "complete"


def test_a_complete_bundle_of_the_same_inputs_is_up_to_date(bundle: Path) -> None:
    found = metadata.up_to_date(bundle, "wanted")
    assert found is not None
    assert found.reused
    assert not metadata.read(bundle).reused


def test_other_inputs_are_not_up_to_date(bundle: Path) -> None:
    assert metadata.up_to_date(bundle, "other") is None


@pytest.mark.parametrize("victim", ["Image", "dtbs/vendor/a.dtb", "initramfs/init"])
def test_a_missing_artefact_is_not_up_to_date(bundle: Path, victim: str) -> None:
    (bundle / victim).unlink()
    assert metadata.up_to_date(bundle, "wanted") is None


def test_an_altered_artefact_of_the_same_size_is_not_up_to_date(bundle: Path) -> None:
    (bundle / "Image").write_text("imagf")
    assert metadata.up_to_date(bundle, "wanted") is None


@pytest.mark.parametrize("status", ["building", "failed", "interrupted"])
def test_an_unfinished_bundle_is_not_up_to_date(bundle: Path, status: str) -> None:
    whole = metadata.read(bundle)
    metadata.write(msgspec.structs.replace(whole, status=status), bundle / metadata.FILE_NAME)
    assert metadata.up_to_date(bundle, "wanted") is None


def test_a_directory_without_metadata_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a bundle") as caught:
        metadata.read(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_broken_metadata_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text("{")
    with pytest.raises(UserError) as caught:
        metadata.read(tmp_path)
    assert caught.value.where == str(tmp_path / "metadata.json")


def test_a_fingerprint_tells_every_input_and_not_their_order() -> None:
    assert metadata.fingerprint(a=1, b=[2]) == metadata.fingerprint(b=[2], a=1)
    assert metadata.fingerprint(a=1, b=[2]) != metadata.fingerprint(a=1, b=[3])


def test_a_tree_fingerprint_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = metadata.tree_fingerprint(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = metadata.tree_fingerprint(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, metadata.tree_fingerprint(tmp_path)}) == 3


def test_the_host_is_described_without_its_name() -> None:
    assert platform.node() not in msgspec.json.encode(metadata.host()).decode()
