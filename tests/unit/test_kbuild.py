# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sku_build import kbuild
from sku_build.errors import CheckError, InfraError, SkuError
from sku_build.kbuild import Kbuild
from sku_build.toolchain import choose
from tests.unit import fakelinux

SOURCE = Path("/cache/src/6.1")


def failure(*lines: str) -> SkuError:
    return kbuild.explained_failure(lines, log=Path("/cache/log"), source=SOURCE, status=2)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kbuild:
    source = fakelinux.install(tmp_path, monkeypatch)
    objects = tmp_path / "objects"
    objects.mkdir()
    (objects / ".config").write_text("CONFIG_64BIT=y\n")
    chosen = choose("arm64", ccache=False)
    return Kbuild(source, objects, chosen, epoch=1_700_000_000, localversion="", jobs=2)


@pytest.mark.parametrize(
    ("epoch", "stamp"),
    [
        (0, "Thu Jan  1 00:00:00 UTC 1970"),
        (1_700_000_000, "Tue Nov 14 22:13:20 UTC 2023"),
    ],
)
def test_the_time_stamp_is_what_date_prints_and_reads(epoch: int, stamp: str) -> None:
    assert kbuild.build_timestamp(epoch) == stamp
    read = subprocess.run(["date", "-d", stamp, "+%s"], capture_output=True, text=True, check=True)
    assert int(read.stdout) == epoch


def test_make_gets_all_that_reproducible_builds_need(kernel: Kbuild) -> None:
    argv = kernel.command("Image")
    assert "LOCALVERSION=" in argv, "unset, setlocalversion appends a plus sign"
    assert "KBUILD_BUILD_VERSION=1" in argv
    assert {"KBUILD_BUILD_USER=sku", "KBUILD_BUILD_HOST=sku"} <= set(argv)
    assert "KBUILD_BUILD_TIMESTAMP=Tue Nov 14 22:13:20 UTC 2023" in argv
    for flags in ("KCFLAGS", "KAFLAGS"):
        value = next(word for word in argv if word.startswith(f"{flags}="))
        assert f"-fdebug-prefix-map={kernel.source}=" in value
        assert f"-fdebug-prefix-map={kernel.objects}=" in value
    assert kernel.environment()["SOURCE_DATE_EPOCH"] == "1700000000"


