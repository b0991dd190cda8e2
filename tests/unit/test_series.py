# SPDX-License-Identifier: GPL-2.0-only
"""series.toml: what it may say, what each kernel gets from it, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import series, series_check
from sku_build.cli import cli
from sku_build.errors import CheckError, UserError
from sku_build.version import KernelVersion

from .test_mail import MAIL

HEAD = 'name = "{name}"\nversion = "1.0.0"\nsummary = "a test"\n'


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "data"
    (root / "patchsets").mkdir(parents=True)
    monkeypatch.setenv("SKU_DATA", str(root))
    return root


def add(data: Path, name: str, text: str = "", *files: str) -> Path:
    path = data / "patchsets" / name / "series.toml"
    path.parent.mkdir()
    path.write_text(HEAD.format(name=name) + text)
    for file in files:
        (path.parent / file).write_text(MAIL)
    return path


UNAVAILABLE = '[[unavailable]]\nkernels = ["{}"]\nreason = "{}"\n'
PATCH = '[[patch]]\nfile = "{}"\nkernels = [{}]\n'


def test_a_whole_series_is_loaded(data: Path) -> None:
    text = (
        'requires = ["base"]\nconfig = "demo"\ndocs = "README.md"\n'
        + PATCH.format("0001-a.patch", '"5.10..6.11", "6.12..6.13"')
        + f'[[upstream]]\nkernels = ["6.13.."]\ncommit = "{"a" * 40}"\nsubject = "mm: do"\n'
        + '[[probe]]\npath = "mm/x.c"\nregex = "^int alpha"\n'
    )
    add(data, "demo", text, "0001-a.patch")
    loaded = series.load("demo")
    assert (loaded.version, loaded.requires, loaded.config) == ("1.0.0", ["base"], "demo")
    assert loaded.patches[0].file == "0001-a.patch"
    assert loaded.upstream[0].describe() == "aaaaaaaaaaaa mm: do"
    assert loaded.probes[0].matches("\n\nint alpha;\n")
    assert not loaded.probes[0].matches(None)
    assert series.names() == ["demo"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sumary = 1\n", "unknown key sumary"),
        (
            '[[patch]]\nfiel = "x"\nfile="x"\nkernels=[".."]\n',
            r"unknown key patch\[\.*\d*\]?\.fiel",
        ),
        ('[[patch]]\nfile = "x"\nkernels = ["6.1"]\n', r"patch.*kernels: .*not a half-open range"),
        ('[[patch]]\nfile = "x"\nkernels = ["6.1..5.10"]\n', r"patch.*kernels: .*is empty"),
        ('[[patch]]\nfile = "x"\nkernels = []\n', r"patch.*kernels: no range"),
        ('[[patch]]\nfile = "../x"\nkernels = [".."]\n', r"patch.*file: .*not inside"),
        ('[[patch]]\nfile = "x"\nkernels = [".."]\n', r"patch\[0\]\.file: there is no file x"),
        ('[[probe]]\npath = "x"\nregex = "("\n', r"probe.*regex: not a regular expression"),
        ('[[upstream]]\nkernels = [".."]\ncommit = "abc"\n', r"upstream.*commit: .*40 hex"),
        ('[[unavailable]]\nkernels = [".."]\nreason = " "\n', r"unavailable.*reason: is empty"),
        ('[[unavailable]]\nkernels = ["6"]\nreason = "x"\n', r"unavailable.*kernels: .*not a"),
    ],
)
def test_a_mistake_names_the_key(data: Path, text: str, key: str) -> None:
    path = add(data, "demo", text)
    with pytest.raises(UserError, match=key) as caught:
        series.load("demo")
    assert caught.value.where == str(path)


def test_a_version_that_is_not_semantic_is_refused(data: Path) -> None:
    path = add(data, "demo")
    path.write_text(path.read_text().replace("1.0.0", "1.0"))
    with pytest.raises(UserError, match=r"version: '1\.0' is not a semantic version"):
        series.load("demo")


def test_an_unknown_series_comes_with_a_suggestion(data: Path) -> None:
    add(data, "deferred_init")
    with pytest.raises(UserError, match="no series 'defered_init'") as caught:
        series.load("defered_init")
    assert caught.value.hint == "did you mean deferred_init?"
    with pytest.raises(UserError):
        series.load("../patchsets/deferred_init")


def test_required_series_come_first_and_once(data: Path) -> None:
    add(data, "base")
    add(data, "left", 'requires = ["base"]\n')
    add(data, "right", 'requires = ["base"]\n')
    add(data, "top", 'requires = ["right", "left"]\n')
    found = [item.name for item in series.resolve(["left", "top"])]
    assert found == ["base", "left", "right", "top"]


def test_a_cycle_is_named(data: Path) -> None:
    add(data, "a", 'requires = ["b"]\n')
    add(data, "b", 'requires = ["c"]\n')
    add(data, "c", 'requires = ["b"]\n')
    with pytest.raises(UserError, match="b → c → b"):
        series.resolve(["a"])


def ranged(data: Path) -> series.Series:
    text = (
        PATCH.format("0001-a.patch", '"5.10..6.2"')
        + PATCH.format("0001-a-6.5.patch", '"6.5..6.11"')
        + '[[upstream]]\nkernels = ["6.12.."]\n'
    )
    add(data, "demo", text, "0001-a.patch", "0001-a-6.5.patch")
    return series.load("demo")


@pytest.mark.parametrize(
    ("version", "files", "upstream", "nearest"),
    [
        ("5.10", ["0001-a.patch"], False, None),
        ("6.1.192", ["0001-a.patch"], False, None),
        ("6.5", ["0001-a-6.5.patch"], False, None),
        ("6.12", [], True, None),
        ("7.3", [], True, None),
        ("5.4", ["0001-a.patch"], False, "5.10..6.2"),
        ("6.2", ["0001-a.patch"], False, "5.10..6.2"),
        ("6.4", ["0001-a-6.5.patch"], False, "6.5..6.11"),
        ("6.11", ["0001-a-6.5.patch"], False, "6.5..6.11"),
    ],
)
def test_each_kernel_gets_its_patches(
    data: Path, version: str, files: list[str], upstream: bool, nearest: str | None
) -> None:
    found = series.select(ranged(data), KernelVersion.parse(version))
    assert [item.file for item in found.patches] == files
    assert (found.upstream is not None) == upstream
    assert (str(found.nearest) if found.nearest else None) == nearest


def test_a_supported_line_outside_of_all_ranges_is_an_error(data: Path) -> None:
    add(data, "demo", PATCH.format("0001-a.patch", '"5.10..5.15"'), "0001-a.patch")
    demo = series.load("demo")
    with pytest.raises(UserError, match=r"no patch for kernel 6\.1\.5") as caught:
        series.select(demo, KernelVersion.parse("6.1.5"))
    assert caught.value.hint is not None
    assert "5.10..5.15" in caught.value.hint
    found = series.select(demo, KernelVersion.parse("6.1.5"), nearest=True)
    assert [item.file for item in found.patches] == ["0001-a.patch"]


def test_a_sound_series_passes_the_check(data: Path) -> None:
    add(data, "demo", PATCH.format("0001-a.patch", '".."'), "0001-a.patch")
    assert series_check.check(series.load("demo")) == []


@pytest.mark.parametrize(
    ("text", "files", "complaint"),
    [
        ('requires = ["none"]\n', [], "key requires: there is no series 'none'"),
        ('config = "none"\n', [], "key config: there is no template configs/none.config.j2"),
        ('docs = "none.md"\n', [], "key docs: there is no file none.md"),
        ("", ["0001-a.patch"], "is in no [[patch]]"),
        (
            PATCH.format("0001-a.patch", '"..6.2"') + UNAVAILABLE.format("6.1..6.3", "why"),
            ["0001-a.patch"],
            "unavailable[0].kernels: 6.1..6.3 overlaps with ..6.2 of a [[patch]]",
        ),
        (PATCH.format("a.patch", '".."'), ["a.patch"], "does not begin with a number"),
        (
            PATCH.format("0001-a.patch", '"..6.2"') + PATCH.format("0001-b.patch", '"6.1.."'),
            ["0001-a.patch", "0001-b.patch"],
            "another form of 0001-a.patch",
        ),
        (
            PATCH.format("0002-a.patch", '"..6.1"') + PATCH.format("0001-b.patch", '"6.1.."'),
            ["0001-b.patch", "0002-a.patch"],
            "its number is lower",
        ),
        (
            PATCH.format("0001-a.patch", '"..6.1"') + PATCH.format("0001-a.patch", '"6.1.."'),
            ["0001-a.patch"],
            "is listed twice",
        ),
    ],
)
def test_what_is_wrong_with_a_series_is_told(
    data: Path, text: str, files: list[str], complaint: str
) -> None:
    add(data, "demo", text, *files)
    found = [item.message for item in series_check.check(series.load("demo"))]
    assert [complaint in message for message in found] == [True]


def test_list_and_show_print_json(data: Path) -> None:
    add(data, "demo", PATCH.format("0001-a.patch", '".."'), "0001-a.patch")
    listed = CliRunner().invoke(cli, ["series", "list", "--json"], catch_exceptions=False)
    assert [(item["name"], item["patches"]) for item in json.loads(listed.stdout)] == [("demo", 1)]
    shown = CliRunner().invoke(cli, ["series", "show", "demo", "--json"], catch_exceptions=False)
    (patch,) = json.loads(shown.stdout)["patches"]
    assert patch["subject"] == "mm: count a third thing"
    assert patch["files"] == ["mm/x.c"]
    table = CliRunner().invoke(cli, ["series", "show", "demo"], catch_exceptions=False)
    assert "0001-a.patch" in table.stdout


def test_the_share_of_files_that_serve_more_than_one_line_is_shown(data: Path) -> None:
    ranges = {"0001-a.patch": '"6.1.."', "0002-a.patch": '"6.1..6.2"', "0002-b.patch": '"6.12.."'}
    text = "".join(PATCH.format(file, kernels) for file, kernels in ranges.items())
    add(data, "demo", text, *ranges)
    shown = CliRunner().invoke(cli, ["series", "show", "demo", "--json"], catch_exceptions=False)
    found = json.loads(shown.stdout)
    assert found["sharing"] == {
        "files": 3,
        "shared": 2,
        "lines": {"5.10": 0, "6.1": 2, "6.12": 2, "7.3": 2},
    }
    assert [patch["lines"] for patch in found["patches"]] == [
        ["6.1", "6.12", "7.3"],
        ["6.1"],
        ["6.12", "7.3"],
    ]


def test_check_exits_with_the_problems_as_data(data: Path) -> None:
    add(data, "demo", 'config = "none"\n')
    with pytest.raises(CheckError, match="no template") as caught:
        CliRunner().invoke(cli, ["series", "check"], catch_exceptions=False, standalone_mode=False)
    assert isinstance(caught.value.data, dict)
    assert len(caught.value.data["problems"]) == 1
