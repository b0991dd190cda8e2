# SPDX-License-Identifier: GPL-2.0-only
"""Every point release that the distribution offers: found in all suites, fetched once, checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import apt, run, tree
from sku_build.cli import cli
from sku_build.distribution import releases
from sku_build.errors import InfraError

from .maintainer import Desk, demo_desk
from .test_tree_tarball import a_package

desk = demo_desk
# What two suites list of one line, as apt-cache does: newest first, and a release in both.
LISTED = {
    "bookworm": ["6.1.9-2", "6.1.9-1", "6.1.7-1"],
    "bullseye": ["6.1.8-1~deb11u1", "6.1.7-1~deb11u1"],
}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """An archive with what LISTED says; return what has been fetched of it: suite, version."""
    if not run.have("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    done: list[tuple[str, str]] = []

    def candidate(package: str, suite: str) -> apt.Candidate | None:
        listed = LISTED.get(suite) if package == "linux-source-6.1" else None
        return apt.Candidate(package, listed[0], "all", 1) if listed else None

    def download(package: str, *, suite: str, version: str, into: Path) -> Path:
        done.append((suite, version))
        if version.startswith("6.1.8"):
            raise InfraError(f"cannot download {package} {version}:\n    404 Not Found")
        sublevel = version.partition("-")[0].rpartition(".")[2]
        makefile = f"VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = {sublevel}\nEXTRAVERSION =\n"
        return a_package(into, package, version, makefile)

    monkeypatch.setattr(apt, "candidate", candidate)
    monkeypatch.setattr(apt, "versions", lambda package, suite: LISTED.get(suite, []))
    monkeypatch.setattr(apt, "download", download)
    return done


@pytest.mark.usefixtures("fetched")
def test_of_one_release_it_is_the_newest_package_and_the_lines_own_suite_first() -> None:
    assert [(str(item.kernel), item.version, item.suite) for item in releases("6.1")] == [
        ("6.1.9", "6.1.9-2", "bookworm"),
        ("6.1.8", "6.1.8-1~deb11u1", "bullseye"),
        ("6.1.7", "6.1.7-1", "bookworm"),
    ]


def test_what_is_listed_and_gone_is_left_out_and_the_rest_is_fetched_once(
    fetched: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = tree.releases("6.1")
    assert [(item.name, item.origin) for item in found] == [
        ("6.1.7", "linux-source-6.1 6.1.7-1"),
        ("6.1.9", "linux-source-6.1 6.1.9-2"),
    ]
    assert "6.1.8 is left out: cannot download linux-source-6.1" in capsys.readouterr().err
    assert tree.all_trees() == []
    del fetched[:]
    assert tree.releases("6.1") == found
    assert fetched == [("bullseye", "6.1.8-1~deb11u1")]

    monkeypatch.setitem(LISTED, "bookworm", ["6.1.9-3", *LISTED["bookworm"]])
    assert tree.releases("6.1")[-1].origin == "linux-source-6.1 6.1.9-3"
    assert ("bookworm", "6.1.9-3") in fetched


def test_a_line_of_which_nothing_can_be_had_is_said(
    fetched: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LISTED, "bookworm", [])
    monkeypatch.setitem(LISTED, "bullseye", ["6.1.8-1~deb11u1"])
    with pytest.raises(InfraError, match=r"no release of 6\.1 can be had"):
        tree.releases("6.1")
    assert len(fetched) == 1


@pytest.mark.usefixtures("fetched")
def test_the_check_tells_each_patchs_outcome_on_each_and_on_a_vendors_tree(
    desk: Desk, small_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tree.add(str(small_tree("6.1.4", name="vendor")))
    argv = ["check", "--all-releases", "--no-checkpatch", "--json"]
    done = CliRunner().invoke(cli, [*argv, "--tree", "6.1", "--tree", vendor.name])
    assert done.exit_code == 3, done.output  # the patches are for the desk's own tree
    report = json.loads(done.stdout)
    assert report["trees"] == {"vendor": "6.1.4", "6.1.7": "6.1.7", "6.1.9": "6.1.9"}
    cells = {cell["tree"]: cell for cell in report["cells"] if cell["series"] == "demo"}
    assert {cell["state"] for cell in cells.values()} == {"fails"}
    assert set(cells["6.1.9"]["patches"].values()) <= {"conflict", "skipped"}
