# SPDX-License-Identifier: GPL-2.0-only
"""All lines and all updates between them: whatever fails is a result, and the README has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from sku_build import layout
from sku_build import tree as trees
from sku_build.cli.matrix import matrix as command
from sku_build.distribution import LINES
from sku_build.errors import CheckError, UserError
from sku_build.lab import Options, matrix
from sku_build.lab.matrix import Matrix

from . import lab_fakes
from .report_samples import way

RESULT = "docs/matrix.json"


def test_the_readme_has_the_table_of_the_committed_results() -> None:
    """Or, as long as there are none, a place for it and no table."""
    root = layout.data_root()
    text = (root / "README.md").read_text(encoding="utf-8")
    if (root / RESULT).exists():
        found = matrix.read(root / RESULT)
        assert [item.line for item in found.lines] == list(LINES)
        assert len(found.moves) == len(LINES) ** 2
        assert matrix.replace_section(text, found, RESULT) == text
    else:
        none = Matrix(board="qemu-virt", revision="", lines=[], moves=[])
        table = matrix.table(none).partition("|\n")[0]
        assert matrix.replace_section(text, none, RESULT) != text
        assert table not in text


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Exception]:
    """A lab in which all goes well, but for what a test enters: what is tried → what is raised."""
    raised: dict[str, Exception] = {}
    monkeypatch.setenv("SKU_CACHE", str(tmp_path))
    monkeypatch.setattr(
        trees, "ensure", lambda name: trees.Tree(name, "source", f"{name}.9", "", "", tmp_path)
    )

    def tried(what: str) -> None:
        if what in raised:
            raise raised[what]

    def build(tree: trees.Tree, *_: object, **__: object) -> Any:
        tried(f"build {tree.name}")
        path = tmp_path / f"b{tree.name}"
        return matrix.image.records.read(path if path.exists() else lab_fakes.bundle(path))

    def boot(path: Path, **_: object) -> Any:
        tried(f"boot {path.name.rpartition('-')[2]}")
        return msgspec.structs.replace(way("ours").first, warnings=[])

    def update(first: Path, second: Path, **_: object) -> Any:
        tried(" to ".join(path.name.rpartition("-")[2] for path in (first, second)))
        good = msgspec.structs.replace(way("ours"), broken=[])
        return type("Result", (), {"ways": [good]})

    def planned(tree: trees.Tree, *_: object, **__: object) -> Any:
        changed = "again" if f"changed {tree.name}" in raised else "first"
        return type("Plan", (), {"fingerprint": lambda self: f"{tree.name} {changed}"})()

    monkeypatch.setattr(matrix.plan, "make", planned)
    monkeypatch.setattr(matrix.image, "build", build)
    monkeypatch.setattr(matrix.scenario, "boot", boot)
    monkeypatch.setattr(matrix.results, "warnings", lambda kernel: [])
    monkeypatch.setattr(matrix.update, "update", update)
    return raised


def run(*lines: str, earlier: Matrix | None = None) -> Matrix:
    return matrix.run(lines, board_name="qemu-virt", options=Options(), earlier=earlier)


def states(found: Matrix) -> dict[tuple[str, str], str]:
    return {(item.first, item.second): item.result.state for item in found.moves}


def test_every_line_is_updated_to_every_line(lab: dict[str, Exception]) -> None:
    found = run("6.1", "6.12")
    assert [(item.build.state, item.boot.state) for item in found.lines] == [("ok", "ok")] * 2
    pairs = [(one, two) for one in ("6.1", "6.12") for two in ("6.1", "6.12")]
    assert states(found) == dict.fromkeys(pairs, "ok")
    assert found.failures == []


def test_a_failure_is_a_result_and_the_rest_goes_on(lab: dict[str, Exception]) -> None:
    lab["boot 6.1"] = CheckError("it hangs")
    lab["6.12 to 7.3"] = CheckError("skuctl ended with status 4: no\nmore", data={"status": 4})
    lab["7.3 to 6.12"] = CheckError("skuctl ended with status 3: no", data={"status": 3})
    found = run("6.1", "6.12", "7.3")
    assert found.failures == ["6.1: boot: it hangs", "6.12 to 7.3: skuctl ended with status 4: no"]
    state = states(found)
    assert {state[pair] for pair in state if "6.1" in pair} == {"left-out"}
    assert (state["6.12", "6.12"], state["7.3", "6.12"]) == ("ok", "refused")


def test_a_line_without_handover_is_booted_and_not_updated(lab: dict[str, Exception]) -> None:
    found = run("5.10", "6.1")
    assert found.lines[0].boot.state == "ok"
    assert {item.series for item in found.lines[0].left_out} >= {"handover", "pin_mem"}
    said = [item.result.said for item in found.moves if item.result.state == "left-out"]
    assert len(said) == 3
    assert "5.10 goes without handover" in said[0]


def test_only_what_changed_or_failed_is_tried_again(lab: dict[str, Exception]) -> None:
    lab["6.12 to 7.3"] = CheckError("the digest is another")
    earlier = run("6.1", "6.12", "7.3")
    assert earlier.failures == ["6.12 to 7.3: the digest is another"]
    lab.clear()
    # What would be tried again would fail.
    for line in ("6.1", "6.12", "7.3"):
        lab[f"boot {line}"] = lab[f"{line} to {line}"] = CheckError("tried again")
    again = run("6.1", "6.12", "7.3", earlier=earlier)
    assert again.failures == []
    assert again.lines == earlier.lines

    lab["changed 7.3"] = CheckError("")
    del lab["boot 7.3"]
    again = run("6.1", "6.12", "7.3", earlier=earlier)
    assert again.failures == ["7.3 to 7.3: tried again"]
    assert [item.inputs for item in again.lines] == ["6.1 first", "6.12 first", "7.3 again"]


def test_what_is_taken_over_is_built_where_an_update_needs_it(lab: dict[str, Exception]) -> None:
    earlier = run("6.1", "6.12")
    lab["changed 6.12"] = CheckError("")
    lab["build 6.1"] = CheckError("it does not compile any more")
    again = run("6.1", "6.12", earlier=earlier)
    assert again.lines[0] == earlier.lines[0]
    assert again.failures == [
        "6.1 to 6.12: it does not compile any more",
        "6.12 to 6.1: it does not compile any more",
    ]


def test_results_of_another_board_are_not_taken_over(lab: dict[str, Exception]) -> None:
    earlier = msgspec.structs.replace(run("6.1"), board="qemu-virt-acpi")
    lab["boot 6.1"] = CheckError("tried again")
    assert run("6.1", earlier=earlier).failures == ["6.1: boot: tried again"]


def test_the_document_gets_the_table_and_nothing_else_changes(
    lab: dict[str, Exception], tmp_path: Path
) -> None:
    lab["build 7.3"] = CheckError("it does not compile")
    result, document = tmp_path / "m.json", tmp_path / "README.md"
    marks = matrix.section(run(), str(result)).splitlines()
    document.write_text(f"before\n{marks[0]}\nold\n{marks[-1]}\nafter\n")
    words = ["--tree", "6.12", "--tree", "7.3", "--result", str(result)]
    done = CliRunner().invoke(command, [*words, "--document", str(document)])
    assert isinstance(done.exception, CheckError)
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| 6.12.9 |" in text and "**failed:** 7.3: build: it does not compile" in text
    assert json.loads(result.read_text())["kind"] == "matrix"
    again = ["--result", str(result), "--again", "--document", str(document)]
    CliRunner().invoke(command, again)
    assert document.read_text() == text


def test_a_document_without_a_place_for_it_is_refused(lab: dict[str, Exception]) -> None:
    with pytest.raises(UserError, match="has no place for the matrix"):
        matrix.replace_section("# Title\n", run(), RESULT)
