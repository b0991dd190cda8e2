# SPDX-License-Identifier: GPL-2.0-only
"""The page: well formed, self-contained, honest, and safe with whatever a result holds."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import html5lib
import msgspec
import pytest

from sku_build import history
from sku_build.bench.comparison import Report
from sku_build.errors import UserError
from sku_build.lab.update_result import UpdateResult, Way
from sku_build.report import Source, load, page, render, timeline
from sku_build.report.timeline import Part
from tests.unit import report_samples as samples

_ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "</style></title><script>alert(1)</script>\"><img src=x onerror='a()'>&amp;{{ 7*7 }}"


def rendered(*results: UpdateResult | Report, entries: list[history.Entry] | None = None) -> str:
    return render([Source(Path("r.json"), result) for result in results], entries or [], [])


def parsed(text: str) -> ElementTree.Element:
    """Parse as strictly as the standard is; raises for what a browser would have to repair."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: ElementTree.Element = parser.parse(text)
    return root


@functools.cache
def full_page() -> str:
    entries = [
        history.of_report(samples.bench(when=f"2026-11-{day:02}T10:00:00+00:00"))
        for day in range(1, 9)
    ]
    return rendered(samples.update(), samples.bench(), entries=entries)


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_the_page_is_well_formed_and_has_every_part() -> None:
    root = parsed(full_page())
    assert [words(title) for title in root.iter("h2")] == [
        "Where the blackout goes",
        "What each series is worth",
        "What was compared",
        "History",
        "On what",
    ]


