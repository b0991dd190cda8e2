# SPDX-License-Identifier: GPL-2.0-only
"""Debian's own kernel sources, by name, in the real cache."""

from __future__ import annotations

import time

import pytest

from sku_build import tree
from sku_build.git import git, read_file
from sku_build.version import makefile_version

pytestmark = pytest.mark.tree


def test_6_1_comes_from_the_distribution_and_says_which(linux_6_1: tree.Tree) -> None:
    assert linux_6_1.kind == "distribution"
    assert linux_6_1.kernel.line == "6.1"
    assert linux_6_1.origin.startswith(f"linux-source-6.1 {linux_6_1.version}-")


def test_the_version_comes_from_the_tree(linux_6_1: tree.Tree) -> None:
    text = read_file(linux_6_1.commit, "Makefile", cwd=linux_6_1.repository)
    assert text is not None
    assert makefile_version(text) == linux_6_1.version


def test_adding_it_again_does_no_work(linux_6_1: tree.Tree) -> None:
    packs = sorted((linux_6_1.repository / "objects/pack").iterdir())
    begin = time.monotonic()
    assert tree.add("6.1") == linux_6_1
    assert time.monotonic() - begin < 2
    assert sorted((linux_6_1.repository / "objects/pack").iterdir()) == packs


def test_the_whole_tree_is_there(linux_6_1: tree.Tree) -> None:
    summary = tree.summary(linux_6_1)
    assert summary.files > 70_000
    listed = git("ls-tree", "-r", linux_6_1.commit, cwd=linux_6_1.repository).stdout
    modes = {line.split("\t")[1]: line[:6] for line in listed.splitlines()}
    assert modes["scripts/checkpatch.pl"] == "100755"
    assert modes["scripts/dtc/include-prefixes/arm64"] == "120000"
    assert modes["mm/page_alloc.c"] == "100644"


def test_a_three_way_merge_finds_its_base_blobs(linux_6_1: tree.Tree) -> None:
    """A patch whose context changed since its base applies by way of the base's blob."""
    source = tree.source_dir(linux_6_1, linux_6_1.commit, slot="tests")
    file = source / "mm/Kconfig"
    lines = file.read_text().splitlines(keepends=True)
    try:
        file.write_text("".join([*lines[:40], "# wanted\n", *lines[40:]]))
        patch = git("diff", "--full-index", cwd=source).stdout
        file.write_text("".join([*lines[:38], "# in the way\n", *lines[38:]]))
        git("add", "--update", cwd=source)
        plain = git("apply", "--cached", "-C3", cwd=source, stdin=patch, check=False)
        assert plain.status != 0, "the context was meant to differ"
        git("apply", "--3way", cwd=source, stdin=patch)
        merged = file.read_text()
        assert "# wanted\n" in merged
        assert "# in the way\n" in merged
    finally:
        tree.source_dir(linux_6_1, linux_6_1.commit, slot="tests")
    assert file.read_text() == "".join(lines)
