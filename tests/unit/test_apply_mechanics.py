# SPDX-License-Identifier: GPL-2.0-only
"""Applying gives the commits `git am` would give, whatever the patches do and git is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import git
from sku_build.outcome import Outcome

from . import patch_repo
from .patch_repo import Repo, attempt, function, padding

ANY = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return patch_repo.new(tmp_path / "repo")


def plain_am(repo: Repo, base: str, paths: list[Path]) -> str:
    """Return the tip `git am` makes of the mails in a full checkout."""
    repo.git("checkout", "--quiet", "--detach", base)
    repo.git("am", "-3", "--keep-cr", "--committer-date-is-author-date", *map(str, paths))
    return repo.git("rev-parse", "HEAD")


def test_the_commits_are_those_of_git_am(repo: Repo) -> None:
    """Several patches on a file, renames, new, deleted, binary, CR LF, modes, odd names."""
    base = repo.commit(
        {
            "mm/x.c": ANY,
            "mm/old.c": ANY.replace("line", "row"),
            "gone.c": "x\n",
            "crlf.c": ANY.replace("\n", "\r\n"),
            "untouched/deep/file.c": "y\n",
            "tool": "#!/bin/sh\n",
        }
    )
    first = repo.commit({"mm/x.c": ANY.replace("line 3\n", "line three\n")}, on=base)
    moved = ANY.replace("line", "row").replace("row 9\n", "row nine\n")
    second = repo.commit({"mm/old.c": None, "drivers/new.c": moved}, on=first)
    third = repo.commit(
        {"drivers/new.c": moved + "end\n", "mm/x.c": ANY, "gone.c": None}, on=second
    )
    crlf = ANY.replace("\n", "\r\n").replace("line 5\r", "line five\r")
    odd: dict[str, str | None] = {
        "with space.c": "é\n",
        "crlf.c": crlf,
        "é.c": "no end of line",
        "bin": "a\0b" * 90,
    }
    fourth = repo.commit(odd, on=third, subject="mm: ünusual")
    repo.git("checkout", "--quiet", "--detach", fourth)
    (repo.path / "tool").chmod(0o755)
    fifth = repo.commit_here({}, subject="tool: run it")
    paths = repo.mails(base, fifth, repo.path.parent / "mails", "--binary", "-M")
    found, tip = attempt(repo, base, paths)
    assert [item.outcome for item in found] == [Outcome.APPLIED] * 5
    assert tip == plain_am(repo, base, paths)
    assert repo.git("rev-parse", f"{tip}^{{tree}}") == repo.git("rev-parse", f"{fifth}^{{tree}}")


def test_shifted_and_merged_commits_are_those_of_git_am_too(repo: Repo) -> None:
    base = repo.commit({"a.c": ANY, "b.c": ANY})
    first = repo.commit({"a.c": ANY.replace("line 20\n", "twenty\n")}, on=base)
    second = repo.commit({"b.c": ANY.replace("line 20\n", "twenty\n")}, on=first)
    paths = repo.mails(base, second, repo.path.parent / "mails")
    tree = repo.commit({"a.c": "new\n" + ANY, "b.c": "x\nx\n" + ANY.replace("line 22\n", "22\n")})
    found, tip = attempt(repo, tree, paths)
    assert [item.outcome for item in found] == [Outcome.OFFSET, Outcome.MERGED]
    assert [[place.offset for place in item.hunks] for item in found] == [[1], [2]]
    assert tip == plain_am(repo, tree, paths)


def test_a_file_that_was_moved_is_followed(repo: Repo) -> None:
    base = repo.commit({"mm/x.c": ANY})
    tip = repo.commit({"mm/x.c": ANY.replace("line 20\n", "twenty\n")}, on=base)
    paths = repo.mails(base, tip, repo.path.parent / "mails")
    elsewhere = ANY.replace("line 1\n", "one\n")
    tree = repo.commit({"mm/moved/x.c": elsewhere, "lib/x.c": "other\n"})
    (found,), made = attempt(repo, tree, paths)
    assert found.outcome is Outcome.MERGED
    assert "twenty" in repo.git("show", f"{made}:mm/moved/x.c")
    assert repo.git("ls-tree", "--name-only", str(made), "mm/x.c") == ""


def test_a_merge_finds_bases_that_only_earlier_patches_make(repo: Repo, tmp_path: Path) -> None:
    """The second patch's base is in no tree: it is what the first makes of the original one."""
    other = patch_repo.new(tmp_path / "other")
    base = other.commit({"a.c": ANY})
    first = other.commit({"a.c": ANY.replace("line 5\n", "five\n")}, on=base)
    second = other.commit(
        {"a.c": ANY.replace("line 5\n", "five\n").replace("line 20\n", "twenty\n")}, on=first
    )
    paths = other.mails(base, second, tmp_path / "mails")
    repo.commit({"a.c": ANY})
    # The first needs no merge, which would have made that base by the way.
    tree = repo.commit({"a.c": "new\n" + ANY.replace("line 22\n", "22\n")})
    found, _ = attempt(repo, tree, paths)
    assert [item.outcome for item in found] == [Outcome.OFFSET, Outcome.MERGED]


