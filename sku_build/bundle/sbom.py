# SPDX-License-Identifier: GPL-2.0-only
"""``sbom.spdx.json``: what is in a bundle, in SPDX 2.3, written and validated by spdx-tools.

The kernel has its CPE, so that a scanner finds what is known of that point release; that a series
or the distribution has mended some of it a scanner cannot see.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sku_build.bundle.manifest import FileOf, Manifest
from sku_build.errors import SkuError

# Loading it takes longer than every other command's work.
if TYPE_CHECKING:
    from spdx_tools.spdx.model import Document, File, Package, Relationship

FILE_NAME = "sbom.spdx.json"
_DOCUMENT = "SPDXRef-DOCUMENT"
_BUNDLE, _LINUX, _RUNTIME, _LIBC = (
    f"SPDXRef-{name}" for name in ("bundle", "linux", "sku-runtime", "libc")
)
_GPL = "GPL-2.0-only"
_KERNEL = f"{_GPL} WITH Linux-syscall-note"
# Which package a file was made from, by how its path begins; the first that fits.
_FROM = (("runtime/", _RUNTIME), ("initramfs", _RUNTIME), ("", _LINUX))


def document(manifest: Manifest, root: Path, files: list[FileOf]) -> dict[str, Any]:
    """Return the SBOM of ``files`` below ``root`` as JSON values.

    Raises SkuError when spdx-tools finds it invalid, which is a mistake of ours.
    """
    from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    made = _document(manifest, root, files)
    wrong = validate_full_spdx_document(made)
    if wrong:
        raise SkuError(f"the SBOM is not valid: {wrong[0].validation_message}")
    values: dict[str, Any] = DocumentConverter().convert(made)  # type: ignore[no-untyped-call]
    return values


def _document(manifest: Manifest, root: Path, files: list[FileOf]) -> Document:
    from spdx_tools.spdx import model

    created = datetime.datetime.fromtimestamp(manifest.source_date_epoch, datetime.UTC)
    of = hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in files).encode())
    return model.Document(
        model.CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=manifest.name,
            document_namespace=f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, of.hexdigest())}",
            creators=[model.Actor(model.ActorType.TOOL, f"sku-{manifest.sku}")],
            created=created.replace(tzinfo=None),
        ),
        packages=list(_packages(manifest, _verification_code(root, files))),
        files=[_file(root, file) for file in files],
        relationships=list(_relationships(manifest, files)),
    )


def _packages(manifest: Manifest, code: str) -> Iterable[Package]:
    from license_expression import get_spdx_licensing
    from spdx_tools.spdx import model

    def package(spdx_id: str, name: str, version: str | None, license: str, **more: Any) -> Package:
        expression = get_spdx_licensing().parse(license)
        return model.Package(
            spdx_id=spdx_id,
            name=name,
            version=version,
            download_location=model.SpdxNoAssertion(),
            files_analyzed="verification_code" in more,
            license_concluded=expression,
            license_declared=expression,
            copyright_text=model.SpdxNoAssertion(),
            **more,
        )

    tree = manifest.tree
    purpose = model.PackagePurpose
    yield package(
        _BUNDLE,
        manifest.name,
        manifest.release,
        f"{_KERNEL} AND {_GPL}",
        verification_code=model.PackageVerificationCode(code),
        license_info_from_files=[model.SpdxNoAssertion()],
        primary_package_purpose=purpose.FIRMWARE,
    )
    yield package(
        _LINUX,
        "linux",
        tree.version,
        _KERNEL,
        source_info=f"{tree.origin or tree.kind}, git commit {tree.base}; "
        f"with the series on it {tree.commit}",
        external_references=[_cpe(tree.version)],
        primary_package_purpose=purpose.OPERATING_SYSTEM,
    )
    yield package(_RUNTIME, "sku-runtime", manifest.sku, _GPL)
    for item in manifest.inputs:
        if item.path == "libc.a":
            yield package(
                _LIBC,
                "libc",
                None,
                "LGPL-2.1-or-later",
                checksums=[model.Checksum(model.ChecksumAlgorithm.SHA256, item.sha256)],
                comment="libc.a of the cross compiler, linked statically into the runtime",
            )
    for series in manifest.series:
        mails = [patch for patch in manifest.patches if patch.series == series.name]
        yield package(
            _series_id(series.name),
            f"patchset-{series.name}",
            series.version,
            _GPL,
            source_info="\n".join(f"{item.sha256} {item.file}" for item in mails if item.sha256)
            or "no patch of it was needed",
        )


def _cpe(version: str) -> Any:
    from spdx_tools.spdx import model

    plain = re.match(r"\d+(\.\d+)*", version)
    return model.ExternalPackageRef(
        model.ExternalPackageRefCategory.SECURITY,
        "cpe23Type",
        f"cpe:2.3:o:linux:linux_kernel:{plain[0] if plain else version}:*:*:*:*:*:*:*",
    )


def _file(root: Path, file: FileOf) -> File:
    from spdx_tools.spdx import model

    algorithm = model.ChecksumAlgorithm
    return model.File(
        name=f"./{file.path}",
        spdx_id=_file_id(file),
        # SPDX 2.3 wants a SHA-1 of every file, whatever else there is.
        checksums=[
            model.Checksum(algorithm.SHA1, _sha1(root, file)),
            model.Checksum(algorithm.SHA256, file.sha256),
        ],
        license_concluded=model.SpdxNoAssertion(),
        license_info_in_file=[model.SpdxNoAssertion()],
        copyright_text=model.SpdxNoAssertion(),
    )


def _sha1(root: Path, file: FileOf) -> str:
    with (root / file.path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()


def _verification_code(root: Path, files: list[FileOf]) -> str:
    """SPDX 2.3, 7.9: a hash over the sorted hashes of all files of a package."""
    digests = sorted(_sha1(root, file) for file in files)
    return hashlib.sha1("".join(digests).encode()).hexdigest()


def _relationships(manifest: Manifest, files: list[FileOf]) -> Iterable[Relationship]:
    from spdx_tools.spdx.model import Relationship, RelationshipType

    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _BUNDLE)
    for part in (_LINUX, _RUNTIME):
        yield Relationship(_BUNDLE, RelationshipType.CONTAINS, part)
    if any(item.path == "libc.a" for item in manifest.inputs):
        yield Relationship(_RUNTIME, RelationshipType.STATIC_LINK, _LIBC)
    for series in manifest.series:
        yield Relationship(_series_id(series.name), RelationshipType.PATCH_FOR, _LINUX)
    for file in files:
        yield Relationship(_BUNDLE, RelationshipType.CONTAINS, _file_id(file))
        origin = next(origin for start, origin in _FROM if file.path.startswith(start))
        yield Relationship(_file_id(file), RelationshipType.GENERATED_FROM, origin)


def _series_id(name: str) -> str:
    return "SPDXRef-patchset-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _file_id(file: FileOf) -> str:
    return f"SPDXRef-file-{hashlib.sha256(file.path.encode()).hexdigest()[:16]}"
