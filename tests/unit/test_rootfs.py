# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: which packages, how they are unpacked, what the image holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import closure, run
from sku_build.cli import lab as cli
from sku_build.closure import Closure
from sku_build.errors import CheckError, InfraError, UserError
from sku_build.lab import rootfs

URIS = """\
Reading package lists...
'http://mirror.invalid/pool/z/zlib/zlib1g_1.3+really1_arm64.deb' zlib1g_1%3a1.3+really1_arm64.deb 84000 MD5Sum:0123456789abcdef
'http://mirror.invalid/pool/c/criu/criu_4.1.1-1_arm64.deb' criu_4.1.1-1_arm64.deb 510324 SHA256:52d0f477
dlstatus:1:20.00:Retrieving
"""  # noqa: E501


def of(text: str) -> Closure:
    return Closure("trixie", "arm64", ("criu",), closure.parse_uris(text))


def package(directory: Path, name: str, files: dict[str, str], *, links: bool = False) -> Path:
    tree = directory / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    )
    for file, text in files.items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(text)
    if links:
        for link in ("bin", "lib", "sbin"):
            (tree / "usr" / link).mkdir(parents=True, exist_ok=True)
            (tree / link).symlink_to(f"usr/{link}")
    made = directory / f"{name}_1_all.deb"
    run.run(["dpkg-deb", "--root-owner-group", "--build", tree, made])
    return made


def base(directory: Path) -> Path:
    masters = {
        "usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/bash\n",
        "usr/share/base-passwd/group.master": "root:*:0:\n",
        "usr/share/doc/base-files/README": "not wanted\n",
        "etc/debian_version": "13\n",
    }
    return package(directory, "base-files", masters, links=True)


def test_reads_every_package_apt_names_with_its_epoch() -> None:
    found = of(URIS)
    assert [(p.package, p.version, p.size) for p in found.packages] == [
        ("criu", "4.1.1-1", 510324),
        ("zlib1g", "1:1.3+really1", 84000),
    ]
    assert found.size == 594324


def test_a_package_that_apt_names_in_another_way_is_not_left_out() -> None:
    strange = "'http://mirror.invalid/pool/z/zstd_1_arm64.deb' zstd_1_arm64.deb 266336 \n"
    with pytest.raises(InfraError, match="zstd_1_arm64"):
        of(URIS + strange)


def test_key_follows_the_packages_and_not_the_mirror() -> None:
    key = of(URIS).key("1")
    assert of(URIS.replace("mirror.invalid", "other.invalid")).key("1") == key
    assert of(URIS.replace("52d0f477", "52d0f478")).key("1") != key
    assert of(URIS).key("2") != key


def test_unpacks_base_files_first_and_keeps_the_merged_usr(tmp_path: Path) -> None:
    tool = package(tmp_path, "a-tool", {"usr/bin/tool": "x"})
    rootfs.unpack([tool, base(tmp_path)], tmp_path / "root")
    assert (tmp_path / "root/bin/tool").read_text() == "x"


def test_refuses_a_package_that_replaces_a_link_of_base_files(tmp_path: Path) -> None:
    old = package(tmp_path, "old", {"bin/tool": "x"})
    try:
        rootfs.unpack([base(tmp_path), old], tmp_path / "root")
    except CheckError as error:
        assert error.where == str(old)
    else:  # this dpkg-deb follows the link: the file must then be where it belongs
        assert (tmp_path / "root/usr/bin/tool").read_text() == "x"


def test_image_holds_the_packages_the_accounts_and_the_added_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, image = tmp_path / "root", tmp_path / "image"
    rootfs.unpack([base(tmp_path)], root)
    rootfs.furnish(
        root, rootfs.REDIS, {"usr/sbin/init": "#!/bin/sh\n", "etc/debian_version": "14\n"}
    )
    assert os.access(root / "usr/sbin/init", os.X_OK)
    assert (root / "etc/debian_version").stat().st_mode & 0o777 == 0o644
    assert "redis:x:101:101:" in (root / "etc/passwd").read_text()
    assert ":*:" not in (root / "etc/passwd").read_text()
    assert not (root / "usr/share/doc").exists()
    if os.geteuid() == 0:  # otherwise it is ours anyway
        os.chown(root / "usr/sbin/init", 1000, 1000)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    rootfs.make_image(root, image, size_gib=1)
    assert image.stat().st_size == 1 << 30 > image.stat().st_blocks * 512 * 8
    said = run.run(["debugfs", "-R", "cat /etc/debian_version", image]).stdout
    assert said == "14\n"
    assert "User:     0   Group:     0" in " ".join(
        run.run(["debugfs", "-R", "stat /usr/sbin/init", image]).stdout.split("\n")
    )


def test_same_directory_makes_the_same_superblock(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rootfs.unpack([base(tmp_path)], root)
    heads = []
    for name in ("one", "two"):
        rootfs.make_image(root, tmp_path / name, size_gib=1)
        heads.append(run.run(["dumpe2fs", "-h", tmp_path / name]).stdout)
    assert heads[0] == heads[1]


@pytest.mark.parametrize("name", ["{outside}/out", "../outside/out", "link/out"])
def test_an_added_file_never_lands_on_this_machine(tmp_path: Path, name: str) -> None:
    """All ways out lead into ``tmp_path``: a failing test, too, leaves this machine alone."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    rootfs.unpack([base(tmp_path)], root)
    (root / "link").symlink_to(outside)
    with pytest.raises(UserError, match="not inside"):
        rootfs.furnish(root, rootfs.REDIS, {name.format(outside=outside): "x"})
    assert not (outside / "out").exists()


def fake_packages(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Make base-files the only package there is, and the image a small text."""
    monkeypatch.setattr(closure, "resolve", lambda wanted, **where: of(URIS))
    monkeypatch.setattr(closure, "fetch", lambda found: [base(directory)])
    monkeypatch.setattr(rootfs, "make_image", lambda root, image: image.write_text("image"))


def test_an_image_is_made_once_and_superseded_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "cache"))
    fake_packages(monkeypatch, tmp_path)
    images = tmp_path / "cache/guest"
    (images / ".rootfs-killed").mkdir(parents=True)
    first = rootfs.image().path
    monkeypatch.setattr(closure, "fetch", lambda found: pytest.fail("it is there already"))
    for age in range(1, 5):
        (images / f"old-{age}.ext4").touch()
        os.utime(images / f"old-{age}.ext4", (1000 - age, 1000 - age))
    os.utime(first, (1, 1))
    assert rootfs.image().path == first
    left = {path.name for path in images.iterdir()}
    assert left == {first.name, "old-1.ext4", "old-2.ext4", "lock"}


def test_the_command_names_the_image_and_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKU_CACHE", str(tmp_path / "cache"))
    fake_packages(monkeypatch, tmp_path)
    copy = tmp_path / "copy.ext4"
    done = CliRunner().invoke(cli.lab, ["rootfs", "--json", "--output", str(copy)])
    said = json.loads(done.stdout)
    assert said["image"] == str(copy)
    assert said["packages"] == {"criu": "4.1.1-1", "zlib1g": "1:1.3+really1"}
    assert copy.read_text() == "image"
    assert "2 packages" in CliRunner().invoke(cli.lab, ["rootfs"]).stdout
