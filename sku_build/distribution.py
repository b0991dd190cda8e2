# SPDX-License-Identifier: GPL-2.0-only
"""Kernel sources from the distribution: Debian's linux-source packages."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from sku_build import apt, console, layout, run, tarball
from sku_build.errors import InfraError, UserError
from sku_build.version import KernelVersion, makefile_version


@dataclasses.dataclass(frozen=True, slots=True)
class SourcePackage:
    """Where Debian has the sources of a kernel line; its newest version in ``suite`` is taken.

    ``others`` are suites that have it as well, often at other point releases.
    """

    package: str
    suite: str
    others: tuple[str, ...] = ()


LINES = {
    "5.10": SourcePackage("linux-source-5.10", "bullseye"),
    "6.1": SourcePackage("linux-source-6.1", "bookworm", ("bullseye",)),
    "6.12": SourcePackage("linux-source-6.12", "trixie", ("bookworm", "bookworm-backports")),
    "7.3": SourcePackage("linux-source-7.3", "trixie-backports"),
}
_SOURCE_MEMBER = re.compile(r"^\./usr/src/linux-source-[\d.]+\.tar(\.\w+)?$")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An imported package: its name and version, the kernel's version, the base commit."""

    package: str
    version: str
    commit: str


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A point release that Debian offers: the kernel's version, the package's, and its suite."""

    kernel: KernelVersion
    version: str
    suite: str


def releases(line: str) -> list[Release]:
    """Return every point release of a kernel line that Debian still offers, newest first.

    Of one release, the newest package. Raises InfraError when the package lists cannot be had.
    """
    source = LINES[line]
    found: dict[KernelVersion, Release] = {}
    for suite in (source.suite, *source.others):
        if apt.candidate(source.package, suite) is None:
            continue
        for version in apt.versions(source.package, suite):
            kernel = KernelVersion.parse(version.rpartition("-")[0])
            found.setdefault(kernel, Release(kernel, version, suite))
    return [found[kernel] for kernel in sorted(found, reverse=True)]


def import_line(
    line: str, repository: Path, *, version: str | None = None, suite: str | None = None
) -> Source:
    """Download the sources of a kernel line and commit them to the bare ``repository``.

    ``version`` is that of the package, the newest when None; ``suite`` where it is, the line's
    own when None. No ref is made. Raises InfraError when the package cannot be had or is not what
    it should be.
    """
    source = LINES[line]
    with (
        console.step(f"kernel {line} from Debian's {source.package}"),
        tempfile.TemporaryDirectory(prefix=".download-", dir=layout.cache_root()) as temporary,
    ):
        place = Path(temporary)
        deb = apt.download(source.package, suite=suite or source.suite, version=version, into=place)
        return import_package(deb, line, repository)


def import_package(deb: Path, line: str, repository: Path) -> Source:
    """Commit the sources in the linux-source package ``deb`` to the bare ``repository``."""
    fields = run.run(["dpkg-deb", "--show", "--showformat", "${Package} ${Version}", deb])
    package = fields.stdout.strip()

    def message(makefile: str, sha256: str) -> str:
        version = makefile_version(makefile)
        if version is None or KernelVersion.parse(version).line != line:
            raise InfraError(f"{package} holds version {version}, not {line}", where=deb)
        return tarball.commit_message(version, package)

    with run.process(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            with child.stdout, tarfile.open(fileobj=child.stdout, mode="r|") as members:
                for member in members:
                    content = members.extractfile(member) if member.isreg() else None
                    if content is not None and _SOURCE_MEMBER.match(member.name):
                        done = tarball.import_stream(
                            content,
                            member.size,
                            title=f"import {package} (MiB)",
                            repository=repository,
                            message=message,
                        )
                        return Source(package, makefile_version(done.makefile) or "", done.commit)
        except (tarfile.TarError, UserError) as error:
            raise InfraError(f"the package {package} is damaged: {error}", where=deb) from error
    raise InfraError(f"the package {package} has no kernel sources in it", where=deb)
