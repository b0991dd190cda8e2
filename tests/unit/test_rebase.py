# SPDX-License-Identifier: GPL-2.0-only
"""Series carried to another tree: nothing is lost by a conflict, by giving up, by being killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import apply, layout, rebase, rebase_state, refresh, series, series_check, tree
from sku_build.cli import cli
from sku_build.errors import CheckError, UserError
from tests.conftest import SmallTree, run_git

from .maintainer import Desk, c_file, contents

FILE = "mm/x.c"
TEXT = c_file("one", "two", "three")
FIRST, SECOND, THIRD = (
    f"000{number}-mm-add-to-{name}.patch" for number, name in enumerate(("one", "two", "three"), 1)
)


@pytest.fixture
def desk(small_tree: SmallTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The tree "linux" (6.1.5) with the series "demo" for it, and the tree "newer" (6.12.3).

    On the latter, what the second patch wants to change was changed by somebody else.
    """
    data = tmp_path / "data"
    (data / "patchsets").mkdir(parents=True)
    monkeypatch.setenv("SKU_DATA", str(data))
    made = Desk(small_tree(files={FILE: TEXT}), data)
    tree.add(str(made.linux))
    for name in ("one", "two", "three"):
        made.edit(FILE, f"\tint {name}_b;\n", f"\tint {name}_b;\n\tint {name}_new;\n")
        made.commit(f"mm: add to {name}()")
    made.series("demo", "HEAD~3")
    made.git("reset", "--quiet", "--hard", "HEAD~3")
    changed = "/* new */\n\n" + TEXT.replace("\tint two_b;\n", "\tlong two_b;\n")
    newer = small_tree("6.12.3", {FILE: TEXT}, name="newer")
    (newer / FILE).write_text(changed)
    run_git(newer, "commit", "--quiet", "--all", "-m", "mm: make two_b long")
    tree.add(str(newer))
    return made


def patchset(desk: Desk) -> Path:
    return desk.data / "patchsets" / "demo"


def newer() -> tree.Tree:
    return tree.find("newer")


def resolve(done: rebase.Rebased) -> None:
    assert done.worktree is not None
    path = done.worktree / FILE
    text = path.read_text()
    begin, end = text.index("<<<<<<<"), text.index("\n", text.index(">>>>>>>")) + 1
    path.write_text(text[:begin] + "\tlong two_b;\n\tint two_new;\n" + text[end:])
    run_git(done.worktree, "add", FILE)


def test_a_conflict_waits_in_a_worktree_with_its_cause(desk: Desk) -> None:
    before = contents(patchset(desk))
    done = rebase.begin(newer(), ["demo"])
    assert [step.how for step in done.steps] == ["applied", "waiting", "waiting"]
    assert done.worktree is not None
    assert "<<<<<<<" in (done.worktree / FILE).read_text()
    assert "int one_new" in (done.worktree / FILE).read_text()
    assert done.note is not None
    assert "mm: make two_b long" in done.note
    assert "  +\tlong two_b;" in done.note
    assert "between 6.1.5 (linux) and 6.12.3 (newer)" in done.note
    assert contents(patchset(desk)) == before


def test_what_is_resolved_becomes_a_second_file_and_the_rest_serves_both(desk: Desk) -> None:
    before = contents(patchset(desk))
    resolve(rebase.begin(newer(), ["demo"]))
    done = rebase.proceed(None)
    assert done.done
    assert [step.how for step in done.steps] == ["applied", "by-hand", "applied"]
    after = contents(patchset(desk))
    assert {name for name in after if before.get(name) != after[name]} == {
        "series.toml",
        f"6.12/{SECOND}",
    }
    kernels = {item.file: item.kernels for item in series.load("demo").patches}
    assert kernels == {
        FIRST: ["6.1..6.2", "6.12..6.13"],
        SECOND: ["6.1..6.2"],
        f"6.12/{SECOND}": ["6.12..6.13"],
        THIRD: ["6.1..6.2", "6.12..6.13"],
    }
    assert b"Ann Author" in after[f"6.12/{SECOND}"]
    assert series_check.check(series.load("demo")) == []
    for found in (desk.tree(), newer()):
        apply.apply_series(found, series.resolve(["demo"]), branch=None)
    again = refresh.refresh(newer(), ["demo"], dry_run=True).changed
    assert f"6.12/{SECOND}" not in {item.file for item in again}
    assert rebase_state.under_way() == []
    assert not (layout.cache_dir("rebase") / "newer").exists()


