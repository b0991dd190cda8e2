# SPDX-License-Identifier: GPL-2.0-only
"""`sku apply`: all or nothing on the user's branch, nothing at all anywhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sku_build import apply, scratch, series, tree
from sku_build.cli import cli
from sku_build.errors import CheckError, SkuError, UserError
from sku_build.outcome import Outcome

from .patch_repo import Repo

TEXT = "".join(f"line {number}\n" for number in range(30))
SmallTree = Callable[..., Path]
HEAD = 'name = "{name}"\nversion = "1.0.0"\nsummary = "a test"\n{more}'
PATCH = '[[patch]]\nfile = "{file}"\nkernels = ["{kernels}"]\n'


@pytest.fixture
def linux(small_tree: SmallTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A registered checkout "linux", and data whose series "demo" has two patches for it."""
    monkeypatch.setenv("SKU_DATA", str(tmp_path / "data"))
    repo = Repo(small_tree(version="6.1.5", files={"mm/a.c": TEXT, "mm/b.c": TEXT}))
    base = repo.git("rev-parse", "HEAD")
    first = repo.commit({"mm/a.c": TEXT.replace("line 9\n", "nine\n")}, on=base, subject="mm: a")
    second = repo.commit({"mm/b.c": TEXT.replace("line 9\n", "nine\n")}, on=first, subject="mm: b")
    make_series(repo, base, second, "demo")
    repo.git("branch", "--quiet", "-D", "made")
    tree.add(str(repo.path))
    return repo


def make_series(
    repo: Repo, since: str, until: str, name: str, *, kernels: str = "5.10..6.11", more: str = ""
) -> None:
    directory = repo.path.parent / "data" / "patchsets" / name
    files = repo.mails(since, until, directory)
    entries = [PATCH.format(file=file.name, kernels=kernels) for file in files]
    text = HEAD.format(name=name, more=more) + "".join(entries)
    (directory / "series.toml").write_text(text)


def snapshot(repo: Repo) -> tuple[object, ...]:
    """Return all a failure could have left: refs and objects of both repositories, work tree."""
    cache = tree.cache_repository()
    return (
        repo.git("for-each-ref"),
        repo.git("status", "--porcelain"),
        repo.git("worktree", "list"),
        repo.git("count-objects", "-v"),
        sorted(path.name for path in (repo.path / ".git").iterdir()),
        sorted(str(path.relative_to(cache)) for path in cache.rglob("*")),
        sorted(path.name for path in cache.parent.rglob("*.json")),
    )


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, [*args], catch_exceptions=False, standalone_mode=False)


def test_the_branch_holds_the_patches_and_nothing_else_changed(linux: Repo) -> None:
    before = linux.git("rev-parse", "HEAD"), linux.git("status", "--porcelain", "--branch")
    result = run("apply", "--tree", "linux", "--series", "demo", "--branch", "sku/demo", "--json")
    applied = json.loads(result.stdout)
    assert [item["outcome"] for item in applied["patches"]] == ["applied", "applied"]
    assert applied["branch"] == "sku/demo"
    assert applied["commit"] == linux.git("rev-parse", "sku/demo")
    assert applied["patches"][1]["commit"] == applied["commit"]
    assert linux.git("log", "--format=%s", "main..sku/demo").split("\n") == ["mm: b", "mm: a"]
    assert linux.git("diff", "--name-only", "main", "sku/demo").split() == ["mm/a.c", "mm/b.c"]
    assert linux.git("rev-parse", "sku/demo~2") == before[0]
    assert before == (
        linux.git("rev-parse", "HEAD"),
        linux.git("status", "--porcelain", "--branch"),
    )
    branches = linux.git("for-each-ref", "--format=%(refname:short)").split()
    assert branches == ["main", "sku/demo"]


