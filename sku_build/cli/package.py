# SPDX-License-Identifier: GPL-2.0-only
"""``sku package``."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import console, packages
from sku_build.cli import options


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/packages"),
    show_default=True,
    help="Where the source package goes.",
)
@click.option(
    "--maintainer", default=packages.MAINTAINER, show_default=True, metavar="NAME <ADDRESS>"
)
@options.JSON
def package(output: Path, maintainer: str, as_json: bool) -> None:
    """Make the source package of the runtime, for dpkg-buildpackage and rpmbuild."""
    made = packages.make(output, maintainer=maintainer)
    if as_json:
        console.emit_json(made)
        return
    console.say(f"{made.directory}: dpkg-buildpackage -us -uc -b there (-aarm64 -d: cross)")
    console.say(f"{made.archive}: rpmbuild -tb (--target aarch64, --define '_cross …': cross)")
