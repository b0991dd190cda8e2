# SPDX-License-Identifier: GPL-2.0-only
"""Every failure of the toolkit, and the one place where exit codes live.

Library code raises one of these; only :func:`sku_build.cli.main` turns it into a message and an
exit status. A message says what is wrong, ``where`` names the file, line or key, and ``hint``
says what to do about it.
"""

from __future__ import annotations

import enum
import os


class ExitCode(enum.IntEnum):
    """Exit statuses shared by ``sku`` and the runtime on the target."""

    OK = 0
    INTERNAL = 1
    USER = 2
    CHECK = 3
    ROLLED_BACK = 4
    TIMED_OUT = 5
    NOT_ROLLED_BACK = 6
    INTERRUPTED = 130


class SkuError(Exception):
    """Root of all expected failures; carries its exit code, place, remedy and data.

    ``data`` is JSON-serialisable and appears under ``"data"`` in ``--json`` output.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        where: str | os.PathLike[str] | None = None,
        hint: str | None = None,
        data: object = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = os.fspath(where) if where is not None else None
        self.hint = hint
        self.data = data


class UserError(SkuError):
    """The input is wrong: an argument, a board, a series, a fragment, a tree."""

    exit_code = ExitCode.USER


class CheckError(SkuError):
    """The input is well formed, and a check found a problem with it."""

    exit_code = ExitCode.CHECK


class InfraError(SkuError):
    """Something around us failed: a missing tool, a full disk, a download."""

    exit_code = ExitCode.INTERNAL


class PhaseTimeout(SkuError):
    """A phase of the lab or of an update took longer than it may; the message names the phase."""

    exit_code = ExitCode.TIMED_OUT
