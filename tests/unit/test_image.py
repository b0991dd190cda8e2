# SPDX-License-Identifier: GPL-2.0-only
"""A whole build of the fake kernel: everything but the stations before make is the real thing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from sku_build import apply, builddir, console, image, kbuild, kconfig, metadata, plan, verify
from sku_build import tree as trees
from sku_build.board import Board, ConfigPart, MachinePart
from sku_build.cli.build import build as command
from sku_build.errors import CheckError, ExitCode, InfraError, UserError
from sku_build.kconfig import Obstacle
from sku_build.kconfig.model import ConfigReport
from sku_build.kconfig.resolve import fragments_dir
from sku_build.metadata import Metadata
from sku_build.outcome import Applied
from sku_build.plan import Plan
from sku_build.toolchain import Toolchain
from sku_build.tree import Tree
from tests.unit import fakelinux

BOARD = Board(
    name="fake",
    summary="a board",
    arch="arm64",
    series=[],
    cmdline="quiet",
    config=ConfigPart("allnoconfig", ["base"]),
    machine=MachinePart(cpus=1, memory_gib=1),
    dtbs=["hisilicon/a.dtb"],
    modules=True,
)


def git(where: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    env = {"GIT_COMMITTER_DATE": "@1700000000 +0000", "PATH": os.environ["PATH"]}
    done = subprocess.run(["git", *who, *args], cwd=where, env=env, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake kernel as a git repository, whose commit is of a known date."""
    path = tmp_path_factory.mktemp("repository")
    shutil.copytree(fakelinux.HERE / "source", path, dirs_exist_ok=True)
    git(path, "init", "-q", "--template=")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "base")
    return path


