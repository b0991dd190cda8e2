# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sku_build.version import KernelVersion, VersionRange, in_ranges


@pytest.mark.parametrize(
    ("text", "shown", "line"),
    [
        ("6.1", "6.1", "6.1"),
        ("6.1.192", "6.1.192", "6.1"),
        ("5.10.0-28-arm64", "5.10", "5.10"),
        ("6.12-rc3", "6.12-rc3", "6.12"),
        ("7.3.4+deb13", "7.3.4", "7.3"),
    ],
)
def test_versions_are_read_as_the_kernel_prints_them(text: str, shown: str, line: str) -> None:
    version = KernelVersion.parse(text)
    assert (str(version), version.line) == (shown, line)


@pytest.mark.parametrize("text", ["", "6", "six.one", "6.1.x", "linux-6.1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a kernel version"):
        KernelVersion.parse(text)


def test_a_release_candidate_comes_before_its_release_and_after_the_one_before() -> None:
    texts = ["5.10", "6.1", "6.1.192", "6.12-rc1", "6.12-rc10", "6.12", "6.12.1"]
    versions = [KernelVersion.parse(text) for text in texts]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)


versions = st.builds(KernelVersion, st.integers(0, 9), st.integers(0, 30), st.integers(0, 300))


@given(versions)
def test_printing_and_parsing_agree(version: KernelVersion) -> None:
    assert KernelVersion.parse(str(version)) == version


@given(versions, versions, versions)
def test_a_range_holds_its_start_and_not_its_end(
    low: KernelVersion, high: KernelVersion, other: KernelVersion
) -> None:
    if not low < high:
        return
    bounds = VersionRange.parse(f"{low}..{high}")
    assert low in bounds
    assert high not in bounds
    assert (other in bounds) == (low <= other < high)


def test_either_end_may_be_open() -> None:
    version = KernelVersion.parse("6.1.192")
    assert version in VersionRange.parse("5.10..")
    assert version in VersionRange.parse("..6.2")
    assert version in VersionRange.parse("..")
    assert version not in VersionRange.parse("6.2..")


@pytest.mark.parametrize("text", ["6.1", "6.12..6.1", "6.1..6.1", "a..b"])
def test_a_malformed_or_empty_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range|kernel version"):
        VersionRange.parse(text)


def test_several_ranges_count_as_one_set() -> None:
    ranges = [VersionRange.parse("5.10..5.11"), VersionRange.parse("6.1..6.2")]
    assert in_ranges(KernelVersion.parse("5.10.262"), ranges)
    assert in_ranges(KernelVersion.parse("6.1.192"), ranges)
    assert not in_ranges(KernelVersion.parse("5.15"), ranges)
