# SPDX-License-Identifier: GPL-2.0-only
"""A bundle is the same bytes each time, tells all that it was made from, and verifies or not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from sku_build import bundle
from sku_build.bundle import making, sums
from sku_build.cli.bundle import bundle as command
from sku_build.errors import CheckError, SkuError, UserError
from tests.unit import bundle_samples as samples


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return samples.build(tmp_path / "build")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.key(tmp_path_factory.mktemp("key") / "release")


@pytest.fixture
def made(build: Path, key: Path, tmp_path: Path) -> Path:
    bundle.make(build, tmp_path / "bundle", key=key)
    return tmp_path / "bundle"


def public(key: Path) -> list[Path]:
    return [key.with_suffix(".pub")]


def contents(root: Path) -> dict[str, tuple[bytes, int, float]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_bundle_holds_what_was_built_and_what_tells_of_it(made: Path) -> None:
    assert set(contents(made)) == {
        *samples.FILES,
        *("initramfs/init", "cmdline", "manifest.json", "sbom.spdx.json", "provenance.json"),
        "systemd/sku-settle.service",
        *("SHA256SUMS", "SHA256SUMS.sig"),
    }
    assert (made / "cmdline").read_text() == samples.CMDLINE
    assert os.access(made / "runtime/usr/bin/skuctl", os.X_OK)


def test_two_builds_of_the_same_give_the_same_bytes(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever, wherever, on however many CPUs and under whichever umask; signature included."""
    archives = []
    for number, mask in enumerate((0o022, 0o077)):
        monkeypatch.setattr("time.time", lambda number=number: 1e9 * (1 + number))
        place = tmp_path / f"place{number}"
        built = samples.build(place / "build", started=f"2026-01-0{number + 1}", cpus=2 + number)
        before = os.umask(mask)
        try:
            bundle.make(built, place / "b.tar", key=key)
            bundle.make(built, place / "b", key=key)
        finally:
            os.umask(before)
        archives.append(place)
    first, second = archives
    assert (first / "b.tar").read_bytes() == (second / "b.tar").read_bytes()
    assert contents(first / "b") == contents(second / "b")
    assert str(tmp_path).encode() not in (first / "b.tar").read_bytes()