def test_the_page_needs_nothing_but_itself() -> None:
    root = parsed(full_page())
    policy = next(m for m in root.iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"
    tags = {element.tag for element in root.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for element in root.iter():
        assert not [key for key in element.attrib if key in ("src", "href") or key[:2] == "on"]
    assert "url(" not in full_page() and "@import" not in full_page()


def test_every_chart_says_in_words_what_it_shows_and_names_are_unique() -> None:
    root = parsed(full_page())
    charts = [element for element in root.iter() if element.get("role") == "img"]
    assert len(charts) >= 6
    assert all(len(chart.get("aria-label") or "") > 20 for chart in charts)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(e.get("aria-labelledby") in ids for e in root.iter("section"))


def test_every_bar_of_a_waterfall_is_in_its_table_too() -> None:
    root = parsed(rendered(samples.update()))
    falls = [f for f in root.iter("figure") if (f.get("id") or "").startswith("fall-")]
    assert len(falls) == 2
    for fall in falls:
        bars = [e for e in fall.iter("span") if (e.get("class") or "").startswith("bar ")]
        assert len(bars) == len(fall.findall(".//tbody/tr")) > 5


def test_ours_and_the_ordinary_way_are_on_one_scale() -> None:
    root = parsed(rendered(samples.update()))
    ends = []
    for fall in root.iter("figure"):
        if (fall.get("id") or "").startswith("fall-"):
            styles = [e.get("style") or "" for e in fall.iter("span")]
            places = [re.fullmatch(r"left:([\d.]+)%;width:([\d.]+)%", s) for s in styles]
            ends.append(max(float(p[1]) + float(p[2]) for p in places if p))
    # 2.5 s of the client's and 12 s: the longest fills the scale.
    assert ends == [pytest.approx(2500 / 12_000 * 100, abs=0.1), pytest.approx(100, abs=0.01)]


def test_updates_of_two_sizes_can_be_told_apart() -> None:
    large = msgspec.structs.replace(samples.update(), data_mib=4096, huge=True)
    root = parsed(rendered(samples.update(), large))
    titles = [words(caption.find("h3")) for caption in root.iter("figcaption") if len(caption) == 2]
    assert titles == [
        "Ours, 256 MiB",
        "The ordinary way, 256 MiB",
        "Ours, 4096 MiB in huge pages",
        "The ordinary way, 4096 MiB in huge pages",
    ]


def test_a_missed_goal_is_told_in_words_and_counted() -> None:
    root = parsed(rendered(samples.bench()))
    rows = {
        words(row.find("th")): words(row) for row in root.iter("tr") if row.find("th") is not None
    }
    told = {name: text for name, text in rows.items() if "against the unpatched" in name}
    assert ["✗ missed" in text for text in told.values()] == [True, False, False]
    assert ["✓ met" in text for text in told.values()] == [False, True, False]
    assert ["no goal" in text for text in told.values()] == [False, False, True]
    assert "1 of 2" in words(root.find(".//dl"))


def test_broken_promises_are_the_first_thing_said() -> None:
    broken = samples.way(Way.OURS, broken=["keys was 9 and is 8"])
    header = parsed(rendered(samples.update(broken))).find(".//header")
    assert "1 broken promise: these times are no result" in words(header)
    assert "keys was 9 and is 8" in words(header)


def test_text_of_a_result_is_never_markup() -> None:
    update = samples.update(
        samples.way(Way.OURS, text=HOSTILE, broken=[HOSTILE], second=samples.kernel(HOSTILE)),
        board=HOSTILE,
    )
    bench = samples.bench(text=HOSTILE)
    bench = msgspec.structs.replace(
        bench,
        bench=HOSTILE,
        notes=[HOSTILE],
        inputs={HOSTILE: [HOSTILE]},
        variants=[msgspec.structs.replace(samples.variant(HOSTILE, 1.0), append=HOSTILE)],
    )
    entry = msgspec.structs.replace(history.of_report(bench), release=HOSTILE, machine=HOSTILE)
    text = rendered(update, bench, entries=[entry])
    plain = rendered(samples.update(samples.way(Way.OURS)), samples.bench(), entries=[entry])
    root, expected = parsed(text), parsed(plain)
    # The list of broken promises is all that may be more.
    assert {e.tag for e in root.iter()} - {e.tag for e in expected.iter()} <= {"ul", "li"}
    assert "49" not in words(root.find(".//header"))
    assert HOSTILE in "".join(root.itertext())


def _written(path: Path, result: object) -> dict[str, Any]:
    path.write_bytes(msgspec.json.encode(result))
    value: dict[str, Any] = json.loads(path.read_text())
    return value


@pytest.mark.parametrize("result", [samples.update(), samples.bench()], ids=["update", "bench"])
def test_a_result_is_read_as_it_was_written_from_its_file_or_directory(
    result: UpdateResult | Report, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    _written(file, result)
    assert load(file).result == load(tmp_path).result == result


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "key format: 2, and this sku reads 1"),
        ({"format": None}, "key format: None"),
        ({"kind": "kexec"}, "key kind: 'kexec' cannot be shown"),
        ({"kind": None}, "neither kind nor bench"),
        ({"data_mib": "much"}, "key data_mib: Expected `int`, got `str`"),
        ({"ways": [{}]}, r"key ways\[0\]: Object missing required field `way`"),
    ],
)
def test_what_is_no_result_is_named_by_file_and_key(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    value = _written(file, samples.update())
    file.write_text(json.dumps(value | change))
    with pytest.raises(UserError, match=said) as caught:
        load(file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"1"])
