# SPDX-License-Identifier: GPL-2.0-only
"""Build directories in the cache: objects of earlier builds, and what is known about them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sku_build import console, kbuild, layout, run

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Counted(msgspec.Struct, frozen=True):
    """What was counted at the last full build: short lines of make, for this configuration."""

    steps: int
    config: str


@dataclasses.dataclass(frozen=True, slots=True)
class BuildDirectory:
    """A directory of the cache in which one board's kernel of one tree is built again and again."""

    root: Path

    @property
    def objects(self) -> Path:
        """What make gets as ``O=``."""
        return self.root / "objects"

    @property
    def log(self) -> Path:
        """The output of the last make."""
        return self.root / "build.log"

    @property
    def statslog(self) -> Path:
        """What ccache did for each compilation of the last make."""
        return self.root / "ccache.log"

    @property
    def metadata(self) -> Path:
        """What is being built here, or was last; kept up to date while it is."""
        return self.root / "metadata.json"

    @property
    def _busy(self) -> Path:
        return self.root / "busy"

    @property
    def _counted(self) -> Path:
        return self.root / "counted.json"

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Mark the directory as being built in.

        Objects that were being written when the machine went down may be empty and yet newer than
        their sources; kbuild would take them for good. They are dropped, all of them. When only
        the process was killed, make has removed what it was writing.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        boot = _BOOT_ID.read_text(encoding="ascii") if _BOOT_ID.exists() else ""
        if self._busy.exists() and self._busy.read_text(encoding="ascii") != boot:
            console.note("the last build ended with the machine; its objects are built anew")
            shutil.rmtree(self.objects, ignore_errors=True)
        self.objects.mkdir(exist_ok=True)
        self._busy.write_text(boot, encoding="ascii")
        self.statslog.unlink(missing_ok=True)
        try:
            yield
        finally:
            self._busy.unlink(missing_ok=True)

    def expected_steps(self, config: str) -> int | None:
        """Return how many short lines make will print, as far as can be known before.

        ``config`` is the text of the resolved configuration. None when the last build here was
        complete and of the same configuration: then it depends on which files changed.
        """
        counted = self._last_count()
        complete = (self.objects / "vmlinux").exists()
        if complete and counted and counted.config == _digest(config):
            return None
        total = counted.steps if counted else kbuild.estimated_steps(config.splitlines())
        done = 0 if complete else sum(1 for _ in self.objects.rglob("*.o"))
        return max(1, total - done)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing of a kernel has been built here yet."""
        return not any(self.objects.glob("kernel/*.o"))

    def record_steps(self, steps: int, config: str, *, full: bool) -> None:
        """Remember that a build of ``config`` took ``steps``; only a full one lowers the count."""
        counted = self._last_count()
        known = 0 if full or counted is None else counted.steps
        kept = _Counted(max(steps, known), _digest(config))
        self._counted.write_bytes(msgspec.json.encode(kept))

    def _last_count(self) -> _Counted | None:
        try:
            return msgspec.json.decode(self._counted.read_bytes(), type=_Counted)
        except (OSError, msgspec.DecodeError):
            return None

    def compilations(self) -> tuple[int, int]:
        """Return how many compilations of the last make ccache answered, and how many it ran."""
        try:
            events = self.statslog.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return 0, 0
        hits = events.count("direct_cache_hit") + events.count("preprocessed_cache_hit")
        return hits, events.count("cache_miss")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def find(tree: str, board: str, toolchain: str) -> BuildDirectory:
    """Return the build directory of a tree (by name), a board and a toolchain.

    It is shared by variants that differ in patches, ``localversion`` or a few symbols: make
    builds again only what depends on the difference.
    """
    key = re.sub(r"[^\w.+-]", "_", f"{tree}-{board}-{toolchain}")
    return BuildDirectory(layout.cache_dir("build") / key)


@contextlib.contextmanager
def exclusive(name: str, *, of: str) -> Iterator[None]:
    """Wait until no other process has the lock ``name``, and hold it; ``of`` is what is built.

    One source directory serves one build at a time, and so does one output directory. Whatever is
    started meanwhile holds the lock as well: were the source switched under a compiler that was
    left over, ccache would keep what it makes as the object of a source that it was not made of.
    """
    path = layout.cache_dir("build") / f"{name}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.note(f"waiting for another build of {of} to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        with run.inherited(file.fileno()):
            yield
