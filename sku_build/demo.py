# SPDX-License-Identifier: GPL-2.0-only
"""The whole way in one go: tree, series, configuration, two kernels, boot, kexec, and an update."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from sku_build import board as boards
from sku_build import composition, console, doctor, image, lab
from sku_build import tree as trees
from sku_build.doctor import State
from sku_build.errors import CheckError
from sku_build.lab import update
from sku_build.metadata import Metadata

TREE = "6.1"
BOARD = "qemu-virt"
DATA_MIB = 1024


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did: both builds, the jump from one to the other, and then under redis."""

    first: Metadata
    second: Metadata
    kexec: lab.KexecResult
    update: lab.UpdateResult


def run(output: Path) -> Demo:
    """Build two kernels below ``output``, jump from the first into the second, and update to it.

    The update is under a redis with 1 GiB and a client, our way and the ordinary one, with the same
    kernels. Whatever an earlier run left in the cache and in ``output`` is used again. Raises
    CheckError when the host lacks something, and whatever the stations raise; promises that the
    update broke are in the result.
    """
    missing = [item.name for item in doctor.examine() if item.state is State.MISSING]
    if missing:
        raise CheckError(f"the host lacks {', '.join(missing)}", hint="run: sku doctor")
    board = boards.load(BOARD)
    with console.step(f"Tree {TREE}"):
        tree = trees.ensure(TREE)
    series = composition.of_board(board, tree.kernel).series
    with console.step("The running kernel"):
        first = image.build(tree, board, series=series, output=output / "running")
    with console.step("The next kernel"):
        second = image.build(
            tree, board, series=series, output=output / "next", localversion="-next"
        )
    with console.step("Boot the one, jump into the other"):
        jump = lab.kexec(output / "running", output / "next", board=board)
    with console.step(f"The same under redis with {DATA_MIB} MiB, and the ordinary way"):
        updated = update.update(
            output / "running",
            output / "next",
            board=board,
            load=update.Load(DATA_MIB),
            ways=list(lab.Way),
        )
    demo = Demo(first=first, second=second, kexec=jump, update=updated)
    encoded = json.dumps(msgspec.to_builtins(demo, enc_hook=str), indent=2)
    (output / "demo.json").write_text(encoded + "\n", encoding="utf-8")
    return demo
