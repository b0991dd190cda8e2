# SPDX-License-Identifier: GPL-2.0-only
"""Running the kernel's own ``conf`` through its make targets, never on a live ``.config``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from sku_build import run
from sku_build.errors import UserError
from sku_build.toolchain import Toolchain

_HINT = "key config.base of board.toml names a make target such as allnoconfig or defconfig"
_TARGET = re.compile(r"[\w.+-]*config")
_NO_SUCH_TARGET = re.compile(r"No rule to make target|Can't find default configuration")
_WARNING = re.compile(r"^(?:.*:\d+:)?\s*warning: ", re.IGNORECASE)

# A Kconfig file that has conf itself write down the environment kbuild gives it.
_CAPTURE = """\
captured := $(shell,env -0 > "$SKU_CAPTURE")
config SKU_CAPTURE
	bool
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Conf:
    """A kernel source, a build directory and a toolchain: all that ``conf`` depends on."""

    source: Path
    build: Path
    toolchain: Toolchain

    def base(self, target: str, config: Path) -> None:
        """Make a configuration target such as ``defconfig`` into the file ``config``.

        Raises UserError when the kernel has no such target.
        """
        if not _TARGET.fullmatch(target):
            raise UserError(f"{target!r} is not a configuration target", hint=_HINT)
        try:
            self._make(target, config)
        except run.CommandError as error:
            if _NO_SUCH_TARGET.search(error.result.stderr):
                raise UserError(f"this kernel has no {target}", hint=_HINT) from error
            raise

    def resolve(self, config: Path) -> list[str]:
        """Run ``olddefconfig`` on ``config`` in place, and return the warnings of ``conf``."""
        return warnings_in(self._make("olddefconfig", config).stderr)

    def environment(self, scratch: Path) -> dict[str, str]:
        """Return the environment that kbuild exports to ``conf``; works in ``scratch``."""
        kconfig = scratch / "Kconfig.capture"
        kconfig.write_text(_CAPTURE, encoding="utf-8")
        captured = scratch / "environment"
        self._make(
            "olddefconfig",
            scratch / "capture.config",
            f"KBUILD_KCONFIG={kconfig}",
            env={"SKU_CAPTURE": str(captured)},
        )
        text = captured.read_text(encoding="utf-8", errors="surrogateescape")
        return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)

    def _make(
        self, target: str, config: Path, *variables: str, env: Mapping[str, str] | None = None
    ) -> run.Result:
        return run.run(
            [
                *("make", "-s", "--no-print-directory", "-C", self.source, f"O={self.build}"),
                *self.toolchain.make_args(),
                f"KCONFIG_CONFIG={config}",
                *variables,
                target,
            ],
            env={**self.toolchain.environment(), **(env or {})},
        )


def warnings_in(said: str) -> list[str]:
    """Return the warnings in what ``conf`` said, each with the lines that belong to it.

    That a request changes a choice the base had made otherwise is no news.
    """
    found: list[str] = []
    for line in said.splitlines():
        if _WARNING.match(line):
            found.append(_WARNING.sub("", line).strip())
        elif found and line.startswith(" "):
            found[-1] += f" {line.strip()}"
    return [warning for warning in found if not warning.startswith("override:")]