def test_steps_are_counted_and_shown(kernel: Kbuild, tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = kbuild.make(kernel, ["Image", "modules"], title="make", log=log, total=None)
    assert steps == 5
    assert log.read_text().count("\n") == 5


def test_a_compile_error_names_file_line_message_and_log(kernel: Kbuild, tmp_path: Path) -> None:
    (kernel.source / "kernel" / "fork.c").write_text("int fork;\n#error broken by a patch\n")
    with pytest.raises(CheckError, match="#error broken by a patch") as caught:
        kbuild.make(kernel, ["Image"], title="make", log=tmp_path / "log", total=None)
    assert caught.value.where == "kernel/fork.c:2"
    assert str(tmp_path / "log") in (caught.value.hint or "")
    assert caught.value.data == {
        "message": "#error broken by a patch",
        "file": "kernel/fork.c",
        "line": 2,
        "log": str(tmp_path / "log"),
    }


@pytest.mark.parametrize(
    ("lines", "message", "where"),
    [
        pytest.param(
            [
                "  CC      kernel/fork.o",
                "In file included from /cache/src/6.1/kernel/fork.c:13:",
                "/cache/src/6.1/include/linux/mm.h:9:10: fatal error: linux/no.h: No such file",
                "make[3]: *** [/cache/src/6.1/scripts/Makefile.build:250: kernel/fork.o] Error 1",
            ],
            "linux/no.h: No such file",
            "include/linux/mm.h:9",
            id="gcc, header",
        ),
        pytest.param(
            [
                "/cache/src/6.1/mm/x.c: In function \N{LEFT SINGLE QUOTATION MARK}f':",
                "/cache/src/6.1/mm/x.c:3:5: error: implicit declaration of function 'g'",
            ],
            "implicit declaration of function 'g'",
            "mm/x.c:3",
            id="gcc, function",
        ),
        pytest.param(
            [
                "  LD      .tmp_vmlinux.kallsyms1",
                "aarch64-linux-gnu-ld: Unexpected GOT/PLT entries detected!",
                "aarch64-linux-gnu-ld: mm/mm_init.o: in function `deferred_init':",
                "/cache/src/6.1/mm/mm_init.c:42: undefined reference to `padata_do'",
                "make: *** [Makefile:1240: vmlinux] Error 1",
            ],
            "undefined reference to `padata_do'",
            "mm/mm_init.c:42",
            id="ld, with debug information",
        ),
        pytest.param(
            ["aarch64-linux-gnu-ld: mm_init.c:(.text+0x6): undefined reference to `padata_do'"],
            "undefined reference to `padata_do'",
            "mm_init.c",
            id="ld",
        ),
        pytest.param(
            ["ld.lld: error: undefined symbol: padata_do", ">>> referenced by mm_init.c"],
            "undefined symbol: padata_do",
            "/cache/log",
            id="lld",
        ),
        pytest.param(
            ['ERROR: modpost: "padata_do" [drivers/x.ko] undefined!'],
            'modpost: "padata_do" [drivers/x.ko] undefined!',
            "/cache/log",
            id="modpost",
        ),
        pytest.param(
            ["make[2]: *** No rule to make target 'arch/arm64/boot/dts/no.dtb'.  Stop."],
            "No rule to make target 'arch/arm64/boot/dts/no.dtb'",
            "/cache/log",
            id="no rule",
        ),
        pytest.param(
            ["kernel/Kconfig.sku:12: syntax error", "make: *** [Makefile:9: syncconfig] Error 1"],
            "syntax error",
            "kernel/Kconfig.sku:12",
            id="Kconfig",
        ),
        pytest.param(
            ["make: *** [Makefile:1240: vmlinux] Error 1"],
            "[Makefile:1240: vmlinux] Error 1",
            "/cache/log",
            id="make alone",
        ),
    ],
)
def test_the_most_telling_error_is_found(lines: list[str], message: str, where: str) -> None:
    error = failure(*lines)
    assert isinstance(error, CheckError)
    assert error.message == f"the kernel does not build: {message}"
    assert error.where == where


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fatal error: error writing to /tmp/x.s: No space left on device", "the disk is full"),
        ("gcc: fatal error: Killed signal terminated program cc1", "memory ran out"),
        ("/bin/sh: 1: bc: not found", "bc is not installed"),
        ("bash: line 1: flex: command not found", "flex is not installed"),
        (
            "/cache/src/6.1/scripts/sign.c:2:10: fatal error: openssl/pem.h: No such file",
            "the header openssl/pem.h",
        ),
        ("nothing of note", "named no error"),
    ],
)
def test_what_is_not_the_trees_fault_is_not_blamed_on_it(line: str, said: str) -> None:
    error = failure(line, "make: *** [Makefile:1: x] Error 1"[: 0 if "note" in line else None])
    assert isinstance(error, InfraError)
    assert said in error.message
    assert error.data == {"log": "/cache/log"}


def test_a_probe_that_misses_a_program_does_not_hide_the_compile_error() -> None:
    error = failure("/bin/sh: 1: pahole: not found", "/cache/src/6.1/mm/x.c:3:5: error: bad")
    assert error.where == "mm/x.c:3"


def slow_tree(kernel: Kbuild) -> None:
    """Make the target Image write half a file, and then take its time."""
    makefile = (kernel.source / "Makefile").read_text()
    half = "Image: $(O)/half\n$(O)/half:\n\t@echo half > $@; echo '  GEN     half'; sleep 60\n"
    (kernel.source / "Makefile").write_text(makefile.replace("Image: $(boot)/Image", half + "x: "))


def test_an_interrupted_make_leaves_no_half_written_target(
    kernel: Kbuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_tree(kernel)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    class Once:
        match = staticmethod(interrupt)

    monkeypatch.setattr(kbuild, "_SHORT_LINE", Once)
    with pytest.raises(KeyboardInterrupt):
        kbuild.make(kernel, ["Image"], title="make", log=tmp_path / "log", total=None)
    assert not (kernel.objects / "half").exists()


def test_a_killed_sku_takes_make_with_it_and_leaves_no_half_written_target(
    kernel: Kbuild, tmp_path: Path
) -> None:
    slow_tree(kernel)
    argv = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    with subprocess.Popen([*argv, *kernel.command("Image")], stdout=subprocess.DEVNULL) as child:
        wait_for(lambda: (kernel.objects / "half").exists())
        os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: not (kernel.objects / "half").exists())


def wait_for(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_estimate_grows_with_the_configuration() -> None:
    small = ["CONFIG_A=y", "# CONFIG_B is not set", 'CONFIG_C="y"']
    assert kbuild.estimated_steps(small) < kbuild.estimated_steps([*small, "CONFIG_D=m"] * 50)
