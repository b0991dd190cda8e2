# SPDX-License-Identifier: GPL-2.0-only
"""``sku demo``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sku_build import console, history
from sku_build import demo as station
from sku_build.cli import options
from sku_build.cli.lab import broken_promises, show_update
from sku_build.errors import CheckError
from sku_build.lab import results
from sku_build.metadata import Metadata


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Where both kernels and demo.json go.",
)
@options.JSON
def demo(output: Path, as_json: bool) -> None:
    """Build two kernels, boot one in QEMU, and replace it by the other under redis."""
    done = station.run(output)
    history.keep(done.update)
    broken = broken_promises(done.update)
    if not (broken and as_json):
        _show(done, as_json=as_json)
    if broken:
        raise CheckError(
            f"{len(broken)} promises broken, the first: {broken[0]}",
            where=done.update.directory,
            data=msgspec.to_builtins(done, enc_hook=str),
        )


def _show(done: station.Demo, *, as_json: bool) -> None:
    if as_json:
        console.emit_json(done)
        return
    patches = [(p.series, p.file, p.outcome, p.detail or "") for p in done.first.patches]
    console.table(
        f"Linux {done.first.tree.version} ({done.first.tree.origin})",
        ("series", "patch", "outcome", "detail"),
        patches,
    )
    builds = [
        _build_row(name, item) for name, item in (("running", done.first), ("next", done.second))
    ]
    console.table(
        "builds",
        ("kernel", "release", "Image", "initramfs", "requested symbols", "built in"),
        builds,
    )
    columns = ("", "running kernel", "next kernel")
    console.table("boot and kexec", columns, results.summary(done.kexec))
    console.say(f"from the jump to the next kernel's first process: {done.kexec.kexec_ms:.1f} ms")
    show_update(done.update, as_json=False)


def _build_row(name: str, item: Metadata) -> tuple[str, ...]:
    assert item.config is not None
    sizes = {artefact.path: artefact.size / (1 << 20) for artefact in item.artefacts}
    seconds = sum(item.timings.values())
    return (
        name,
        item.release or "",
        f"{sizes['Image']:.1f} MiB",
        f"{sizes['initramfs.cpio']:.2f} MiB",
        f"{item.config.requested - len(item.config.waived)} of {item.config.requested} proved",
        "nothing to do" if item.reused else f"{seconds:.0f} s",
    )
