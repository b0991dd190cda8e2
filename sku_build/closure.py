# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages together with all they depend on, for a machine that is not this one."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sku_build import apt, console, layout
from sku_build.errors import InfraError, UserError

# 'URI' FILE SIZE HASH, as `apt-get --print-uris install` prints them.
_URI = re.compile(r"^'[^']+' (?P<file>[^_ ]+_[^_ ]+_[^_ ]+\.deb) (?P<size>\d+) (?P<digest>\S+)$")
_UNKNOWN = re.compile(r"^E: Unable to locate package (\S+)$", re.MULTILINE)
_OPTIONS = (
    *("-q", "-y", "-o", "APT::Install-Recommends=false"),
    # The private root belongs to the user; apt's own unprivileged user could not write to it.
    *("-o", "APT::Sandbox::User=root"),
    # The digest to print: without a word apt takes MD5, which not every archive gives.
    *("-o", "Acquire::ForceHash=SHA256"),
)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package of a closure: its file, its size in bytes, and the digest the archive gives."""

    package: str
    version: str
    architecture: str
    file: str
    size: int
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Closure:
    """Packages and all they depend on as a suite has them now, sorted by name."""

    suite: str
    architecture: str
    wanted: tuple[str, ...]
    packages: tuple[Package, ...]

    @property
    def size(self) -> int:
        """What all of them take to download, in bytes."""
        return sum(package.size for package in self.packages)

    def key(self, *more: str) -> str:
        """Return a short name that changes with any package, or with anything in ``more``."""
        text = [f"{package.file} {package.digest}" for package in self.packages]
        return digest("\n".join([*text, *more]).encode())[:16]


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parse_uris(text: str) -> tuple[Package, ...]:
    """Read what ``apt-get --print-uris install`` prints, other lines left aside.

    Raises InfraError for an address that is not understood: the package would be missing.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.startswith("'")]
    found = [match for match in map(_URI.match, lines) if match]
    if len(found) != len(lines):
        strange = next(line for line in lines if not _URI.match(line))
        raise InfraError(f"cannot understand what apt says of a package: {strange}")
    return tuple(
        sorted(
            Package(*_parts(match["file"]), match["file"], int(match["size"]), match["digest"])
            for match in found
        )
    )


def _parts(file: str) -> tuple[str, str, str]:
    package, version, architecture = file.removesuffix(".deb").split("_")
    return package, version.replace("%3a", ":"), architecture


def resolve(wanted: Sequence[str], *, suite: str, architecture: str) -> Closure:
    """Return ``wanted`` and all they depend on, not what they recommend; fetches lists only.

    Raises UserError when the suite does not have one of them, InfraError without any lists.
    """
    apt.candidate(wanted[0], suite, architecture=architecture)  # brings the lists up to date
    root = apt.private_root(suite, architecture)
    with tempfile.TemporaryDirectory(prefix=".none-", dir=root) as none:
        # Packages in the cache are not printed, so it is shown an empty one.
        Path(none, "partial").mkdir()
        options = [*_OPTIONS, "-o", f"Dir::Cache::archives={none}/", "--print-uris"]
        result = apt.apt_get(root, ["install", *options, *wanted], cwd=root)
    unknown = _UNKNOWN.findall(result.stdout)
    if unknown:
        raise UserError(f"{suite} has no package {', '.join(unknown)} for {architecture}")
    packages = parse_uris(result.stdout)
    if result.status != 0 or not packages:
        raise apt.failure(f"cannot resolve what {', '.join(wanted)} depend on", result, root)
    return Closure(suite, architecture, tuple(wanted), packages)


def fetch(closure: Closure) -> list[Path]:
    """Download what is missing of ``closure`` and return its files, in the closure's order.

    apt checks them against the archive's signed lists; files stay in the cache for the next time.
    """
    root = apt.private_root(closure.suite, closure.architecture)
    archives = layout.cache_dir("apt") / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    total = max(1, closure.size >> 20)
    title = f"download {len(closure.packages)} packages of {closure.suite} (MiB)"
    with console.progress(title, total) as advance:
        result = apt.apt_get(
            root,
            [
                *("install", "--download-only", *_OPTIONS),
                *("-o", f"Dir::Cache::archives={archives}/"),
                # Exactly these, whatever the lists have become in the meantime.
                *(f"{package.package}={package.version}" for package in closure.packages),
            ],
            cwd=root,
            on_percent=lambda percent: advance(int(total * percent / 100), ""),
        )
    files = [archives / package.file for package in closure.packages]
    missing = [file.name for file in files if not file.is_file()]
    if result.status != 0:
        raise apt.failure("cannot download the packages", result, root)
    if missing:
        raise InfraError(f"apt left out {', '.join(missing[:5])}", where=archives)
    return files
