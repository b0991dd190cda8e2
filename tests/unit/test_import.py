# SPDX-License-Identifier: GPL-2.0-only
"""Mails become a series, from wherever they come; what is wrong with one leaves nothing behind."""

from __future__ import annotations

import gzip
import http.server
import json
import mailbox
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sku_build import apply, import_series, refresh, series, series_check
from sku_build.cli import cli
from sku_build.errors import CheckError, UserError

from .maintainer import FILE, Desk, contents, demo_desk

desk = demo_desk
ANN = "Ann Author <ann@example.org>"


def export(desk: Desk, place: Path, *options: str) -> list[Path]:
    """Write the three commits of the branch "work" as a person posts them; return the files."""
    written = desk.git(
        *("format-patch", "--cover-letter", "--cover-from-description=subject", "--thread"),
        *(*options, "--output-directory", str(place), "main..work"),
    )
    return [Path(line) for line in written.splitlines()]


def reply(to: Path, *lines: str) -> bytes:
    parent = next(
        line.split("<")[1].split(">")[0]
        for line in to.read_text().splitlines()
        if line.lower().startswith("message-id:")
    )
    subject = next(line for line in to.read_text().splitlines() if line.startswith("Subject: "))
    return "\n".join(
        [
            "From: Rev Iewer <rev@example.net>",
            f"To: {ANN}",
            subject.replace("Subject: ", "Subject: Re: "),
            "Date: Wed, 15 Nov 2023 18:00:00 +0000",
            "Message-Id: <reply@example.net>",
            f"In-Reply-To: <{parent}>",
            f"References: <{parent}>",
            "",
            *lines,
            "",
        ]
    ).encode()


def mbox(path: Path, *messages: bytes) -> Path:
    box = mailbox.mbox(path)
    for raw in messages:
        box.add(raw.partition(b"\n")[2] if raw.startswith(b"From ") else raw)
    box.close()
    return path


@pytest.fixture
def posted(desk: Desk, tmp_path: Path) -> list[Path]:
    """The series as posted; the checkout is back on its base, and has no series any more."""
    desk.git("config", "branch.work.description", "Three more things")
    files = export(desk, tmp_path / "posted")
    desk.git("checkout", "--quiet", "main")
    for path in (desk.data / "patchsets" / "demo").iterdir():
        path.unlink()
    (desk.data / "patchsets" / "demo").rmdir()
    return files


NAMES = [
    f"000{number}-mm-add-to-{name}.patch" for number, name in enumerate(("one", "two", "three"), 1)
]


def check_whole(desk: Desk) -> None:
    made = series.load("demo")
    assert [item.file for item in made.patches] == NAMES
    assert {tuple(item.kernels) for item in made.patches} == {("6.1..6.2",)}
    assert series_check.check(made) == []
    applied = apply.apply_series(desk.tree(), [made], branch=None)
    assert {str(item.outcome) for item in applied.patches} == {"applied"}
    assert refresh.refresh(desk.tree(), ["demo"], dry_run=True).changed == []
    text = (made.directory / NAMES[0]).read_text()
    assert "essage-I" not in text
    assert "\nSubject: [PATCH] mm: add to one()\n" in text
    assert f"From: {ANN}\n" in text


def test_a_directory_of_patches_becomes_a_series(desk: Desk, posted: list[Path]) -> None:
    done = import_series.import_series(desk.tree(), "demo", str(posted[0].parent))
    assert [item.file for item in done.patches] == NAMES
    assert done.problems == []
    assert series.load("demo").summary == "Three more things"
    check_whole(desk)


def test_an_mbox_in_any_order_and_with_abbreviated_ids_will_do(
    desk: Desk, posted: list[Path], tmp_path: Path
) -> None:
    assert "index " in posted[1].read_text()
    raw = [path.read_bytes() for path in posted]
    path = mbox(tmp_path / "t.mbox", raw[3], raw[0], raw[2], raw[1])
    import_series.import_series(desk.tree(), "demo", str(path), kernels=["6.1..6.2"])
    check_whole(desk)


def test_b4_collects_the_trailers_of_replies(
    desk: Desk, posted: list[Path], tmp_path: Path
) -> None:
    answer = reply(posted[2], "Good.", "", "Reviewed-by: Rev Iewer <rev@example.net>")
    path = mbox(tmp_path / "t.mbox", *(path.read_bytes() for path in posted), answer)
    import_series.import_series(desk.tree(), "demo", str(path))
    texts = contents(desk.data / "patchsets" / "demo")
    assert [b"Reviewed-by: Rev Iewer" in texts[name] for name in NAMES] == [False, True, False]
    check_whole(desk)


