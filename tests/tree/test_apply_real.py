# SPDX-License-Identifier: GPL-2.0-only
"""What applying promises, on real kernel sources; nothing of it is left in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build import apply, board, composition, git, series, tree
from sku_build.errors import UserError
from sku_build.outcome import Outcome, PatchOutcome
from sku_build.tree import Tree
from tests.tree.lines import LINES, those_for
from tests.unit import patch_repo
from tests.unit.patch_repo import Repo, attempt

pytestmark = pytest.mark.tree

READ = "ssize_t ksys_read(unsigned int fd, char __user *buf, size_t count)\n{\n"
TWIN_LINE = "\t\tloff_t pos, *ppos = file_ppos(f.file);\n"
ADDED = '\t\ttrace_printk("read %zu\\n", count);\n'


@pytest.fixture
def repo(linux_6_1: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """An empty repository that sees all objects of the 6.1 tree; what is made in it goes away."""
    monkeypatch.setenv("SKU_DATA", str(tmp_path))
    made = patch_repo.new(tmp_path / "repo")
    info = made.path / ".git"
    (info / "objects" / "info").mkdir(exist_ok=True)
    (info / "objects" / "info" / "alternates").write_text(f"{linux_6_1.repository}/objects\n")
    (info / "info").mkdir(exist_ok=True)
    # As the kernel's own .gitattributes has it, which nothing is checked out of here.
    (info / "info" / "attributes").write_text("*.c diff=cpp\n")
    return made


def text_of(linux: Tree, path: str) -> str:
    text = git.read_file(linux.commit, path, cwd=linux.repository)
    assert text is not None
    return text


def mails(repo: Repo, since: str, until: str) -> list[Path]:
    return repo.mails(since, until, repo.path.parent / "patchsets" / "demo")


def once(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, f"the tree has no {old!r}"
    return text.replace(old, new, 1)


def one(repo: Repo, base: str, paths: list[Path]) -> tuple[PatchOutcome, str | None]:
    (found,), tip = attempt(repo, base, paths)
    return found, tip


def test_the_twin_of_a_rewritten_function_is_refused(repo: Repo, linux_6_1: Tree) -> None:
    """ksys_write() has ksys_read()'s lines; git puts the patch there once the latter changed."""
    path = "fs/read_write.c"
    text = text_of(linux_6_1, path)
    patched = repo.commit({path: once(text, TWIN_LINE, TWIN_LINE + ADDED)}, on=linux_6_1.commit)
    paths = mails(repo, linux_6_1.commit, patched)
    begin = text.index(READ) + len(READ)
    end = text.index("\n}\n", begin)
    rewritten = text[:begin] + "\treturn read_by_descriptor(fd, buf, count);" + text[end:]
    base = repo.commit({path: rewritten}, on=linux_6_1.commit)
    repo.git("checkout", "--quiet", base, "--", path)
    assert repo.git("apply", "--check", str(paths[0])) == "", "git itself is content"
    found, tip = one(repo, base, paths)
    assert (found.outcome, tip) == (Outcome.WRONG_FUNCTION, None)
    assert "written for ksys_read(), landed in ksys_write()" in (found.detail or "")


def test_the_same_patch_in_its_own_function_is_applied_with_an_offset(
    repo: Repo, linux_6_1: Tree
) -> None:
    path = "fs/read_write.c"
    text = text_of(linux_6_1, path)
    patched = repo.commit({path: once(text, TWIN_LINE, TWIN_LINE + ADDED)}, on=linux_6_1.commit)
    paths = mails(repo, linux_6_1.commit, patched)
    extra = "static ssize_t new_in_front(void)\n{\n\treturn 0;\n}\n\n"
    base = repo.commit({path: once(text, READ, extra + READ)}, on=linux_6_1.commit)
    found, tip = one(repo, base, paths)
    assert found.outcome is Outcome.OFFSET
    assert [place.offset for place in found.hunks] == [5]
    made = repo.git("show", f"{tip}:{path}")
    assert made.index(READ) < made.index(ADDED.strip()) < made.index("ssize_t ksys_write")


MEMBLOCK = "mm/memblock.c"
SPECIAL = "\t/* special case for empty array */\n"
EARLY = "\tif (!size)\n\t\treturn 0;\n\n"


def test_what_the_tree_has_already_is_found_by_its_reverse(repo: Repo, linux_6_1: Tree) -> None:
    """The mail adds lines to an older memblock.c that 6.1 has, word for word."""
    text = text_of(linux_6_1, MEMBLOCK)
    older = repo.commit({MEMBLOCK: once(text, EARLY + SPECIAL, SPECIAL)}, on=linux_6_1.commit)
    newer = repo.commit({MEMBLOCK: text}, on=older)
    paths = mails(repo, older, newer)
    found, tip = one(repo, linux_6_1.commit, paths)
    assert (found.outcome, tip) == (Outcome.UPSTREAM, linux_6_1.commit)