def test_bytes_that_are_no_result_are_an_error_of_the_user(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(file)
    assert caught.value.where == str(file)


def test_a_bench_without_an_ordinary_measure_is_named_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    value = _written(file, samples.bench())
    value["comparisons"][0]["ordinary"] = [0.0]
    file.write_text(json.dumps(value))
    with pytest.raises(UserError, match="key comparisons: .*measured 0 ms"):
        load(file)


def test_a_directory_without_a_result_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no result\.json or report\.json"):
        load(tmp_path)


def test_a_counter_that_runs_backwards_is_an_error_that_names_the_file() -> None:
    kernel = samples.kernel()
    broken = samples.way(Way.OURS, second=msgspec.structs.replace(kernel, counter_hz=0))
    with pytest.raises(UserError, match="key ways: .*at 0 Hz") as caught:
        rendered(samples.update(broken))
    assert caught.value.where == "r.json"


def test_a_timeline_begins_with_the_silence_and_marks_the_jump() -> None:
    line = timeline.of_way(samples.way(Way.OURS))
    assert [bar.label for bar in line.before] == ["check", "load"]
    assert (line.bars[0].label, line.bars[0].begin_ms) == ("new connections dropped", 0.0)
    assert line.jump_ms == 400.0
    assert [group.part for group in line.groups] == list(Part)
    sums = {group.part: group.ms for group in line.groups}
    assert (sums[Part.OLD], sums[Part.JUMP], sums[Part.NEW]) == (400.0, 800.0, 1220.0)


def test_the_parts_of_a_boot_lie_between_the_jump_and_the_first_process() -> None:
    line = timeline.of_way(samples.way(Way.OURS))
    parts = [bar for bar in line.bars if bar.detail]
    # The kernel's clock was at 710 ms when sku-init began, 800 ms after the jump.
    assert (parts[0].begin_ms, parts[0].ms) == (400.0, 90.0)
    assert max(bar.end_ms for bar in parts) == 1200.0


def test_a_log_without_marks_leaves_the_parts_out_and_keeps_the_phases() -> None:
    old = samples.way(Way.OURS, second=samples.kernel(marks=[]))
    line = timeline.of_way(old)
    assert not any(bar.detail for bar in line.bars)
    assert len([bar for bar in line.bars if bar.part is Part.JUMP]) == 2


def test_the_ordinary_way_has_its_boot_in_the_span_of_the_jump() -> None:
    line = timeline.of_way(samples.way(Way.ORDINARY))
    assert line.jump_ms == 4901.0
    (whole,) = [b for b in line.bars if b.part is Part.JUMP and not b.detail]
    assert whole.end_ms == max(b.end_ms for b in line.bars if b.detail) == 5701.0


@pytest.mark.parametrize(
    ("end", "ticks"),
    [
        (0, [0, 1]),
        (12_000, [0, 2000, 4000, 6000, 8000, 10_000, 12_000]),
        (0.9, [0, 0.2, 0.4, 0.6, 0.8]),
    ],
)
def test_a_scale_has_few_even_ticks(end: float, ticks: list[float]) -> None:
    assert timeline.axis(end)[1] == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (0.0371, "0.037"),
        (1.5, "1.50"),
        (12.34, "12.3"),
        (12_345.6, "12\u202f346"),
        (-2.0, "−2.00"),
    ],
)
def test_numbers_have_as_many_digits_as_mean_something(value: float, written: str) -> None:
    assert page.number(value) == written


def _sku(cache: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sku_build", "report", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cache,
        env=os.environ | {"SKU_CACHE": str(cache), "PYTHONPATH": str(_ROOT)},
    )


def test_the_command_replaces_the_page_at_success_only(tmp_path: Path) -> None:
    result, output = tmp_path / "result.json", tmp_path / "page.html"
    output.write_text("an earlier page")
    result.write_text('{"bench": "boot", "format": 0}')
    done = _sku(tmp_path, result, "--output", output, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["where"] == str(result)
    assert output.read_text() == "an earlier page"
    _written(result, samples.update())
    done = _sku(tmp_path, result, "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == output.stat().st_size
    parsed(output.read_text())


def test_without_a_result_it_is_the_latest_of_each_kind(tmp_path: Path, monkeypatch: Any) -> None:
    done = _sku(tmp_path)
    assert done.returncode == 2 and "no result yet" in done.stderr
    monkeypatch.setenv("SKU_CACHE", str(tmp_path))
    history.keep(samples.update())
    history.keep(samples.bench())
    done = _sku(tmp_path, "--json")
    assert [Path(path).name for path in json.loads(done.stdout)["results"]] == [
        "bench-boot.json",
        "lab-update.json",
    ]
    assert (tmp_path / "report.html").is_file()
