# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for all tests: nothing of the user's configuration or cache reaches a unit test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sku_build import tree

# A shell that starts the tests in the background has them ignore it, and the tests of it with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

HOSTILE_GIT_CONFIG = """\
[user]
    name = Somebody Else
    email = somebody@else.example
    signingKey = 0000000000000000
[commit]
    gpgSign = true
[tag]
    gpgSign = true
[gpg]
    program = /bin/false
[core]
    autocrlf = true
    hooksPath = {hooks}
    pager = /bin/false
    editor = /bin/false
[diff]
    noprefix = true
[apply]
    whitespace = error
[am]
    threeWay = false
    keepcr = true
[fetch]
    prune = true
[init]
    defaultBranch = some-branch
"""
_HOOKS = (
    "applypatch-msg",
    "pre-applypatch",
    "post-checkout",
    "pre-commit",
    "reference-transaction",
)
MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0
VERSION = {version}
PATCHLEVEL = {patchlevel}
SUBLEVEL = {sublevel}
EXTRAVERSION =
NAME = Curry Ramen
"""
SmallTree = Callable[..., Path]


def run_git(cwd: Path, *args: str) -> str:
    """Run git as a user would, with the user's (isolated) configuration switched off."""
    env = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", *who, *args], cwd=cwd, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture(autouse=True)
def isolated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path | None]:
    """Give a unit test a home, XDG directories and a cache of its own, and take GIT_* away."""
    if request.node.get_closest_marker("tree") or request.node.get_closest_marker("lab"):
        yield None
        return
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_", "SKU_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        for name, directory in (
            ("CACHE", ".cache"),
            ("CONFIG", ".config"),
            ("DATA", ".local/share"),
        ):
            patch.setenv(f"XDG_{name}_HOME", str(home / directory))
        patch.setenv("SKU_CACHE", str(home / "sku-cache"))
        yield home


@pytest.fixture
def hostile_git_config(isolated: Path | None) -> Path:
    """Make the user's git configuration sign, hook, convert and rename all it can; return it."""
    assert isolated is not None, "only for unit tests"
    hooks = isolated / "hooks"
    hooks.mkdir()
    for name in _HOOKS:
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    path = isolated / ".gitconfig"
    path.write_text(HOSTILE_GIT_CONFIG.format(hooks=hooks))
    return path


@pytest.fixture
def small_tree(tmp_path: Path) -> SmallTree:
    """Return a factory of git checkouts that look like a kernel to the toolkit.

    ``small_tree(version="6.1.5", files={"mm/a.c": "..."}, name="linux")`` makes ``tmp_path/linux``
    with a Makefile, the files, and one commit on the branch ``main``.
    """

    def make(
        version: str = "6.1.5", files: Mapping[str, str] | None = None, name: str = "linux"
    ) -> Path:
        path = tmp_path / name
        path.mkdir(parents=True)
        run_git(path, "init", "--quiet", "--initial-branch=main")
        numbers = [*version.split("."), "0"]
        makefile = MAKEFILE.format(version=numbers[0], patchlevel=numbers[1], sublevel=numbers[2])
        content = {"Makefile": makefile, "mm/init.c": "int init;\n", **(files or {})}
        for file, text in content.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(text)
        run_git(path, "add", "--all")
        run_git(path, "commit", "--quiet", "--message", f"Linux {version}")
        return path

    return make


@pytest.fixture(scope="session")
def linux_5_10() -> tree.Tree:
    """Debian's linux-source-5.10, downloaded into the real cache on first use."""
    return tree.ensure("5.10")


@pytest.fixture(scope="session")
def linux_6_1() -> tree.Tree:
    """Debian's linux-source-6.1, downloaded into the real cache on first use."""
    return tree.ensure("6.1")


@pytest.fixture(scope="session")
def linux_6_12() -> tree.Tree:
    """Debian's linux-source-6.12, downloaded into the real cache on first use."""
    return tree.ensure("6.12")


@pytest.fixture(scope="session")
def linux_7_3() -> tree.Tree:
    """Debian's linux-source-7.3, downloaded into the real cache on first use."""
    return tree.ensure("7.3")