def test_asking_again_does_no_work(linux: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    found, wanted = tree.find("linux"), series.resolve(["demo"])
    first = apply.apply_series(found, wanted, branch=None)

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("applied again")

    with monkeypatch.context() as patch:
        patch.setattr(apply, "scratch", fail)
        assert apply.apply_series(found, wanted, branch=None) == first
        assert apply.apply_series(found, wanted, branch="later").commit == first.commit
    assert linux.git("rev-parse", "later") == first.commit
    path = wanted[0].directory / wanted[0].patches[1].file
    path.write_text(path.read_text().replace("+nine", "+NINE"))
    assert apply.apply_series(found, series.resolve(["demo"]), branch=None).commit != first.commit


def test_the_result_is_in_the_cache_without_a_branch(linux: Repo) -> None:
    applied = apply.apply_series(tree.find("linux"), series.resolve(["demo"]), branch=None)
    source = tree.source_dir(tree.find("linux"), applied.commit, slot="test")
    assert "nine" in (source / "mm" / "b.c").read_text()
    assert linux.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_no_series_is_the_tree_itself(linux: Repo) -> None:
    applied = apply.apply_series(tree.find("linux"), [], branch=None)
    assert (applied.commit, applied.patches) == (linux.git("rev-parse", "main"), [])


@pytest.mark.parametrize("breaks", ["conflict", "wrong-function"])
def test_one_failure_leaves_nothing(linux: Repo, breaks: str) -> None:
    base = linux.git("rev-parse", "main")
    body = "\tint a;\n\tint b;\n\tint c;\n\treturn a;\n}\n\n"
    tail = "".join(f"#define X_{number}\n" for number in range(9))
    text = f"int alpha(void)\n{{\n{body}{tail}"
    old = linux.commit({"mm/a.c": text}, on=base)
    made = linux.commit({"mm/a.c": text.replace("\treturn a;", "\tfix();\n\treturn a;")}, on=old)
    make_series(linux, old, made, "extra", more='requires = ["demo"]\n')
    if breaks == "wrong-function":
        twin = linux.path / "mm" / "a.c"
        twin.write_text(TEXT + f"int beta(void)\n{{\n{body}{tail}")
        linux.commit_here({})
    before = snapshot(linux)
    with pytest.raises(CheckError, match=breaks) as caught:
        run("apply", "--tree", "linux", "--series", "extra", "--branch", "sku/extra")
    data = caught.value.data
    assert isinstance(data, dict)
    kinds = [item.outcome for item in data["patches"]]
    assert kinds == [Outcome.APPLIED, Outcome.APPLIED, Outcome(breaks)]
    assert snapshot(linux) == before


def test_an_interruption_leaves_nothing(linux: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    found, wanted = tree.find("linux"), series.resolve(["demo"])
    before = snapshot(linux)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch.Scratch, "commits_since", interrupt)
    with pytest.raises(KeyboardInterrupt):
        apply.apply_series(found, wanted, branch="sku/demo")
    assert snapshot(linux) == before


def test_a_mistake_is_told_before_anything_is_done(linux: Repo) -> None:
    main = linux.git("rev-parse", "main")
    later = linux.commit({"mm/late.c": "x\n"}, on=main)
    make_series(linux, main, later, "late", kernels="6.12..7.0")
    before = snapshot(linux)
    for message, *args in (
        ("no series 'dmo'", "--series", "dmo"),
        ("no board 'none'", "--board", "none"),
        ("branch 'main' already", "--series", "demo", "--branch", "main"),
        ("either --board or --series", "--series", "demo", "--board", "x"),
        ("either --board or --series",),
        ("no patch for kernel 6.1.5", "--series", "late"),
    ):
        with pytest.raises(UserError, match=message):
            run("apply", "--tree", "linux", *args)
    assert snapshot(linux) == before


def test_a_dirty_tree_is_refused(linux: Repo) -> None:
    (linux.path / "mm" / "a.c").write_text("changed\n")
    with pytest.raises(UserError, match="uncommitted changes in mm/a.c"):
        run("apply", "--tree", "linux", "--series", "demo", "--branch", "b")


def test_another_kernel_line_gets_the_nearest_range_and_a_note(linux: Repo) -> None:
    makefile = (linux.path / "Makefile").read_text().replace("VERSION = 6", "VERSION = 5", 1)
    linux.commit_here({"Makefile": makefile.replace("PATCHLEVEL = 1", "PATCHLEVEL = 4")})
    found = tree.find("linux")
    assert found.version.startswith("5.4")
    applied = apply.apply_series(found, series.resolve(["demo"]), branch=None)
    assert [item.outcome for item in applied.patches] == [Outcome.APPLIED] * 2
    assert "5.10..6.11" in applied.notes[0]


def test_check_with_a_tree_tries_and_keeps_nothing(linux: Repo) -> None:
    before = snapshot(linux)
    result = run("series", "check", "demo", "--tree", "linux", "--json")
    tried = json.loads(result.stdout)["tried"]
    assert [item["outcome"] for item in tried["patches"]] == ["applied", "applied"]
    assert snapshot(linux) == before
    linux.commit_here({"mm/b.c": "other\n"})
    with pytest.raises(CheckError) as caught:
        run("series", "check", "demo", "--tree", "linux")
    assert isinstance(caught.value, SkuError)
