# SPDX-License-Identifier: GPL-2.0-only
"""A small git repository to make patches from and to try them on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from sku_build import git, mail, patching
from sku_build.outcome import PatchOutcome
from sku_build.scratch import replay, scratch
from sku_build.series import PatchEntry, ProbeEntry, Series, UpstreamEntry, select
from sku_build.version import KernelVersion

SIX = KernelVersion(6, 1)


def function(name: str, *body: str) -> str:
    """Return a C function whose body is long enough for a hunk's context to lie within it."""
    return "\n".join(
        [
            f"static int {name}(struct device *dev)",
            "{",
            "\tstruct state *state;",
            "",
            "\tif (!dev)",
            "\t\treturn -EINVAL;",
            "\tstate = get_state(dev);",
            *body,
            "\tif (!state)",
            "\t\treturn -ENOMEM;",
            "\treturn register_state(state);",
            "}",
            "",
            "",
        ]
    )


def padding(name: str, lines: int) -> str:
    """Return a block of ``lines`` distinct lines, to keep functions apart."""
    return "".join(f"#define {name}_{number} {number}\n" for number in range(lines)) + "\n"


@dataclasses.dataclass(frozen=True)
class Repo:
    """A work tree in which commits are made, each on the parent it names."""

    path: Path

    def git(self, *args: str) -> str:
        """Run git in the work tree with an author of its own."""
        identity = {
            "GIT_AUTHOR_NAME": "Ann Author",
            "GIT_AUTHOR_EMAIL": "ann@example.org",
            "GIT_AUTHOR_DATE": "1700000000 +0100",
        }
        return git.git(*args, cwd=self.path, env=identity).stdout.strip()

    def commit(
        self, files: Mapping[str, str | None], *, on: str | None = None, subject: str = "test: do"
    ) -> str:
        """Commit ``files`` (None deletes) on top of ``on``, or as a root commit; return its id.

        Only the object store changes, and the branch "made": no work tree, one process.
        """
        message = f"{subject}\n\nWhy.\n\nSigned-off-by: Ann Author <ann@example.org>\n"
        stream = [
            "commit refs/heads/made",
            "mark :1",
            "author Ann Author <ann@example.org> 1700000000 +0100",
            "committer Ann Author <ann@example.org> 1700000000 +0100",
            f"data {len(message.encode())}",
            message,
        ]
        stream += [f"from {on}"] if on else []
        for name, text in files.items():
            if text is None:
                stream.append(f'D "{name}"')
            else:
                stream += [f'M 100644 inline "{name}"', f"data {len(text.encode())}", text]
        reset = [] if on else ["reset refs/heads/made", ""]
        text = "\n".join([*reset, *stream, "get-mark :1", ""])
        told = ("--quiet", "--force", "--cat-blob-fd=1")
        return git.git("fast-import", *told, cwd=self.path, stdin=text).stdout.strip()

    def commit_here(self, files: Mapping[str, str | None], *, subject: str = "test: do") -> str:
        """Commit ``files``, and whatever else changed, in the work tree; return the id."""
        for name, text in files.items():
            path = self.path / name
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self.git("commit", "--quiet", "--all", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def mails(self, since: str, until: str, directory: Path, *options: str) -> list[Path]:
        """Write the commits since..until as mails into ``directory``."""
        made = self.git(
            "format-patch",
            "--full-index",
            *options,
            "--output-directory",
            str(directory),
            f"{since}..{until}",
        )
        return [Path(line) for line in made.splitlines()]


def new(path: Path) -> Repo:
    """Return an empty repository at ``path``."""
    path.mkdir(parents=True, exist_ok=True)
    repo = Repo(path)
    repo.git("init", "--quiet", "--template=", "--initial-branch=main")
    return repo


def series_of(
    paths: list[Path],
    *,
    kernels: str = "..",
    probes: tuple[ProbeEntry, ...] = (),
    upstream: tuple[UpstreamEntry, ...] = (),
) -> Series:
    """Return a series of the mails in ``paths``."""
    return Series(
        name="demo",
        version="1.0.0",
        summary="a test",
        patches=[PatchEntry(path.name, [kernels]) for path in paths],
        probes=list(probes),
        upstream=list(upstream),
    )


def attempt(
    repo: Repo, base: str, paths: list[Path], series: Series | None = None
) -> tuple[list[PatchOutcome], str | None]:
    """Apply mails to ``base``; return the outcomes, and the tip in ``repo`` if none failed."""
    series = series or series_of(paths)
    mails = tuple(mail.load(path) for path in paths)
    job = patching.Job(series, SIX, select(series, SIX), mails)
    probed = [probe.path for probe in series.probes]
    objects = [repo.path / ".git" / "objects"]
    with scratch(base, objects=objects, mails=mails, extra_paths=probed) as work:
        found = patching.apply_all(work, [job])
        if any(item.outcome.failed for item in found):
            return found, None
        ids = replay(work, repository=repo.path, env={}, ref="refs/sku/test")
        return found, ids.get(work.tip(), base)