def test_what_the_tree_has_already_is_found_by_a_merge(repo: Repo, linux_6_1: Tree) -> None:
    """As before, but the older file's lines around differ: only a merge sees it."""
    text = text_of(linux_6_1, MEMBLOCK)
    lacking = once(text, EARLY + SPECIAL, SPECIAL)
    around = "\tint idx, nr_new;\n\tstruct memblock_region *rgn;\n"
    lacking = once(lacking, around, "\tint nr_new, idx;\n\tstruct memblock_region *rgn;\n")
    older = repo.commit({MEMBLOCK: lacking}, on=linux_6_1.commit)
    newer = repo.commit({MEMBLOCK: once(lacking, SPECIAL, EARLY + SPECIAL)}, on=older)
    found, tip = one(repo, linux_6_1.commit, mails(repo, older, newer))
    assert (found.outcome, tip) == (Outcome.UPSTREAM, linux_6_1.commit)
    assert "merge" in (found.detail or "")


def test_a_patch_of_an_older_tree_is_merged(repo: Repo, linux_6_1: Tree) -> None:
    text = text_of(linux_6_1, MEMBLOCK)
    around = "\tint idx, nr_new;\n\tstruct memblock_region *rgn;\n\n"
    older_text = once(text, around, around.replace("idx, nr_new", "nr_new, idx"))
    older = repo.commit({MEMBLOCK: older_text}, on=linux_6_1.commit)
    new_text = once(
        older_text, EARLY + SPECIAL, "\tif (!size || !type)\n\t\treturn 0;\n\n" + SPECIAL
    )
    newer = repo.commit({MEMBLOCK: new_text}, on=older)
    found, tip = one(repo, linux_6_1.commit, mails(repo, older, newer))
    assert found.outcome is Outcome.MERGED
    made = repo.git("show", f"{tip}:{MEMBLOCK}")
    assert "if (!size || !type)" in made
    assert "\tint idx, nr_new;\n" in made
    assert repo.git("diff", "--name-only", linux_6_1.commit, str(tip)) == MEMBLOCK


def test_a_conflict_shows_both_sides_and_that_there_is_no_history(
    repo: Repo, linux_6_1: Tree
) -> None:
    text = text_of(linux_6_1, MEMBLOCK)
    older_text = once(text, EARLY + SPECIAL, "\tif (size == 0)\n\t\treturn 0;\n\n" + SPECIAL)
    older = repo.commit({MEMBLOCK: older_text}, on=linux_6_1.commit)
    newer = repo.commit({MEMBLOCK: once(older_text, "(size == 0)", "(size < 1)")}, on=older)
    found, tip = one(repo, linux_6_1.commit, mails(repo, older, newer))
    assert (found.outcome, tip) == (Outcome.CONFLICT, None)
    (place,) = found.conflicts
    assert (place.file, place.ours) == (MEMBLOCK, "\tif (!size)")
    assert place.theirs == "\tif (size < 1)"
    assert found.upstream == "unknown: the tree has no history to search"


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", [*series.names(), "all of them"])
def test_every_series_goes_on_every_line_it_is_for(name: str, line: str) -> None:
    on = tree.ensure(line)
    names = [name] if name in series.names() else series.names()
    wanted = those_for(on, names)
    if not wanted:
        with pytest.raises(UserError, match=f"has no patch for kernel {line}"):
            apply.apply_series(on, series.resolve(names), branch=None)
        return
    applied = apply.apply_series(on, wanted, branch=None)
    assert len(applied.patches) == sum(len(item.patches) for item in wanted)
    assert not [item for item in applied.patches if item.outcome.failed]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", board.names())
def test_every_board_goes_on_every_line_and_says_what_it_goes_without(name: str, line: str) -> None:
    on = tree.ensure(line)
    chosen = composition.of_board(board.load(name), on.kernel)
    applied = apply.apply_series(on, chosen.series, branch=None)
    assert not [item for item in applied.patches if item.outcome.failed]
    wanted = {item.name for item in series.resolve(board.load(name).series)}
    assert {item.name for item in chosen.series} == wanted - {i.series for i in chosen.left_out}
    assert all(item.reason for item in chosen.left_out)


def test_no_series_is_for_no_line() -> None:
    trees = [tree.ensure(line) for line in LINES]
    found = {item.name for on in trees for item in those_for(on, series.names())}
    assert found == set(series.names())
