# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sku_build import image, plan
from sku_build import tree as trees
from sku_build.cli.build import build
from sku_build.errors import UserError
from sku_build.metadata import Artefact, Metadata
from tests.unit.test_metadata import sample


class Called:
    """What the command asked the stations for."""

    def __init__(self) -> None:
        self.plan: dict[str, Any] = {}
        self.output = Path()


class Planned:
    """As much of a plan as the command looks at."""

    def __init__(self, llvm: bool, localversion: str, fragments: tuple[str, ...]) -> None:
        self.slot = "6.1"
        self.board = type("Board", (), {"name": "qemu-virt"})
        self.tree = type("Tree", (), {"version": "6.1.9"})
        self.toolchain = type("Toolchain", (), {"name": "llvm" if llvm else "gcc"})
        self.localversion = localversion
        self.fragments = fragments


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    called = Called()

    def make(tree: object, board: object, **options: Any) -> Planned:
        called.plan = {"tree": tree, "board": board, **options}
        return Planned(options["llvm"], options["localversion"], options["fragments"])

    def carry_out(planned: object, output: Path, *, strict: bool) -> Metadata:
        called.output = output
        artefacts = [Artefact("Image", 1 << 20, "f" * 64), Artefact("modules/a.ko", 1, "e" * 64)]
        return sample(release="6.1.9-x", artefacts=artefacts)

    monkeypatch.setattr(plan, "make", make)
    monkeypatch.setattr(image, "carry_out", carry_out)
    monkeypatch.setattr(
        trees, "ensure", lambda name: trees.Tree(name, "source", f"{name}.9", "", "", tmp_path)
    )
    return called


def invoke(*args: str) -> str:
    result = CliRunner().invoke(
        build, ["--tree", "6.1", "--board", "qemu-virt", *args], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_boards_series_are_the_default(called: Called) -> None:
    invoke()
    assert "deferred_init" in [item.name for item in called.plan["series"]]


def test_what_the_board_goes_without_reaches_the_plan_and_is_said(called: Called) -> None:
    result = CliRunner().invoke(
        build, ["--tree", "5.10", "--board", "qemu-virt"], catch_exceptions=False
    )
    assert "handover" not in [item.name for item in called.plan["series"]]
    left = {item.series: item.reason for item in called.plan["left_out"]}
    assert "needs handover" in left["pin_mem"]
    assert f"goes without pin_mem: {left['pin_mem']}" in result.stderr


def test_no_series_builds_the_tree_as_it_is(called: Called) -> None:
    invoke("--no-series")
    assert called.plan["series"] == ()


def test_series_and_no_series_contradict_each_other(called: Called) -> None:
    with pytest.raises(UserError, match="contradict"):
        invoke("--no-series", "--series", "deferred_init")


def test_options_reach_the_plan(called: Called) -> None:
    invoke("--llvm", "--no-ccache", "--jobs", "3", "--set", "CONFIG_A=y", "--localversion=-x")
    assert called.plan["fragments"] == ()
    assert called.plan["llvm"] is True
    assert called.plan["ccache"] is False
    assert called.plan["jobs"] == 3
    assert called.plan["extra"] == ("CONFIG_A=y",)
    assert called.plan["localversion"] == "-x"


def test_variants_have_outputs_of_their_own(called: Called) -> None:
    outputs = set()
    for args in (
        *([], ["--llvm"], ["--localversion=-x"], ["--fragment", "debug"]),
        ["--output", "there"],
    ):
        invoke(*args)
        outputs.add(str(called.output))
    assert outputs == {
        "out/qemu-virt-6.1.9",
        "out/qemu-virt-6.1.9-llvm",
        "out/qemu-virt-6.1.9-x",
        "out/qemu-virt-6.1.9-debug",
        "there",
    }


def test_json_is_the_metadata_and_the_output(called: Called) -> None:
    printed = json.loads(invoke("--json"))
    assert printed["output"] == "out/qemu-virt-6.1.9"
    assert printed["metadata"]["release"] == "6.1.9-x"
    assert printed["verification"] is None


def test_people_see_the_files_and_the_command_to_repeat(called: Called) -> None:
    printed = invoke()
    assert "6.1.9-x" in printed
    assert "f" * 64 in printed
    assert "and 1 modules" in printed
    assert "built; again: sku build" in printed