def test_one_patch_of_an_exact_series_that_git_refuses_does_not_hide_the_others(repo: Repo) -> None:
    base = repo.commit({"a.c": ANY, "b.c": ANY})
    first = repo.commit({"a.c": ANY + "a\n"}, on=base)
    second = repo.commit({"b.c": ANY + "b\n"}, on=first)
    paths = repo.mails(base, second, repo.path.parent / "mails")
    paths[1].write_text(paths[1].read_text().replace(" line 29\n", " line twenty-nine\n"))
    found, _ = attempt(repo, base, paths)
    assert [item.outcome for item in found] == [Outcome.APPLIED, Outcome.CONFLICT]


def test_a_wrong_function_after_a_merge_is_told(repo: Repo) -> None:
    """The merge aligns the file's halves, so that the change ends up in the twin."""
    from sku_build import diff, landing

    text = function("alpha_probe") + padding("GAP", 8) + function("beta_probe")
    base = repo.commit({"x.c": text})
    after = text.replace("\tstate = get_state(dev);\n", "\tstate = get_state(dev);\n\tfix();\n", 1)
    right = diff.parse(repo.git("diff", base, repo.commit({"x.c": after}, on=base)), where="x")
    head, _, tail = text.rpartition("\tstate = get_state(dev);\n")
    misplaced = f"{head}\tstate = get_state(dev);\n\tfix();\n{tail}"
    wrong = diff.parse(repo.git("diff", base, repo.commit({"x.c": misplaced}, on=base)), where="x")
    assert landing.wrong_functions(landing.merged(right, right), {"x.c": text}) == []
    (said,) = landing.wrong_functions(landing.merged(right, wrong), {"x.c": text})
    assert "written for alpha_probe(), landed in beta_probe()" in said


@pytest.fixture
def hostile_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose git configuration breaks every naive call."""
    home = tmp_path / "home"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for name in (
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "pre-commit",
        "post-checkout",
    ):
        (hooks / name).write_text("#!/bin/sh\necho hook >&2\nexit 1\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"""[commit]
\tgpgsign = true
[gpg]
\tprogram = /bin/false
[core]
\thooksPath = {hooks}
\tautocrlf = true
\tattributesFile = {home}/attributes
[am]
\tthreeWay = false
\tkeepcr = false
[apply]
\twhitespace = error
\tignoreWhitespace = change
[diff]
\tnoprefix = true
\texternal = /bin/false
[mailinfo]
\tscissors = true
[merge]
\tconflictStyle = diff3
[i18n]
\tcommitEncoding = ISO-8859-1
[user]
\tuseConfigOnly = true
"""
    )
    for attributes in (home / "attributes", home / ".config" / "git" / "attributes"):
        attributes.parent.mkdir(parents=True, exist_ok=True)
        attributes.write_text("* text=auto eol=crlf merge=binary\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    return home


def test_the_users_git_configuration_does_not_matter(
    repo: Repo, tmp_path: Path, hostile_home: Path
) -> None:
    base = repo.commit({"a.c": ANY})
    changed = ANY.replace("line 20\n", "trailing space \n")
    tip = repo.commit({"a.c": changed}, on=base, subject="mm: é")
    paths = repo.mails(base, tip, tmp_path / "mails")
    base = repo.commit({"a.c": ANY.replace("line 22\n", "22\n")})
    expected = plain_am(repo, base, paths)
    hooks = repo.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in (hostile_home / "hooks").iterdir():
        (hooks / hook.name).write_bytes(hook.read_bytes())
        (hooks / hook.name).chmod(0o755)
    with (repo.path / ".git" / "config").open("a") as config:
        config.write((hostile_home / ".gitconfig").read_text())
    (found,), made = attempt(repo, base, paths)
    assert (found.outcome, made) == (Outcome.MERGED, expected)
    assert "encoding" not in repo.git("cat-file", "commit", str(made))
    facts = git.git(
        "log", "-1", "--format=%an %cn %ce %at=%ct %G?", str(made), cwd=repo.path
    ).stdout
    assert facts == "Ann Author sku sku@localhost 1700000000=1700000000 N\n"


def test_nothing_is_left_when_it_is_interrupted(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sku_build.scratch import Scratch

    base = repo.commit({"a.c": ANY})
    paths = repo.mails(base, repo.commit({"a.c": ANY + "x\n"}, on=base), tmp_path / "mails")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = repo.git("count-objects", "-v"), repo.git("for-each-ref")

    def interrupt(self: Scratch, *mails: object) -> None:
        assert list(temporary.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(Scratch, "am", interrupt)
    with pytest.raises(KeyboardInterrupt):
        attempt(repo, base, paths)
    assert list(temporary.iterdir()) == []
    assert (repo.git("count-objects", "-v"), repo.git("for-each-ref")) == before
