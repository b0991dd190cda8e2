# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's own ``make sbom`` says of a build: each source with its licence, each output.

A kernel either has that target or it has not; 6.12 has none, 7.3 does. Its documents, SPDX 3.0.1 in
JSON-LD, name directories of the machine and the time of the build. Here they get the names that the
compiler is told as well (:mod:`sku_build.kbuild`), and the date of the sources, so that the same
build gives the same bytes elsewhere. The third document, of every command that was run, is left.
"""

from __future__ import annotations

import datetime
import re
import uuid
from pathlib import Path

import msgspec

from sku_build import git, kbuild
from sku_build import tree as trees
from sku_build.errors import CheckError, UserError
from sku_build.kbuild import Kbuild
from sku_build.outcome import Applied
from sku_build.tree import Tree

DIRECTORY = "sbom"
_FILES = ("sbom-source.spdx.json", "sbom-output.spdx.json")
_TARGET = re.compile(r"^sbom:", re.MULTILINE)
_CREATED = re.compile(r'("created": ?")[^"]*(")')
_NAMESPACE = re.compile(r"urn:spdx\.dev:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")
_ENVIRONMENT = "build_environment"
# How make went about it: how many at a time, and the command line with this machine's words.
_OF_THE_RUN = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
_NONE = str(uuid.UUID(int=0))


def require(tree: Tree, applied: Applied) -> None:
    """Raise UserError unless the kernel at the commit of ``applied`` has the target."""
    shown = git.git(
        *("show", f"{applied.commit}:Makefile"),
        cwd=trees.cache_repository(),
        env=trees.object_env(tree),
    )
    if not _TARGET.search(shown.stdout):
        raise UserError(
            f"Linux {tree.version} has no `make sbom`",
            where=tree.name,
            hint="build without --sbom; `sku bundle make` writes one of the bundle, for any kernel",
        )


def make(kernel: Kbuild, *, log: Path, target: Path) -> None:
    """Write the documents of the finished build ``kernel`` into the new directory ``target``.

    Raises CheckError when the kernel's tool fails or leaves something out.
    """
    kbuild.make(kernel, ["sbom"], title="sbom", log=log, total=None)
    texts = [_elsewhere(kernel, (kernel.objects / name).read_text()) for name in _FILES]
    found = {said for text in texts for said in _NAMESPACE.findall(text)}
    if len(found) != 1:
        raise CheckError(
            f"make sbom left documents of {len(found)} builds, and not of one",
            where=kernel.objects,
            hint=f"its messages are in {log}",
        )
    (said,) = found
    texts = [text.replace(said, _NONE) for text in texts]
    # The tool's own was made from the directories and the time as well.
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, "".join(texts)))
    target.mkdir()
    for name, text in zip(_FILES, texts, strict=True):
        (target / name).write_text(text.replace(_NONE, own))


def _elsewhere(kernel: Kbuild, text: str) -> str:
    document = msgspec.json.decode(text)
    for element in document["@graph"]:
        if _ENVIRONMENT in element:
            element[_ENVIRONMENT] = [
                entry for entry in element[_ENVIRONMENT] if entry["key"] not in _OF_THE_RUN
            ]
    text = msgspec.json.encode(document).decode()
    compiler = kernel.toolchain.compiler
    for said, instead in {**kernel.directories(), f"ccache {compiler}": compiler}.items():
        text = text.replace(said, instead)
    when = datetime.datetime.fromtimestamp(kernel.epoch, datetime.UTC)
    return _CREATED.sub(rf"\g<1>{when:%Y-%m-%dT%H:%M:%SZ}\g<2>", text)
