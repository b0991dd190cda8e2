# SPDX-License-Identifier: GPL-2.0-only
"""Git, called so that the user's configuration, identity, hooks and signing do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sku_build import run

_SETTINGS = {
    "advice.detachedHead": "false",
    "apply.whitespace": "nowarn",
    "commit.gpgSign": "false",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.excludesFile": "/dev/null",
    "core.hooksPath": "/dev/null",
    "core.quotePath": "false",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "gc.auto": "0",
    "rerere.enabled": "false",
    "safe.directory": "*",
    "submodule.recurse": "false",
}
_IDENTITY = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "sku",
    "GIT_AUTHOR_EMAIL": "sku@localhost",
    "GIT_COMMITTER_NAME": "sku",
    "GIT_COMMITTER_EMAIL": "sku@localhost",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


def command(*args: str | Path) -> list[str]:
    """Return the argument list of a git command with our settings in front."""
    settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    return ["git", *settings, *map(str, args)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what :func:`command` needs in its environment, plus ``extra``."""
    return _IDENTITY | dict(extra or {})


def git(
    *args: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> run.Result:
    """Run git in ``cwd`` (a work tree or a bare repository); see :func:`sku_build.run.run`."""
    return run.run(command(*args), cwd=cwd, env=environment(env), stdin=stdin, check=check)


def resolve(revision: str, *, cwd: Path, env: Mapping[str, str] | None = None) -> str | None:
    """Return the full id of the commit that ``revision`` names in ``cwd``, or None."""
    found = git(
        "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", cwd=cwd, env=env, check=False
    )
    return found.stdout.strip() or None


def resolve_blob(name: str, *, cwd: Path) -> str | None:
    """Return the id of the blob called ``name`` (``COMMIT:PATH``), or None when there is none."""
    found = git("rev-parse", "--verify", "--quiet", name, cwd=cwd, check=False)
    return found.stdout.strip() or None


def read_file(
    commit: str, path: str, *, cwd: Path, env: Mapping[str, str] | None = None
) -> str | None:
    """Return the text of ``path`` as of ``commit``, or None when the commit has no such file."""
    found = git("cat-file", "blob", f"{commit}:{path}", cwd=cwd, env=env, check=False)
    return found.stdout if found.status == 0 else None
