# SPDX-License-Identifier: GPL-2.0-only
"""Debian's archive is found through the system's apt, which itself is left alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sku_build import apt
from sku_build.errors import InfraError

MAIN, SECURITY = "http://mirror.example/debian", "http://mirror.example/debian-security"

APT_GET = """\
#!/bin/sh
case "$*" in
indextargets*) echo "bookworm Debian http://mirror.example/debian/" ;;
update*)
    echo "$@" >> {log}; exit {update_status} ;;
download*)
    echo "dlstatus:1:50.0:Retrieving"
    touch demo_1_all.deb
    echo "{download_says}"; exit {download_status} ;;
esac
"""
APT_CACHE = """\
#!/bin/sh
case "$*" in *demo*) printf 'Package: demo\\nVersion: 1\\nArchitecture: all\\nSize: 3000000\\n' ;;
*) exit 100 ;; esac
"""


def test_the_archive_is_the_one_whose_origin_is_debian() -> None:
    text = (
        "bookworm Docker https://vendor.example/debian\n"
        f"bookworm Debian {MAIN}/\n"
        f"bookworm-security Debian {SECURITY}/\n"
        "jammy Ubuntu http://ubuntu.example/ubuntu\n"
    )
    assert apt.parse_index_targets(text) == apt.Archive(MAIN, SECURITY)


def test_a_machine_of_another_distribution_has_no_debian_archive() -> None:
    assert apt.parse_index_targets("jammy Ubuntu http://ubuntu.example/ubuntu\n") is None
    assert apt.parse_release_uris("'http://u.example/ubuntu/dists/jammy/InRelease' x 0\n") is None


def test_the_archive_is_found_before_the_first_update_too() -> None:
    """Without lists apt knows no origins: a vendor's archive has no -updates beside it."""
    text = (
        "'https://vendor.example/linux/debian/dists/bookworm/InRelease' a 0 \n"
        f"'{MAIN}/dists/bookworm/InRelease' b 0 \n"
        f"'{MAIN}/dists/bookworm-updates/InRelease' c 0 \n"
        f"'{SECURITY}/dists/bookworm-security/InRelease' d 0 \n"
        f"'{MAIN}/dists/bookworm/main/binary-amd64/Packages.xz' e 0 \n"
    )
    assert apt.parse_release_uris(text) == apt.Archive(MAIN, SECURITY)


def test_security_updates_are_read_where_the_suite_has_them() -> None:
    where = apt.Archive(MAIN, SECURITY)
    assert f"{SECURITY} bullseye-security main" in apt.sources_list(where, "bullseye", "amd64")
    assert "security" not in apt.sources_list(where, "trixie-backports", "amd64")
    assert "security" not in apt.sources_list(apt.Archive(MAIN, None), "bullseye", "amd64")


def test_packages_are_only_trusted_when_debians_key_signed_them() -> None:
    for line in apt.sources_list(apt.Archive(MAIN, SECURITY), "trixie", "arm64").splitlines():
        assert f"[arch=arm64 signed-by={apt.KEYRING}]" in line


def test_proxies_are_taken_over_and_hooks_are_not() -> None:
    system = (
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "true";\n'
        'APT::Update::Post-Invoke-Success:: "touch /tmp/x";\n'
        'DPkg::Post-Invoke:: "touch /tmp/y";\n'
    )
    config = apt.private_config(Path("/cache/apt/bookworm-arm64"), "arm64", system)
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in config
    assert "Post-Invoke" not in config
    assert "Contents-deb" not in config
    assert 'Dir::Etc::sourceparts "/cache/apt/bookworm-arm64/none/";' in config
    assert 'Dir::State "/cache/apt/bookworm-arm64/state/";' in config


def test_the_newest_version_is_read_and_a_package_that_is_not_there_is_none() -> None:
    text = (
        "Package: demo\nVersion: 2-1\nArchitecture: all\nSize: 10\nDescription: a\n long: text\n\n"
        "Package: demo\nVersion: 1-1\nArchitecture: all\nSize: 9\n"
    )
    assert apt.parse_candidate(text) == apt.Candidate("demo", "2-1", "all", 10)
    assert apt.parse_candidate("") is None


def test_a_machine_without_apt_is_told_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match="no apt-get") as caught:
        apt.archive()
    assert "--tarball" in str(caught.value.hint)


@pytest.fixture
def fake_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return install_fake_apt(monkeypatch, tmp_path)


def install_fake_apt(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    update_status: int = 0,
    download_status: int = 0,
    download_says: str = "ok",
) -> Path:
    """Put an apt on PATH that has the package ``demo``; return the log of its updates."""
    programs, log = tmp_path / "bin", tmp_path / "updates"
    programs.mkdir(exist_ok=True)
    text = APT_GET.format(
        log=log,
        update_status=update_status,
        download_status=download_status,
        download_says=download_says,
    )
    for name, script in (
        ("apt-get", text),
        ("apt-cache", APT_CACHE),
        ("apt-config", "#!/bin/sh\n"),
        ("dpkg-deb", "#!/bin/sh\n"),
    ):
        (programs / name).write_text(script)
        (programs / name).chmod(stat.S_IRWXU)
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(apt, "KEYRING", keyring)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return log


def test_package_lists_are_fetched_once_a_day_only(fake_apt: Path) -> None:
    for _ in range(3):
        assert apt.candidate("demo", "bookworm") is not None
    assert len(fake_apt.read_text().splitlines()) == 1


def test_package_lists_are_fetched_again_for_an_unknown_package(fake_apt: Path) -> None:
    apt.candidate("demo", "bookworm")
    assert apt.candidate("nonesuch", "bookworm") is None
    assert len(fake_apt.read_text().splitlines()) == 2


def test_without_network_older_lists_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_fake_apt(monkeypatch, tmp_path, update_status=100)
    assert apt.candidate("demo", "bookworm") is not None
    assert "cannot be fetched" in capsys.readouterr().err
    with pytest.raises(InfraError, match="package lists of bookworm cannot be fetched"):
        apt.candidate("nonesuch", "bookworm")


def test_a_download_is_whole_or_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_apt: Path
) -> None:
    into = tmp_path / "into"
    assert apt.download("demo", suite="bookworm", into=into) == into / "demo_1_all.deb"
    (into / "demo_1_all.deb").unlink()
    install_fake_apt(
        monkeypatch, tmp_path, download_status=100, download_says="E: Hash Sum mismatch"
    )
    with pytest.raises(InfraError, match="Hash Sum mismatch"):
        apt.download("demo", suite="bookworm", into=into)
    assert list(into.iterdir()) == []


def test_a_version_that_is_not_there_is_answered_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, fake_apt: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(apt, "versions", lambda *args, **options: ["2-1", "1-1"])
    with pytest.raises(InfraError, match="no package nonesuch=9-1") as caught:
        apt.download("nonesuch", suite="bookworm", version="9-1", into=tmp_path / "into")
    assert caught.value.hint == "it has 2-1, 1-1"


def test_a_full_disk_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    says = "E: Write error - write (28: No space left on device)"
    install_fake_apt(monkeypatch, tmp_path, download_status=100, download_says=says)
    with pytest.raises(InfraError, match="the disk is full"):
        apt.download("demo", suite="bookworm", into=tmp_path / "into")
