# SPDX-License-Identifier: GPL-2.0-only
"""``sku bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from sku_build import bundle as bundles
from sku_build import console
from sku_build.bundle import making
from sku_build.bundle import manifest as manifests
from sku_build.cli import options

_MIB = 1 << 20
_DIRECTORY = click.Path(file_okay=False, exists=True, path_type=Path)
_KEY = click.Path(dir_okay=False, path_type=Path)


@click.group()
def bundle() -> None:
    """Pack a build for a target: listed, signed, verified."""


@bundle.command()
@click.argument("build", type=_DIRECTORY)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The directory to make, or the archive if it ends in .tar  [default: BUILD-bundle]",
)
@click.option("--sign", "key", type=_KEY, metavar="KEY", help="A private key of ssh-keygen.")
@options.JSON
def make(build: Path, output: Path | None, key: Path | None, as_json: bool) -> None:
    """Make a bundle of BUILD, a directory that `sku build` left.

    Image, initramfs, modules and device trees; config and command line; the runtime; a manifest of
    all inputs and outputs, an SPDX SBOM, a SLSA provenance; a list of hashes, and its signature.
    The same build gives the same bytes.
    """
    target = output or build.with_name(f"{build.resolve().name}-bundle")
    made = bundles.make(build, target, key=key)
    if not made.signed:
        console.warn("not signed: no target takes it; --sign KEY, or `sku bundle sign`")
    if as_json:
        console.emit_json(made)
        return
    console.say(f"{made.output}: {made.name}, {made.files} files, {made.bytes / _MIB:.1f} MiB")
    console.say(f"SHA256SUMS {made.sha256}")


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=_DIRECTORY)
@click.option("--key", type=_KEY, required=True, help="A private key of ssh-keygen.")
def sign(path: Path, key: Path) -> None:
    """Sign the directory BUNDLE, whose files must be as they are listed."""
    making.sign(path, key)
    console.say(f"{path}: signed")


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    "keys",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="A public key to trust, or a directory of *.pub; may be given several times.",
)
@options.JSON
def verify(path: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Check a directory or archive BUNDLE as the target does, and a little more.

    Exits with 3 when anything of it is not what a trusted key has signed.
    """
    found = bundles.verify(path, keys)
    if as_json:
        console.emit_json(found)
        return
    console.say(f"{path}: {found.name}, {found.files} files, all as signed by {found.key}")


@bundle.command()
def schema() -> None:
    """Print the JSON schema of manifest.json."""
    console.emit_json(manifests.schema())
