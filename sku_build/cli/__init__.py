# SPDX-License-Identifier: GPL-2.0-only
"""The command ``sku``: a thin layer of options over the stations of the package."""

from __future__ import annotations

import importlib
import signal
import sys

import click

import sku_build
from sku_build import console
from sku_build.errors import ExitCode, InfraError, SkuError

_COMMANDS = {
    "apply": "sku_build.cli.series:apply",
    "bench": "sku_build.cli.bench:bench",
    "build": "sku_build.cli.build:build",
    "bundle": "sku_build.cli.bundle:bundle",
    "check": "sku_build.cli.check:check",
    "config": "sku_build.cli.config:config",
    "demo": "sku_build.cli.demo:demo",
    "doctor": "sku_build.cli.doctor:doctor",
    "lab": "sku_build.cli.lab:lab",
    "package": "sku_build.cli.package:package",
    "report": "sku_build.cli.report:report",
    "series": "sku_build.cli.series:series",
    "tree": "sku_build.cli.tree:tree",
}
_DISK_FULL = 28


class _LazyGroup(click.Group):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sku_build.__version__, prog_name="sku")
@click.option("--debug", is_flag=True, help="Show every command that is run, and tracebacks.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def cli(debug: bool, quiet: bool) -> None:
    """Put patch series on a kernel tree, build it for a board, and prove the update in a lab."""
    console.configure(debug=debug, quiet=quiet)


def _report(error: SkuError) -> int:
    if "--json" in sys.argv:
        console.emit_json(
            {
                "error": error.message,
                "where": error.where,
                "hint": error.hint,
                "exit_code": int(error.exit_code),
                "data": error.data,
            }
        )
    console.report_error(error)
    if console.is_debug():
        import traceback

        traceback.print_exc()
    return int(error.exit_code)


def main() -> None:
    """Run ``sku`` and exit with one of :class:`sku_build.errors.ExitCode`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = cli.main(standalone_mode=False)
    except SkuError as error:
        sys.exit(_report(error))
    except (click.exceptions.Abort, KeyboardInterrupt):
        console.warn("interrupted; nothing half-made was left behind")
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USER)
    except OSError as error:
        if error.errno != _DISK_FULL:
            raise
        full = InfraError(
            "the disk is full", where=error.filename, hint="free some space and run it again"
        )
        sys.exit(_report(full))
    sys.exit(status or ExitCode.OK)