def test_an_archive_is_sorted_owned_by_root_and_of_one_date(build: Path, tmp_path: Path) -> None:
    bundle.make(build, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as tar:
        entries = tar.getmembers()
    names = [Path(entry.name) for entry in entries]
    assert names == sorted(names)
    assert {name.parts[0] for name in names} == {"sku-fake-6.1.192"}
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {
        (0, 0, "root", "root", samples.EPOCH)
    }


def test_the_date_can_be_given(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    bundle.make(build, tmp_path / "b")
    assert {date for _, _, date in contents(tmp_path / "b").values()} == {1234567890}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH"):
        bundle.make(build, tmp_path / "b")


def test_the_manifest_is_of_its_schema_and_tells_every_file_and_input(made: Path) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    shown = CliRunner().invoke(command, ["schema"], catch_exceptions=False)
    schema = json.loads(shown.output)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest | {"more": 1}, schema)
    told = {file["path"]: file["sha256"] for file in manifest["files"]}
    own = {"manifest.json", "SHA256SUMS", "SHA256SUMS.sig"}
    assert told == {
        name: hashlib.sha256(data).hexdigest()
        for name, (data, _, _) in contents(made).items()
        if name not in own
    }
    assert [(patch["outcome"], patch["sha256"]) for patch in manifest["patches"]] == [
        ("applied", "1" * 64),
        ("skipped", None),
    ]
    assert {item["kind"] for item in manifest["inputs"]} == {"patch", "fragment", "toolchain"}
    assert manifest["tree"]["version"] == "6.1.192"


def test_the_path_of_a_checkout_stays_at_home(build: Path, tmp_path: Path) -> None:
    tree = samples.TreeRecord("mine", "checkout", "6.1.1", "/home/me/linux", "a", "b")
    samples.change(build, tree=tree)
    bundle.make(build, tmp_path / "b")
    assert not any(b"/home/me" in data for data, _, _ in contents(tmp_path / "b").values())


def test_the_sbom_is_valid_spdx_and_names_the_kernel_for_scanners(made: Path) -> None:
    document = parse_file(str(made / "sbom.spdx.json"))
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    packages = {package.name: package for package in document.packages}
    assert set(packages) == {
        *("sku-fake-6.1.192", "linux", "sku-runtime", "libc", "patchset-pin_mem")
    }
    (cpe,) = packages["linux"].external_references
    assert cpe.locator == "cpe:2.3:o:linux:linux_kernel:6.1.192:*:*:*:*:*:*:*"
    assert {file.name for file in document.files} >= {f"./{name}" for name in samples.FILES}


def test_the_provenance_is_a_statement_of_in_toto_with_a_slsa_predicate(made: Path) -> None:
    statement = json.loads((made / "provenance.json").read_text())
    predicate = statement["predicate"]
    json_format.ParseDict(statement, statement_pb2.Statement())
    json_format.ParseDict(predicate, provenance_pb2.Provenance())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
    assert subjects["Image"] == hashlib.sha256(samples.FILES["Image"]).hexdigest()
    dependencies = predicate["buildDefinition"]["resolvedDependencies"]
    assert dependencies[0]["digest"] == {"gitCommit": "b" * 40}
    assert {item["name"] for item in dependencies[1:]} >= {"patchsets/pin_mem/0001-a.patch"}


def test_what_was_signed_verifies_as_directory_and_as_archive(
    made: Path, build: Path, key: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "b.tar"
    bundle.make(build, archive, key=key)
    found = [bundle.verify(path, public(key)) for path in (made, archive)]
    assert found[0].key.startswith("SHA256:")
    assert found[0].sha256 == found[1].sha256


def test_the_usual_programs_verify_it_too(made: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=made, check=False
    )
    assert done.returncode == 0


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (lambda b: (b / "Image").write_bytes(b"other"), "Image is not what was signed"),
    "a module": (
        lambda b: (b / "modules/lib/modules/6.1.192/fake.ko").write_bytes(b"other"),
        "fake.ko is not what was signed",
    ),
    "missing": (lambda b: (b / "config").unlink(), "config is missing"),
    "the manifest": (
        lambda b: (b / "manifest.json").write_text("{}"),
        "manifest.json is not what was signed",
    ),
    "one more": (lambda b: (b / "modules/evil.ko").write_text("x"), "evil.ko is not listed"),
    "a link": (lambda b: (b / "modules/link").symlink_to("/etc"), "link is not listed"),
    "no signature": (lambda b: (b / "SHA256SUMS.sig").unlink(), "not signed"),
    "the list": (
        lambda b: (b / "SHA256SUMS").write_text(
            (b / "SHA256SUMS").read_text().replace("config", "confix")
        ),
        "signature",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bundle_that_was_changed_does_not_verify(made: Path, key: Path, damage: str) -> None:
    change, why = DAMAGE[damage]
    change(made)
    with pytest.raises(CheckError, match=why):
        bundle.verify(made, public(key))


def test_a_signature_by_another_key_or_for_another_purpose_is_none(
    made: Path, key: Path, tmp_path: Path
) -> None:
    other = samples.key(tmp_path / "other")
    with pytest.raises(CheckError, match=r"not trusted: SHA256:"):
        bundle.verify(made, public(other))
    assert bundle.verify(made, [*public(other), *public(key)]).files
    (made / "SHA256SUMS.sig").unlink()
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key)]
    subprocess.run([*argv, str(made / "SHA256SUMS")], check=True)
    with pytest.raises(CheckError, match="the signature is not one"):
        bundle.verify(made, public(key))


def test_keys_are_a_file_or_a_directory_and_nothing_else_is_a_key(
    made: Path, key: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    with pytest.raises(UserError, match="no trusted key"):
        bundle.verify(made, [keys])
    shutil.copy(public(key)[0], keys / "a.pub")
    assert bundle.verify(made, [keys]).board == "fake"
    with pytest.raises(UserError, match="not a public key"):
        bundle.verify(made, [key])


def test_a_bundle_can_be_signed_later_and_only_as_it_was_made(
    build: Path, key: Path, tmp_path: Path, made: Path
) -> None:
    later = tmp_path / "later"
    bundle.make(build, later)
    making.sign(later, key)
    assert contents(later) == contents(made)
    (later / "Image").write_bytes(b"other")
    with pytest.raises(CheckError, match="Image"):
        making.sign(later, key)


def test_a_list_that_is_none_is_refused() -> None:
    good = sums.encode({"a": "0" * 64, "b/c": "1" * 64})
    assert sums.decode(good, "x") == {"a": "0" * 64, "b/c": "1" * 64}
    for bad in (
        *(b"", good[:-1], good + b"x\n", good + good, good.replace(b"  a", b" *a")),
        *(good.replace(b"b/c", path) for path in (b"../c", b"/c", b"b//c", b"b/", b"-c", b"b/.c")),
    ):
        with pytest.raises(CheckError):
            sums.decode(bad, "x")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "failed"}, "the build is failed"),
        ({"format": 1}, "another version of sku"),
        ({"inputs": []}, "another version of sku"),
    ],
)
def test_a_build_that_is_not_whole_is_no_bundle(
    build: Path, tmp_path: Path, fields: dict[str, object], why: str
) -> None:
    samples.change(build, **fields)
    with pytest.raises(UserError, match=why):
        bundle.make(build, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_build_that_was_changed_is_no_bundle(build: Path, tmp_path: Path) -> None:
    (build / "Image").write_bytes(b"other")
    with pytest.raises(CheckError, match="Image is not what was built"):
        bundle.make(build, tmp_path / "b.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build"]


def test_what_is_not_a_bundle_is_not_replaced(build: Path, made: Path, tmp_path: Path) -> None:
    bundle.make(build, made)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("x")
    with pytest.raises(UserError, match="left alone"):
        bundle.make(build, other)
    for wrong in (other, tmp_path / "gone"):
        with pytest.raises(SkuError):
            bundle.verify(wrong, [tmp_path])


def test_an_archive_that_leads_outside_is_refused(key: Path, tmp_path: Path) -> None:
    for name, kind in (
        ("../x", tarfile.REGTYPE),
        ("b/x", tarfile.SYMTYPE),
        ("/x", tarfile.REGTYPE),
    ):
        archive = tmp_path / "b.tar"
        with tarfile.open(archive, "w") as tar:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.linkname = "/etc/passwd"
            tar.addfile(entry)
        with pytest.raises(SkuError):
            bundle.verify(archive, public(key))
    assert not (tmp_path.parent / "x").exists()


def test_the_command_says_what_it_made_and_what_verifies(
    build: Path, key: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def sku(*words: object) -> dict[str, object]:
        command.main([str(word) for word in words], standalone_mode=False)
        out: dict[str, object] = json.loads(capfd.readouterr().out)
        return out

    target = tmp_path / "b"
    said = sku("make", build, "--output", target, "--sign", key, "--json")
    assert (said["signed"], said["name"]) == (True, "sku-fake-6.1.192")
    found = sku("verify", target, "--key", public(key)[0], "--json")
    assert found["sha256"] == said["sha256"]
