# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's source archive, streamed into a git repository as one commit.

Nothing is unpacked to disk: members go from the archive straight into ``git fast-import``. The
commit depends on the archive's content alone, so the same archive gives the same id everywhere.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import io
import lzma
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from sku_build import console, layout, run
from sku_build.errors import InfraError, UserError
from sku_build.git import command as git_command
from sku_build.git import environment as git_environment
from sku_build.git import git, resolve

_REF = "refs/heads/import"
_IMPORTED = "Imported from "
_COMMITTER = "sku <sku@localhost>"
_CHUNK = 1 << 20
_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),  # type: ignore[dict-item,return-value]
    b"BZh": bz2.BZ2File,
}
_UNREADABLE = (tarfile.TarError, lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile)


@dataclasses.dataclass(frozen=True, slots=True)
class Imported:
    """What became of an archive: the commit, the top Makefile's text, the archive's sha256."""

    commit: str
    makefile: str
    sha256: str


class _Source(io.RawIOBase):
    """The archive's bytes as they are read: hashed, and counted for the progress bar."""

    def __init__(self, raw: IO[bytes], advance: console.Advance) -> None:
        self._raw = raw
        self._advance = advance
        self._read = 0
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._raw.read(len(view))
        view[: len(data)] = data
        self.digest.update(data)
        self._read += len(data)
        self._advance(self._read >> 20, "")
        return len(data)


class _Plain(io.RawIOBase):
    """The decompressed archive; remembers its end, because tarfile takes a cut one for whole."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._raw.read(size)
        self._tail = (self._tail + data)[-tarfile.BLOCKSIZE :]
        return data

    def finish(self) -> None:
        """Read to the end, so that the compression's checksum is verified, and judge the end."""
        while self.read(_CHUNK):
            pass
        if self._tail.strip(b"\0") or len(self._tail) < tarfile.BLOCKSIZE:
            raise EOFError("its end is missing")


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    mark: int


def commit_message(version: str, source: str) -> str:
    """Return the message of an import's commit; ``source`` is a package, or an archive's sum."""
    return f"Linux {version}\n\n{_IMPORTED}{source}\n"


def source_of(commit: str, repository: Path) -> str | None:
    """Return what the ``commit`` of an import was made from; None of any other commit."""
    body = git("log", "-1", "--format=%b", commit, cwd=repository).stdout.strip()
    return body.removeprefix(_IMPORTED) if body.startswith(_IMPORTED) else None


def member_path(name: str, prefix: str) -> str:
    """Return the path of a member in the tree, without the archive's top directory ``prefix``.

    Raises UserError for a member that would land outside of the tree or inside its ``.git``.
    """
    path = name.removeprefix("./")
    parts = path.split("/")
    if (
        path.startswith(("/", '"'))
        or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
        or any(ord(letter) < 32 for letter in path)
    ):
        raise UserError(f"the archive has a member with the unsafe name {name!r}: refused")
    if not path.startswith(prefix):
        raise UserError(
            f"the archive has {name!r} beside its top directory {prefix!r}",
            hint="a kernel archive has one directory on top, such as linux-6.1.10/",
        )
    return path.removeprefix(prefix)


def _prefix(first: tarfile.TarInfo) -> str:
    top, slash, _ = first.name.removeprefix("./").partition("/")
    return f"{top}/" if slash or first.isdir() else ""


def _decompressed(raw: io.BufferedReader) -> IO[bytes]:
    head = raw.peek(6)
    for magic, opener in _COMPRESSIONS.items():
        if head.startswith(magic):
            return opener(raw)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise UserError("the archive is compressed with zstd", hint="decompress it: unzstd FILE")
    return raw


class _Writer:
    """Writes members as blobs, and in the end one commit that names them all."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._entries: dict[str, _Entry] = {}
        self._mark = 0
        self._newest = 0
        self.makefile = ""

    def add(self, path: str, member: tarfile.TarInfo, content: bytes) -> None:
        """Write one file or symbolic link."""
        self._mark += 1
        self._sink.write(b"blob\nmark :%d\ndata %d\n" % (self._mark, len(content)))
        self._sink.write(content + b"\n")
        mode = "120000" if member.issym() else "100755" if member.mode & 0o100 else "100644"
        self._entries[path] = _Entry(mode, self._mark)
        self._newest = max(self._newest, int(member.mtime))
        if path == "Makefile":
            self.makefile = content.decode(errors="replace")

    def link(self, path: str, target: str) -> None:
        """Enter a hard link to a member that came before."""
        if target not in self._entries:
            raise UserError(f"the archive links {path!r} to the missing {target!r}")
        self._entries[path] = self._entries[target]

    def commit(self, ref: str, message: str) -> None:
        """Write the commit; its date is the newest member's."""
        text = message.encode()
        lines = [f"commit {ref}", f"committer {_COMMITTER} {self._newest} +0000"]
        self._sink.write("\n".join(lines).encode() + b"\ndata %d\n%s\n" % (len(text), text))
        for path, entry in sorted(self._entries.items()):
            line = f"M {entry.mode} :{entry.mark} {path}\n"
            self._sink.write(line.encode(errors="surrogateescape"))
        self._sink.write(b"done\n")


