# SPDX-License-Identifier: GPL-2.0-only
"""The toolkit against the bare tools it drives: ``git am``, and a build from nothing."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sku_build import console, git, layout, run
from sku_build import series as patch_series
from sku_build import tree as trees
from sku_build.bench.comparison import Comparison, Report
from sku_build.metadata import Metadata
from sku_build.series import Series
from sku_build.tree import Tree

_BRANCH = "sku-bench"


def timed(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes, in seconds."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def sku(*args: str, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run the command as a user would, start-up included; returns its standard output."""
    ours = {"SKU_CACHE": str(layout.cache_root()), "SKU_DATA": str(layout.data_root())}
    argv = [sys.executable, "-m", "sku_build", "--quiet", *args]
    return run.run(argv, env=ours | dict(env or {}), check=check).stdout


def _drop_branch(repository: Path) -> None:
    git.git("branch", "-D", _BRANCH, cwd=repository, check=False)


def compare_apply(tree: Tree, rounds: int) -> Comparison:
    """``sku apply`` of every series against ``git am -3`` of the same mails.

    The ordinary way gets a full, warm checkout of the tree and a new branch in it, each time.
    """
    series = patch_series.resolve(patch_series.names())
    mails = [mail for item in series for mail in _mails(item, tree)]
    checkout = trees.source_dir(tree, tree.commit, slot="bench")
    names = [word for item in series for word in ("--series", item.name)]

    def ours() -> None:
        sku("apply", "--tree", tree.name, *names, "--branch", _BRANCH)

    def ordinary() -> None:
        git.git("checkout", "-q", "-b", _BRANCH, tree.commit, cwd=checkout)
        git.git("am", "-q", "-3", *mails, cwd=checkout)

    samples: dict[str, list[float]] = {"ours": [], "ordinary": []}
    try:
        for _ in range(rounds):
            samples["ours"].append(timed(ours))
            _drop_branch(tree.repository)
            samples["ordinary"].append(timed(ordinary))
            git.git("checkout", "-q", "--detach", tree.commit, cwd=checkout)
            _drop_branch(checkout)
    finally:
        git.git("checkout", "-q", "-f", "--detach", tree.commit, cwd=checkout, check=False)
        _drop_branch(checkout)
    return Comparison(
        name="apply all series",
        ours_is="sku apply, start-up and checks included",
        ordinary_is=f"git am -3 of the same {len(mails)} mails in a warm checkout",
        unit="s",
        ours=samples["ours"],
        ordinary=samples["ordinary"],
        goal=1.3,
    )


def _mails(series: Series, tree: Tree) -> list[Path]:
    chosen = patch_series.select(series, tree.kernel)
    return [series.directory / patch.file for patch in chosen.patches]


@contextlib.contextmanager
def _empty_cache() -> Iterator[Path]:
    """Yield a cache that shares the trees with the user's, and has nothing built in it."""
    root = layout.cache_dir("bench") / "tool"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name in ("trees.git", "trees"):
        (root / name).symlink_to(layout.cache_root() / name)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        git.git("worktree", "prune", cwd=trees.cache_repository())


def compare_builds(tree: Tree, board: str) -> list[Comparison]:
    """A build with nothing to do, and one where ccache knows everything, against a full one."""
    with _empty_cache() as cache:
        output = cache / "out"
        args = ("build", "--tree", tree.name, "--board", board, "--output", str(output), "--json")

        def build() -> Metadata:
            printed = sku(*args, env={"SKU_CACHE": str(cache)})
            return msgspec.convert(msgspec.json.decode(printed)["metadata"], Metadata, strict=False)

        with console.step("A full build"):
            begin = time.monotonic()
            full = build()
            whole = time.monotonic() - begin - full.timings["source"]
        with console.step("A build with nothing to do"):
            idle = [timed(build) for _ in range(3)]
        with console.step("A rebuild from ccache"):
            shutil.rmtree(cache / "build")
            shutil.rmtree(output)
            cached = build()
    return [
        Comparison(
            name="build with nothing to do",
            ours_is="sku build again, start-up included",
            ordinary_is="sku build from nothing, without checking the source out",
            unit="s",
            ours=idle,
            ordinary=[whole],
            goal=0.02,
        ),
        Comparison(
            name="rebuild from ccache",
            ours_is="make in an empty directory, every object in ccache",
            ordinary_is="make in an empty directory, ccache empty",
            unit="s",
            ours=[cached.timings["kernel"]],
            ordinary=[full.timings["kernel"]],
            goal=0.2,
        ),
    ]


PARTS = ("apply", "refresh", "check", "build")


def measure(*, tree_name: str, board: str, rounds: int, only: Sequence[str] = ()) -> Report:
    """Take the comparisons of the toolkit on one tree, all or ``only`` some of :data:`PARTS`.

    "build" builds one kernel from nothing.
    """
    from sku_build.bench import maintainer

    tree = trees.ensure(tree_name)
    wanted = only or PARTS
    taken: list[Comparison] = []
    over_series = {
        "apply": compare_apply,
        "refresh": maintainer.compare_refresh,
        "check": maintainer.compare_check,
    }
    for part, compare in over_series.items():
        if part in wanted:
            with console.step(f"All series: {part}"):
                taken.append(compare(tree, rounds))
    if "build" in wanted:
        taken += compare_builds(tree, board)
    inputs = {"tree": tree.origin, "board": board, "series": patch_series.names()}
    return Report(bench="tool", inputs=inputs, comparisons=taken)
