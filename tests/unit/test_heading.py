# SPDX-License-Identifier: GPL-2.0-only
"""The emulation of git's hunk headings, and what follows from it for a hunk's place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sku_build import heading
from sku_build.diff import Hunk, Line, parse


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("static int alpha_probe(struct device *dev)", "alpha_probe"),
        ("alpha_probe(struct device *dev, int (*done)(void))", "alpha_probe"),
        ("__printf(1, 2) void say(const char *fmt, ...)", "say"),
        ("static void __init __attribute__((cold)) setup(void)", "setup"),
        ("static const struct file_operations alpha_fops = {", "alpha_fops"),
        ("static int table[4][2] = {", "table"),
        ("struct alpha {", "alpha"),
        ("enum alpha_state {", "alpha_state"),
        ("SYSCALL_DEFINE3(splice, int, a, int, b, int, c)", "splice"),
        ("SYM_FUNC_START(memcpy)", "memcpy"),
        ("config HOTPLUG_CPU", "config HOTPLUG_CPU"),
    ],
)
def test_a_heading_is_named_by_what_it_defines(line: str, name: str) -> None:
    assert heading.name(line) == name


def test_a_changed_signature_is_the_same_function() -> None:
    assert heading.same("static int alpha(int a)", "int __init alpha(long a, long b)")
    assert not heading.same("static int alpha(int a)", "static int beta(int a)")


def test_a_heading_git_cut_at_80_bytes_is_recognised() -> None:
    line = "static " + "very_" * 20 + "long_return_type some_function(void)"
    assert heading.same(line[:80], line)


FILE = """\
#include <linux/kernel.h>

struct alpha {
\tint a;
};

static int alpha_value;

static int alpha(int a,
\t\t int b)
{
\tif (a)
\t\tgoto out;
out:
\treturn b;
}
EXPORT_SYMBOL(alpha);

/* between */
int declared(int a,
\t     int b);

static int table[] = {
\t1,
};
""".split("\n")  # noqa: SIM905


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("\tint a;", ["alpha"]),
        ("static int alpha_value;", []),
        ("\treturn b;", ["alpha", "out:"]),
        ("/* between */", []),
        ("static int table[] = {", []),
        ("\t1,", ["table"]),
    ],
)
def test_the_enclosing_definition_of_a_line_is_found(line: str, names: list[str]) -> None:
    found = heading.enclosing(FILE, FILE.index(line) + 1)
    assert [heading.name(item) for item in found] == names


def hunk(text: str, *, section: str, start: int = 1) -> Hunk:
    return Hunk(start, section, tuple(Line(line[0], line[1:]) for line in text.split("\n")))


TREE = ["static int beta(void)", "{", "\tint a;", "", "\treturn a;", "}", ""]


def test_a_hunk_in_a_twin_function_is_told() -> None:
    change = hunk(" \tint a;\n \n+\ta = 1;\n \treturn a;", section="static int alpha(void)")
    assert heading.mismatch(change, 0, TREE, 5) == ("alpha()", "beta()")
    own = hunk(" \tint a;\n \n+\ta = 1;\n \treturn a;", section="int beta(long x)")
    assert heading.mismatch(own, 0, TREE, 5) is None


@pytest.mark.parametrize(
    "text",
    [
        " static int beta(void)\n {\n \tint a;\n+\tint b;\n ",
        " }\n \n+static int gamma(void);\n ",
        " static int x;\n \n+static int y;\n ",
    ],
    ids=["function begins in the context", "after a function", "after a declaration"],
)
def test_the_function_before_does_not_count(text: str) -> None:
    change = hunk(text, section="static int alpha(void)")
    assert heading.mismatch(change, 0, TREE, 4) is None


def test_a_hunk_without_heading_is_not_judged() -> None:
    assert heading.mismatch(hunk("+x\n y", section=""), 0, TREE, 4) is None


def git_headings(path: Path, driver: str) -> list[tuple[int, str]]:
    """Change every seventh line of a file and return git's own (line, heading) of each hunk."""
    changed = path.with_suffix(".new.c")
    lines = path.read_text(encoding="utf-8").split("\n")
    text = [line + " X" if place % 7 == 5 else line for place, line in enumerate(lines)]
    changed.write_text("\n".join(text), encoding="utf-8")
    (path.parent / ".gitattributes").write_text(f"*.c diff{driver}\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q", path.parent], check=True)
    shown = subprocess.run(
        ["git", "diff", "--no-index", "-U0", path.name, changed.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [(item.start, item.heading) for file in parse(shown, where="x") for item in file.hunks]


@pytest.mark.parametrize("driver", ["=cpp", ""])
def test_the_emulation_agrees_with_git(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "x.c"
    path.write_text("\n".join(FILE * 3), encoding="utf-8")
    rule = heading.is_heading_cpp if driver else heading.is_heading_default
    lines = FILE * 3
    found = git_headings(path, driver)
    assert len(found) > 8
    for start, said in found:
        above = [line for line in lines[: start - 1] if rule(line)]
        assert said == (heading.truncate(above[-1]) if above else "")


NAMES = st.from_regex(r"[a-z][a-z_]{2,8}", fullmatch=True)
BODY = st.lists(st.sampled_from(["\tx = 1;", "\treturn x;", "", "out:", "\tgoto out;"]), max_size=6)


def function(name: str, body: list[str]) -> list[str]:
    return [f"static int {name}(int x)", "{", *body, "}", ""]


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(NAMES, min_size=2, max_size=5, unique=True),
    bodies=st.lists(BODY, min_size=5, max_size=5),
    inserted=st.lists(NAMES, max_size=3, unique=True),
    data=st.data(),
)
def test_a_patch_on_a_shifted_file_is_never_called_misplaced(
    names: list[str], bodies: list[list[str]], inserted: list[str], data: st.DataObject
) -> None:
    """Whatever functions come before: a hunk that stayed in its function is in the right place."""
    functions = [function(*item) for item in zip(names, bodies, strict=False)]
    original = [line for item in functions for line in item]
    change = data.draw(st.integers(0, len(original) - 1))
    start = max(0, change - 3)
    above = [line for line in original[:start] if heading.is_heading_cpp(line)]
    lines = [Line(" ", line) for line in original[start:change]]
    lines += [Line("-", original[change]), Line("+", "\tx = 2;")]
    patch = Hunk(start + 1, above[-1] if above else "", tuple(lines))
    # New functions go between the old ones, anywhere in front of the change.
    at = data.draw(st.integers(0, len(functions)))
    new = [line for name in inserted for line in function(f"new_{name}", ["\tx = 1;"])]
    seam = sum(len(item) for item in functions[:at])
    offset = len(new) if seam <= change else 0
    shifted = original[:seam] + new + original[seam:]
    assert shifted[change + offset] == original[change]
    assert heading.mismatch(patch, 0, shifted, change + offset + 1) is None