def _stream(archive: tarfile.TarFile, writer: _Writer) -> None:
    prefix: str | None = None
    for member in archive:
        if prefix is None:
            prefix = _prefix(member)
        if member.isdir():
            continue
        path = member_path(member.name, prefix)
        if member.issym():
            writer.add(path, member, member.linkname.encode(errors="surrogateescape"))
        elif member.islnk():
            writer.link(path, member_path(member.linkname, prefix))
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None
            writer.add(path, member, content.read())
        else:
            raise UserError(f"the archive has {member.name!r}, neither file nor link: refused")


@contextlib.contextmanager
def _fast_import(repository: Path) -> Iterator[IO[bytes]]:
    # Neither deltas nor strong compression: an import is waited for, 100 MB are not.
    argv = git_command(
        "-c", "core.compression=1", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"
    )
    with (
        tempfile.TemporaryFile() as said,
        run.process(
            [*argv, "--done", "--depth=0"],
            cwd=repository,
            env=git_environment(),
            stdin=subprocess.PIPE,
            stderr=said,
        ) as child,
    ):
        assert child.stdin is not None
        try:
            yield child.stdin
            child.stdin.close()
        except BrokenPipeError as error:
            child.wait()
            said.seek(0)
            raise _import_failed(said.read()) from error
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        if child.wait() != 0:
            said.seek(0)
            raise _import_failed(said.read())


def _import_failed(said: bytes) -> InfraError:
    text = said.decode(errors="replace")
    if run.says_disk_full(text):
        return InfraError(
            "the disk is full", where=layout.cache_root(), hint="free 2 GB and run it again"
        )
    return InfraError(f"git fast-import failed: {text.strip()[:500]}")


@contextlib.contextmanager
def _beside(repository: Path) -> Iterator[Path]:
    """Yield an empty repository on the same disk; what a killed import left is removed."""
    with (repository / "import.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in repository.parent.glob(f".{repository.name}-import-*"):
            shutil.rmtree(left)
        prefix = f".{repository.name}-import-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=repository.parent) as temporary:
            git("init", "--quiet", "--bare", "--template=", temporary, cwd=repository)
            # What the repository has is not written again: a point release costs what it changed.
            alternates = Path(temporary, "objects", "info", "alternates")
            alternates.parent.mkdir(exist_ok=True)
            alternates.write_text(f"{(repository / 'objects').resolve()}\n")
            yield Path(temporary)


def _move_objects(source: Path, repository: Path) -> None:
    packs = repository / "objects" / "pack"
    packs.mkdir(exist_ok=True)
    # A pack is seen once its index is there, so that comes last.
    for suffix in ("pack", "rev", "idx"):
        for path in (source / "objects" / "pack").glob(f"pack-*.{suffix}"):
            path.replace(packs / path.name)


def import_stream(
    raw: IO[bytes],
    size: int,
    *,
    title: str,
    repository: Path,
    message: Callable[[str, str], str],
) -> Imported:
    """Make one commit in the bare ``repository`` of the archive read from ``raw``.

    ``size`` is the archive's in bytes, for the progress bar called ``title``. ``message`` gets the
    text of the top Makefile and the archive's sha256 and returns the commit's message; it may raise
    to refuse the archive. No ref is made: that is the caller's. The work is done in a repository
    beside the real one, so that an interruption leaves nothing behind.
    Raises UserError for a damaged or unsafe archive, InfraError when git cannot store it.
    """
    with _beside(repository) as scratch, console.progress(title, size >> 20 or None) as advance:
        source = _Source(raw, advance)
        try:
            plain = _Plain(_decompressed(io.BufferedReader(source, _CHUNK)))
            with _fast_import(scratch) as sink:
                writer = _Writer(sink)
                with tarfile.open(fileobj=plain, mode="r|", bufsize=_CHUNK) as archive:
                    _stream(archive, writer)
                plain.finish()
                sha256 = source.digest.hexdigest()
                writer.commit(_REF, message(writer.makefile, sha256))
        except _UNREADABLE as error:
            raise UserError(
                f"the archive is damaged: {error}", hint="fetch it again and compare its checksum"
            ) from error
        commit = resolve(_REF, cwd=scratch)
        assert commit is not None
        _move_objects(scratch, repository)
    return Imported(commit, writer.makefile, sha256)
