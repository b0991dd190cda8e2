# SPDX-License-Identifier: GPL-2.0-only
"""The repository in which a person resolves what a rebase could not.

It is an ordinary checkout of the tree with the patches that went before, and `git am` stopped in
the middle, so all that is known of git holds. It borrows the objects of the cache and of the tree.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sku_build import apply, cause, commit_mail, console, git
from sku_build import series as all_series
from sku_build import tree as trees
from sku_build.errors import CheckError
from sku_build.mail import Mail
from sku_build.mail import load as load_mail
from sku_build.outcome import Outcome, describe
from sku_build.rebase_state import State, Step
from sku_build.scratch import BRANCH, Scratch

_MARKER = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)


def leave_conflict(state: State, step: Step, tried: Scratch) -> str | None:
    """Leave the worktree with ``step`` half applied, and the note that tells of it.

    ``tried`` is where the patch was tried. Returns the commit it made, when it was applied in the
    wrong place; the change then lies in the index.
    """
    assert step.outcome is not None
    mail = load_mail(all_series.load(step.series).directory / step.file)
    work = _checkout(state)
    earlier = state.steps[: state.steps.index(step)]
    for before in earlier:
        path = all_series.load(before.series).directory / before.file
        _make_blobs(work, load_mail(path))
    result = work.am(mail)
    landed = None
    if result.ok and step.outcome.outcome is Outcome.WRONG_FUNCTION:
        landed = result.commit
        work.git("reset", "--quiet", "--soft", state.tip)
    elif not work.git("diff", "--name-only", "--diff-filter=U").stdout:
        # No merge was possible: what fits is applied, the rest lies in .rej files.
        work.git("apply", "--reject", _diff(work, mail), check=False)
    told = [describe(step.outcome), *cause.changes_under(work, mail, state.onto)]
    told.append(_what_to_do(state, step))
    state.note.write_text("\n\n".join(told) + "\n", encoding="utf-8")
    return landed


def _what_to_do(state: State, step: Step) -> str:
    place = state.worktree
    if step.outcome and step.outcome.outcome is Outcome.WRONG_FUNCTION:
        begin = f"The patch lies in the index of {place}, in the wrong place: move it, `git add`."
    else:
        begin = f"Resolve it in {place}, as after `git am -3`, and `git add` the files."
    return (
        f"{begin}\nThen `sku series rebase --continue`; `--skip` leaves the patch out for this"
        " tree,\n`--abort` gives the rebase up. No file of a series was changed so far."
    )


def _checkout(state: State) -> Scratch:
    """Make, or bring to the tip, the worktree; whatever was in it is thrown away."""
    path = state.worktree
    if not (path / ".git" / "index").exists():
        shutil.rmtree(path, ignore_errors=True)
        objects = apply.objects(state.onto)
        commit_mail.make_repository(path, objects, attributes_of=state.tip)
        (path / ".git" / "info" / "attributes").unlink()
    work = Scratch(path, state.tip, state.tip, {})
    shutil.rmtree(path / ".git" / "rebase-apply", ignore_errors=True)
    with console.step(f"check out {state.onto.name} for the conflict"):
        git.git("update-ref", BRANCH, state.tip, cwd=path)
        work.git("symbolic-ref", "HEAD", BRANCH)
        work.git("-c", "checkout.workers=0", "reset", "--quiet", "--hard", state.tip)
        work.git("clean", "-ffdxq")
    return work


def _diff(work: Scratch, mail: Mail) -> Path:
    path = work.path / ".git" / "sku-diff"
    path.write_bytes(mail.diff_text.encode("utf-8", "surrogateescape"))
    return path


def _make_blobs(work: Scratch, mail: Mail) -> None:
    work.make_blobs(mail, _diff(work, mail))


def resolved(state: State, step: Step) -> str:
    """Return the commit that a person made of ``step``, now in the cache repository.

    Raises CheckError when the conflict is not resolved, or nothing is left of the patch.
    """
    path = state.worktree
    work = Scratch(path, state.tip, state.tip, {})
    _require_resolved(work, state)
    if (path / ".git" / "rebase-apply").is_dir():
        done = work.git("am", "--continue", "--committer-date-is-author-date", check=False)
        if done.status != 0:
            raise _unfinished(
                state, f"`git am --continue` says: {(done.stdout + done.stderr).strip()}"
            )
    elif git.resolve("HEAD", cwd=path) == state.tip and state.landed:
        when = work.git("show", "--no-patch", "--format=%ad", "--date=raw", state.landed).stdout
        env = {"GIT_COMMITTER_DATE": when.strip()}
        commit = ("commit", "--quiet", "--no-verify", f"--reuse-message={state.landed}")
        git.git(*commit, cwd=path, env=env, check=False)
    head = git.resolve("HEAD", cwd=path)
    listed = work.git("rev-list", "--parents", f"{state.tip}..HEAD").stdout.splitlines()
    if head is None or len(listed) != 1 or listed[0].split()[1:] != [state.tip]:
        raise _unfinished(
            state,
            f"{len(listed)} commits were made on top of {state.tip[:12]}; the patch is to be one"
            if listed
            else f"nothing is left of {step.file}; if that is right, `--skip` it",
        )
    cache, env = trees.cache_repository(), trees.object_env(state.onto)
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
    git.git(*fetch, path, f"+{BRANCH}:{state.ref}", cwd=cache, env=env)
    return head


def _require_resolved(work: Scratch, state: State) -> None:
    unmerged = work.git("diff", "--name-only", "--diff-filter=U").stdout.split("\n")
    if left := [name for name in unmerged if name]:
        raise _unfinished(state, f"not resolved yet: {', '.join(left)}; `git add` what is")
    changed = work.git("diff", "--name-only", "-z", state.tip).stdout.split("\0")
    marked = [name for name in changed if name and _MARKER.search(work.text(name) or "")]
    if marked:
        raise _unfinished(state, f"conflict markers are left in {', '.join(marked)}")
    unstaged = [name for name in work.git("diff", "--name-only", "-z").stdout.split("\0") if name]
    if unstaged:
        raise _unfinished(state, f"not added yet: {', '.join(unstaged)}; `git add` them")
    rejected = work.git("ls-files", "--others", "-z", "--", "*.rej").stdout.split("\0")
    if left := [name for name in rejected if name]:
        raise _unfinished(state, f"rejected hunks are left: {', '.join(left)}; delete when done")


def _unfinished(state: State, message: str) -> CheckError:
    return CheckError(message, where=state.worktree, hint=f"{state.note} tells of the conflict")
