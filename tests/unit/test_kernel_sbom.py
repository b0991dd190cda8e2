# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own SBOM: the same bytes wherever it was built, nothing of this machine in it."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from sku_build import kernel_sbom, tree
from sku_build.errors import CheckError, UserError
from sku_build.kbuild import Kbuild
from sku_build.outcome import Applied
from sku_build.toolchain import Toolchain, choose
from tests.conftest import run_git

# What the kernel's tool does, as far as it differs from one directory and time to another.
MAKEFILE = """\
sbom:
\t@echo making
\t@CC="ccache $(CROSS_COMPILE)gcc" O=$(O) python3 sbom.py {created} {ids}
"""
TOOL = """\
import json, os, sys
created, *ids = sys.argv[1:]
compiler = f"{os.getcwd()} {os.environ['O']} {os.environ['CC']}"
environment = [{"key": "CC", "value": compiler}, {"key": "MFLAGS", "value": os.environ["MFLAGS"]}]
for name, own in zip(("source", "output"), ids):
    element = {"id": f"urn:spdx.dev:{own}/{name}/", "created": created}
    with open(f"{os.environ['O']}/sbom-{name}.spdx.json", "w") as file:
        json.dump({"@graph": [element | {"build_environment": environment}]}, file)
"""
DATE = 1_700_000_000


@pytest.fixture
def toolchain() -> Toolchain:
    return choose("arm64", ccache=False)


def built(
    root: Path, toolchain: Toolchain, *, created: str, ids: tuple[str, str], jobs: int = 1
) -> Kbuild:
    source, objects = root / "source", root / "objects"
    source.mkdir(parents=True)
    objects.mkdir()
    (source / "Makefile").write_text(MAKEFILE.format(created=created, ids=" ".join(ids)))
    (source / "sbom.py").write_text(TOOL)
    return Kbuild(source, objects, toolchain, DATE, "", jobs)


def test_the_same_build_elsewhere_and_later_gives_the_same_bytes(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    made = []
    for place, created in (("a", "2026-11-28T01:02:03Z"), ("b/c", "2027-01-01T00:00:00Z")):
        own = str(uuid.uuid4())
        jobs = 1 + len(made)
        kernel = built(tmp_path / place, toolchain, created=created, ids=(own, own), jobs=jobs)
        target = tmp_path / place / "sbom"
        kernel_sbom.make(kernel, log=tmp_path / "log", target=target)
        made.append({path.name: path.read_text() for path in target.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == {"sbom-source.spdx.json", "sbom-output.spdx.json"}
    for text in made[0].values():
        assert str(tmp_path) not in text
        (element,) = json.loads(text)["@graph"]
        assert element["created"] == "2023-11-14T22:13:20Z"
        value = f"/usr/src/linux /usr/src/linux-build {toolchain.compiler}"
        assert element["build_environment"] == [{"key": "CC", "value": value}]
    namespaces = {re.findall(r"urn:spdx\.dev:([^/]*)/", text)[0] for text in made[0].values()}
    assert len(namespaces) == 1
    assert uuid.UUID(namespaces.pop()).version == 5


def test_documents_of_different_builds_are_refused(tmp_path: Path, toolchain: Toolchain) -> None:
    ids = (str(uuid.uuid4()), str(uuid.uuid4()))
    kernel = built(tmp_path, toolchain, created="now", ids=ids)
    with pytest.raises(CheckError, match="documents of 2 builds"):
        kernel_sbom.make(kernel, log=tmp_path / "log", target=tmp_path / "sbom")
    assert not (tmp_path / "sbom").exists()


def test_a_kernel_without_the_target_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(tmp_path, "init", "--quiet")
    monkeypatch.setattr(tree, "cache_repository", lambda: tmp_path)
    monkeypatch.setattr(tree, "object_env", lambda of: {})
    for makefile, has_it in (("all:\n\tsbom:\n", False), ("sbom: all\n", True)):
        (tmp_path / "Makefile").write_text(makefile)
        run_git(tmp_path, "add", "Makefile")
        run_git(tmp_path, "commit", "--quiet", "-m", "made")
        base = run_git(tmp_path, "rev-parse", "HEAD").strip()
        linux = tree.Tree("linux", "checkout", "7.3.9", base, "here", tmp_path)
        applied = Applied("linux", base, base, None, [])
        if has_it:
            kernel_sbom.require(linux, applied)
        else:
            with pytest.raises(UserError, match=r"Linux 7\.3\.9 has no `make sbom`"):
                kernel_sbom.require(linux, applied)
