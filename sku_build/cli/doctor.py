# SPDX-License-Identifier: GPL-2.0-only
"""``sku doctor``."""

from __future__ import annotations

import click

from sku_build import console
from sku_build import doctor as station
from sku_build.cli import options
from sku_build.doctor import State
from sku_build.errors import CheckError


@click.command()
@options.JSON
def doctor(as_json: bool) -> None:
    """Tell what this host lacks, why it matters, and the command that mends it."""
    findings = station.examine()
    missing = [finding.name for finding in findings if finding.state is State.MISSING]
    if not as_json:
        rows = [(f.name, f.state, f.found, f.why, f.fix or "") for f in findings]
        console.table("host", ("needed", "state", "found", "for", "what to do"), rows)
    if missing:
        raise CheckError(
            f"the host lacks {', '.join(missing)}",
            hint="run the commands in the last column; ci/bootstrap installs all of them",
            data={"findings": findings},
        )
    if as_json:
        console.emit_json({"findings": findings})
