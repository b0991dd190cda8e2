# SPDX-License-Identifier: GPL-2.0-only
"""`sku bench boot`: which kernels are compared, and what is made of what they tell."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sku_build.bench import boot, boot_samples
from sku_build.bench.boot import Kernel, Settings
from sku_build.bench.boot_samples import Sample
from sku_build.bench.comparison import Report, variant_rows
from sku_build.errors import UserError
from sku_build.lab.results import LogLine, Mark
from sku_build.lab.scenario import Options
from tests.unit import lab_fakes, report_samples

SERIES = ["deferred_init", "handover", "cpu_park", "quick_kexec", "kept_initramfs"]


def sample(ms: float, *, bringup_us: int = 9000, unpack_us: int = 0, **facts: str) -> Sample:
    marks = [Mark("cpus", 100), Mark("cpus-up", 100 + bringup_us)]
    marks += [Mark("unpack", 20_000), Mark("unpacked", 20_000 + unpack_us)] if unpack_us else []
    marks.append(Mark("init", 90_000))
    return Sample(report_samples.kernel(marks=marks, boot_ms=ms), facts)


def test_each_series_is_switched_off_in_turn_by_command_line_or_build() -> None:
    ways, notes = boot.kernels(SERIES)
    assert notes == []
    assert [(way.name, way.append, way.build) for way in ways] == [
        ("ours", "", "ours"),
        ("ours without deferred_init", "", "without-deferred_init"),
        ("ours without quick_kexec", "kexec_in_place=off", "ours"),
        ("ours without kept_initramfs", "kept_initramfs=off", "ours"),
        ("ours without cpu_park", "cpu_park=off", "ours"),
        ("ordinary", "", "plain"),
    ]
    assert "deferred_init" not in ways[1].series and "handover" in ways[1].series
    assert ways[-1].series == ()


def test_an_unpatched_kernel_is_never_entered_from_one_that_parks() -> None:
    ways, _ = boot.kernels(SERIES)
    before = ways[[way.name for way in ways].index("ordinary") - 1]
    assert before.append == "cpu_park=off"


def test_a_series_that_the_board_lacks_is_left_out_and_said_to_be() -> None:
    ways, notes = boot.kernels(["deferred_init", "handover"])
    assert [way.name for way in ways] == ["ours", "ours without deferred_init", "ordinary"]
    assert [note.split()[0] for note in notes] == ["quick_kexec", "kept_initramfs", "cpu_park"]


def test_every_switch_is_of_a_series_whose_worth_can_be_compared() -> None:
    ways, _ = boot.kernels(SERIES)
    taken = {way.name: [sample(100.0)] for way in ways}
    notes: list[str] = []
    made = boot_samples.timed(taken, switches=boot.SWITCHES, cpus=4, notes=notes)
    for series in boot.SWITCHES:
        assert any(item.name.endswith(f"without {series}") for item in made)


def test_the_comparisons_are_of_what_they_say() -> None:
    loaded = {"relocation": "in-place 0 42000000"}
    parked = {"teardown_ns": "300000", "bringup_ns": "600000"}
    taken = {
        "ours": [sample(30.0, bringup_us=900, unpack_us=1000, **loaded, **parked)],
        "ordinary": [sample(100.0, bringup_us=9000)],
        "ours without quick_kexec": [
            sample(50.0, relocation="relocated 41000000 42000000 switched off")
        ],
        "ours without kept_initramfs": [sample(60.0, unpack_us=30_000)],
        "ours without cpu_park": [sample(40.0, teardown_ns="3000000", bringup_ns="6000000")],
    }
    notes: list[str] = []
    made = boot_samples.timed(taken, switches=boot.SWITCHES, cpus=4, notes=notes)
    found = {item.name: item for item in made}
    assert notes == []
    assert (found["jump to the first process"].ratio, found["jump to the first process"].met) == (
        0.3,
        True,
    )
    cpu = found["bring-up of a CPU"]
    assert (cpu.ours, cpu.ordinary, cpu.met) == ([0.3], [3.0], True)
    both = found["teardown and bring-up of a CPU"]
    assert (both.ours, both.ordinary) == ([0.3], [3.0])
    copied = found["bytes that the jump copies"]
    assert (copied.ours, copied.ordinary, copied.met) == ([0], [41_000_000], True)
    unpacked = found["unpacking of the initramfs"]
    assert (unpacked.ours, unpacked.ordinary) == ([1.0], [30.0])


def test_what_a_kernel_does_not_tell_is_a_note_and_no_number() -> None:
    taken = {
        "ours": [sample(30.0, relocation="none"), sample(31.0, relocation="in-place 0 9")],
        "ordinary": [sample(100.0)],
        "ours without quick_kexec": [sample(50.0, relocation="relocated 9 9")],
    }
    notes: list[str] = []
    made = boot_samples.timed(taken, switches=boot.SWITCHES, cpus=4, notes=notes)
    assert "bytes that the jump copies" not in [item.name for item in made]
    assert notes == ["bytes that the jump copies: not told by the kernel of ours"]


def test_a_series_that_did_not_do_its_work_is_told_with_what_its_kernel_says() -> None:
    kept = {"initramfs": "kept", "parked": "3", "relocation": "in-place 0 9"}
    taken = {
        "ours": [sample(1.0, **kept), sample(1.0, **kept | {"initramfs": "the root is no ramfs"})],
        "ours without cpu_park": [sample(1.0, **kept)],
        "ordinary": [sample(1.0)],
    }
    off = {"ours": None, "ours without cpu_park": "cpu_park", "ordinary": None}
    assert boot_samples.idle(taken, off, cpus=4) == [
        "ours: kept_initramfs did not work in 1 of 2 jumps; its kernel says: the root is no ramfs",
        "ours without cpu_park: cpu_park worked in 1 of 1 jumps; its kernel says: 3",
    ]
    kept |= {"parked": "0"}
    taken = {"ours without cpu_park": [sample(1.0, **kept)]}
    assert boot_samples.idle(taken, off, cpus=4) == []


def test_instructions_are_the_nanoseconds_of_a_clock_that_counts_them() -> None:
    taken = {"ours": [sample(3.0)], "ordinary": [sample(10.0)]}
    (made,) = boot_samples.counted(taken, notes=[])
    assert (made.ours, made.ordinary, made.unit) == ([3.0], [10.0], "million")
    assert boot_samples.median_instructions(taken["ours"]) == 3_000_000


def test_a_warning_is_told_once_however_often_it_came() -> None:
    boot_ = msgspec.structs.replace(sample(1.0).boot, warnings=[LogLine(4, 1, "odd")])
    assert boot_samples.warnings([[Sample(boot_), Sample(boot_)]]) == [
        "the kernel 6.1.192 warned: odd"
    ]


def test_the_ordinary_way_comes_first_and_the_median_boot_gives_the_parts() -> None:
    ways, _ = boot.kernels(["deferred_init"])
    taken = {way.name: [sample(300.0), sample(100.0), sample(200.0)] for way in ways}
    found = boot.variants(ways, taken, {way.name: [sample(5.0)] for way in ways})
    assert [item.name for item in found] == ["ordinary", "ours", "ours without deferred_init"]
    assert found[1].jump_ms == [300.0, 100.0, 200.0]
    assert found[1].instructions == 5_000_000
    assert max(step.end_ms for step in found[1].steps) <= 200.0
    rows = variant_rows(Report(bench="boot", inputs={}, comparisons=[], variants=found))
    assert rows[0] == ("ordinary", "–", "200.0 ms", "+0.0 ms", "5.0 million")


def test_one_cpu_is_refused_before_anything_is_built() -> None:
    with pytest.raises(UserError, match="one CPU"):
        boot.measure(tree_name="none", settings=Settings(smp=1), rounds=1)


_GUEST = """
import pathlib
orders = open({orders!r}, "a", buffering=1)
releases = dict(ours="6.1.0-ours", plain="6.1.0-plain")
init(release="6.1.0-ours")
counter = 62500000
while True:
    heard = hear()
    if heard == "poweroff":
        break
    orders.write(heard + "\\n")
    verb, _, rest = heard.partition(" ")
    if verb == "load":
        build = rest.split()[0]
        say(event="loaded", counter=counter)
    elif verb == "get":
        say(event="content", text="in-place 0 9\\n")
    elif verb == "jump":
        say(event="jump", counter=counter)
        counter += 62500 * (10 if build == "ours" else 40)
        init(release=releases[build], counter=counter)
    elif verb == "kmsg":
        say(event="kmsg", lines=0, lost=0)