class World:
    """The fake kernel, and what stands for applying and configuring."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        self.source = source
        self.output = root / "out" / "fake"
        self.configured = 0
        self.obstacles: list[Obstacle] = []
        self.ccaches: list[bool] = []
        self.base = git(source, "rev-parse", "HEAD")
        self.commit = self.base
        self.tree = Tree("fake", "checkout", "6.1.999", self.base, "here", source)

    def apply_series(self, tree: Tree, series: object, *, branch: str | None) -> Applied:
        return Applied(tree.name, self.base, self.commit, branch, [])

    def source_dir(self, tree: Tree, commit: str, *, slot: str) -> Path:
        copy = self.root / "cache" / "src" / slot
        if not copy.exists():
            shutil.copytree(self.source, copy, ignore=shutil.ignore_patterns(".git"))
        return copy

    def configure(
        self, source: Path, build: Path, *, toolchain: Toolchain, **_: Any
    ) -> ConfigReport:
        self.ccaches.append(toolchain.ccache)
        self.configured += 1
        (build / ".config").write_text("CONFIG_64BIT=y\n")
        return ConfigReport(
            base="allnoconfig",
            fragments=["base"],
            requested=[],
            problems=[],
            waived=[],
            disagreements=None,
            warnings=[],
            obstacles=self.obstacles,
            sha256="0" * 64,
        )

    def build(self, **options: Any) -> Metadata:
        chosen: dict[str, Any] = {"output": self.output, "ccache": False, "series": []} | options
        return image.build(self.tree, chosen.pop("board", BOARD), **chosen)

    def plan(self, **options: Any) -> Plan:
        return plan.make(self.tree, BOARD, series=[], **({"ccache": False} | options))

    def change(self, file: str, text: str) -> None:
        """Change a source as a patch would: another commit, another content."""
        (self.source / file).write_text(text)
        copy = self.root / "cache" / "src" / "fake" / file
        if copy.exists():
            copy.write_text(text)
        self.commit = "c" * 40

    def left_over(self) -> list[str]:
        """What lies beside the bundle directory and should not."""
        parent = self.output.parent
        found = parent.iterdir() if parent.exists() else []
        return [path.name for path in found if path != self.output]

    def last(self) -> Metadata:
        """What the cache says of the last build, finished or not."""
        return metadata.read(builddir.find("fake", "fake", "gcc").root)


@pytest.fixture
def world(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    source = fakelinux.install(tmp_path, monkeypatch)
    shutil.copytree(repository / ".git", source / ".git")
    world = World(tmp_path, source)
    monkeypatch.setattr(apply, "apply_series", world.apply_series)
    monkeypatch.setattr(trees, "source_dir", world.source_dir)
    monkeypatch.setattr(kconfig, "configure", world.configure)
    console.configure(quiet=True)
    return world


def test_a_build_yields_the_whole_bundle(world: World) -> None:
    built = world.build(localversion="-next")
    files = sorted(str(path.relative_to(world.output)) for path in world.output.rglob("*"))
    for name in (
        *("Image", "System.map", "config", "initramfs.cpio", "initramfs/init", "build.log"),
        *("dtbs/hisilicon/a.dtb", "modules/lib/modules/6.1.999-next/fake.ko", "metadata.json"),
    ):
        assert name in files
    assert built.release == "6.1.999-next"
    assert built == metadata.read(world.output)
    assert world.left_over() == []


def test_no_link_to_the_build_directory_is_shipped(world: World) -> None:
    world.build()
    assert not [path for path in world.output.rglob("*") if path.is_symlink()]


def test_the_metadata_tells_what_it_was_made_from_and_how_long_it_took(world: World) -> None:
    built = world.build()
    assert built.status == "complete"
    assert built.tree.base == world.base
    assert built.source_date_epoch == 1_700_000_000
    assert built.cmdline == "quiet"
    assert built.toolchain["cc"].startswith("aarch64-linux-gnu-gcc")
    assert built.image is not None
    assert built.image.page_kib == 4
    assert {"source", "config", "kernel", "initramfs", "collect"} == set(built.timings)
    assert {item.path for item in built.artefacts} >= {"Image", "config", "initramfs.cpio"}


def test_a_build_with_nothing_to_do_does_nothing(world: World) -> None:
    first = world.build()
    before = (world.output / "Image").stat().st_mtime_ns
    second = world.build()
    assert second.reused
    assert world.configured == 1
    assert (world.output / "Image").stat().st_mtime_ns == before
    assert second.fingerprint == first.fingerprint


def test_a_damaged_bundle_is_built_again(world: World) -> None:
    world.build()
    (world.output / "Image").write_bytes(b"damaged")
    assert not world.build().reused
    assert (world.output / "Image").read_bytes() != b"damaged"


@pytest.mark.parametrize(
    "alter",
    [
        lambda world: {"localversion": "-b"},
        lambda world: {"extra": ["CONFIG_X=y"]},
        lambda world: {"llvm": True},
        lambda world: world.change("init/main.c", "int other;\n") or {},
        lambda world: (world.root / "data/runtime/sku-init.c").write_text("int j;") and {},
        lambda world: (world.root / "data/configs/base.config.j2").write_text("CONFIG_B=y") and {},
    ],
    ids=["localversion", "symbol", "toolchain", "patch", "runtime", "fragment"],
)
def test_whatever_is_different_is_something_to_do(
    world: World, alter: Callable[[World], dict[str, Any]]
) -> None:
    before = world.plan().fingerprint()
    assert world.plan().fingerprint() == before
    assert world.plan(**alter(world)).fingerprint() != before


def test_ccache_and_jobs_are_no_reason_to_build_again(world: World) -> None:
    world.build()
    assert world.build(jobs=7, ccache=True).reused


def test_a_compile_error_keeps_the_earlier_bundle_and_the_log(world: World) -> None:
    world.build()
    world.change("kernel/fork.c", "int fork;\n#error broken\n")
    with pytest.raises(CheckError) as caught:
        world.build()
    assert caught.value.exit_code is ExitCode.CHECK
    assert caught.value.where == "kernel/fork.c:2"
    assert metadata.read(world.output).status == "complete"
    assert metadata.read(world.output).tree.commit == world.base
    assert world.left_over() == []
    work = builddir.find("fake", "fake", "gcc")
    assert "#error broken" in work.log.read_text()
    assert str(work.log) in (caught.value.hint or "")


def test_a_compile_error_names_the_patch_that_changed_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "cache_repository", lambda: world.source)
    world.change("kernel/fork.c", "#error broken\n")
    git(world.source, "commit", "-q", "-a", "-m", "fork: break it")
    world.commit = git(world.source, "rev-parse", "HEAD")
    with pytest.raises(CheckError) as caught:
        world.build()
    assert "changed by the patch 'fork: break it'" in (caught.value.hint or "")


def test_a_failed_build_tells_afterwards_what_it_was_and_where_it_stopped(world: World) -> None:
    world.change("kernel/fork.c", "#error broken\n")
    with pytest.raises(CheckError):
        world.build()
    assert (world.last().status, world.last().step) == ("failed", "kernel")
    assert "#error broken" in (world.last().error or "")
    assert not world.output.parent.exists()


def test_metadata_is_there_before_anything_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Metadata] = []

    def look(source: Path, build: Path, **options: Any) -> ConfigReport:
        seen.append(world.last())
        return world.configure(source, build, **options)

    monkeypatch.setattr(kconfig, "configure", look)
    world.build()
    assert (seen[0].status, seen[0].step) == ("building", "config")
    assert seen[0].tree.commit == world.base


def test_inputs_edited_during_a_build_give_no_bundle_that_would_pass_for_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.root / "data" / "runtime" / "sku-init.c"

    def edit(source_dir: Path, build: Path, **options: Any) -> ConfigReport:
        source.write_text("int edited;\n")
        return world.configure(source_dir, build, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kconfig, "configure", edit)
        with pytest.raises(UserError, match="changed while"):
            world.build()
    assert not world.output.exists()
    assert not world.build().reused


def test_an_interrupted_build_leaves_no_output_and_says_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(kbuild, "make", interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.build()
    assert not world.output.parent.exists()
    assert (world.last().status, world.last().step) == ("interrupted", "kernel")


def test_a_full_disk_while_collecting_leaves_no_output(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def full(source: Path, target: Path, **options: bool) -> Path:
        if Path(target).name == "System.map":
            raise OSError(28, "No space left on device", str(target))
        return copyfile(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        world.build()
    assert not world.output.parent.exists()
    assert world.last().status == "failed"


def test_a_full_disk_while_compiling_is_named(world: World) -> None:
    world.change("kernel/fork.c", "#error No space left on device\n")
    with pytest.raises(InfraError, match="the disk is full"):
        world.build()
    assert world.left_over() == []


def damaged_by(recipe: str) -> Callable[[World], None]:
    def damage(world: World) -> None:
        makefile = (world.source / "Makefile").read_text()
        assert "$(boot)/Image: $(O)/vmlinux FORCE" in makefile
        world.change("Makefile", makefile.replace("FORCE:", f"after: Image\n\t{recipe}\n\nFORCE:"))
        text = (world.source / "Makefile").read_text()
        world.change("Makefile", text.replace("modules: $(objects)", "modules: after"))

    return damage


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (r"@printf '\037\213' > $(boot)/Image", "compressed with gzip"),
        (r"@printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\076\0' > $(O)/vmlinux", "x86-64"),
        (r"@rm $(boot)/Image", "no Image"),
    ],
)
def test_an_image_that_could_not_boot_is_refused(world: World, recipe: str, said: str) -> None:
    damaged_by(recipe)(world)
    with pytest.raises(CheckError, match=said):
        world.build()
    assert not world.output.exists()


def test_an_image_of_another_page_size_than_the_board_is_refused(world: World) -> None:
    with pytest.raises(CheckError, match=r"pages of 4 KiB.* asks for 64 KiB"):
        world.build(board=Board(**{**fields(BOARD), "machine": MachinePart(1, 1, page_kib=64)}))


def fields(board: Board) -> dict[str, Any]:
    return {name: getattr(board, name) for name in board.__struct_fields__}


def test_a_directory_of_the_users_is_not_replaced(world: World) -> None:
    world.output.mkdir(parents=True)
    (world.output / "thesis.tex").touch()
    with pytest.raises(UserError, match="left alone"):
        world.build()


@pytest.mark.parametrize("text", ["-a b", "$(id)", "-" + "x" * 40, "-ü"])
def test_an_impossible_localversion_is_refused(world: World, text: str) -> None:
    with pytest.raises(UserError, match="localversion"):
        world.build(localversion=text)


def test_a_configuration_that_is_not_reproducible_is_warned_of_and_refused_when_verifying(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.obstacles = [Obstacle("RANDSTRUCT", "y", "its seed is random", "RANDSTRUCT_NONE")]
    world.build()
    assert "RANDSTRUCT" in capsys.readouterr().err
    planned = world.plan()
    with pytest.raises(CheckError, match="RANDSTRUCT"):
        verify.build_again(planned, world.output, metadata.read(world.output))


def verified(world: World) -> verify.Verification:
    planned = world.plan(ccache=True)
    built = image.carry_out(planned, world.output)
    return verify.build_again(planned, world.output, built)


def test_building_twice_gives_the_same_bytes_and_cleans_up(world: World) -> None:
    outcome = verified(world)
    assert outcome.differences == []
    assert world.ccaches == [True, False], "the second build must not take the first one's objects"
    assert {"Image", "System.map", "config", "initramfs.cpio"} <= set(outcome.compared)
    assert list((world.root / "cache" / "verify").iterdir()) == []
    assert world.left_over() == []


def test_a_path_in_the_image_is_found_and_placed(world: World) -> None:
    makefile = (world.source / "Makefile").read_text()
    world.change("Makefile", makefile.replace("$(release) $(stamp)", "$(O)"))
    with pytest.raises(
        CheckError, match=r"Image: differs from byte 0x\w+ on, in linux_banner"
    ) as e:
        verified(world)
    assert [item.path for item in e.value.data["differences"]] == ["Image"]  # type: ignore[index]
    assert (world.output.with_name("fake.second") / "Image").exists()


def test_the_objects_that_differ_are_named_but_for_those_of_the_host(tmp_path: Path) -> None:
    for side in ("first", "second"):
        for name in ("mm/same.o", "mm/other.o", "scripts/dtc/checks.o"):
            file = tmp_path / side / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("" if name == "mm/same.o" else side)
    (tmp_path / "second" / "new.o").touch()
    found = verify.differing_objects(tmp_path / "first", tmp_path / "second")
    assert found == ["mm/other.o"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"llvm": True, "localversion": "-next"},
        {"extra": ["CONFIG_A=y", 'CONFIG_B="two words"']},
        {"fragments": ["more"]},
    ],
)
def test_the_reproducing_command_is_one_that_sku_build_takes(
    world: World, options: dict[str, Any]
) -> None:
    more = fragments_dir() / "more.config.j2"
    more.parent.mkdir(exist_ok=True)
    more.write_text("CONFIG_MORE=y\n")
    argv = shlex.split(world.build(**options).reproduce)
    assert argv[:2] == ["sku", "build"]
    context: click.Context = command.make_context("build", argv[2:])
    assert context.params["tree_name"] == "fake"
    assert context.params["board_name"] == "fake"
    assert context.params["no_series"] is True
    assert context.params["llvm"] is options.get("llvm", False)
    assert context.params["localversion"] == options.get("localversion", "")
    assert list(context.params["extra"]) == options.get("extra", [])
    assert list(context.params["fragments"]) == options.get("fragments", [])
    assert context.params["output"] == world.output
