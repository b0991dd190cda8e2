# SPDX-License-Identifier: GPL-2.0-only
"""The root file system of the lab's guest: Debian packages unpacked into an ext4 image.

Nothing of the guest runs while it is made (this machine may not be able to run it), so no
maintainer script does either: what the few that matter would have done is written down here.
Neither root nor a loop device is needed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sku_build import closure, console, layout, run
from sku_build.closure import Closure
from sku_build.errors import CheckError, UserError

SUITE = "trixie"  # has the CRIU 4.1.1 and redis 8.0.2 that docs/checkpoint.md is about
ARCHITECTURE = "arm64"
BASE = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "e2fsprogs", "grep", "mount"),
    *("procps", "sed"),
    *("util-linux", "iproute2", "nftables", "criu"),
)
SIZE_GIB = 8  # sparse: what an image of a gigabyte of redis and its CRIU images fit into

_FORMAT = 1  # part of the key: what is written below has changed
# Fixed, so that the same packages make the same file system.
_UUID = "5b1e0f5a-2d3c-4c6e-9a0d-736b75000001"
_DIRECTORIES = ("dev", "proc", "sys", "run", "tmp", "mnt", "root")
_FILES = {
    "etc/hostname": "sku\n",
    "etc/hosts": "127.0.0.1 localhost sku\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/fstab": "",
}
# What no guest of the lab reads.
_LEFT_OUT = (
    *("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian"),
    *("usr/share/bash-completion", "usr/share/perl5"),
)
# As `dpkg-deb --extract`, but for the owners: all of it is root's in the end, and a user namespace
# may not have those that packages name.
_UNPACK = """
set -o pipefail
dpkg-deb --fsys-tarfile "$1" | tar -C "$2" -xf - --no-same-owner --same-permissions
"""
_MERGED = ("bin", "lib", "sbin")
_KEPT_IMAGES = 3
_TEMPORARY = ".rootfs-"


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """A system user, and the group of the same name and number; ``home`` without a leading /."""

    name: str
    number: int
    home: str


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """What a guest is made of besides the ``BASE``: packages, accounts, directories.

    ``left_out`` is what of the packages it does not need.
    """

    packages: tuple[str, ...]
    accounts: tuple[Account, ...]
    directories: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


# Uids and gids from 101 on, as Debian's adduser gives them.
REDIS = Guest(
    packages=("redis-server", "openssh-client"),
    accounts=(Account("redis", 101, "var/lib/redis"),),
    directories=("var/log/redis",),
    left_out=("usr/lib/systemd",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class RootImage:
    """An image in the cache, and the packages that are in it."""

    path: Path
    closure: Closure

    @property
    def size(self) -> int:
        """What the image takes on the disk, in bytes; the file is longer, and sparse."""
        return self.path.stat().st_blocks * 512


def image(extra: Mapping[str, Path | str] | None = None, *, guest: Guest = REDIS) -> RootImage:
    """Return the root file system of ``guest``, made when this set of packages has none yet.

    ``extra`` adds files: the path in the guest, without a leading ``/``, to a file of this machine
    (its mode is kept) or to a text, which may be run if it begins with ``#!``. The image belongs
    to the cache, which keeps the three used last: start the guest on a copy or a QEMU snapshot.
    Raises InfraError without network, CheckError when a package cannot be used, UserError for an
    ``extra`` outside of the image.
    """
    wanted = (*BASE, *guest.packages)
    found = closure.resolve(wanted, suite=SUITE, architecture=ARCHITECTURE)
    added = dict(sorted((extra or {}).items()))
    key = found.key(str(_FORMAT), repr(guest), *_fingerprints(added))
    directory = layout.cache_dir("guest")
    target = directory / f"{SUITE}-{ARCHITECTURE}-{key}.ext4"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            with console.step(f"root file system of the guest ({SUITE} {ARCHITECTURE})"):
                _build(found, guest, added, target)
        os.utime(target)  # used now: what makes it one of those that are kept
        remove_superseded(directory)
    return RootImage(target, found)


def copy_image(image: Path, target: Path) -> None:
    """Copy ``image`` to ``target``, sparse as it is; a copy that fails leaves no file."""
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UserError("there is no such directory, or it is read-only", where=target.parent)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=target.parent) as temporary:
        made = Path(temporary, "image")
        run.run(["cp", "--sparse=always", "--reflink=auto", image, made])
        made.replace(target)


def remove_superseded(directory: Path, keep: int = _KEPT_IMAGES) -> None:
    """Remove all images in ``directory`` but the ``keep`` used last, and what a kill left behind.

    The caller holds the directory's lock: nobody else is making an image.
    """
    by_age = sorted(directory.glob("*.ext4"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[keep:]:
        old.unlink()
    for left in directory.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True)


def _fingerprints(extra: Mapping[str, Path | str]) -> Iterator[str]:
    for name, source in extra.items():
        data = source.encode() if isinstance(source, str) else source.read_bytes()
        mode = _mode(source) if isinstance(source, str) else stat.S_IMODE(source.stat().st_mode)
        yield f"{name} {mode:o} {closure.digest(data)}"


def _mode(text: str) -> int:
    return 0o755 if text.startswith("#!") else 0o644


def _build(found: Closure, guest: Guest, extra: Mapping[str, Path | str], target: Path) -> None:
    files = closure.fetch(found)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=target.parent) as temporary:
        root = Path(temporary, "root")
        unpack(files, root)
        furnish(root, guest, extra)
        made = Path(temporary, "image")
        make_image(root, made)
        made.replace(target)


def unpack(packages: Sequence[Path], root: Path) -> None:
    """Unpack ``packages`` into the new directory ``root``, base-files first.

    base-files brings ``/bin``, ``/lib`` and ``/sbin`` as links into ``/usr``; a package that has
    files in one of them would replace the link, and is refused with a CheckError.
    """
    root.mkdir(parents=True)
    for package in sorted(packages, key=lambda path: not path.name.startswith("base-files_")):
        run.run(["bash", "-c", _UNPACK, "bash", package, root])
        for name in _MERGED:
            if not (root / name).is_symlink():
                raise CheckError(f"it replaces the link /{name} of base-files", where=package)


def furnish(root: Path, guest: Guest, extra: Mapping[str, Path | str]) -> None:
    """Do in ``root`` what the maintainer scripts would have done, and add ``extra``."""
    for name in (*_LEFT_OUT, *guest.left_out):
        shutil.rmtree(root / name, ignore_errors=True)
    homes = [account.home for account in guest.accounts]
    for name in (*_DIRECTORIES, *guest.directories, *homes):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (root / name).write_text(text)
    masters = root / "usr/share/base-passwd"
    passwd = (masters / "passwd.master").read_text().replace(":*:", ":x:")
    group = (masters / "group.master").read_text().replace(":*:", ":x:")
    for account in guest.accounts:
        name, number = account.name, account.number
        passwd += f"{name}:x:{number}:{number}::/{account.home}:/usr/sbin/nologin\n"
        group += f"{name}:x:{number}:\n"
    (root / "etc/passwd").write_text(passwd)
    (root / "etc/group").write_text(group)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        path = root / name
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            path.symlink_to(target)
    for name, source in extra.items():
        path = root / name
        # A link to /run or the like would lead to this machine's.
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError("the file is not inside the guest's root file system", where=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, str):
            path.write_text(source)
            path.chmod(_mode(source))
        else:
            shutil.copy(source, path)


def make_image(root: Path, image: Path, *, size_gib: int = SIZE_GIB) -> None:
    """Make an ext4 file system that holds the directory ``root``, all of it owned by root.

    The file is sparse and ``size_gib`` GiB long. Nothing is left for the guest's kernel to
    initialise in the background: that would be measured as well.
    """
    run.run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-d", root, "-U", _UUID, "-L", "sku", "-m", "0"),
            *("-N", "65536", "-J", "size=64"),
            *("-E", f"hash_seed={_UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"),
            *(image, f"{size_gib}G"),
        ],
        env={"E2FSPROGS_FAKE_TIME": "1"},
    )
    if os.geteuid() != 0:
        _own_by_root(root, image)


def _own_by_root(root: Path, image: Path) -> None:
    """Give every file to root: mke2fs takes over who owns it here."""
    script = "".join(
        f'set_inode_field "/{path.relative_to(root)}" {field} 0\n'
        for path in sorted(root.rglob("*"))
        for field in ("uid", "gid")
    )
    run.run(["debugfs", "-w", "-f", "-", image], stdin=script)
