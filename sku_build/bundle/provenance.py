# SPDX-License-Identifier: GPL-2.0-only
"""``provenance.json``: an in-toto statement with a SLSA provenance, version 1, as its predicate.

Formats: https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1. Times, the host and
who ran it are left out: the same build gives the same statement.
"""

from __future__ import annotations

from typing import Any

from sku_build.bundle.manifest import FileOf, Manifest

FILE_NAME = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# A type URI has to be unique, not to lead anywhere (RFC 4151).
BUILD_TYPE = "tag:sku.localhost,2026:build/v1"
_BUILDER = "tag:sku.localhost,2026:sku"


def statement(manifest: Manifest, subjects: list[FileOf]) -> dict[str, Any]:
    """Return the statement that ``subjects`` were made from the inputs of ``manifest``."""
    tree = manifest.tree
    source = {
        "name": f"linux {tree.version}",
        "digest": {"gitCommit": tree.commit},
        "annotations": {
            "tree": tree.name,
            "kind": tree.kind,
            "base": tree.base,
            **({"origin": tree.origin} if tree.origin else {}),
        },
    }
    inputs = [
        {"name": item.path, "digest": {"sha256": item.sha256}, "annotations": {"kind": item.kind}}
        for item in manifest.inputs
    ]
    return {
        "_type": STATEMENT,
        "subject": [{"name": file.path, "digest": {"sha256": file.sha256}} for file in subjects],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "command": manifest.reproduce,
                    "board": manifest.board,
                    "series": {series.name: series.version for series in manifest.series},
                },
                "internalParameters": {
                    "toolchain": manifest.toolchain,
                    "sourceDateEpoch": str(manifest.source_date_epoch),
                    "fingerprint": manifest.fingerprint,
                },
                "resolvedDependencies": [source, *inputs],
            },
            "runDetails": {"builder": {"id": _BUILDER, "version": {"sku": manifest.sku}}},
        },
    }
