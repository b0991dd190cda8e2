# SPDX-License-Identifier: GPL-2.0-only
"""Every series against every tree: what is wrong is found, placed, and written for CI engines."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from sku_build import board, series, tree
from sku_build.check import CheckReport, Finding, Level, output, run_check
from sku_build.cli import cli
from tests.conftest import SmallTree, run_git

from .maintainer import FILE, FILES, Desk, contents, demo_desk

desk = demo_desk
FIRST, SECOND, THIRD = (
    f"000{number}-mm-add-to-{name}.patch" for number, name in enumerate(("one", "two", "three"), 1)
)


def found(report: CheckReport) -> list[tuple[str, str, str, int | None]]:
    return [
        (item.check, str(item.level), Path(item.file).name, item.line) for item in report.findings
    ]


def cells(report: CheckReport) -> dict[tuple[str, str], str]:
    return {(item.series, item.tree): item.state for item in report.cells}


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def other(small_tree: SmallTree, name: str, version: str, *edits: tuple[str, str]) -> None:
    """Add a tree whose file differs from the first one's by ``edits``."""
    text = FILES[FILE]
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    tree.add(str(small_tree(version, FILES | {FILE: text}, name=name)))


def test_what_is_as_it_should_be_finds_nothing(desk: Desk, small_tree: SmallTree) -> None:
    other(small_tree, "older", "5.10.9")
    report = run_check()
    assert found(report) == []
    assert cells(report) == {("demo", "older"): "not-for", ("demo", "linux"): "clean"}
    assert not report.failed


def test_a_conflict_names_the_file_and_the_line_of_its_diff(
    desk: Desk, small_tree: SmallTree
) -> None:
    other(small_tree, "newer", "6.1.9", ("\tint two_b;\n", "\tlong two_b;\n"))
    report = run_check()
    path = desk.data / "patchsets" / "demo" / SECOND
    assert found(report) == [("applies", "error", SECOND, line_of(path, "diff --git"))]
    assert cells(report)["demo", "newer"] == "fails"
    assert report.findings[0].file == f"patchsets/demo/{SECOND}"
    assert report.failed


def test_what_a_tree_has_is_no_longer_needed(desk: Desk, small_tree: SmallTree) -> None:
    other(small_tree, "newer", "6.1.9", ("\tint two_b;\n", "\tint two_b;\n\tint two_new;\n"))
    report = run_check()
    toml = desk.data / "patchsets" / "demo" / "series.toml"
    assert ("needed", "warning", "series.toml", line_of(toml, SECOND)) in found(report)


def test_what_is_refreshed_on_one_tree_need_not_be_on_the_others(
    desk: Desk, small_tree: SmallTree
) -> None:
    other(small_tree, "newer", "6.1.9", ("int one(void)", "/* in front */\nint one(void)"))
    report = run_check()
    assert found(report) == []
    assert cells(report)["demo", "newer"] == "moved"


def test_what_is_refreshed_nowhere_is_mended(desk: Desk) -> None:
    path = desk.data / "patchsets" / "demo" / THIRD
    before = contents(path.parent)
    text = path.read_text()
    start = text[text.index("@@ -") : text.index("+", text.index("@@ -"))]
    moved = start.replace(start[4:6], str(int(start[4:6]) - 7))
    path.write_text(text.replace(start, moved))
    report = run_check()
    assert found(report) == [("refreshed", "warning", THIRD, 1)]
    mended = run_check(fix=True)
    assert mended.fixed == [f"patchsets/demo/{THIRD}"]
    assert found(mended) == []
    after = contents(path.parent)
    assert {name for name in before if before[name] != after[name]} <= {THIRD}


def test_other_blob_ids_alone_are_a_note(desk: Desk) -> None:
    desk.git("checkout", "--quiet", "main")
    (desk.linux / FILE).write_text(FILES[FILE] + "/* at the end */\n")
    desk.commit("mm: somewhere else")
    report = run_check()
    assert [item[:3] for item in found(report)] == [
        ("refreshed", "note", name) for name in (FIRST, SECOND, THIRD)
    ]
    assert not report.failed
    assert len(run_check(fix=True).fixed) == 3


