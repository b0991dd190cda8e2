# SPDX-License-Identifier: GPL-2.0-only
"""`sku series export`: a directory that `git send-email DIR/*.patch` sends as it is."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sku_build import apply, bundledir, commit_mail, git, layout
from sku_build import branch as branches
from sku_build import series as all_series
from sku_build.errors import UserError
from sku_build.series import Series
from sku_build.series_diff import SeriesDiff
from sku_build.tree import Tree

_WIDTH = 72
_COVER = """\
{{ series.summary }}

{% if lead %}{{ lead }}

{% endif -%}
Series {{ series.name }} {{ series.version }}, for Linux {{ tree.version }}
{%- if tree.kind == "distribution" %} ({{ tree.origin }}){% endif %}.
{% if series.requires %}It goes on top of: {{ series.requires | join(", ") }}.
{% endif -%}
{% if series.config %}Its configuration is configs/{{ series.config }}.config.j2.
{% endif -%}
{% if diff %}
Changes since {{ diff.before }}:

{{ diff.text }}
{% endif %}"""


class Exported(msgspec.Struct, frozen=True):
    """What was written: the directory, its files in order, the commit they are for."""

    output: Path
    files: list[str]
    base: str


def export(
    tree: Tree,
    series: Series,
    output: Path,
    *,
    reroll: int = 1,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    diff: SeriesDiff | None = None,
) -> Exported:
    """Write ``series``, as it goes on ``tree``, with a cover letter into the directory ``output``.

    ``reroll`` is the number of the posting; ``diff`` what changed since the one before. Every mail
    that git or a tool needs is told the base commit, and the patch ids of required series. Raises
    UserError when the directory holds something else, CheckError when the series does not apply.
    """
    _require_ours(output)
    tree = branches.unpatched(tree)
    applied = apply.apply_series(tree, all_series.resolve([series.name]), branch=None)
    commits = [item for item in applied.patches if item.commit]
    own = [item.commit for item in commits if item.series == series.name]
    if not own:
        raise UserError(
            f"the tree {tree.name} needs no patch of {series.name}", hint="export it for another"
        )
    required = [item.commit for item in commits if item.series != series.name]
    start = required[-1] if required else tree.commit
    assert start is not None
    with (
        bundledir.replacing(output.absolute()) as place,
        tempfile.TemporaryDirectory(prefix="sku-export-") as name,
    ):
        repository = Path(name) / "repo"
        objects = apply.objects(tree)
        commit_mail.make_repository(repository, objects, attributes_of=applied.commit)
        git.git("update-ref", "refs/heads/export", applied.commit, cwd=repository)
        described = f"branch.export.description={_cover(tree, series, diff)}"
        told = [
            *commit_mail.FORM,
            *("--numbered", "--cover-letter", "--cover-from-description=subject"),
            f"--base={tree.commit}",
            *([f"--reroll-count={reroll}"] if reroll > 1 else []),
            *(f"--to={item}" for item in to),
            *(f"--cc={item}" for item in cc),
        ]
        ours = ("--quiet", "--output-directory", str(place), f"{start}..export")
        wanted = [word for word in told if word not in ("--no-base", "--no-cover-letter")]
        # The cover letter is by whom the last patch is, and as old: the same mails each time.
        form = "--format=%an%n%ae%n%aI"
        author = git.git("show", "--no-patch", form, "export", cwd=repository).stdout.splitlines()
        names = ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE")
        env = dict(zip(names, author, strict=True))
        git.git("-c", described, "format-patch", *wanted, *ours, cwd=repository, env=env)
        files = sorted(path.name for path in place.iterdir())
    return Exported(output, files, tree.commit)


def _require_ours(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UserError("the output exists and is not a directory", where=output)
    others = [path for path in output.glob("*") if path.suffix != ".patch"]
    if others:
        raise UserError(
            f"the output directory holds more than patches ({others[0].name}), and is left alone",
            where=output,
            hint="name another with --output",
        )


def _cover(tree: Tree, series: Series, diff: SeriesDiff | None) -> str:
    from jinja2 import Environment, StrictUndefined

    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_COVER)
    return template.render(series=series, tree=tree, lead=lead(series), diff=diff).rstrip() + "\n"


def lead(series: Series) -> str:
    """Return what the series' documentation says first: the text up to its second heading.

    The document is the one that series.toml names, else ``docs/NAME.md`` where there is one.
    """
    named = (
        [series.directory / series.docs, layout.data_root() / series.docs] if series.docs else []
    )
    path = next(
        (
            path
            for path in [*named, layout.data_root() / "docs" / f"{series.name}.md"]
            if path.is_file()
        ),
        None,
    )
    if path is None:
        return ""
    paragraphs: list[str] = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        text = block.strip("\n")
        if text.startswith("## "):
            break
        body = "\n".join(line for line in text.split("\n") if not line.startswith(("# ", "<!--")))
        if body.strip():
            is_text = not body.startswith((" ", "|", "- ", "```"))
            paragraphs.append(textwrap.fill(body, _WIDTH) if is_text else body)
    return "\n\n".join(paragraphs)