def test_a_file_that_was_said_to_be_for_both_is_left_to_the_other(desk: Desk) -> None:
    toml = patchset(desk) / "series.toml"
    toml.write_text(toml.read_text().replace("6.1..6.2", "6.1..6.13"))
    before = contents(patchset(desk))
    resolve(rebase.begin(newer(), ["demo"]))
    assert rebase.proceed(None).done
    after = contents(patchset(desk))
    assert {name for name in before if before[name] != after[name]} == {"series.toml"}
    kernels = {item.file: item.kernels for item in series.load("demo").patches}
    assert (kernels[SECOND], kernels[f"6.12/{SECOND}"]) == (["6.1..6.12"], ["6.12..6.13"])
    assert kernels[THIRD] == ["6.1..6.13"]


def test_a_point_release_of_the_same_line_rewrites_in_place(desk: Desk) -> None:
    desk.edit(FILE, "\tint one_a;\n", "\t/* a */\n\tint one_a;\n")
    desk.edit("Makefile", "SUBLEVEL = 5", "SUBLEVEL = 9")
    desk.commit("mm: upstream goes on")
    done = rebase.begin(desk.tree(), ["demo"])
    assert done.done
    assert {item.what for item in done.changes} == {"rewritten"}
    assert [item.kernels for item in series.load("demo").patches] == [["6.1..6.2"]] * 3
    tried = apply.try_series(desk.tree(), series.resolve(["demo"]))
    assert {str(item.outcome) for item in tried.patches} == {"applied"}


@pytest.mark.parametrize(
    ("work", "complaint"),
    [
        (lambda path: None, "not resolved yet: mm/x.c"),
        (lambda path: run_git(path, "add", FILE), "conflict markers are left in mm/x.c"),
    ],
)
def test_continue_refuses_what_is_not_resolved(desk: Desk, work: object, complaint: str) -> None:
    done = rebase.begin(newer(), ["demo"])
    work(done.worktree)  # type: ignore[operator]
    with pytest.raises(CheckError, match=complaint):
        rebase.proceed("newer")


def test_the_users_own_am_continue_counts(desk: Desk) -> None:
    done = rebase.begin(newer(), ["demo"])
    resolve(done)
    assert done.worktree is not None
    run_git(done.worktree, "am", "--continue")
    assert rebase.proceed(None).done
    assert b"From: Ann Author" in contents(patchset(desk))[f"6.12/{SECOND}"]


def test_a_skipped_patch_is_left_out_for_this_tree_only(desk: Desk) -> None:
    rebase.begin(newer(), ["demo"])
    done = rebase.skip(None)
    assert [step.how for step in done.steps] == ["applied", "dropped", "applied"]
    kernels = {item.file: item.kernels for item in series.load("demo").patches}
    assert kernels[SECOND] == ["6.1..6.2"]
    assert kernels[THIRD] == ["6.1..6.2", "6.12..6.13"]


def test_giving_up_leaves_everything_as_it_was(desk: Desk) -> None:
    before = contents(patchset(desk))
    done = rebase.begin(newer(), ["demo"])
    resolve(done)
    assert rebase.abort(None) == "newer"
    assert contents(patchset(desk)) == before
    assert done.worktree is not None
    assert not done.worktree.exists()
    with pytest.raises(UserError, match="say which rebase"):
        rebase.proceed(None)
    with pytest.raises(UserError, match="no rebase onto newer"):
        rebase.proceed("newer")


def test_a_second_rebase_onto_the_same_tree_is_refused(desk: Desk) -> None:
    rebase.begin(newer(), ["demo"])
    with pytest.raises(UserError, match="a rebase onto newer is under way"):
        rebase.begin(newer(), ["demo"])


class Killed(BaseException):
    """What no handler of ours catches."""


