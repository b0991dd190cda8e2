# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own checkpatch.pl, taken from the tree that a patch is for."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sku_build import git, layout, run
from sku_build.check.findings import Finding, Level, place
from sku_build.mail import load as load_mail
from sku_build.series import Series, ranges
from sku_build.tree import Tree
from sku_build.version import in_ranges

_FILES = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")
_SAID = re.compile(
    r"^.*?:(?P<line>\d+): (?P<kind>ERROR|WARNING|CHECK):(?P<type>\w+): (?P<text>.*)$"
)
# A series lives outside of the tree: MAINTAINERS is not its own, and the names in the tree's
# headers, which the check of CamelCase needs, are not there.
_NOT_OURS = "FILE_PATH_CHANGES,CAMELCASE"
_TERMS = ("--no-tree", "--strict", "--terse", "--show-types", "--no-summary", "--color=never")


class Said(msgspec.Struct, frozen=True):
    """One complaint: where in the patch file, how bad, of which type."""

    line: int
    kind: str
    type: str
    text: str


def check(series: Series, trees: Sequence[Tree]) -> Iterator[Finding]:
    """Yield what checkpatch says of each patch, by the newest of ``trees`` that it is for.

    A patch's own ``checkpatch`` in series.toml lists types that it may have.
    """
    with tempfile.TemporaryDirectory(prefix="sku-checkpatch-") as name:
        for entry in series.patches:
            fitting = [t for t in trees if in_ranges(t.kernel, ranges(entry.kernels))]
            if not fitting:
                continue
            script = _script(fitting[-1], Path(name))
            if script is None:
                continue
            path = series.directory / entry.file
            for said in _complaints(script, path):
                if said.type in entry.checkpatch:
                    continue
                level = Level.NOTE if said.kind == "CHECK" else Level.WARNING
                message = f"{said.type}: {said.text}"
                yield Finding(
                    *("checkpatch", level, series.name, place(path), message, said.line),
                    fitting[-1].name,
                )


def _script(tree: Tree, place_: Path) -> Path | None:
    directory = place_ / tree.name
    if not directory.exists():
        directory.mkdir()
        for name in _FILES:
            text = git.read_file(tree.commit, f"scripts/{name}", cwd=tree.repository)
            if text is not None:
                (directory / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    script = directory / "checkpatch.pl"
    return script if script.exists() else None


def _complaints(script: Path, path: Path) -> list[Said]:
    """Run the script on a patch; its answer is kept in the cache, by both files' content."""
    key = hashlib.sha256(script.read_bytes() + load_mail(path).raw + _NOT_OURS.encode()).hexdigest()
    kept = layout.cache_dir("checkpatch") / f"{key}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=list[Said])
    argv = ["perl", str(script), *_TERMS, f"--ignore={_NOT_OURS}", str(path)]
    done = run.run(argv, cwd=script.parent, check=False)
    matches = (match for match in map(_SAID.match, done.stdout.splitlines()) if match)
    found = [Said(int(m["line"]), m["kind"], m["type"], m["text"]) for m in matches]
    draft = kept.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(found))
    draft.replace(kept)
    return found
