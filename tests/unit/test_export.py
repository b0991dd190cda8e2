# SPDX-License-Identifier: GPL-2.0-only
"""Two versions of a series compared, and a series written as the mails it is sent as."""

from __future__ import annotations

import json
import re
from email import message_from_bytes
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import export, refresh, run, series, series_diff
from sku_build.cli import cli
from sku_build.errors import UserError
from tests.conftest import run_git

from .maintainer import FILE, Desk, contents, demo_desk

desk = demo_desk
# One of git's own programs, and not on PATH.
CAN_SEND = (Path(run.run(["git", "--exec-path"]).stdout.strip()) / "git-send-email").exists()


def committed(desk: Desk) -> None:
    run_git(desk.data, "init", "--quiet", "--initial-branch=main")
    run_git(desk.data, "add", "--all")
    run_git(desk.data, "commit", "--quiet", "-m", "series: demo")


def changed(desk: Desk) -> None:
    """Let the last patch do something else, and a fourth come after it."""
    desk.edit(FILE, "\tint three_new;\n", "\tlong three_new;\n")
    desk.amend()
    desk.edit(FILE, "\tint four_b;\n", "\tint four_b;\n\tint four_new;\n")
    desk.commit("mm: add to four()")
    refresh.refresh(desk.tree(), ["demo"], branch="work")


def test_before_and_after_a_refresh(desk: Desk) -> None:
    committed(desk)
    assert series_diff.compare("demo@HEAD", "demo").same
    changed(desk)
    found = series_diff.compare("demo@HEAD", "demo")
    assert [(item.before, item.after, item.what) for item in found.pairs] == [
        (1, 1, "same"),
        (2, 2, "same"),
        (3, 3, "changed"),
        (None, 4, "only-after"),
    ]
    assert "    -+\tint three_new;\n    ++\tlong three_new;\n" in found.text
    assert not found.same
    directory = str(desk.data / "patchsets" / "demo")
    assert series_diff.compare(directory, "demo").same


@pytest.mark.parametrize("spec", ["demo@nonesuch", "other@HEAD", "nonesuch"])
def test_a_version_that_is_not_there_is_told(desk: Desk, spec: str) -> None:
    committed(desk)
    with pytest.raises(UserError, match=r"no revision|has no series|no series"):
        series_diff.compare(spec, "demo")


def test_an_export_can_be_applied_and_tells_what_it_is_for(desk: Desk, tmp_path: Path) -> None:
    docs = desk.data / "docs"
    docs.mkdir()
    words = "word " * 40
    (docs / "demo.md").write_text(f"<!-- SPDX -->\n# Demo\n\n{words}\n\n## More\n\nnot this\n")
    output = tmp_path / "out"
    base = desk.git("rev-parse", "main")
    done = export.export(
        desk.tree(), series.load("demo"), output, reroll=3, to=["list@example.org"]
    )
    assert done.files[0] == "v3-0000-cover-letter.patch"
    cover = message_from_bytes((output / done.files[0]).read_bytes())
    assert cover["Subject"] == "[PATCH v3 0/3] A test"
    assert cover["From"] == "Ann Author <ann@example.org>"
    assert cover["To"] == "list@example.org"
    text = cover.get_payload()
    assert isinstance(text, str)
    assert f"base-commit: {base}" in text
    assert "not this" not in text
    assert max(len(line) for line in text.split("\n")) <= 80
    first = message_from_bytes((output / done.files[1]).read_bytes())
    assert first["Subject"] == "[PATCH v3 1/3] mm: add to one()"
    desk.git("checkout", "--quiet", "main")
    desk.git("am", "--quiet", *(str(output / name) for name in done.files[1:]))
    assert desk.git("rev-parse", "HEAD^{tree}") == desk.git("rev-parse", "work^{tree}")


@pytest.mark.skipif(not CAN_SEND, reason="no git send-email here; ci/bootstrap installs it")
def test_an_export_is_what_git_sends_as_one_thread(desk: Desk, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export.export(desk.tree(), series.load("demo"), output, to=["list@example.org"])
    mails = sorted(str(path) for path in output.glob("*.patch"))
    said = desk.git(
        *("send-email", "--dry-run", "--confirm=never", "--from", "Ann Author <ann@example.org>"),
        *("--smtp-server", "/bin/false", *mails),
    )
    assert said.count("Dry-OK") == 4
    assert set(re.findall(r"^To: (.*)$", said, re.MULTILINE)) == {"list@example.org"}
    head, *rest = re.findall(r"^Message-I[Dd]: (.*)$", said, re.MULTILINE)
    assert re.findall(r"^In-Reply-To: (.*)$", said, re.MULTILINE) == [head] * 3
    assert len({head, *rest}) == 4


def test_exporting_again_changes_nothing_and_other_files_are_safe(
    desk: Desk, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    desk.git("checkout", "--quiet", "main")
    export.export(desk.tree(), series.load("demo"), output)
    before = contents(output)
    export.export(desk.tree(), series.load("demo"), output)
    assert contents(output) == before
    (output / "mine.txt").write_text("dear")
    with pytest.raises(UserError, match=r"holds more than patches \(mine.txt\)"):
        export.export(desk.tree(), series.load("demo"), output)
    assert (output / "mine.txt").read_text() == "dear"


def test_what_a_series_requires_is_named_and_not_sent(desk: Desk, tmp_path: Path) -> None:
    base = desk.git("rev-parse", "HEAD")
    desk.edit(FILE, "\tint three_new;\n", "\tint three_new;\n\tint three_newer;\n")
    desk.commit("mm: on top of demo")
    desk.series("after", base, toml='requires = ["demo"]\n')
    desk.git("checkout", "--quiet", "main")
    done = export.export(desk.tree(), series.load("after"), tmp_path / "out")
    assert done.files == ["0000-cover-letter.patch", "0001-mm-on-top-of-demo.patch"]
    cover = (tmp_path / "out" / done.files[0]).read_text()
    assert "It goes on top of: demo." in cover
    assert cover.count("prerequisite-patch-id:") == 3


def test_the_commands_print_json(desk: Desk, tmp_path: Path) -> None:
    committed(desk)
    changed(desk)
    argv = ["series", "diff", "demo@HEAD", "demo", "--json"]
    shown = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert [item["what"] for item in json.loads(shown.stdout)["pairs"]][2:] == [
        "changed",
        "only-after",
    ]
    out = str(tmp_path / "out")
    argv = ["series", "export", "demo", "--tree", "linux", "--output", out, "--json"]
    shown = CliRunner().invoke(cli, [*argv, "--since", "demo@HEAD"], catch_exceptions=False)
    files = json.loads(shown.stdout)["files"]
    assert len(files) == 5
    assert "Changes since demo@HEAD:" in (tmp_path / "out" / files[0]).read_text()