@pytest.mark.parametrize("step", range(8))
def test_killed_anywhere_it_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Each time that the state or a series would be written, the process dies right there."""
    count = 0

    def dying(real: object) -> object:
        def call(self: object, *args: object) -> object:
            nonlocal count
            count += 1
            if count == step + 1:
                raise Killed
            return real(self, *args)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        patch.setattr(rebase_state.State, "save", dying(rebase_state.State.save))
        patch.setattr(refresh.Change, "write", dying(refresh.Change.write))
        patch.setattr(rebase_state.State, "remove", dying(rebase_state.State.remove))
        try:
            done = rebase.begin(newer(), ["demo"])
            resolve(done)
            rebase.proceed(None)
        except Killed:
            pass
        else:
            assert step > 5, "nothing was killed"
    if not rebase_state.under_way():
        if not (patchset(desk) / "6.12").exists():  # killed before it had begun
            resolve(rebase.begin(newer(), ["demo"]))
            rebase.proceed(None)
    else:
        done = rebase.status("newer")
        if not done.worktree and not (layout.cache_dir("rebase") / "newer" / "linux").exists():
            done = rebase.proceed("newer")
        if not done.done:
            if done.worktree and "<<<<<<<" in (done.worktree / FILE).read_text():
                resolve(done)
            done = rebase.proceed("newer")
        if not done.done:
            resolve(done)
            done = rebase.proceed("newer")
        assert done.done
    files = set(contents(patchset(desk)))
    assert files == {"series.toml", FIRST, SECOND, THIRD, f"6.12/{SECOND}"}
    assert series_check.check(series.load("demo")) == []


def test_the_wrong_function_waits_in_the_index(desk: Desk, small_tree: SmallTree) -> None:
    body = "\tint a;\n\tint b;\n\tint c;\n"
    twin = "int {0}(void)\n{{\n" + body + "\treturn 0;\n}}\n\n"
    (desk.linux / "mm/twin.c").write_text(twin.format("alpha"))
    desk.commit("mm: alpha")
    base = desk.git("rev-parse", "HEAD")
    desk.edit("mm/twin.c", "\tint b;\n", "\tint b;\n\tint new;\n")
    desk.commit("mm: add to alpha()")
    desk.series("twin", base)
    other = twin.format("alpha").replace(body, "\tnothing();\n") + twin.format("beta")
    tree.add(str(small_tree("6.12.4", {"mm/twin.c": other}, name="rewritten")))
    done = rebase.begin(tree.find("rewritten"), ["twin"])
    assert done.worktree is not None
    assert done.note is not None
    assert "landed in beta()" in done.note
    path = done.worktree / "mm/twin.c"
    assert "int new" in path.read_text()
    path.write_text(other.replace("\tnothing();\n", "\tnothing();\n\tint new;\n"))
    with pytest.raises(CheckError, match="not added yet"):
        rebase.proceed(None)
    run_git(done.worktree, "add", "--all")
    assert rebase.proceed(None).done
    made = (desk.data / "patchsets/twin/6.12/0001-mm-add-to-alpha.patch").read_text()
    assert "From: Ann Author" in made
    assert "nothing();\n+\tint new;" in made


def test_the_command_exits_with_the_conflict_as_data(desk: Desk) -> None:
    argv = ["series", "rebase", "--onto", "newer", "demo", "--json"]
    with pytest.raises(CheckError, match=f"demo/{SECOND} does not go onto newer") as caught:
        CliRunner().invoke(cli, argv, catch_exceptions=False, standalone_mode=False)
    assert isinstance(caught.value.data, rebase.Rebased)
    resolve(caught.value.data)
    done = CliRunner().invoke(
        cli, ["series", "rebase", "--continue", "--json"], catch_exceptions=False
    )
    assert json.loads(done.stdout)["done"] is True


def test_a_tree_that_needs_nothing_is_told(desk: Desk) -> None:
    toml = patchset(desk) / "series.toml"
    toml.write_text(f'{toml.read_text()}\n[[upstream]]\nkernels = ["6.12.."]\n')
    before = contents(patchset(desk))
    argv = ["series", "rebase", "--onto", "newer", "demo"]
    shown = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert "newer needs no patch of these series" in shown.stdout
    assert contents(patchset(desk)) == before
    assert rebase_state.under_way() == []


def test_a_series_that_contradicts_the_tree_begins_no_rebase(desk: Desk) -> None:
    toml = patchset(desk) / "series.toml"
    upstream = '[[upstream]]\nkernels = ["6.12.."]\n[[probe]]\npath = "mm/x.c"\nregex = "nowhere"\n'
    toml.write_text(f"{toml.read_text()}\n{upstream}")
    with pytest.raises(CheckError, match="its probe finds no trace"):
        rebase.begin(newer(), ["demo"])
    assert rebase_state.under_way() == []