@pytest.fixture
def archive(posted: list[Path], isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A public archive on this machine, which the user's b4 is configured to ask; a message-id."""
    box = mbox(isolated / "thread", *(path.read_bytes() for path in posted))
    packed = gzip.compress(box.read_bytes())

    class Archive(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = "cover." in self.path
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(packed if known else b"")

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    (isolated / ".gitconfig").write_text(
        f"[b4]\n\tmidmask = {url}/all/%s\n\tlinkmask = {url}/%s\n\tsearchmask = {url}/?q=%s\n"
    )
    cover = posted[0].read_text()
    yield cover.lower().partition("message-id: <")[2].partition(">")[0]
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_message_id_is_fetched_by_b4(desk: Desk, archive: str) -> None:
    import_series.import_series(desk.tree(), "demo", archive)
    check_whole(desk)
    with pytest.raises(UserError, match="b4 did not get nonesuch@example.org"):
        import_series.import_series(desk.tree(), "other", "nonesuch@example.org")


@pytest.fixture
def keyring(posted: list[Path], isolated: Path, desk: Desk) -> Path:
    """Sign what was posted with a key made here; return the directory of its public half."""
    run = [sys.executable, "-c", "import patatt; patatt.command()"]
    identity = "[user]\n\tname = Ann Author\n\temail = ann@example.org\n"
    (isolated / ".gitconfig").write_text(identity)
    subprocess.run([*run, "genkey"], check=True, capture_output=True, cwd=desk.linux)
    (public,) = (isolated / ".local/share/patatt/public").glob("*.pub")
    signing = f"[patatt]\n\tsigningkey = ed25519:{public.stem}\n\tselector = {public.stem}\n"
    (isolated / ".gitconfig").write_text(identity + signing)
    for path in posted[1:]:
        subprocess.run([*run, "sign", "--hook", str(path)], check=True, cwd=desk.linux)
        assert "X-Developer-Signature" in path.read_text()
    return public.parent


def test_a_signature_is_verified(
    desk: Desk, posted: list[Path], keyring: Path, tmp_path: Path
) -> None:
    source = str(posted[0].parent)
    (tmp_path / "none").mkdir()
    with pytest.raises(CheckError, match="3 of 3 mails are not attested:\n  .*: no-key"):
        import_series.import_series(
            desk.tree(), "demo", source, keyring=tmp_path / "none", require_attestation=True
        )
    assert series.names() == []
    done = import_series.import_series(
        desk.tree(), "demo", source, keyring=keyring, require_attestation=True
    )
    assert [(item.result, item.identity) for item in done.attestations] == [
        ("valid", "ann@example.org")
    ] * 3
    check_whole(desk)


def test_a_mail_changed_on_its_way_is_refused(
    desk: Desk, posted: list[Path], keyring: Path
) -> None:
    path = posted[2]
    path.write_text(path.read_text().replace("+\tint two_new;", "+\tint two_evil;"))
    with pytest.raises(CheckError, match="signature of ann@example.org on 'mm: add to two"):
        import_series.import_series(desk.tree(), "demo", str(path.parent), keyring=keyring)
    assert series.names() == []


def test_a_missing_patch_and_a_tree_that_does_not_fit_are_refused(
    desk: Desk, posted: list[Path]
) -> None:
    text = posted[2].read_bytes()
    posted[2].unlink()
    with pytest.raises(CheckError, match="of 3 patches, 2 is missing"):
        import_series.import_series(desk.tree(), "demo", str(posted[0].parent))
    posted[2].write_bytes(text)
    desk.edit(FILE, "\tint two_b;\n", "\tlong two_b;\n")
    desk.commit("mm: make two_b long")
    with pytest.raises(CheckError, match="series demo does not go on linux"):
        import_series.import_series(desk.tree(), "demo", str(posted[0].parent))
    assert series.names() == []


def test_the_next_version_keeps_the_names_of_files(desk: Desk, posted: list[Path]) -> None:
    source = str(posted[0].parent)
    import_series.import_series(desk.tree(), "demo", source)
    before = contents(desk.data / "patchsets" / "demo")
    with pytest.raises(UserError, match="there is a series 'demo'"):
        import_series.import_series(desk.tree(), "demo", source)
    desk.git("checkout", "--quiet", "work")
    desk.git("commit", "--quiet", "--amend", "-s", "-m", "mm: three has more\n\nWhy.")
    for path in posted:
        path.unlink()
    export(desk, posted[0].parent, "-v2")
    desk.git("checkout", "--quiet", "main")
    import_series.import_series(desk.tree(), "demo", source, update=True)
    after = contents(desk.data / "patchsets" / "demo")
    assert {name for name in after if before.get(name) != after[name]} == {NAMES[2]}
    assert b"mm: three has more" in after[NAMES[2]]


def test_what_an_origin_lacks_is_told_with_file_and_line(desk: Desk, posted: list[Path]) -> None:
    text = posted[1].read_text()
    posted[1].write_text(text.replace("\nSubject:", "\nPatch-mainline: soon\nSubject:", 1))
    argv = ["series", "import", "demo", str(posted[0].parent), "--tree", "linux"]
    shown = CliRunner().invoke(cli, [*argv, "--json"], catch_exceptions=False)
    found = json.loads(shown.stdout)["problems"]
    lines = (desk.data / "patchsets" / "demo" / NAMES[0]).read_text().splitlines()
    assert lines[found[0]["line"] - 1] == "Patch-mainline: soon"
    assert found[0]["where"] == f"demo/{NAMES[0]}"
    assert "Patch-mainline is 'soon'" in found[0]["message"]
