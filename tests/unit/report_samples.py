# SPDX-License-Identifier: GPL-2.0-only
"""Results that look like those of real runs, with whatever text a test wants in them."""

from __future__ import annotations

from typing import Any

from sku_build.bench.comparison import Comparison, Report, Variant
from sku_build.lab.application import Census
from sku_build.lab.results import KernelBoot, MachineRecord, Mark
from sku_build.lab.steps import Step
from sku_build.lab.traffic import Traffic
from sku_build.lab.update_result import (
    Report as RuntimeReport,
)
from sku_build.lab.update_result import (
    Span,
    Stamp,
    UpdateResult,
    Way,
    WayResult,
)

HZ = 1_000_000  # a tick is a µs
MARKS = [
    Mark("clock", 0),
    Mark("cpus", 100_000),
    Mark("cpus-up", 120_000),
    Mark("unpack", 400_000),
    Mark("unpacked", 450_000),
    Mark("booted", 700_000),
    Mark("init", 710_000),
]
_STAMPS = {
    "check": 0,
    "load": 200_000,
    "silence": 300_000,
    "freeze": 310_000,
    "detach": 400_000,
    "dump": 420_000,
    "seal": 600_000,
    "jump": 610_000,
    "kernel-jump": 700_000,
    "kernel-start": 740_000,
    "mount": 1_500_000,
    "network": 1_700_000,
    "restore": 1_800_000,
    "attach": 2_500_000,
    "thaw": 2_700_000,
    "thaw-end": 2_720_000,
}


def kernel(release: str = "6.1.192", marks: list[Mark] | None = None, **more: Any) -> KernelBoot:
    given = {"boot_ms": 800.0, "cmdline": "console=ttyAMA0"} | more
    return KernelBoot(
        release=release,
        version="#1",
        cpus=2,
        cpus_possible=2,
        secondary_cpus=1,
        memory_kib=1 << 21,
        page_size=4096,
        counter=5_000_000,
        counter_hz=HZ,
        uptime_ms=700.0,
        deferred_ms=[],
        warnings=[],
        log="kernel-2.log",
        marks=MARKS if marks is None else marks,
        **given,
    )


def way(name: Way, *, text: str = "6.1.192-next", **more: Any) -> WayResult:
    census = Census(pid=1, tids=[1], keys=1, digest="d", run_id="r", connection=1)
    ours = name is Way.OURS
    given: dict[str, Any] = {
        "way": name,
        "machine": MachineRecord("7.2.22", "tcg", "max", 2, 2048, []),
        "first": kernel(),
        "second": kernel(text),
        "before": census,
        "after": census,
        "traffic": Traffic(
            requests=9,
            replies=9,
            wrong=0,
            normal_ms=5.0,
            blackout_ms=2500.0 if ours else 12_000.0,
            slowest_ms=2510.0 if ours else 21_000.0,
        ),
        "anonymous_kib": 1 << 18,
        "huge_kib": 0,
        "copied_kib": 100,
        "spans": [
            Span("dump", 4000.0),
            Span("sync", 900.0),
            Span("order", 1.0),
            Span("jump", 800.0),
            Span("restore", 3000.0),
        ],
        "broken": [],
        "report": runtime_report() if ours else None,
        "phases": [],
        "directory": "d",
    }
    return WayResult(**(given | more))


def runtime_report() -> RuntimeReport:
    return RuntimeReport(
        counter_hz=HZ,
        stamps=[Stamp(phase, counter) for phase, counter in _STAMPS.items()],
        pages=1,
        huge=0,
        image_bytes=0,
        pages_bytes=0,
    )


def update(*ways: WayResult, board: str = "qemu-virt") -> UpdateResult:
    done = list(ways) or [way(Way.OURS), way(Way.ORDINARY)]
    return UpdateResult(
        board=board, data_mib=256, huge=False, ways=done, ratio=0.2083, directory="d"
    )


def variant(name: str, ms: float, off: str | None = None) -> Variant:
    return Variant(
        name=name,
        off=off,
        release="6.1.192",
        append=f"{off}=off" if off else "",
        jump_ms=[ms * 0.9, ms, ms * 1.2],
        instructions=int(ms * 1e5),
        steps=[
            Step("until its clock runs", 0.0, ms * 0.1),
            Step("subsystems and drivers", ms * 0.1, ms),
        ],
    )


def bench(*, text: str = "all series", when: str = "2026-11-20T10:00:00+00:00") -> Report:
    def comparison(name: str, ours: float, ordinary: float, **goal: float) -> Comparison:
        return Comparison(
            name=name,
            ours_is=text,
            ordinary_is="the unpatched kernel",
            unit="ms",
            ours=[ours, ours * 1.1, ours * 0.9],
            ordinary=[ordinary],
            **goal,
        )

    return Report(
        bench="boot",
        when=when,
        inputs={
            "tree": "linux-source-6.1 6.1.192-2",
            "board": "qemu-virt",
            "releases": ["6.1.192", "6.1.192-plain"],
            "accelerator": "tcg",
            "cpus": 4,
            "sizes": {"image_mib": 7.4},
        },
        comparisons=[
            comparison("jump to the first process", 300.0, 600.0, goal=0.3),
            comparison("bring-up of a CPU", 0.3, 7.0, goal=0.1),
            comparison("without cpu_park", 240.0, 330.0),
        ],
        variants=[
            variant("ordinary", 600.0),
            variant("ours", 240.0),
            variant("ours without cpu_park", 330.0, "cpu_park"),
        ],
        notes=["kept_initramfs is not on the board"],
    )
