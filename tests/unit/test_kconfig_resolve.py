# SPDX-License-Identifier: GPL-2.0-only
"""The station as a whole, with kconfiglib standing in for the kernel's ``conf``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sku_build import git
from sku_build.board import Board, ConfigPart, MachinePart
from sku_build.errors import CheckError, UserError
from sku_build.kconfig import ConfigReport, configure, dotconfig
from sku_build.kconfig.conf import Conf, warnings_in
from sku_build.kconfig.model import Place
from sku_build.series import Series
from sku_build.toolchain import Toolchain
from sku_build.version import KernelVersion
from tests.unit.kconfig_tree import TREE, environment, load, write_config

BOARD = Board(
    name="tiny",
    summary="",
    arch="arm64",
    series=[],
    cmdline="",
    config=ConfigPart(base="allnoconfig", fragments=["board"]),
    machine=MachinePart(cpus=1, memory_gib=1),
)


class World:
    """A source under git, fragments, a build directory, and a count of what ``conf`` was asked."""

    def __init__(self, directory: Path) -> None:
        self.source = directory / "source"
        self.build = directory / "build"
        self.configs = directory / "data" / "configs"
        self.calls: list[str] = []
        for path in (self.source, self.configs):
            path.mkdir(parents=True)
        git.git("init", "--quiet", cwd=self.source)
        self.commit()

    def commit(self) -> None:
        git.git("commit", "--quiet", "--allow-empty", "--message=x", cwd=self.source)

    def fragment(self, name: str, *lines: str) -> None:
        (self.configs / f"{name}.config.j2").write_text("\n".join(lines), encoding="utf-8")

    def configure(self, *series: Series, **options: Any) -> ConfigReport:
        return configure(
            self.source,
            self.build,
            board=BOARD,
            series=series,
            toolchain=_Tools("gcc", "arm64", "", ccache=False),
            version=KernelVersion.parse("6.1.192"),
            **options,
        )

    @property
    def config(self) -> Mapping[str, str]:
        return dotconfig.parse((self.build / ".config").read_text(encoding="utf-8"))

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.build.iterdir())


class _Tools(Toolchain):
    def describe(self) -> dict[str, str]:
        return {"cc": "a compiler"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    kconfig = load(tmp_path)

    def base(self: Conf, target: str, config: Path) -> None:
        world.calls.append(target)
        config.write_text(write_config(kconfig, "", tmp_path), encoding="utf-8")

    def resolve(self: Conf, config: Path) -> list[str]:
        world.calls.append("olddefconfig")
        given = config.read_text(encoding="utf-8")
        config.write_text(write_config(kconfig, given, tmp_path), encoding="utf-8")
        return []

    monkeypatch.setattr(Conf, "base", base)
    monkeypatch.setattr(Conf, "resolve", resolve)
    monkeypatch.setattr(Conf, "environment", lambda self, scratch: environment(TREE))
    monkeypatch.setenv("SKU_DATA", str(tmp_path / "data"))
    return world


def series(name: str, config: str | None) -> Series:
    return Series(name=name, version="1.0.0", summary="", config=config)


def test_requests_of_board_series_and_command_line_are_all_proven(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y", "# CONFIG_EXPERT is not set")
    world.fragment(
        "extra", '{% if "one" in series and version < "6.2" %}', "CONFIG_BUS=y", "{% endif %}"
    )
    report = world.configure(series("one", "extra"), series("none", None), extra=["CONFIG_COUNT=7"])
    assert report.fragments == ["board", "extra"]
    assert [(item.symbol, str(item.place)) for item in report.requested] == [
        ("NET", "configs/board.config.j2:1"),
        ("EXPERT", "configs/board.config.j2:2"),
        ("BUS", "configs/extra.config.j2:2"),
        ("COUNT", "--set CONFIG_COUNT=7"),
    ]
    assert (report.problems, report.waived, report.disagreements) == ([], [], None)
    assert {"NET": "y", "BUS": "y", "COUNT": "7"}.items() <= world.config.items()


def test_unreached_request_is_exit_3_with_the_report_as_data_and_no_config(world: World) -> None:
    world.fragment("board", "CONFIG_EXPERT=y")
    world.configure()
    before = (world.build / ".config").read_bytes()
    world.fragment("board", "", "CONFIG_DRIVER=m")
    with pytest.raises(CheckError, match="CONFIG_DRIVER: wanted m, is absent") as caught:
        world.configure()
    assert caught.value.exit_code == 3
    (problem,) = caught.value.data["problems"]  # type: ignore[index]
    assert problem["place"] == {"file": "configs/board.config.j2", "line": 2}
    assert (world.build / ".config").read_bytes() == before
    assert world.leftovers() == [".config", ".sku-kconfig"]


def test_waived_request_that_is_unreached_is_only_reported(world: World) -> None:
    world.fragment("board", "CONFIG_DRIVER=y # waiver: not on this board", "CONFIG_EXPERT=y")
    report = world.configure()
    (waived,) = report.waived
    assert (waived.symbol, waived.actual, waived.waiver) == ("DRIVER", None, "not on this board")
    assert waived.place == Place("configs/board.config.j2", 1)
    assert world.config["EXPERT"] == "y"


def test_contradiction_is_exit_2_before_anything_runs(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    world.fragment("extra", "# CONFIG_NET is not set")
    with pytest.raises(
        UserError, match=r"board\.config\.j2:1 and n at configs/extra\.config\.j2:1"
    ):
        world.configure(series("one", "extra"))
    assert (world.calls, world.build.exists()) == ([], False)


def test_nothing_runs_when_nothing_changed(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    first = world.configure()
    written = (world.build / ".config").stat().st_mtime_ns
    world.calls.clear()
    again = world.configure()
    assert (world.calls, again.reused, first.reused) == ([], True, False)
    assert again.sha256 == first.sha256
    assert (world.build / ".config").stat().st_mtime_ns == written


def test_changed_fragment_keeps_the_base_and_an_equal_config_is_not_touched(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    world.configure()
    written = (world.build / ".config").stat().st_mtime_ns
    world.calls.clear()
    world.fragment("board", "# A new first line", "CONFIG_NET=y")
    report = world.configure()
    assert world.calls == ["olddefconfig"]
    assert report.requested[0].place.line == 2
    assert (world.build / ".config").stat().st_mtime_ns == written


def test_new_commit_or_a_config_changed_by_hand_are_noticed(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    world.configure()
    world.commit()
    world.calls.clear()
    assert not world.configure().reused
    assert world.calls == ["allnoconfig", "olddefconfig"]
    (world.build / ".config").write_text("CONFIG_NET=n\n", encoding="utf-8")
    assert not world.configure().reused
    assert world.config["NET"] == "y"


def test_source_without_git_is_configured_anew_each_time(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    world.source = world.source / "inside"
    world.source.mkdir()
    assert [world.configure().reused for _ in range(2)] == [False, False]


def test_cross_check_is_done_even_if_the_result_is_known(world: World) -> None:
    world.fragment("board", "CONFIG_NET=y")
    assert world.configure().disagreements is None
    assert world.configure(cross_check=True).disagreements == []
    assert world.configure(cross_check=True).reused


def test_interrupted_run_leaves_nothing_half_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Conf, config: Path) -> list[str]:
        raise KeyboardInterrupt

    world.fragment("board", "CONFIG_NET=y")
    monkeypatch.setattr(Conf, "resolve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.configure()
    assert world.leftovers() == [".sku-kconfig"]


def test_bad_base_target_is_the_boards_fault() -> None:
    conf = Conf(Path("/nowhere"), Path("/nowhere"), _Tools("gcc", "arm64", "", ccache=False))
    with pytest.raises(UserError, match="configuration target"):
        conf.base("--eval=x", Path("/nowhere"))


def test_warnings_of_conf_are_kept_whole_without_paths_and_noise() -> None:
    said = """\
/tmp/x/.config:12:warning: symbol value 'm' invalid for NET
/tmp/x/.config:13:warning: override: LARGE changes choice state

WARNING: unmet direct dependencies detected for BUS
  Depends on [n]: NET [=n]
  Selected by [y]:
  - CPU [=y]
"""
    assert warnings_in(said) == [
        "symbol value 'm' invalid for NET",
        "unmet direct dependencies detected for BUS Depends on [n]: NET [=n] "
        "Selected by [y]: - CPU [=y]",
    ]
