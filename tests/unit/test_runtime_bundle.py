# SPDX-License-Identifier: GPL-2.0-only
"""On the target: a bundle is taken as `sku bundle` made it, and refused when anything differs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sku_build import bundle
from tests.unit import bundle_samples as samples
from tests.unit.runtime_parts import compiled
from tests.unit.test_bundle import DAMAGE

_PARTS = ("buffer", "bundle", "child", "file", "journal", "problem", "sealed", "signature")

Opened = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runtime")
    places = {
        "BUNDLE_KEYS": f"{directory}/keys",
        "CHILD_PATH": f"{directory}/bin:/usr/bin:/bin",
    }
    return compiled(Path(__file__).with_suffix(".c"), _PARTS, directory / "open", places)


@pytest.fixture
def opened(program: Path) -> Opened:
    """Return a function that opens a bundle and returns the status and the lines it says."""

    def call(*words: object) -> tuple[int, list[str]]:
        argv = [program, *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), (done.returncode, done.stdout, done.stderr)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    return call


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.key(tmp_path_factory.mktemp("key") / "release")


@pytest.fixture
def made(tmp_path: Path, key: Path) -> Path:
    """A bundle with more modules than are hashed at once, in a directory of an odd name."""
    built = samples.build(tmp_path / "build")
    names = {f"modules/lib/modules/6.1.192/{n}.ko": str(n).encode() for n in range(150)}
    for name, data in names.items():
        (built / name).write_bytes(data)
    samples.change(built, artefacts=samples.metadata.artefacts(built))
    target = tmp_path / "a b\\c"
    bundle.make(built, target, key=key)
    return target


def test_a_signed_bundle_is_taken_and_its_files_named_in_problems(
    opened: Opened, made: Path, key: Path
) -> None:
    status, said = opened(made, f"{key}.pub")
    assert (status, said) == (
        0,
        [
            samples.CMDLINE,
            str(len(samples.FILES["Image"])),
            str(len(samples.FILES["initramfs.cpio"])),
            f"cannot take {made}/Image for a kernel",
        ],
    )


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bundle_that_was_changed_is_refused_in_one_line(
    opened: Opened, made: Path, key: Path, damage: str
) -> None:
    """The target says of the same damage what the build's side says."""
    change, why = DAMAGE[damage]
    change(made)
    status, (problem, hint) = opened(made, f"{key}.pub")
    assert status == 3
    assert why in problem
    assert hint


def test_the_keys_of_the_machine_are_trusted_and_no_others(
    opened: Opened, program: Path, made: Path, key: Path, tmp_path: Path
) -> None:
    keys = program.parent / "keys"
    assert "there is no trusted key in" in opened(made)[1][0]
    keys.mkdir()
    assert "there is no trusted key in" in opened(made)[1][0]
    other = samples.key(tmp_path / "other")
    (keys / "other.pub").write_bytes(Path(f"{other}.pub").read_bytes())
    assert "signed by a key that is not trusted: SHA256:" in opened(made)[1][0]
    (keys / "release.pub").write_bytes(b"# ours\n" + Path(f"{key}.pub").read_bytes())
    assert opened(made)[0] == 0
    assert "is not a public key" in opened(made, key)[1][0]


def test_what_is_no_bundle_is_told(opened: Opened, key: Path, tmp_path: Path) -> None:
    assert "is not a bundle" in opened(tmp_path, f"{key}.pub")[1][0]
    assert "is not a bundle" in opened(tmp_path / "gone", f"{key}.pub")[1][0]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0",
        b"x\n",
        b"0" * 64 + b"  Image",
        b"0" * 64 + b"  ../Image\n",
        b"0" * 64 + b"  /etc/passwd\n",
        b"0" * 64 + b"  a/.b\n",
        b"0" * 64 + b"  a//b\n",
        b"0" * 64 + b"  a\\b\n",
        b"0" * 64 + b" *Image\n",
        b"0" * 63 + b"g  Image\n",
        b"0" * 64 + b"  b\n" + b"0" * 64 + b"  a\n",
        b"0" * 64 + b"  a\n" + b"0" * 64 + b"  a\n",
        b"0" * 64 + b"  " + b"a" * 5000 + b"\n",
    ],
)
def test_a_signed_list_that_is_none_is_refused(
    opened: Opened, made: Path, key: Path, text: bytes
) -> None:
    from sku_build.bundle import signature

    (made / "SHA256SUMS").write_bytes(text)
    (made / "SHA256SUMS.sig").write_bytes(signature.sign(text, key))
    status, said = opened(made, f"{key}.pub")
    assert status == 3
    assert "is not a sorted list of hashes" in said[0]


def test_without_the_programs_nothing_is_taken(
    opened: Opened, program: Path, made: Path, key: Path
) -> None:
    """Whatever ssh-keygen or sha256sum is put in the way, silence is no consent."""
    directory = program.parent / "bin"
    directory.mkdir()
    try:
        for name, script, why in (
            ("ssh-keygen", "exit 127", "cannot run ssh-keygen"),
            ("sha256sum", "exit 0", "is not what was signed"),
            ("sha256sum", "exit 1", "sha256sum failed"),
        ):
            path = directory / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
            status, said = opened(made, f"{key}.pub")
            assert status == 3
            assert why in said[0]
            path.unlink()
    finally:
        directory.rmdir()
