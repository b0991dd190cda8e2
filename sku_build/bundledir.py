# SPDX-License-Identifier: GPL-2.0-only
"""The directory a build yields: put in place in one step, or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from sku_build.errors import UserError
from sku_build.metadata import FILE_NAME


def check(output: Path, *, mark: str = FILE_NAME) -> None:
    """Raise UserError if ``output`` holds something that is not a bundle and would be lost.

    ``mark`` is the file by which a directory is known for one.
    """
    if output.is_dir():
        if any(output.iterdir()) and not (output / mark).is_file():
            raise UserError(
                "the output directory is neither empty nor a bundle, and is left alone",
                where=output,
                hint="name another with --output",
            )
    elif output.exists() or output.is_symlink():
        raise UserError("the output exists and is not a directory", where=output)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a new directory that takes the place of ``target`` at success and vanishes otherwise.

    It lies beside the target, so that putting it in place is a rename. What a killed process left
    is put right first.
    """
    new, old = (target.with_name(f".{target.name}.{suffix}") for suffix in ("new", "old"))
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        new.mkdir(parents=True)
        yield new
        try:
            if target.exists():
                target.rename(old)
            new.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # it is not empty: the target is in it
                parent.rmdir()
