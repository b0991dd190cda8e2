# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build import run, toolchain
from sku_build.errors import ExitCode, InfraError, UserError
from tests.unit import fakelinux


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with the gcc cross tools only, on an x86-64 host."""
    path = fakelinux.programs(tmp_path / "bin", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld")
    (path / "gcc").symlink_to(fakelinux.HERE / "bin" / "cc")
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return path


def add(bin_dir: Path, *names: str) -> None:
    for name in names:
        (bin_dir / name).symlink_to(fakelinux.HERE / "bin" / "cc")


def test_gcc_is_a_cross_compiler_on_another_machine(bin_dir: Path) -> None:
    chosen = toolchain.choose("arm64")
    assert chosen.make_args() == ["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"]
    assert chosen.environment() == {}


def test_gcc_is_native_on_an_arm64_host(bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    add(bin_dir, "ld")
    assert toolchain.choose("arm64").make_args() == ["ARCH=arm64"]


def test_llvm_also_builds_kernels_that_take_their_target_from_cross_compile(bin_dir: Path) -> None:
    add(bin_dir, *fakelinux.LLVM)
    args = toolchain.choose("arm64", llvm=True).make_args()
    assert {"LLVM=1", "LLVM_IAS=1", "CROSS_COMPILE=aarch64-linux-gnu-"} <= set(args)


def test_ccache_is_used_where_it_is_and_can_be_refused(bin_dir: Path) -> None:
    assert not toolchain.choose("arm64").ccache
    add(bin_dir, "ccache")
    assert "CC=ccache aarch64-linux-gnu-gcc" in toolchain.choose("arm64").make_args()
    assert not toolchain.choose("arm64", ccache=False).ccache


def test_ccache_tells_compilers_apart_by_version_and_ignores_the_build_directory(
    bin_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(bin_dir, "ccache")
    before = toolchain.choose("arm64").environment()
    assert "CCACHE_NOHASHDIR" in before
    assert "CCACHE_BASEDIR" not in before, "it changes __FILE__, see the docstring"
    toolchain._version_of.cache_clear()
    # The environment of a child is built from scratch: another compiler is another program.
    newer = (fakelinux.HERE / "bin" / "cc").read_text().replace("1.0", "2.0")
    (bin_dir / "aarch64-linux-gnu-gcc").unlink()
    (bin_dir / "aarch64-linux-gnu-gcc").write_text(newer)
    (bin_dir / "aarch64-linux-gnu-gcc").chmod(0o755)
    after = toolchain.choose("arm64").environment()
    assert before["CCACHE_COMPILERCHECK"] != after["CCACHE_COMPILERCHECK"]


def test_a_missing_compiler_is_named_with_its_package(bin_dir: Path) -> None:
    (bin_dir / "aarch64-linux-gnu-gcc").unlink()
    with pytest.raises(InfraError) as caught:
        toolchain.choose("arm64")
    assert "aarch64-linux-gnu-gcc" in caught.value.message
    assert "apt-get install gcc-aarch64-linux-gnu;" in (caught.value.hint or "")
    assert caught.value.exit_code is ExitCode.INTERNAL


def test_missing_llvm_programs_are_named_once_per_package(bin_dir: Path) -> None:
    with pytest.raises(InfraError) as caught:
        toolchain.choose("arm64", llvm=True)
    assert "apt-get install clang lld llvm;" in (caught.value.hint or "")


def test_an_unknown_architecture_is_the_users_error(bin_dir: Path) -> None:
    with pytest.raises(UserError, match="riscv"):
        toolchain.choose("riscv")


def test_describe_names_compiler_and_linker_versions(bin_dir: Path) -> None:
    assert toolchain.choose("arm64").describe() == {
        "cc": "aarch64-linux-gnu-gcc (fake) 1.0",
        "ld": "aarch64-linux-gnu-ld (fake) 1.0",
    }


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A redis on loopback; Debian's redis-tools has the server under another name."""
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if found is None or shutil.which("ccache") is None:
        pytest.skip("redis-tools or ccache is not installed")
    server = tmp_path / "redis-server"
    server.symlink_to(found)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "")
    with subprocess.Popen([server, *options], stdout=subprocess.DEVNULL, cwd=tmp_path) as child:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}"
        finally:
            child.kill()


def test_what_one_machine_compiled_another_finds_in_the_store_they_share(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two caches that know nothing of each other, and one redis."""
    monkeypatch.setenv("CCACHE_REMOTE_STORAGE", redis_url)
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "aarch64")
    (tmp_path / "a.c").write_text("int a;\n")
    said = []
    for number in range(2):
        monkeypatch.setenv("SKU_CACHE", str(tmp_path / f"cache{number}"))
        chosen = toolchain.choose("arm64")
        log = tmp_path / f"log{number}"
        env = chosen.environment() | {"CCACHE_STATSLOG": str(log)}
        argv = ["ccache", chosen.compiler, "-c", tmp_path / "a.c", "-o", tmp_path / "a.o"]
        run.run(argv, env=env, cwd=tmp_path)
        said.append(log.read_text().splitlines())
    assert "remote_storage_hit" not in said[0]
    assert "remote_storage_hit" in said[1]
    assert "cache_miss" not in said[1]
