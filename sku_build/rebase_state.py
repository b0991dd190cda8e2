# SPDX-License-Identifier: GPL-2.0-only
"""A rebase under way, on disk: what is done, where it stopped, and what is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from sku_build import git, layout
from sku_build import tree as trees
from sku_build.errors import UserError
from sku_build.outcome import PatchOutcome
from sku_build.tree import Tree

How = Literal["waiting", "applied", "by-hand", "upstream", "skipped", "dropped"]


class Step(msgspec.Struct):
    """One patch on its way: how it got onto the new tree, and what the toolkit said of it there."""

    series: str
    file: str
    subject: str
    how: How = "waiting"
    outcome: PatchOutcome | None = None
    commit: str | None = None


class State(msgspec.Struct):
    """``tip`` is the newest commit in the cache repository; ``stopped`` the step in conflict.

    ``written`` is series → digest of the series.toml that is being put in place at the end.
    """

    onto: Tree
    names: list[str]
    steps: list[Step]
    tip: str
    stopped: int | None = None
    landed: str | None = None
    written: dict[str, str] = {}

    @property
    def place(self) -> Path:
        """The directory that holds this rebase's files."""
        return _place(self.onto.name)

    @property
    def worktree(self) -> Path:
        """The repository where a conflict waits for a person."""
        return self.place / "linux"

    @property
    def note(self) -> Path:
        """The text that tells of the conflict."""
        return self.place / "CONFLICT.txt"

    @property
    def ref(self) -> str:
        """The ref that keeps the commits made so far."""
        return f"refs/sku/rebase/{self.onto.name}"

    def save(self) -> None:
        """Write the state, whole or not at all."""
        self.place.mkdir(parents=True, exist_ok=True)
        draft = self.place / "state.json.new"
        draft.write_bytes(msgspec.json.encode(self, enc_hook=str))
        draft.replace(self.place / "state.json")

    def remove(self) -> None:
        """Forget the rebase and all it made."""
        cache, env = trees.cache_repository(), trees.object_env(self.onto)
        (self.place / "state.json").unlink(missing_ok=True)
        git.git("update-ref", "-d", self.ref, cwd=cache, env=env)
        shutil.rmtree(self.place, ignore_errors=True)


def _place(name: str) -> Path:
    return layout.cache_dir("rebase") / name


def under_way() -> list[str]:
    """Return the trees that a rebase is under way onto."""
    return sorted(path.parent.name for path in layout.cache_dir("rebase").glob("*/state.json"))


def load(onto: str | None) -> State:
    """Return the rebase onto the tree ``onto``, or the only one there is; raises UserError."""
    known = under_way()
    if onto is None and len(known) == 1:
        onto = known[0]
    if onto is None or onto not in known:
        raise UserError(
            f"no rebase onto {onto} is under way" if onto else "say which rebase: --onto TREE",
            hint=f"under way: {', '.join(known) or 'none'}; `sku series rebase --onto TREE` begins",
        )
    raw = (_place(onto) / "state.json").read_bytes()
    return msgspec.json.decode(raw, type=State, dec_hook=lambda _, text: Path(text))


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time work on rebases; raises UserError when another does."""
    handle = os.open(layout.cache_dir("rebase"), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError("another sku is busy with a rebase", hint="wait for its end") from error
    finally:
        os.close(handle)
