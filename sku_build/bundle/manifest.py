# SPDX-License-Identifier: GPL-2.0-only
"""``manifest.json``: every input of a bundle and every file in it, hashed.

It holds nothing of the clock, of this machine or of the directories on it, so that the same inputs
give the same bytes. The JSON schema of the format is made from the classes here.
"""

from __future__ import annotations

import shlex
from typing import Any, Literal

import msgspec

from sku_build import metadata as records
from sku_build.errors import UserError
from sku_build.metadata import ConfigRecord, ImageRecord, InputRecord, Metadata, SeriesRecord
from sku_build.outcome import Outcome

FILE_NAME = "manifest.json"


class TreeOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The kernel's source: ``version`` is its point release, ``commit`` has the series on it.

    ``origin`` is the package or archive; None for a checkout, whose path means nothing elsewhere.
    """

    name: str
    kind: str
    version: str
    origin: str | None
    base: str
    commit: str


class PatchOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A patch that was put on the tree, and the hash of its mail; None when it made no commit."""

    series: str
    file: str
    subject: str
    outcome: Outcome
    commit: str | None
    sha256: str | None


class FileOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle; ``path`` is relative to it, ``size`` in bytes, ``mode`` octal."""

    path: str
    size: int
    mode: Literal["0644", "0755"]
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``; ``files`` are all but itself and what lists it."""

    format: Literal[1] = 1
    name: str
    sku: str
    board: str
    arch: str
    cmdline: str
    release: str
    source_date_epoch: int
    fingerprint: str
    reproduce: str
    tree: TreeOf
    series: list[SeriesRecord]
    patches: list[PatchOf]
    inputs: list[InputRecord]
    toolchain: dict[str, str]
    config: ConfigRecord
    image: ImageRecord
    files: list[FileOf]


def of(metadata: Metadata, files: list[FileOf]) -> Manifest:
    """Return the manifest of ``files``, which were made by the finished build ``metadata``."""
    assert metadata.release is not None and metadata.config is not None
    assert metadata.image is not None
    tree = metadata.tree
    mails = {item.path: item.sha256 for item in metadata.inputs if item.kind == "patch"}
    return Manifest(
        name=f"sku-{metadata.board}-{metadata.release}",
        sku=metadata.sku,
        board=metadata.board,
        arch=metadata.arch,
        cmdline=metadata.cmdline,
        release=metadata.release,
        source_date_epoch=metadata.source_date_epoch,
        fingerprint=metadata.fingerprint,
        reproduce=_without_output(metadata.reproduce),
        tree=TreeOf(
            tree.name,
            tree.kind,
            tree.version,
            None if tree.kind == "checkout" else tree.origin,
            tree.base,
            tree.commit,
        ),
        series=metadata.series,
        patches=[
            PatchOf(
                patch.series,
                patch.file,
                patch.subject,
                patch.outcome,
                patch.commit,
                mails.get(f"patchsets/{patch.series}/{patch.file}"),
            )
            for patch in metadata.patches
        ],
        inputs=metadata.inputs,
        toolchain={tool: said for tool, said in metadata.toolchain.items() if tool != "ccache"},
        config=metadata.config,
        image=metadata.image,
        files=files,
    )


def _without_output(command: str) -> str:
    words = shlex.split(command)
    if "--output" in words:
        at = words.index("--output")
        del words[at : at + 2]
    return shlex.join(words)


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of the file."""
    return document(manifest)


def document(value: object) -> bytes:
    """Return ``value`` as JSON for people, the same bytes each time; the order is the value's."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode(data: bytes, where: str) -> Manifest:
    """Return the manifest in ``data``; UserError, naming ``where``, when it is not one."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise UserError(f"cannot read the manifest: {error}", where=where) from error


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of ``manifest.json``."""
    found: dict[str, Any] = msgspec.json.schema(Manifest)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def checked(metadata: Metadata, where: str) -> Metadata:
    """Return ``metadata`` if it is that of a whole build, of which all inputs are known."""
    if metadata.status != "complete":
        raise UserError(
            f"the build is {metadata.status}: nothing to bundle", where=where, hint="build it again"
        )
    if metadata.format != records.FORMAT or not metadata.inputs:
        raise UserError(
            "the build is from another version of sku, and does not tell all its inputs",
            where=where,
            hint=f"build it again: {metadata.reproduce}",
        )
    return metadata
