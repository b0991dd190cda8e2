# SPDX-License-Identifier: GPL-2.0-only
"""The page as Chromium lays it out: on a phone, on a desktop, in the dark, and on paper.

`make browser` installs Chromium and fails without it. Elsewhere these tests are skipped when there
is none, and the summary of the run says so.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sku_build.lab.update_result import Way
from tests.unit import report_samples as samples
from tests.unit.test_report import full_page, rendered

_NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
_FOUND = next(filter(None, map(shutil.which, _NAMES)), None)
_REQUIRED = "SKU_REQUIRE_BROWSER" in os.environ
_SECONDS = 120
WIDTHS = (320, 390, 768, 1280)
_LONG = "6.1.192-" + "a-release-of-a-distribution-that-is-very-long-" * 3

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        _FOUND is None and not _REQUIRED, reason="no Chromium here; `make browser` installs it"
    ),
]

# The page runs no script, so a page around it measures it: what is cut off, what lies on what.
_MEASURE = """
<!DOCTYPE html><html><body style="margin:0"><pre id="said"></pre>
<script>
const widths = WIDTHS, page = PAGE;
const said = {};
let left = widths.length;
const lines = (node) => {
  const range = node.ownerDocument.createRange(); range.selectNodeContents(node);
  return [...range.getClientRects()].filter((line) => line.width);
};
const measure = (frame, width) => {
  const doc = frame.contentDocument, found = {cut: [], overlap: [], texts: 0};
  found.wide = doc.documentElement.scrollWidth;
  const walk = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT), boxes = [];
  while (walk.nextNode()) {
    const node = walk.currentNode, owner = node.parentElement;
    if (!node.data.trim() || owner.closest("details, style")) continue;
    if (owner.closest("thead") && width < 700) continue;
    const text = node.data.trim(), shown = lines(node);
    // A narrow scale has every second tick.
    if (!shown.length && !owner.closest(".tick")) found.cut.push("not shown: " + text);
    for (const line of shown) {
      if (line.left < -1 || line.right > width + 1) found.cut.push(text);
      boxes.push([text, line]);
    }
  }
  found.texts = boxes.length;
  for (let a = 0; a < boxes.length; a++) for (let b = a + 1; b < boxes.length; b++) {
    const [one, p] = boxes[a], [other, q] = boxes[b];
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 2 && high > 5) found.overlap.push([one, other]);
  }
  said[width] = found;
  if (!--left) document.getElementById("said").textContent = JSON.stringify(said);
};
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.onload = () => measure(frame, width);
  frame.srcdoc = page;
  document.body.append(frame);
}
</script></body></html>
"""


def chromium(tmp_path: Path, *words: str) -> str:
    assert _FOUND, "SKU_REQUIRE_BROWSER is set, and there is no Chromium"
    done = subprocess.run(
        [
            _FOUND,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def measured(page: str, tmp_path: Path) -> dict[str, dict[str, list[object] | int]]:
    around = tmp_path / "around.html"
    # The policy of a page in a srcdoc does not bind the one around it.
    text = json.dumps(page).replace("</", "<\\/")
    around.write_text(_MEASURE.replace("WIDTHS", json.dumps(WIDTHS)).replace("PAGE", text))
    out = chromium(tmp_path, "--virtual-time-budget=10000", "--dump-dom", around.as_uri())
    said = re.search(r'<pre id="said">(.*?)</pre>', out, re.DOTALL)
    assert said and said[1], out[-2000:]
    found: dict[str, dict[str, list[object] | int]] = json.loads(html.unescape(said[1]))
    return found


@pytest.mark.parametrize("long_words", [False, True], ids=["usual", "long words"])
def test_nothing_is_cut_off_and_no_text_lies_on_another(long_words: bool, tmp_path: Path) -> None:
    page = full_page()
    if long_words:
        page = rendered(
            samples.update(samples.way(Way.OURS, text=_LONG, broken=[_LONG])),
            samples.bench(text=_LONG),
        )
    found = measured(page, tmp_path)
    assert set(found) == {str(width) for width in WIDTHS}
    for width, what in found.items():
        assert what["texts"] > 60, width
        assert what["wide"] <= int(width), width
        assert what["cut"] == [], width
        assert what["overlap"] == [], width


def test_a_page_that_is_too_wide_is_seen_to_be(tmp_path: Path) -> None:
    """The measure itself: without it, the test above could not fail."""
    wide = full_page().replace("<main>", '<main><p style="white-space:nowrap">' + "wide " * 400)
    on_top = full_page().replace("<h1>", '<h1 style="position:absolute">')
    assert measured(wide, tmp_path)["390"]["cut"]
    assert measured(on_top, tmp_path)["390"]["overlap"]


def test_the_page_can_be_seen_in_light_and_in_the_dark(tmp_path: Path) -> None:
    """Screenshots, left in the test's directory for whoever wants to look at them."""
    file = tmp_path / "page.html"
    file.write_text(full_page(), encoding="utf-8")
    shots = []
    for name, scheme in (("light", 1), ("dark", 0)):
        shot = tmp_path / f"{name}.png"
        chromium(
            tmp_path,
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1280,2000",
            f"--screenshot={shot}",
            file.as_uri(),
        )
        shots.append(shot.read_bytes())
    assert all(shot.startswith(b"\x89PNG") and len(shot) > 20_000 for shot in shots)
    assert shots[0] != shots[1]


def test_the_page_is_a_few_sheets_of_paper(tmp_path: Path) -> None:
    file, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    file.write_text(full_page(), encoding="utf-8")
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", file.as_uri())
    data = paper.read_bytes()
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert 3 <= len(sheets) <= 6
    assert {(round(float(w)), round(float(h))) for w, h in sheets} == {(595, 842)}  # A4
