# SPDX-License-Identifier: GPL-2.0-only
"""A board on a kernel that some of its series are not for: built without them, and said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sku_build import composition
from sku_build.errors import UserError
from sku_build.version import KernelVersion

from . import test_apply
from .patch_repo import Repo
from .test_apply import run

linux = test_apply.linux
BOARD = """\
name = "tiny"
summary = "A test"
arch = "arm64"
series = ["demo", "user", "other"]
cmdline = ""
config = { base = "defconfig", fragments = [] }
machine = { cpus = 1, memory_gib = 1 }
"""
HEAD = 'name = "{}"\nversion = "1.0.0"\nsummary = "a test"\n'
NOT_HERE = '[[unavailable]]\nkernels = ["6.0..6.2"]\nreason = "nobody wrote it"\n'


@pytest.fixture
def data(linux: Repo) -> Path:
    """Series "user" requires "gone", which is not for 6.1; "other" has nothing, and no reason."""
    data = linux.path.parent / "data"
    for name, text in (
        ("gone", NOT_HERE),
        ("user", 'requires = ["gone"]\n'),
        ("other", ""),
    ):
        path = data / "patchsets" / name / "series.toml"
        path.parent.mkdir()
        head, _, rest = HEAD.format(name).partition("\n")
        lead = text if text.startswith("requires") else ""
        path.write_text(f"{head}\n{lead}{rest}{text.removeprefix(lead)}")
    board = data / "boards" / "tiny"
    board.mkdir(parents=True)
    (board / "board.toml").write_text(BOARD)
    return data


def names(version: str) -> tuple[list[str], dict[str, str]]:
    found = composition.compose(["demo", "user", "other"], KernelVersion.parse(version))
    return [item.name for item in found.series], {i.series: i.reason for i in found.left_out}


def test_what_is_not_for_a_kernel_is_left_out_with_all_that_requires_it(data: Path) -> None:
    left = {"gone": "nobody wrote it", "user": "it needs gone"}
    assert names("6.1.5") == (["demo", "other"], left)
    assert names("6.2") == (["demo", "gone", "user", "other"], {})


def test_apply_says_what_a_board_goes_without(data: Path) -> None:
    result = run("apply", "--tree", "linux", "--board", "tiny")
    assert "tiny on 6.1.5 goes without gone: nobody wrote it" in result.stderr
    assert "tiny on 6.1.5 goes without user: it needs gone" in result.stderr
    shown = json.loads(run("apply", "--tree", "linux", "--board", "tiny", "--json").stdout)
    assert [item["series"] for item in shown["left_out"]] == ["gone", "user"]
    assert {item["outcome"] for item in shown["patches"]} == {"applied"}


def test_nearest_leaves_nothing_out(data: Path) -> None:
    shown = run("apply", "--tree", "linux", "--board", "tiny", "--nearest", "--json")
    assert json.loads(shown.stdout)["left_out"] == []


def test_who_asks_for_it_by_name_gets_the_reason(data: Path) -> None:
    path = data / "patchsets" / "gone"
    source = next((data / "patchsets" / "demo").glob("0001-*.patch"))
    (path / source.name).write_bytes(source.read_bytes())
    toml = path / "series.toml"
    entry = f'[[patch]]\nfile = "{source.name}"\nkernels = ["6.12..6.13"]\n'
    toml.write_text(toml.read_text() + entry)
    with pytest.raises(UserError, match=r"gone has no patch for kernel 6\.1\.5: nobody wrote it"):
        run("apply", "--tree", "linux", "--series", "user")
