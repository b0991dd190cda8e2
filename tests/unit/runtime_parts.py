# SPDX-License-Identifier: GPL-2.0-only
"""Parts of the runtime under a driver of a test, compiled for this machine with sanitizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sku_build import layout, run

_FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover")


def compiled(driver: Path, parts: Iterable[str], made: Path, places: Mapping[str, str]) -> Path:
    """Compile ``driver`` with ``parts``, the names of sources, into ``made``, and return that.

    ``places`` are macros that are strings: where things of the machine are, in the test.
    """
    runtime = layout.data_root() / "runtime"
    defined = (f'-D{name}="{place}"' for name, place in places.items())
    sources = [driver, *(runtime / f"{name}.c" for name in parts)]
    run.run(["gcc", *_FLAGS, *_SANITIZERS, *defined, f"-I{runtime}", "-o", made, *sources])
    return made
