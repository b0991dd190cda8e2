# SPDX-License-Identifier: GPL-2.0-only
"""An archive becomes one commit that depends on its content alone, or nothing at all."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from sku_build import distribution, git, layout, run, tarball, tree
from sku_build.errors import InfraError, UserError

MAKEFILE = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\nEXTRAVERSION =\n"
Member = tuple[str, bytes | None, dict[str, object]]


def a_file(name: str, content: str, **info: object) -> Member:
    return name, content.encode(), info


def a_kernel(top: str = "linux-6.1.7/", makefile: str = MAKEFILE) -> list[Member]:
    return [
        (top.rstrip("/") or ".", None, {"type": tarfile.DIRTYPE}),
        a_file(f"{top}Makefile", makefile, mtime=1_600_000_000),
        a_file(f"{top}mm/init.c", "int init;\n" * 3000, mtime=1_500_000_000),
        a_file(f"{top}scripts/run.sh", "#!/bin/sh\n", mode=0o755),
        (f"{top}link", None, {"type": tarfile.SYMTYPE, "linkname": "mm/init.c"}),
    ]


def archive(path: Path, members: Sequence[Member], *, compress: bool = True) -> Path:
    """Write a tar.xz (or a plain tar) with exactly these members."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as out:
        for name, content, info in members:
            member = tarfile.TarInfo(name)
            for key, value in info.items():
                setattr(member, key, value)
            member.size = len(content or b"")
            out.addfile(member, io.BytesIO(content) if content is not None else None)
    path.write_bytes(lzma.compress(plain.getvalue()) if compress else plain.getvalue())
    return path


def nothing_is_left() -> bool:
    """Whether the cache holds no tree, no ref, no object and no temporary repository."""
    cache = tree.cache_repository()
    refs = git.git("for-each-ref", cwd=cache).stdout
    packs = [*cache.glob("objects/pack/*"), *cache.glob("objects/??"), *cache.glob("fast_import*")]
    stray = [path.name for path in layout.cache_root().iterdir() if path.name.startswith(".")]
    return not (refs or packs or stray or tree.all_trees())


def test_the_version_comes_from_the_makefile_not_from_the_name(tmp_path: Path) -> None:
    path = archive(tmp_path / "linux-9.9.tar.xz", a_kernel("linux-9.9/"))
    added = tree.add_tarball(path, name="mine")
    assert (added.version, added.kind, added.name) == ("6.1.7", "tarball", "mine")
    assert tree.find("mine") == added
    assert tree.add_tarball(path).name == "6.1.7"


def test_content_modes_and_links_are_kept_and_the_top_directory_is_not(tmp_path: Path) -> None:
    added = tree.add_tarball(archive(tmp_path / "l.tar.xz", a_kernel()))
    listed = git.git("ls-tree", "-r", added.commit, cwd=tree.cache_repository()).stdout
    modes = {line.split("\t")[1]: line[:6] for line in listed.splitlines()}
    assert modes == {
        "Makefile": "100644",
        "link": "120000",
        "mm/init.c": "100644",
        "scripts/run.sh": "100755",
    }
    text = git.read_file(added.commit, "mm/init.c", cwd=added.repository)
    assert text == "int init;\n" * 3000


@pytest.mark.parametrize("top", ["", "./", "./linux-6.1.7/"])
def test_archives_without_or_with_another_top_directory_are_read_too(
    tmp_path: Path, top: str
) -> None:
    members = a_kernel(top)[1:] if not top.strip("./") else a_kernel(top)
    added = tree.add_tarball(archive(tmp_path / "l.tar.xz", members))
    assert git.read_file(added.commit, "Makefile", cwd=added.repository) == MAKEFILE


def test_the_same_archive_gives_the_same_commit_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile_git_config: Path
) -> None:
    path = archive(tmp_path / "l.tar.xz", a_kernel())
    first = tree.add_tarball(path, name="a")
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "other"))
    second = tree.add_tarball(path, name="b")
    assert first.commit == second.commit
    log = git.git("log", "-1", "--format=%an %ae %at %s", first.commit, cwd=second.repository)
    assert log.stdout.strip() == "sku sku@localhost 1600000000 Linux 6.1.7"


def test_an_import_makes_one_pack_and_one_ref(tmp_path: Path) -> None:
    tree.add_tarball(archive(tmp_path / "l.tar.xz", a_kernel()), name="a")
    cache = tree.cache_repository()
    assert len(list(cache.glob("objects/pack/*.pack"))) == 1
    assert git.git("for-each-ref", "--format=%(refname)", cwd=cache).stdout.split() == [
        "refs/sku/trees/a"
    ]
    git.git("fsck", "--full", "--strict", cwd=cache)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "linux-6.1.7/../../evil",
        "/etc/evil",
        "linux-6.1.7/.git/config",
        "linux-6.1.7/mm/.GIT/hooks/x",
        "linux-6.1.7/a\nM 644",
        "other-top/file",
    ],
)
def test_a_member_that_would_land_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "l.tar.xz", [*a_kernel(), a_file(name, "evil")])
    with pytest.raises(UserError, match="unsafe name|beside its top"):
        tree.add_tarball(path)
    assert nothing_is_left()