say(event="poweroff", counter=counter)
event("SHUTDOWN", guest=True, reason="guest-shutdown")
time.sleep(60)
"""


def test_a_measured_jump_is_from_a_kernel_into_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = tmp_path / "orders"
    lab_fakes.install_qemu(tmp_path, monkeypatch, _GUEST.format(orders=str(orders)))
    bundles = {}
    for build in ("ours", "plain"):
        bundles[build] = lab_fakes.bundle(tmp_path / build, release=f"6.1.0-{build}")
        (bundles[build] / "initramfs").mkdir()
    quick = ("quick_kexec",)
    ways = [
        Kernel("ours", quick),
        Kernel("ours without quick_kexec", quick, "quick_kexec", "kexec_in_place=off"),
        Kernel("ordinary", ()),
    ]
    samples = boot.jumps(
        ways,
        bundles,
        board=lab_fakes.BOARD,
        settings=Settings(ballast_mib=1),
        rounds=2,
        options=Options(directory=tmp_path / "run"),
    )
    assert {name: [s.boot.boot_ms for s in each] for name, each in samples.items()} == {
        "ours": [10.0, 10.0],
        "ours without quick_kexec": [10.0, 10.0],
        "ordinary": [40.0, 40.0],
    }
    loads = [line.split(" ", 3) for line in orders.read_text().splitlines() if "load " in line]
    seen = [(build, "kexec_in_place=off" in cmdline) for _, build, _, cmdline in loads]
    ours, off, plain = ("ours", False), ("ours", True), ("plain", False)
    assert seen == [ours, ours, off, off, plain, plain] * 2
    # Only kernels that have the series are asked what it says.
    assert samples["ours"][0].facts == {"relocation": "in-place 0 9"}
    assert samples["ordinary"][0].facts == {}


def test_all_ways_load_one_initramfs_as_large_as_asked_for(tmp_path: Path) -> None:
    found = lab_fakes.bundle(tmp_path / "b")
    (found / "initramfs").mkdir()
    (found / "initramfs" / "init").write_bytes(b"x")
    share = tmp_path / "share"
    share.mkdir()
    boot.share({"ours": found, "plain": found}, share, 2)
    assert sorted(path.name for path in share.iterdir()) == ["initramfs.cpio", "ours", "plain"]
    assert 2 << 20 < (share / "initramfs.cpio").stat().st_size < (2 << 20) + 4096


def test_a_guest_with_more_cpus_than_the_host_is_named() -> None:
    assert boot.crowded(2, 2) == []
    (note,) = boot.crowded(4, 2)
    assert "4 CPUs of the guest share 2" in note
    assert "--smp 2" in note