def test_form_and_origin_are_found_with_their_lines(desk: Desk) -> None:
    path = desk.data / "patchsets" / "demo" / SECOND
    text = path.read_text().replace("\n\n", "\nPatch-mainline: soon\nReferences: bsc#1\n\n", 1)
    path.write_text(text.replace("Signed-off-by", "Acked-by"))
    report = run_check()
    assert ("origin", "error", SECOND, line_of(path, "Patch-mainline")) in found(report)
    assert ("format", "error", SECOND, 1) in found(report)


CHECKPATCH = """\
my $path = $ARGV[-1];
open(my $file, '<', $path);
while (<$file>) { print "$path:$.: WARNING:LOUD: too loud\\n" if /two_new/; }
"""


def test_checkpatch_is_the_trees_own_and_may_be_waived(desk: Desk) -> None:
    desk.git("checkout", "--quiet", "main")
    (desk.linux / "scripts").mkdir()
    (desk.linux / "scripts/checkpatch.pl").write_text(CHECKPATCH)
    desk.commit("scripts: checkpatch")
    path = desk.data / "patchsets" / "demo" / SECOND
    expected = [("checkpatch", "warning", SECOND, line_of(path, "+\tint two_new"))]
    for _ in range(2):  # the second answer comes from the cache
        assert [item for item in found(run_check()) if item[2] == SECOND] == expected
    assert found(run_check(with_checkpatch=False)) == []
    toml = desk.data / "patchsets" / "demo" / "series.toml"
    text = toml.read_text()
    entry = f'file = "{SECOND}"\n'
    toml.write_text(text.replace(entry, entry + 'checkpatch = ["LOUD"]\n'))
    assert SECOND not in {item[2] for item in found(run_check())}


BOARD = """\
name = "tiny"
summary = "A test"
arch = "arm64"
series = ["demo", "rival"]
cmdline = ""
config = { base = "defconfig", fragments = [] }
machine = { cpus = 1, memory_gib = 1 }
"""


def with_board(desk: Desk) -> None:
    path = desk.data / "boards" / "tiny"
    path.mkdir(parents=True)
    (path / "board.toml").write_text(BOARD)
    (desk.data / "configs").mkdir()
    assert board.load("tiny").series == ["demo", "rival"]


def test_a_boards_series_are_tried_together(desk: Desk) -> None:
    with_board(desk)
    desk.git("checkout", "--quiet", "main")
    desk.edit(FILE, "\tint two_b;\n", "\tint two_b;\n\tint rival;\n")
    desk.commit("mm: rival")
    desk.series("rival", "HEAD~1")
    desk.git("reset", "--quiet", "--hard", "HEAD~1")
    report = run_check()
    state = cells(report)
    assert (state["demo", "linux"], state["rival", "linux"]) == ("clean", "clean")
    assert state["board tiny", "linux"] == "fails"
    assert [item for item in found(report) if item[0] == "together"] == [
        ("together", "error", "board.toml", 4)
    ]


def test_a_board_needs_a_patch_or_a_reason_on_every_tree(desk: Desk, small_tree: SmallTree) -> None:
    with_board(desk)
    path = desk.data / "boards" / "tiny" / "board.toml"
    path.write_text(path.read_text().replace('"demo", "rival"', '"demo"'))
    other(small_tree, "older", "5.10.9")
    assert found(run_check()) == [("together", "error", "board.toml", 4)]
    toml = desk.data / "patchsets" / "demo" / "series.toml"
    reason = '\n[[unavailable]]\nkernels = ["..6.1"]\nreason = "too old"\n'
    toml.write_text(toml.read_text() + reason)
    report = run_check()
    assert found(report) == []
    assert [item.reason for item in report.cells if item.tree == "older"] == ["too old"]


