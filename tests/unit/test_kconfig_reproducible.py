# SPDX-License-Identifier: GPL-2.0-only
"""A configuration that cannot give the same bytes twice is recognised, and others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build.kconfig import reproducibility_problems

_CLEAN = {
    "LOCALVERSION_AUTO": "n",
    "MODULE_SIG": "y",
    "MODULE_SIG_KEY": '""',
    "RANDSTRUCT_NONE": "y",
    "INITRAMFS_SOURCE": '""',
    "DEBUG_INFO_DWARF5": "y",
}


def test_clean_configuration_has_no_obstacle() -> None:
    assert reproducibility_problems(_CLEAN) == []


@pytest.mark.parametrize(
    ("symbol", "value"),
    [
        ("MODULE_SIG_KEY", '"certs/signing_key.pem"'),
        ("RANDSTRUCT", "y"),
        ("GCC_PLUGIN_RANDSTRUCT", "y"),
        ("GCC_PLUGIN_LATENT_ENTROPY", "y"),
        ("LOCALVERSION_AUTO", "y"),
        ("DEBUG_EFI", "y"),
        ("GCOV_KERNEL", "y"),
        ("DEBUG_INFO_BTF", "y"),
        ("INITRAMFS_SOURCE", '"/some/directory"'),
    ],
)
def test_each_obstacle_is_named_with_its_remedy(symbol: str, value: str) -> None:
    (obstacle,) = reproducibility_problems(_CLEAN | {symbol: value})
    assert (obstacle.symbol, obstacle.value) == (symbol, value)
    assert str(obstacle).startswith(f"CONFIG_{symbol}={value}: ")
    assert "CONFIG_" in obstacle.remedy


def test_file_is_read_like_a_mapping(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("CONFIG_LOCALVERSION_AUTO=y\n", encoding="utf-8")
    (obstacle,) = reproducibility_problems(tmp_path / ".config")
    assert obstacle.symbol == "LOCALVERSION_AUTO"
