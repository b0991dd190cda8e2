# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import bundledir
from sku_build.errors import UserError


def fill(directory: Path, text: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "metadata.json").write_text(text)


def test_the_directory_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "out" / "board"
    with bundledir.replacing(target) as new:
        fill(new, "new")
        assert not target.exists()
    assert (target / "metadata.json").read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_success_replaces_the_earlier_bundle(tmp_path: Path) -> None:
    target = tmp_path / "board"
    fill(target, "old")
    (target / "stale").touch()
    with bundledir.replacing(target) as new:
        fill(new, "new")
    assert [path.name for path in target.iterdir()] == ["metadata.json"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RuntimeError])
def test_failure_keeps_the_earlier_bundle_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "board"
    fill(target, "old")
    with pytest.raises(error), bundledir.replacing(target) as new:
        fill(new, "half")
        raise error
    assert (target / "metadata.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_no_directory_that_was_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), bundledir.replacing(tmp_path / "out" / "deep" / "board"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_between_the_two_renames_brings_the_earlier_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "board"
    fill(target, "old")
    rename = Path.rename

    def interrupted(self: Path, to: Path) -> Path:
        if self.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), bundledir.replacing(target) as new:
        fill(new, "new")
    assert (target / "metadata.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_build_left_is_put_right(tmp_path: Path) -> None:
    target = tmp_path / "board"
    fill(tmp_path / ".board.old", "old")
    fill(tmp_path / ".board.new", "half")
    with pytest.raises(RuntimeError), bundledir.replacing(target):
        assert (target / "metadata.json").read_text() == "old"
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_is_no_bundle_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="neither empty nor a bundle") as caught:
        bundledir.check(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="not a directory"):
        bundledir.check(tmp_path / "out")


def test_nothing_an_empty_directory_or_a_bundle_may_be_replaced(tmp_path: Path) -> None:
    bundledir.check(tmp_path / "absent")
    bundledir.check(tmp_path)
    fill(tmp_path, "old")
    bundledir.check(tmp_path)