def test_a_symbol_that_no_fragment_decides_is_told(desk: Desk) -> None:
    with_board(desk)
    desk.git("checkout", "--quiet", "main")
    base = desk.git("rev-parse", "HEAD")
    entry = 'config {0}\n\tbool "A test"{1}\n\thelp\n\t  Say Y.\n\n'
    tests = entry.format("TEST", " if !KUNIT_ALL_TESTS")
    (desk.linux / "mm/Kconfig").write_text(
        entry.format("OPEN", "") + entry.format("SET", "") + tests + "config HIDDEN\n\tbool\n"
    )
    desk.commit("mm: add symbols")
    path = desk.series("rival", base, toml='config = "rival"\n')
    (desk.data / "configs" / "rival.config.j2").write_text("CONFIG_SET=y\n")
    desk.git("reset", "--quiet", "--hard", base)
    report = run_check(["rival"])
    patch = path / "0001-mm-add-symbols.patch"
    assert found(report) == [("config", "note", patch.name, line_of(patch, "+config OPEN"))]


def finding(**more: object) -> Finding:
    base = Finding("applies", Level.ERROR, "demo", "patchsets/demo/a,b.patch", "50% of it:\nno", 7)
    return msgspec.structs.replace(base, **more)


def report_of(*findings: Finding) -> CheckReport:
    return CheckReport({"linux": "6.1.5"}, ["demo"], ["format", "applies"], [], list(findings))


def test_github_reads_the_annotation_as_it_was_meant() -> None:
    told = output.github(report_of(finding(), finding(level=Level.NOTE, line=None)))
    file, title = "patchsets/demo/a%2Cb.patch", "title=sku check%3A applies"
    assert told == [
        f"::error file={file},line=7,{title}::50%25 of it:%0Ano",
        f"::notice file={file},line=1,{title}::50%25 of it:%0Ano",
    ]


def test_gitlab_tells_findings_apart_wherever_they_move() -> None:
    both = [finding(), finding(line=9), finding(tree="linux")]
    document = json.loads(output.gitlab(report_of(*both)))
    prints = [item["fingerprint"] for item in document]
    assert prints[0] == prints[1] != prints[2]
    assert document[0]["location"] == {
        "path": "patchsets/demo/a,b.patch",
        "lines": {"begin": 7},
    }
    assert document[0]["severity"] == "major"


def test_sarif_is_what_its_standard_says() -> None:
    text = output.sarif(report_of(finding(), finding(level=Level.NOTE)))
    (run,) = Sarif.model_validate_json(text).runs
    assert run.results is not None
    assert [str(item.rule_id) for item in run.results] == ["applies", "applies"]
    rules = json.loads(text)["runs"][0]["tool"]["driver"]["rules"]
    index = json.loads(text)["runs"][0]["results"][0]["ruleIndex"]
    assert rules[index]["id"] == "applies"


def test_the_command_writes_all_of_it_and_exits_with_3(
    desk: Desk, small_tree: SmallTree, tmp_path: Path
) -> None:
    other(small_tree, "newer", "6.1.9", ("\tint two_b;\n", "\tlong two_b;\n"))
    run_git(desk.data, "init", "--quiet")
    out = {name: tmp_path / "out" / name for name in ("junit", "sarif", "gitlab")}
    files = [word for name, path in out.items() for word in (f"--{name}", str(path))]
    done = CliRunner().invoke(cli, ["check", *files, "--github"], catch_exceptions=False)
    assert done.exit_code == 3
    assert f"::error file=patchsets/demo/{SECOND},line=" in done.stdout
    assert "FAILS:" in done.stdout
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(out["junit"]))}
    assert suites["newer (6.1.9)"].failures == 1
    assert suites["linux (6.1.5)"].failures == 0
    assert suites["series"].failures == 0
    assert len(json.loads(out["gitlab"].read_text())) == 1
    assert Sarif.model_validate_json(out["sarif"].read_text())
    done = CliRunner().invoke(cli, ["check", "--tree", "linux", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["findings"] == []


@pytest.mark.parametrize("argv", [["check", "nonesuch"], ["check", "--tree", "nonesuch"]])
def test_what_is_not_known_is_the_users_error(desk: Desk, argv: list[str]) -> None:
    assert series.names() == ["demo"]
    with pytest.raises(Exception, match="there is no (series|tree)"):
        CliRunner().invoke(cli, argv, catch_exceptions=False, standalone_mode=False)
