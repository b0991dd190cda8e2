# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages by name and suite, through apt, without touching the system's apt.

Every suite and architecture has an apt root of its own in the cache: its own sources, lists and
settings, so neither root rights nor a change of ``/etc/apt`` are needed, and a suite other than the
machine's own can be read. Which mirror and proxy to use is learnt from the system's apt.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sku_build import console, layout, run
from sku_build.errors import InfraError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INDEX_ARCHITECTURE = "amd64"
_LISTS_MAX_AGE = 24 * 3600  # seconds
_WITHOUT_SECURITY = re.compile(r"(-backports|-updates|-security)$|^(sid|unstable|experimental)$")
_DEBIAN_SUITE = re.compile(r"^(bullseye|bookworm|trixie|forky|(old)?(old)?stable|testing|sid)$")
_PROXY = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_RELEASE_FILE = re.compile(r"^'(?P<uri>\S+?)/?dists/(?P<suite>\S+?)/InRelease'")
_DOWNLOADED = re.compile(r"^dlstatus:\d+:(?P<percent>[\d.]+):")
_ALTERNATIVES = (
    "take a git checkout with `sku tree add PATH` or an archive with `sku tree add --tarball FILE`"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """The URIs the system's apt takes Debian and Debian's security updates from."""

    main: str
    security: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """The version of a package that a suite has now; ``size`` is in bytes."""

    package: str
    version: str
    architecture: str
    size: int


def parse_index_targets(text: str) -> Archive | None:
    """Read ``SUITE ORIGIN URI`` lines of ``apt-get indextargets``; None when none is Debian's."""
    found = [line.split(" ") for line in text.splitlines()]
    return _pick(
        (words[0], words[2]) for words in found if len(words) == 3 and words[1] == "Debian"
    )


def parse_release_uris(text: str) -> Archive | None:
    """Read the release files named by ``apt-get update --print-uris``; None when none is Debian's.

    This is what there is before the first ``apt-get update``: it does not tell the origin, so
    another vendor's archive for a Debian suite is told apart by having no ``-updates`` beside it.
    """
    found = [
        (match["suite"], match["uri"])
        for match in map(_RELEASE_FILE.match, text.splitlines())
        if match
    ]
    with_updates = {uri for suite, uri in found if suite.endswith("-updates")}
    security = [(suite, uri) for suite, uri in found if suite.endswith("-security")]
    debian = [(suite, uri) for suite, uri in found if _DEBIAN_SUITE.match(suite)]
    best = [entry for entry in debian if entry[1] in with_updates] or debian
    return _pick([*best, *security])


def _pick(suites: Iterable[tuple[str, str]]) -> Archive | None:
    main = security = None
    for suite, uri in suites:
        if uri.startswith("cdrom:"):
            continue
        if suite.endswith("-security"):
            security = security or uri.rstrip("/")
        elif _DEBIAN_SUITE.match(suite):
            main = main or uri.rstrip("/")
    return Archive(main, security) if main else None


def parse_candidate(text: str) -> Candidate | None:
    """Read one record of ``apt-cache show``; None when there is none."""
    fields = dict(
        line.split(": ", 1)
        for line in text.split("\n\n")[0].splitlines()
        if re.match(r"\w\S*: ", line)
    )
    if "Version" not in fields:
        return None
    return Candidate(
        fields["Package"], fields["Version"], fields["Architecture"], int(fields["Size"])
    )


def archive() -> Archive:
    """Return where this machine takes Debian from; raises InfraError when it does not."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if not run.have(program):
            raise InfraError(f"this machine has no {program}", hint=_ALTERNATIVES)
    format_ = "$(CODENAME) $(ORIGIN) $(REPO_URI)"
    targets = run.run(
        ["apt-get", "indextargets", "--format", format_, "Created-By: Packages"], check=False
    )
    found = parse_index_targets(targets.stdout)
    if not found:
        uris = run.run(["apt-get", "update", "--print-uris"], check=False)
        found = parse_release_uris(uris.stdout)
    if not found:
        raise InfraError("the apt of this machine has no Debian archive", hint=_ALTERNATIVES)
    if not KEYRING.is_file():
        raise InfraError(
            "the keys of Debian's archive are not installed",
            where=KEYRING,
            hint="install the package debian-archive-keyring",
        )
    return found


def sources_list(where: Archive, suite: str, architecture: str) -> str:
    """Return the sources of one root: the suite and, where there is one, its security updates."""
    options = f"[arch={architecture} signed-by={KEYRING}]"
    lines = [f"deb {options} {where.main} {suite} main"]
    if where.security and not _WITHOUT_SECURITY.search(suite):
        lines.append(f"deb {options} {where.security} {suite}-security main")
    return "\n".join(lines) + "\n"


def private_config(root: Path, architecture: str, system: str) -> str:
    """Return the apt.conf of a private root.

    ``system`` is the output of ``apt-config dump``: how to download (proxies, retries) is taken
    over from it, its hooks and additional indexes are not.
    """
    kept = [
        line
        for line in system.splitlines()
        if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")
    ]
    own = {
        "Acquire::Languages": "none",
        "APT::Architecture": architecture,
        "Dir::State": f"{root}/state/",
        "Dir::State::status": f"{root}/state/status",
        "Dir::Cache": f"{root}/cache/",
        "Dir::Log": f"{root}/log/",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": f"{root}/none/",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": f"{root}/none/",
        "Dir::Etc::sourcelist": f"{root}/sources.list",
        "Dir::Etc::sourceparts": f"{root}/none/",
    }
    lines = [
        *kept,
        "#clear Acquire::Languages;",
        *(f'{key} "{value}";' for key, value in own.items()),
    ]
    return "\n".join(
        [*lines, "#clear APT::Architectures;", f'APT::Architectures {{ "{architecture}"; }};', ""]
    )


def candidate(
    package: str, suite: str, *, architecture: str = INDEX_ARCHITECTURE
) -> Candidate | None:
    """Return what ``suite`` (and its security updates) has of ``package`` now, or None.

    The package lists are fetched when they are older than a day or do not know the package.
    """
    root = private_root(suite, architecture)
    fresh = _age(root) < _LISTS_MAX_AGE
    found = _show(root, package) if fresh else None
    if found is None and not _update(root, suite):
        found = _show(root, package)
        if found is None:
            raise InfraError(
                f"the package lists of {suite} cannot be fetched",
                where=root / "apt.log",
                hint="is the network there? otherwise " + _ALTERNATIVES,
            )
        console.warn(f"the package lists of {suite} cannot be fetched; going on with older ones")
    return found or _show(root, package)


def versions(package: str, suite: str, *, architecture: str = INDEX_ARCHITECTURE) -> list[str]:
    """Return every version of ``package`` that ``suite`` and its updates have, newest first."""
    root = private_root(suite, architecture)
    env = {"APT_CONFIG": str(root / "apt.conf")}
    shown = run.run(["apt-cache", "madison", package], env=env, check=False)
    found = (line.split("|") for line in shown.stdout.splitlines())
    return list(dict.fromkeys(words[1].strip() for words in found if len(words) > 2))


def download(
    package: str,
    *,
    suite: str,
    version: str | None = None,
    architecture: str = INDEX_ARCHITECTURE,
    into: Path,
) -> Path:
    """Download ``package`` of ``suite`` into the directory ``into``; return the file.

    It is the newest one, or that of ``version``. apt checks it against the archive's signed lists.
    A download that fails or is interrupted leaves nothing in ``into``. Raises InfraError when there
    is no such package or no network.
    """
    wanted = f"{package}={version}" if version else package
    found = candidate(wanted, suite, architecture=architecture)
    if found is None:
        known = versions(package, suite, architecture=architecture) if version else []
        raise InfraError(
            f"{suite} has no package {wanted} ({architecture})",
            hint=f"it has {', '.join(known)}" if known else _ALTERNATIVES,
        )
    root = private_root(suite, architecture)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=into) as temporary:
        size = max(1, found.size >> 20)
        with console.progress(f"download {package} {found.version} (MiB)", size) as advance:
            result = apt_get(
                root,
                ["download", f"{package}={found.version}"],
                cwd=Path(temporary),
                on_percent=lambda percent: advance(int(size * percent / 100), ""),
            )
        files = list(Path(temporary).glob("*.deb"))
        if result.status != 0 or len(files) != 1:
            raise failure(f"cannot download {package} {found.version}", result, root)
        target = into / files[0].name
        files[0].replace(target)
    return target


def private_root(suite: str, architecture: str) -> Path:
    """Return the apt root of a suite, made or brought up to date with the system's settings.

    It says nothing about the lists in it: ``candidate()`` fetches those. Raises InfraError when the
    machine has no Debian archive.
    """
    where = archive()
    root = layout.cache_dir("apt") / f"{suite}-{architecture}"
    for part in ("state/lists/partial", "cache/archives/partial", "log", "none"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "state/status").touch()
    system = run.run(["apt-config", "dump"]).stdout
    (root / "apt.conf").write_text(private_config(root, architecture, system))
    sources = sources_list(where, suite, architecture)
    path = root / "sources.list"
    if not path.exists() or path.read_text() != sources:
        (root / "updated").unlink(missing_ok=True)
        path.write_text(sources)
    return root


def _age(root: Path) -> float:
    stamp = root / "updated"
    return time.time() - stamp.stat().st_mtime if stamp.exists() else float("inf")


def _update(root: Path, suite: str) -> bool:
    with (root / "lock").open("w") as lock, console.step(f"package lists of {suite}"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = apt_get(root, ["update", "-q"], cwd=root)
        if run.says_disk_full(result.stdout):
            raise failure("cannot fetch the package lists", result, root)
        if result.status == 0:
            (root / "updated").touch()
        return result.status == 0


def _show(root: Path, package: str) -> Candidate | None:
    shown = run.run(
        ["apt-cache", "show", "--no-all-versions", package],
        env={"APT_CONFIG": str(root / "apt.conf")},
        check=False,
    )
    return parse_candidate(shown.stdout)


def apt_get(
    root: Path,
    arguments: Sequence[str],
    *,
    cwd: Path,
    on_percent: Callable[[float], None] = lambda percent: None,
) -> run.Result:
    """Run ``apt-get`` with the settings of the private ``root``; its output goes to ``apt.log``.

    ``on_percent`` is told how much of a download is there. A status other than 0 is the caller's to
    judge: ``failure()`` makes an error of it.
    """
    proxies = {
        name: os.environ[name]
        for lower in _PROXY
        for name in (lower, lower.upper())
        if name in os.environ
    }

    def on_line(line: str) -> None:
        match = _DOWNLOADED.match(line)
        if match:
            on_percent(float(match["percent"]))

    return run.stream(
        ["apt-get", *arguments, "-o", "APT::Status-Fd=1"],
        on_line,
        log=root / "apt.log",
        cwd=cwd,
        env={"APT_CONFIG": str(root / "apt.conf"), **proxies},
    )


def failure(what: str, result: run.Result, root: Path) -> InfraError:
    """Return the error for what ``apt_get`` could not do: apt's own words, or the full disk."""
    errors = [line for line in result.stdout.splitlines() if line.startswith("E:")]
    full = run.says_disk_full(result.stdout) or shutil.disk_usage(root).free < 1 << 20
    return InfraError(
        f"{what}: the disk is full" if full else "\n    ".join([f"{what}:", *errors[:5]]),
        where=root if full else root / "apt.log",
        hint="free some space and run it again"
        if full
        else "is the network there? " + _ALTERNATIVES,
    )
