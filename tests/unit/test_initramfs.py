# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sku_build import initramfs
from sku_build.errors import CheckError
from sku_build.toolchain import choose
from tests.unit import fakelinux

EPOCH = 1_700_000_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fakelinux.install(tmp_path, monkeypatch)
    return tmp_path


def packed(root: Path, init: Path) -> bytes:
    initramfs.unpack(init, root / "initramfs", epoch=EPOCH)
    initramfs.pack(root / "initramfs", root / "initramfs.cpio")
    return (root / "initramfs.cpio").read_bytes()


def entries(archive: Path) -> list[str]:
    listed = subprocess.run(
        ["cpio", "-itv", "--numeric-uid-gid", "--quiet", "-F", archive],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": os.environ["PATH"]},
    )
    return listed.stdout.splitlines()


def test_the_archive_does_not_depend_on_place_time_or_umask(tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.write_bytes(b"program")
    (tmp_path / "a").mkdir()
    (tmp_path / "somewhere").mkdir()
    first = packed(tmp_path / "a", init)
    before = os.umask(0o077)
    try:
        second = packed(tmp_path / "somewhere", init)
    finally:
        os.umask(before)
    assert first == second


def test_the_archive_is_newc_sorted_owned_by_root_and_of_the_given_date(tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.write_bytes(b"program")
    assert packed(tmp_path, init).startswith(b"070701")
    listed = [line.split() for line in entries(tmp_path / "initramfs.cpio")]
    names = [fields[-1] for fields in listed]
    assert names == sorted(names)
    assert {"init", "dev", "proc", "sys", "run", "mnt", "bundle"} <= set(names)
    assert {(fields[2], fields[3]) for fields in listed} == {("0", "0")}
    assert {tuple(fields[5:8]) for fields in listed} == {("Nov", "14", "2023")}
    assert next(fields[0] for fields in listed if fields[-1] == "init") == "-rwxr-xr-x"


def test_the_runtime_is_compiled_outside_of_its_sources(world: Path) -> None:
    before = sorted((world / "data" / "runtime").iterdir())
    program = initramfs.build_runtime(choose("arm64", ccache=False), world / "out")
    assert program.read_bytes().startswith(b"\x7fELF")
    assert sorted((world / "data" / "runtime").iterdir()) == before


def test_a_runtime_for_the_wrong_machine_is_refused(world: Path) -> None:
    makefile = world / "data" / "runtime" / "Makefile"
    makefile.write_text(makefile.read_text().replace(r"\2\0\267\0", r"\2\0\076\0"))
    with pytest.raises(CheckError, match="x86-64"):
        initramfs.build_runtime(choose("arm64", ccache=False), world / "out")


def test_a_runtime_that_does_not_compile_says_the_first_error(world: Path) -> None:
    (world / "data" / "runtime" / "sku-init.c").write_text("int a;\n#error no such thing\n")
    with pytest.raises(CheckError, match=r"sku-init\.c:2:2: error: #error no such thing"):
        initramfs.build_runtime(choose("arm64", ccache=False), world / "out")


def test_all_programs_that_the_runtime_has_are_found_by_their_place(world: Path) -> None:
    makefile = world / "data" / "runtime" / "Makefile"
    makefile.write_text(
        makefile.read_text() + "all: sku-init\n\tcp $(OUT)/sku-init $(OUT)/sku-agent\n"
    )
    found = initramfs.build_programs(choose("arm64", ccache=False), world / "out")
    assert found == {
        "usr/bin/skuctl": world / "out" / "skuctl",
        "usr/lib/sku/sku-agent": world / "out" / "sku-agent",
        "usr/lib/sku/criu/sku.so": world / "out" / "sku.so",
    }
