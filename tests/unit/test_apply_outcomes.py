# SPDX-License-Identifier: GPL-2.0-only
"""Each of the seven outcomes, on a tree of a few small files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sku_build.errors import CheckError, UserError
from sku_build.outcome import Outcome, PatchOutcome
from sku_build.series import ProbeEntry, UpstreamEntry

from . import patch_repo
from .patch_repo import Repo, attempt, function, padding, series_of

FIX = "\tstate->fixed = true;"
BASE = padding("HEAD", 12) + function("alpha_probe") + padding("TAIL", 12)
FIXED = BASE.replace("\tstate = get_state(dev);\n", f"\tstate = get_state(dev);\n{FIX}\n")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.setenv("SKU_DATA", str(tmp_path))
    return patch_repo.new(tmp_path / "repo")


def fix(repo: Repo, base_text: str = BASE) -> list[Path]:
    """Return the mail of a commit that fixes alpha_probe() in mm/x.c."""
    base = repo.commit({"mm/x.c": base_text, "Makefile": "x\n"}, subject="base")
    tip = repo.commit({"mm/x.c": FIXED}, on=base, subject="mm: fix it")
    return repo.mails(base, tip, repo.path.parent / "patchsets" / "demo")


def one(repo: Repo, tree_text: str, paths: list[Path]) -> tuple[PatchOutcome, str | None]:
    base = repo.commit({"mm/x.c": tree_text, "other.c": "x\n"}, subject="another tree")
    (found,), tip = attempt(repo, base, paths)
    return found, repo.git("show", f"{tip}:mm/x.c") + "\n" if tip else None


def test_applied(repo: Repo) -> None:
    found, text = one(repo, BASE, fix(repo))
    assert (found.outcome, found.detail, found.hunks) == (Outcome.APPLIED, None, [])
    assert text is not None
    assert text.strip() == FIXED.strip()


def test_applied_with_offset_says_by_how_much(repo: Repo) -> None:
    found, text = one(repo, padding("NEW", 4) + BASE, fix(repo))
    assert found.outcome is Outcome.OFFSET
    assert [(place.file, place.hunk, place.offset) for place in found.hunks] == [("mm/x.c", 1, 5)]
    assert text is not None
    assert text.strip() == (padding("NEW", 4) + FIXED).strip()


def test_a_change_elsewhere_in_the_file_is_plainly_applied(repo: Repo) -> None:
    found, _ = one(repo, BASE.replace("TAIL_9 9", "TAIL_9 99"), fix(repo))
    assert found.outcome is Outcome.APPLIED


def test_merged_3way_when_a_line_of_its_context_changed(repo: Repo) -> None:
    found, text = one(repo, BASE.replace("-ENOMEM", "-ENODEV"), fix(repo))
    assert found.outcome is Outcome.MERGED
    assert text is not None
    assert FIX in text
    assert "-ENODEV" in text


def test_already_upstream_when_a_merge_leaves_nothing(repo: Repo) -> None:
    """Upstream has the change and another context: no forward, no reverse apply copes."""
    found, text = one(repo, FIXED.replace("-ENOMEM", "-ENODEV"), fix(repo))
    assert found.outcome is Outcome.UPSTREAM
    assert found.commit is None
    assert text is not None
    assert text.count(FIX) == 1


def test_already_upstream_when_the_reverse_applies(repo: Repo) -> None:
    paths = fix(repo)
    text = paths[0].read_text()
    blobs = [line.split()[1] for line in text.splitlines() if line.startswith("index ")]
    # Without its base blob there is no merge; what is left is to try the reverse.
    paths[0].write_text(text.replace(blobs[0], f"{'3' * 40}..{'4' * 40}"))
    found, _ = one(repo, padding("NEW", 4) + FIXED, paths)
    assert found.outcome is Outcome.UPSTREAM
    assert "exactly" in (found.detail or "")


def test_already_upstream_when_the_probe_says_so(repo: Repo) -> None:
    paths = fix(repo)
    base = repo.commit({"mm/x.c": "int other_form_of_fixed;\n"})
    probe = ProbeEntry("mm/x.c", r"^int other_form_of_fixed;$")
    (found,), tip = attempt(repo, base, paths, series_of(paths, probes=(probe,)))
    assert (found.outcome, tip) == (Outcome.UPSTREAM, base)
    assert "mm/x.c" in (found.detail or "")


def upstream_series(paths: list[Path], *probes: ProbeEntry):  # type: ignore[no-untyped-def]
    entry = UpstreamEntry(["6.0.."], commit="a" * 40, subject="mm: do it properly")
    return series_of(paths, kernels="5.10..6.0", upstream=(entry,), probes=probes)


def test_already_upstream_when_the_version_says_so(repo: Repo) -> None:
    paths = fix(repo)
    base = repo.commit({"mm/x.c": BASE})
    (found,), tip = attempt(repo, base, [], upstream_series(paths))
    assert (found.outcome, tip) == (Outcome.UPSTREAM, base)
    assert "mm: do it properly" in (found.detail or "")


def test_a_probe_that_contradicts_the_version_is_told(repo: Repo) -> None:
    paths = fix(repo)
    base = repo.commit({"mm/x.c": BASE})
    with pytest.raises(CheckError, match="finds no trace of it in mm/x.c"):
        attempt(repo, base, [], upstream_series(paths, ProbeEntry("mm/x.c", "nowhere")))


def test_only_a_probe_and_it_says_no_is_out_of_range(repo: Repo) -> None:
    paths = fix(repo)
    base = repo.commit({"mm/x.c": BASE})
    series = series_of(paths, kernels="5.10..6.0", probes=(ProbeEntry("mm/x.c", "nowhere"),))
    with pytest.raises(UserError, match="no patch for kernel 6.1"):
        attempt(repo, base, [], series)


def test_skipped_when_the_patch_is_for_other_kernels(repo: Repo, tmp_path: Path) -> None:
    paths = fix(repo)
    base = repo.commit({"mm/x.c": BASE})
    series = series_of([paths[0], paths[0]])
    series.patches[0].kernels[:] = ["5.10..6.0"]
    skipped, applied = attempt(repo, base, paths, series)[0]
    assert (skipped.outcome, applied.outcome) == (Outcome.SKIPPED, Outcome.APPLIED)
    assert skipped.detail == "for kernels 5.10..6.0"


def test_wrong_function_is_refused_though_git_is_content(repo: Repo) -> None:
    """alpha_probe() was rewritten, beta_probe() is its twin: every hunk fits, in the wrong one."""
    twin = (
        padding("HEAD", 12)
        + "static int alpha_probe(struct device *dev)\n{\n\treturn new_probe(dev);\n}\n\n"
        + function("beta_probe")
        + padding("TAIL", 12)
    )
    found, _ = one(repo, twin, fix(repo))
    assert found.outcome is Outcome.WRONG_FUNCTION
    assert found.detail is not None
    assert "hunk 1 of mm/x.c was written for alpha_probe(), landed in beta_probe()" in found.detail
    assert "offset +5" in found.detail


def test_conflict_shows_both_sides(repo: Repo) -> None:
    base_text = BASE.replace("get_state(dev);", "get_state(dev, 0);")
    paths = fix(repo, base_text)
    found, _ = one(repo, base_text.replace("get_state(dev, 0)", "find_state(dev)"), paths)
    assert found.outcome is Outcome.CONFLICT
    (place,) = found.conflicts
    assert (place.file, place.ours) == ("mm/x.c", "\tstate = find_state(dev);")
    assert FIX in place.theirs
    assert found.commit is None


def test_conflict_names_the_commit_that_likely_caused_it(repo: Repo) -> None:
    base_text = BASE.replace("get_state(dev);", "get_state(dev, 0);")
    paths = fix(repo, base_text)
    old = repo.commit({"mm/x.c": base_text}, subject="release")
    new = base_text.replace("get_state(dev, 0)", "find_state(dev)")
    change = repo.commit({"mm/x.c": new}, on=old, subject="state: find it instead")
    tree = repo.commit({"other.c": "y\n"}, on=change, subject="unrelated")
    (found,), _ = attempt(repo, tree, paths)
    assert found.upstream is not None
    assert found.upstream.endswith("state: find it instead")
    assert change.startswith(found.upstream.split()[0])


def test_conflict_without_a_base_says_what_was_expected(repo: Repo) -> None:
    paths = fix(repo)
    text = paths[0].read_text()
    index = next(line for line in text.splitlines() if line.startswith("index "))
    paths[0].write_text(text.replace(index, f"index {'3' * 40}..{'4' * 40} 100644"))
    found, _ = one(repo, BASE.replace("get_state(dev)", "find_state(dev)"), paths)
    assert found.outcome is Outcome.CONFLICT
    assert "no 3-way merge was possible" in (found.detail or "")
    (place,) = found.conflicts
    assert "find_state" in place.ours
    assert "get_state" in place.theirs


def test_conflict_with_a_missing_file_names_it(repo: Repo) -> None:
    paths = fix(repo)
    base = repo.commit({"Makefile": "y\n"})
    (found,), _ = attempt(repo, base, paths)
    assert found.outcome is Outcome.CONFLICT
    assert found.conflicts[0].file == "mm/x.c"


def test_all_failures_are_found_in_one_call_and_the_rest_is_tried(repo: Repo) -> None:
    base = repo.commit({"a.c": "1\n", "b.c": "1\n"})
    first = repo.commit({"a.c": "2\n"}, on=base)
    second = repo.commit({"a.c": "3\n"}, on=first)
    third = repo.commit({"b.c": "2\n"}, on=second)
    paths = repo.mails(base, third, repo.path.parent / "patchsets" / "demo")
    tree = repo.commit({"a.c": "other\n", "b.c": "1\n"})
    found, tip = attempt(repo, tree, paths)
    kinds = [item.outcome for item in found]
    assert kinds == [Outcome.CONFLICT, Outcome.CONFLICT, Outcome.APPLIED]
    assert f"may follow from {paths[0].name}" in (found[1].detail or "")
    assert tip is None
