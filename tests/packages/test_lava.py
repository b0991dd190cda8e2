# SPDX-License-Identifier: GPL-2.0-only
"""The job for a board farm, by LAVA's own schemas: Debian's lava-common, `make packages`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_JOB = Path(__file__).parents[2] / "ci" / "templates" / "lava-job.yml"
_PYTHON = "/usr/bin/python3"  # Debian's, which Debian's packages are for
_CHECK = "import sys, yaml, lava_common.schemas as s; s.validate(yaml.safe_load(sys.stdin))"

pytestmark = pytest.mark.packages


def _valid(text: str) -> bool:
    done = subprocess.run(
        [_PYTHON, "-c", _CHECK], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0 or "voluptuous" in done.stderr, done.stderr
    return done.returncode == 0


def test_the_job_is_one_of_lava() -> None:
    argv = [_PYTHON, "-c", "import lava_common, yaml"]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        assert not os.environ.get("SKU_REQUIRE_PACKAGES")
        pytest.skip("lava-common is not installed: `make packages`")
    text = _JOB.read_text()
    assert _valid(text)
    for right, wrong in (
        ("to: tftp", "to: nowhere"),
        ("job_name:", "name:"),
        ("prompts", "prompt"),
    ):
        assert not _valid(text.replace(right, wrong))