def test_device_nodes_are_refused(tmp_path: Path) -> None:
    node: Member = ("linux-6.1.7/null", None, {"type": tarfile.CHRTYPE})
    with pytest.raises(UserError, match="neither file nor link"):
        tree.add_tarball(archive(tmp_path / "l.tar.xz", [*a_kernel(), node]))
    assert nothing_is_left()


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("compress", [True, False])
def test_a_cut_archive_is_damaged_and_leaves_nothing(
    tmp_path: Path, kept: float, compress: bool
) -> None:
    path = archive(tmp_path / "l.tar", a_kernel(), compress=compress)
    whole = path.read_bytes()
    if not compress:
        whole = whole.rstrip(b"\0")  # tar pads its end to 10 KiB, which may be missing
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UserError, match="damaged"):
        tree.add_tarball(path)
    assert nothing_is_left()


def test_an_archive_with_a_flipped_bit_is_damaged_and_leaves_nothing(tmp_path: Path) -> None:
    path = archive(tmp_path / "l.tar.xz", a_kernel())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged") as caught:
        tree.add_tarball(path)
    assert caught.value.where == str(path)
    assert nothing_is_left()


def test_gzip_is_read_and_other_files_are_refused(tmp_path: Path) -> None:
    plain = archive(tmp_path / "l.tar", a_kernel(), compress=False)
    packed = tmp_path / "l.tar.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert tree.add_tarball(packed).version == "6.1.7"
    text = tmp_path / "notes.txt"
    text.write_text("not an archive\n" * 100)
    for path, said in (
        (text, "damaged"),
        (tmp_path, "directory"),
        (tmp_path / "no", "cannot read"),
    ):
        with pytest.raises(UserError, match=said):
            tree.add_tarball(path)


def test_an_archive_of_something_else_is_not_a_kernel(tmp_path: Path) -> None:
    path = archive(tmp_path / "l.tar.xz", [a_file("x-1/Makefile", "all:\n"), a_file("x-1/a", "")])
    with pytest.raises(UserError, match="not a kernel tree"):
        tree.add_tarball(path)
    assert nothing_is_left()


class Interrupted(io.RawIOBase):
    """An archive whose reader is interrupted half-way."""

    def __init__(self, content: bytes, error: BaseException) -> None:
        self._rest = io.BytesIO(content[: len(content) // 2])
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        data = self._rest.read(min(size, 64) if size > 0 else 64)
        if not data:
            raise self._error
        return data


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_import_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    content = archive(tmp_path / "l.tar", a_kernel(), compress=False).read_bytes()
    with pytest.raises(type(error)):
        tarball.import_stream(
            Interrupted(content, error),  # type: ignore[arg-type]
            len(content),
            title="import",
            repository=tree.cache_repository(),
            message=lambda makefile, sha256: "x",
        )
    assert nothing_is_left()


def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = layout.cache_root() / f".{tree.cache_repository().name}-import-dead"
    (left / "objects").mkdir(parents=True)
    tree.add_tarball(archive(tmp_path / "l.tar.xz", a_kernel()))
    assert not left.exists()


@pytest.mark.parametrize("said", ["write error. Out of diskspace", "No space left on device"])
def test_a_full_disk_during_an_import_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    failing = programs / "git"
    failing.write_text(
        '#!/bin/sh\ncase "$*" in *fast-import*) '
        f'echo "fatal: {said}" >&2; exit 128;; esac\n'
        'exec /usr/bin/git "$@"\n'
    )
    failing.chmod(0o755)
    path = archive(tmp_path / "l.tar.xz", a_kernel())
    with monkeypatch.context() as patch, pytest.raises(InfraError, match="the disk is full"):
        patch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        tree.add_tarball(path)
    assert nothing_is_left()


def test_a_package_that_holds_another_version_is_refused(tmp_path: Path) -> None:
    if not run.have("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    deb = a_package(tmp_path, "linux-source-6.1", "6.1.7-1")
    imported = distribution.import_package(deb, "6.1", tree.cache_repository())
    assert (imported.package, imported.version) == ("linux-source-6.1 6.1.7-1", "6.1.7")
    with pytest.raises(InfraError, match=r"holds version 6\.1\.7, not 6\.12"):
        distribution.import_package(deb, "6.12", tree.cache_repository())
    assert len(list(tree.cache_repository().glob("objects/pack/*.pack"))) == 1


def a_package(where: Path, name: str, version: str, makefile: str = MAKEFILE) -> Path:
    """Build a Debian package with a kernel archive in it, as linux-source has."""
    root = where / f"{name}_{version}"
    (root / "usr/src").mkdir(parents=True)
    (root / "DEBIAN").mkdir()
    (root / "usr/src/README").write_text("not the archive\n")
    archive(root / f"usr/src/{name}.tar.xz", a_kernel(makefile=makefile))
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: T <t@example.org>\nDescription: test\n"
    )
    deb = where / f"{name}_{version}_all.deb"
    run.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, deb])
    return deb


def test_what_an_earlier_import_has_brought_is_not_written_again(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(1 << 20).hex()
    for number in (1, 2):
        own = a_file("linux-6.1.7/own", str(number))
        members = [*a_kernel(), a_file("linux-6.1.7/noise", noise), own]
        added = tree.add_tarball(archive(tmp_path / f"{number}.tar.xz", members), name=f"t{number}")
        assert git.read_file(added.commit, "noise", cwd=added.repository) == noise
    packs = tree.cache_repository().glob("objects/pack/*.pack")
    first, second = sorted((path.stat().st_size for path in packs), reverse=True)
    assert second < 4096 < first
