# SPDX-License-Identifier: GPL-2.0-only
"""Updates in a row: what the first leaves behind is what the second finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import Options, chain
from sku_build.lab.update import Load

pytestmark = pytest.mark.lab

_TIMES = 3
_MAY_MISS_KIB = 24 << 10


def test_an_application_goes_there_and_back_and_no_memory_is_left_behind(
    first_bundle: Path, next_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    result = chain.chain(
        first_bundle,
        next_bundle,
        board=qemu_virt,
        times=_TIMES,
        load=Load(data_mib=96, verify=True),
        options=Options(directory=tmp_path / "chain"),
    )
    assert result.broken == []
    assert [link.release.endswith("-next") for link in result.links] == [True, False, True]
    assert all(link.traffic.replies > 100 for link in result.links)
    assert all(link.copied_kib < 8 << 10 for link in result.links)
    left = [link.available_kib for link in result.links]
    assert max(left) - min(left) < _MAY_MISS_KIB, left
