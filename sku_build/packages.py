# SPDX-License-Identifier: GPL-2.0-only
"""Source packages of the runtime, for Debian and for rpm: one directory, one archive of it."""

from __future__ import annotations

import datetime
import email.utils
import gzip
import shutil
import tempfile
from pathlib import Path

import jinja2
import msgspec

import sku_build
from sku_build import git, layout
from sku_build.bundle import archive, content
from sku_build.errors import UserError

NAME = "sku-runtime"
MAINTAINER = "sku developers <sku@localhost>"
_PARTS = ("runtime", "packaging", "LICENSE")
_SUFFIX = ".j2"


class Packaged(msgspec.Struct, frozen=True):
    """A source package: its directory, which has ``debian/``, and its archive, for rpmbuild."""

    version: str
    directory: Path
    archive: Path


def make(output: Path, *, maintainer: str = MAINTAINER) -> Packaged:
    """Make the source package of this version of the runtime below the directory ``output``.

    ``maintainer`` is ``NAME <ADDRESS>``. An earlier one of the same version is replaced; the same
    sources give the same bytes. Raises UserError for a maintainer who is none, and where the
    sources have no packaging.
    """
    if not all(email.utils.parseaddr(maintainer)):
        raise UserError(f"the maintainer is not NAME <ADDRESS>: {maintainer!r}")
    version = sku_build.__version__
    root = layout.data_root()
    missing = [part for part in _PARTS[:2] if not (root / part).is_dir()]
    if missing:
        raise UserError(f"the sources have no {missing[0]}", where=root)
    output.mkdir(parents=True, exist_ok=True)
    directory = output / f"{NAME}-{version}"
    packed = output / f"{NAME}-{version}.tar.gz"
    epoch = _date()
    with tempfile.TemporaryDirectory(prefix=".sku-package-", dir=output) as name:
        made = Path(name, "made")
        _fill(root, made, _values(version, maintainer, epoch))
        content.settle(made, epoch)
        tar = Path(name, "tar")
        archive.pack(made, tar, name=directory.name, epoch=epoch)
        with packed.open("wb") as sink, gzip.GzipFile("", "wb", 9, sink, mtime=epoch) as zipped:
            zipped.write(tar.read_bytes())
        shutil.rmtree(directory, ignore_errors=True)
        made.rename(directory)
    return Packaged(version, directory, packed)


def _date() -> int:
    """The date of the last commit to the sources, or of the package's own epoch without git."""
    done = git.git("log", "-1", "--format=%ct", cwd=layout.data_root(), check=False)
    said = done.stdout.strip()
    return int(said) if said.isdecimal() else 0


def _values(version: str, maintainer: str, epoch: int) -> dict[str, str]:
    when = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    day, month = when.strftime("%a %b").split()
    return {
        "version": version,
        "maintainer": maintainer,
        "date": email.utils.format_datetime(when),
        "rpm_date": f"{day} {month} {when.day:02} {when.year}",
    }


def _fill(root: Path, made: Path, values: dict[str, str]) -> None:
    for part in _PARTS:
        source = root / part
        if source.is_dir():
            shutil.copytree(source, made / part)
        elif source.is_file():
            shutil.copyfile(source, made / part)
    (made / "packaging" / "debian").rename(made / "debian")
    (made / "packaging" / f"{NAME}.spec{_SUFFIX}").rename(made / f"{NAME}.spec{_SUFFIX}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    for template in sorted(made.rglob(f"*{_SUFFIX}")):
        text = environment.from_string(template.read_text(encoding="utf-8")).render(values)
        template.with_suffix("").write_text(text, encoding="utf-8")
        template.unlink()
