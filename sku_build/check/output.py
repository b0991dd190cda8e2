# SPDX-License-Identifier: GPL-2.0-only
"""A check's result in the forms that CI engines read.

- JUnit: the XML that Jenkins, GitLab and GitHub's reporters take, written by junitparser
- SARIF 2.1.0 (OASIS), the part of it that GitHub's code scanning reads; the Python packages for it
  are no longer kept or bring a validation library along, so its few objects are structs here
- GitHub's workflow commands (``::error file=…,line=…::…``)
- GitLab's code quality report, a JSON list in Code Climate's form
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

import sku_build
from sku_build.check.findings import CHECKS, CheckReport, Finding, Level

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITLAB_SEVERITY = {Level.ERROR: "major", Level.WARNING: "minor", Level.NOTE: "info"}
_GITHUB_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def write(path: Path, content: bytes) -> None:
    """Write a report, whole or not at all; the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def junit(report: CheckReport) -> bytes:
    """Return JUnit XML: a suite for each tree with a case a series, and one for what has no tree.

    Notes are a case's output, not failures.
    """
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    document = JUnitXml("sku check")
    for tree, version in report.trees.items():
        suite = TestSuite(f"{tree} ({version})")
        for cell in report.cells:
            if cell.tree != tree:
                continue
            case = TestCase(cell.series, classname=f"sku.{tree}")
            bad = [i for i in report.findings if i.tree == tree and i.series == cell.series]
            bad = [item for item in bad if item.check in ("applies", "needed", "build")]
            if cell.state == "not-for":
                case.result = [Skipped(cell.reason or "no patch for this kernel")]
            elif cell.state == "fails" or bad:
                told = [_line(item) for item in bad] or [f"{cell.series} does not go on {tree}"]
                case.result = [Failure("\n".join(told), type_="applies")]
            suite.add_testcase(case)
        document.add_testsuite(suite)
    suite = TestSuite("series")
    for name in report.series:
        for check in report.checks:
            if check in ("applies", "needed", "build"):
                continue
            found = [i for i in report.findings if (i.series, i.check) == (name, check)]
            case = TestCase(f"{name}: {check}", classname="sku.series")
            bad = [item for item in found if item.level is not Level.NOTE]
            if bad:
                case.result = [Failure("\n".join(map(_line, bad)), type_=check)]
            elif found:
                case.system_out = "\n".join(map(_line, found))
            suite.add_testcase(case)
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(document.tostring())  # type: ignore[no-untyped-call]


def _line(item: Finding) -> str:
    return f"{item.file}:{item.line or 1}: {item.level}: {item.message} [{item.check}]"


class _Text(msgspec.Struct):
    text: str


class _Region(msgspec.Struct):
    startLine: int


class _Artifact(msgspec.Struct):
    uri: str
    uriBaseId: str = "%SRCROOT%"


class _Physical(msgspec.Struct):
    artifactLocation: _Artifact
    region: _Region


class _Location(msgspec.Struct):
    physicalLocation: _Physical


class _Rule(msgspec.Struct):
    id: str
    shortDescription: _Text


class _Result(msgspec.Struct):
    ruleId: str
    ruleIndex: int
    level: str
    message: _Text
    locations: list[_Location]
    partialFingerprints: dict[str, str]


class _Driver(msgspec.Struct):
    name: str
    semanticVersion: str
    rules: list[_Rule]


class _Tool(msgspec.Struct):
    driver: _Driver


class _Run(msgspec.Struct):
    tool: _Tool
    results: list[_Result]
    columnKind: str = "unicodeCodePoints"


class _Sarif(msgspec.Struct):
    schema: str = msgspec.field(name="$schema")
    version: str
    runs: list[_Run]


def sarif(report: CheckReport) -> bytes:
    """Return SARIF 2.1.0: the checks are its rules, the findings its results."""
    names = list(CHECKS)
    rules = [_Rule(name, _Text(CHECKS[name])) for name in names]
    results = [
        _Result(
            item.check,
            names.index(item.check),
            str(item.level),
            _Text(item.message),
            [_Location(_Physical(_Artifact(item.file), _Region(item.line or 1)))],
            {"finding/v1": _fingerprint(item)},
        )
        for item in report.findings
    ]
    driver = _Driver("sku", sku_build.__version__, rules)
    document = _Sarif(_SARIF_SCHEMA, "2.1.0", [_Run(_Tool(driver), results)])
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _fingerprint(item: Finding) -> str:
    """Return what tells a finding apart, whatever the line it has moved to."""
    facts = (item.check, item.file, item.tree or "", item.message)
    return hashlib.sha256("\0".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def gitlab(report: CheckReport) -> bytes:
    """Return a code quality report as GitLab reads it."""
    document = [
        {
            "description": item.message,
            "check_name": item.check,
            "fingerprint": _fingerprint(item),
            "severity": _GITLAB_SEVERITY[item.level],
            "location": {"path": item.file, "lines": {"begin": item.line or 1}},
        }
        for item in report.findings
    ]
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def github(report: CheckReport) -> list[str]:
    """Return a workflow command for each finding, errors first, which GitHub shows in the diff."""
    return [
        f"::{_GITHUB_COMMAND[item.level]} file={_property(item.file)},line={item.line or 1},"
        f"title={_property(f'sku check: {item.check}')}::{_data(item.message)}"
        for item in report.findings
    ]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
