# SPDX-License-Identifier: GPL-2.0-only
"""Commits become files: the same ones each time, and no file more than need be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import apply, refresh, series, series_check, series_files
from sku_build.cli import cli
from sku_build.errors import CheckError, UserError

from .maintainer import FILE, Desk, contents, demo_desk

desk = demo_desk


def run(desk: Desk, *names: str, **options: object) -> dict[str, str]:
    done = refresh.refresh(desk.tree(), names, branch="work", **options)  # type: ignore[arg-type]
    assert refresh.refresh(desk.tree(), names, branch="work").changed == [], "a second run changes"
    assert series_check.check(series.load("demo")) == []
    return {item.file: item.what for item in done.changed}


def in_order() -> list[str]:
    return [item.file for item in series.load("demo").patches]


FIRST, SECOND, THIRD = (
    f"000{number}-mm-add-to-{name}.patch" for number, name in enumerate(("one", "two", "three"), 1)
)


def test_an_untouched_branch_rewrites_nothing(desk: Desk) -> None:
    directory = desk.data / "patchsets" / "demo"
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert run(desk) == {}
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_a_changed_commit_rewrites_its_file_and_what_follows_from_it(desk: Desk) -> None:
    before = contents(desk.data / "patchsets" / "demo")
    desk.edit(FILE, "\tint three_new;\n", "\tlong three_new;\n")
    desk.amend()
    assert run(desk, "demo") == {THIRD: "rewritten"}
    after = contents(desk.data / "patchsets" / "demo")
    assert {name for name in before if before[name] != after[name]} == {THIRD}
    assert b"+\tlong three_new;" in after[THIRD]


def test_a_reworded_commit_keeps_its_file_name(desk: Desk) -> None:
    desk.git("commit", "--quiet", "--amend", "-s", "-m", "mm: quite other words\n\nWhy.")
    assert run(desk) == {THIRD: "rewritten"}
    assert in_order() == [FIRST, SECOND, THIRD]


def test_new_commits_get_files_and_entries_with_their_neighbours_kernels(desk: Desk) -> None:
    desk.edit(FILE, "\tint four_b;\n", "\tint four_b;\n\tint four_new;\n")
    desk.commit("mm: add to four()")
    toml = desk.data / "patchsets" / "demo" / "series.toml"
    toml.write_text(toml.read_text().replace("[[patch]]", "# kept\n[[patch]]", 1))
    assert run(desk) == {"0004-mm-add-to-four.patch": "added"}
    assert series.load("demo").patches[-1].kernels == ["6.1..6.2"]
    assert "# kept\n" in toml.read_text()


def test_a_commit_in_the_middle_renames_no_other_file(desk: Desk) -> None:
    desk.git("reset", "--quiet", "--hard", "HEAD~1")
    desk.edit(FILE, "\tint four_b;\n", "\tint four_b;\n\tint four_new;\n")
    desk.commit("mm: add to four()")
    desk.git("cherry-pick", "ORIG_HEAD")
    new = "0002-mm-add-to-four.patch"
    # The last patch changes a file that the new one changed first: its index line is another.
    assert run(desk) == {new: "added", THIRD: "rewritten"}
    assert in_order() == [FIRST, SECOND, new, THIRD]


def test_a_dropped_commit_takes_its_file_and_entry_with_it(desk: Desk) -> None:
    third = desk.git("rev-parse", "HEAD")
    desk.git("reset", "--quiet", "--hard", "HEAD~2")
    desk.git("cherry-pick", third)
    assert run(desk)[SECOND] == "dropped"
    assert in_order() == [FIRST, THIRD]
    assert not (desk.data / "patchsets" / "demo" / SECOND).exists()


def test_reordered_commits_rename_only_what_moved(desk: Desk) -> None:
    third = desk.git("rev-parse", "HEAD")
    second = desk.git("rev-parse", "HEAD~1")
    desk.git("reset", "--quiet", "--hard", "HEAD~2")
    desk.git("cherry-pick", third, second)
    assert set(run(desk)) == {"0003-mm-add-to-two.patch", THIRD} or in_order()[0] == FIRST
    assert [name[5:] for name in in_order()] == [FIRST[5:], THIRD[5:], SECOND[5:]]


def test_what_only_the_file_holds_survives_a_rewriting(desk: Desk) -> None:
    path = desk.data / "patchsets" / "demo" / THIRD
    text = path.read_text()
    text = text.replace("\n\n", "\nPatch-mainline: Not yet, a test\nReferences: bsc#1\n\n", 1)
    path.write_text(text.replace("\n---\n", "\n---\nv2: as asked for\n\n", 1))
    desk.edit(FILE, "\tint three_new;\n", "\tlong three_new;\n")
    desk.amend()
    assert run(desk) == {THIRD: "rewritten"}
    written = path.read_text()
    assert "\nPatch-mainline: Not yet, a test\nReferences: bsc#1\n\n" in written
    assert "\n---\nv2: as asked for\n mm/x.c" in written


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Subject: [PATCH 3/3] ", "Subject: [PATCH v2 03/17] "),
        ("@@ int three(void)", "@@ some other heading"),
        (" mm/x.c | 1 +\n", " mm/x.c |    1 +\n"),
    ],
)
def test_what_another_git_writes_otherwise_is_left(desk: Desk, old: str, new: str) -> None:
    path = desk.data / "patchsets" / "demo" / THIRD
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    assert run(desk) == {}


def test_a_file_for_other_kernels_too_is_told_or_left_to_them(desk: Desk) -> None:
    toml = desk.data / "patchsets" / "demo" / "series.toml"
    toml.write_text(toml.read_text().replace("6.1..6.2", "5.10..6.11"))
    desk.edit(FILE, "\tint three_new;\n", "\tlong three_new;\n")
    desk.amend()
    told = refresh.refresh(desk.tree(), [], branch="work", dry_run=True).changed
    assert [(item.what, item.also_for) for item in told] == [
        ("rewritten", ["5.10..6.1", "6.2..6.11"])
    ]
    old = (desk.data / "patchsets" / "demo" / THIRD).read_bytes()
    assert run(desk, split=True) == {f"6.1/{THIRD}": "second-file"}
    assert (desk.data / "patchsets" / "demo" / THIRD).read_bytes() == old
    entries = {item.file: item.kernels for item in series.load("demo").patches}
    assert entries[THIRD] == ["5.10..6.1", "6.2..6.11"]
    assert entries[f"6.1/{THIRD}"] == ["6.1..6.2"]


def test_a_patch_that_the_tree_has_is_not_taken_for_dropped(desk: Desk) -> None:
    desk.git("checkout", "--quiet", "main")
    desk.edit(FILE, "\tint two_b;\n", "\tint two_b;\n\tint two_new;\n")
    desk.commit("mm: the same by somebody else")
    apply.apply_series(desk.tree(), series.resolve(["demo"]), branch="newer")
    done = refresh.refresh(desk.tree(), ["demo"], branch="newer")
    assert SECOND in in_order()
    assert {item.file: item.what for item in done.patches}[SECOND] == "kept"


def test_a_series_is_refreshed_without_the_others_on_its_branch(desk: Desk) -> None:
    """The lines of "demo" do not move because "before" is in front of it on a branch."""
    desk.git("checkout", "--quiet", "main")
    base = desk.git("rev-parse", "HEAD")
    desk.edit(FILE, "int one(void)", "/* in front */\nint one(void)")
    desk.commit("mm: something in front")
    desk.series("before", base)
    desk.git("reset", "--quiet", "--hard", base)
    both = series.resolve(["before", "demo"])
    apply.apply_series(desk.tree(), both, branch="both")
    done = refresh.refresh(desk.tree(), [], branch="both")
    assert {item.series for item in done.patches} == {"before", "demo"}
    assert done.changed == []


def test_what_is_not_in_requires_is_missed(desk: Desk) -> None:
    desk.git("checkout", "--quiet", "work")
    base = desk.git("rev-parse", "HEAD")
    desk.edit(FILE, "\tint three_new;\n", "\tint three_new;\n\tint three_newer;\n")
    desk.commit("mm: on top of demo")
    path = desk.series("after", base)
    with pytest.raises(CheckError, match=r"only what it requires \(nothing\)") as caught:
        refresh.refresh(desk.tree(), ["after"], branch="work", base="main")
    assert "requires" in (caught.value.hint or "")
    toml = path / "series.toml"
    toml.write_text(toml.read_text().replace("summary", 'requires = ["demo"]\nsummary'))
    assert refresh.refresh(desk.tree(), ["after"], branch="work", base="main").changed == []


def test_a_branch_without_the_series_is_refused(desk: Desk) -> None:
    with pytest.raises(UserError, match="no commit of .* is a patch of the series demo"):
        desk.git("checkout", "--quiet", "-b", "other", "main")
        desk.edit(FILE, "int one(void)", "int one_more(void)")
        desk.commit("mm: not ours")
        refresh.refresh(desk.tree(), ["demo"], branch="other", base="main")


def test_a_change_that_was_cut_off_is_finished_or_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "gone"):
        (tmp_path / name).write_text("old")

    class Killed(BaseException):
        """What no handler of ours catches."""

    def killed_at(step: int) -> None:
        count = 0
        real = Path.replace

        def replace(self: Path, target: Path) -> Path:
            nonlocal count
            count += 1
            if count > step:
                raise Killed
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            series_files.replace(tmp_path, {"a": b"new", "b": b"new"}, ["gone"])
        monkeypatch.setattr(Path, "replace", real)

    for step in (0, 1):
        killed_at(step)
        series_files.finish(tmp_path)
        assert contents(tmp_path) == {"a": b"new", "b": b"new"}
        for name in ("a", "b", "gone"):
            (tmp_path / name).write_text("old")
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / "0").write_text("half")
    series_files.finish(tmp_path)
    assert contents(tmp_path) == {"a": b"old", "b": b"old", "gone": b"old"}


def test_the_command_tells_what_it_did(desk: Desk) -> None:
    desk.edit(FILE, "\tint three_new;\n", "\tlong three_new;\n")
    desk.amend()
    argv = ["series", "refresh", "--tree", "linux", "--branch", "work"]
    shown = CliRunner().invoke(cli, [*argv, "--dry-run", "--json"], catch_exceptions=False)
    (changed,) = [item for item in json.loads(shown.stdout)["patches"] if item["what"] != "kept"]
    assert (changed["file"], changed["what"]) == (THIRD, "rewritten")
    done = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert "1 of 3 patches changed, 2 are as they were" in done.stdout


def test_without_a_branch_the_files_are_held_against_the_bare_tree(desk: Desk) -> None:
    """The checkout is on the branch that has the series already; its base is what counts."""
    assert refresh.refresh(desk.tree(), ["demo"]).changed == []
