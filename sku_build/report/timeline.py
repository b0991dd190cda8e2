# SPDX-License-Identifier: GPL-2.0-only
"""A blackout as bars on one clock: what the old kernel did, the jump, what the new one did."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence

import msgspec

from sku_build.bench.comparison import Variant
from sku_build.lab import steps as boot_steps
from sku_build.lab.results import elapsed_ms
from sku_build.lab.steps import Step
from sku_build.lab.update_result import Stamp, Way, WayResult


class Part(enum.StrEnum):
    """Which kernel a bar belongs to."""

    OLD = "old kernel"
    JUMP = "jump and boot"
    NEW = "new kernel"
    CLIENT = "client, on its own clock"


class Bar(msgspec.Struct, frozen=True):
    """A stretch of time, in ms since the silence began; ``detail`` is a part of the one before."""

    label: str
    part: Part
    begin_ms: float
    ms: float
    detail: bool = False

    @property
    def end_ms(self) -> float:
        """When it ends."""
        return self.begin_ms + self.ms


class Group(msgspec.Struct, frozen=True):
    """The bars of one kernel, and from where to where they go."""

    part: Part
    begin_ms: float
    ms: float
    bars: list[Bar]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One way through an update. ``before`` is what was done while the application still served."""

    name: str
    kernels: str
    blackout_ms: float | None
    slowest_ms: float | None
    jump_ms: float | None
    bars: list[Bar]
    before: list[Bar]

    @property
    def end_ms(self) -> float:
        """When the last bar ends."""
        return max((bar.end_ms for bar in self.bars), default=0.0)

    @property
    def groups(self) -> list[Group]:
        """The bars, by the kernel they belong to."""
        found = []
        for part, members in itertools.groupby(self.bars, lambda bar: bar.part):
            bars = list(members)
            begin = min(bar.begin_ms for bar in bars)
            found.append(Group(part, begin, max(bar.end_ms for bar in bars) - begin, bars))
        return found


# The phases before the application is silent, and what others are, for people; docs/update.md.
_SERVING = frozenset({"check", "load"})
_LABELS = {
    "silence": "new connections dropped",
    "freeze": "application stopped",
    "detach": "memory taken out",
    "seal": "memory sealed",
    "order": "jump ordered",
    "kernel-jump": "out of the old kernel",
    "kernel-start": "kernel boots",
    "mount": "root file system",
    "retrieve": "memory and records taken over",
    "network": "network",
    "attach": "memory put back",
    "thaw": "application goes on",
}
_WAY_LABELS = {
    Way.OURS: {
        "dump": "the rest dumped (CRIU)",
        "jump": "CPUs and devices stopped",
        "restore": "tasks made (CRIU)",
    },
    Way.ORDINARY: {
        "dump": "all dumped to the disk (CRIU)",
        "sync": "written to the disk",
        "jump": "kexec and boot",
        "restore": "all read back (CRIU)",
    },
}
_BOOT = frozenset({"kernel-jump", "kernel-start"})


def of_way(way: WayResult) -> Timeline:
    """Return the bars of one way through an update: its stamps, and how the next kernel booted."""
    stamps = _stamps(way)
    zero = next((s.counter for s in stamps if s.phase not in _SERVING), 0)
    hz = way.second.counter_hz

    def at(counter: int) -> float:
        return elapsed_ms(zero, counter, hz) if counter >= zero else -elapsed_ms(counter, zero, hz)

    begins = {stamp.phase: at(stamp.counter) for stamp in stamps}
    # Ours has a stamp right before the old kernel is left; the ordinary way one at the order.
    jump = begins.get("kernel-jump", begins.get("jump"))
    bars: list[Bar] = []
    before: list[Bar] = []
    for begin, end in itertools.pairwise(stamps):
        if begin.phase.endswith("-end"):
            continue
        bar = Bar(
            _label(way.way, begin.phase),
            _part(way.way, begin.phase, begins[begin.phase], jump),
            begins[begin.phase],
            at(end.counter) - begins[begin.phase],
        )
        (before if begin.phase in _SERVING else bars).append(bar)
    parts = _boot_parts(way, begins, jump)
    last_boot = max((n for n, bar in enumerate(bars) if bar.part is Part.JUMP), default=-1)
    bars[last_boot + 1 : last_boot + 1] = parts if last_boot >= 0 else []
    if way.traffic.blackout_ms > 0:
        silent = way.traffic.blackout_ms
        bars.append(Bar("no reply", Part.CLIENT, 0.0, silent))
    return Timeline(
        name={Way.OURS: "Ours", Way.ORDINARY: "The ordinary way"}[way.way],
        kernels=f"{way.first.release} → {way.second.release}",
        blackout_ms=way.traffic.blackout_ms,
        slowest_ms=way.traffic.slowest_ms,
        jump_ms=jump,
        bars=bars,
        before=before,
    )


def _stamps(way: WayResult) -> list[Stamp]:
    """Return the runtime's stamps; without its report, stamps that give the same spans."""
    if way.report is not None:
        return way.report.stamps
    hz, at = way.second.counter_hz, 0
    stamps = []
    for span in way.spans:
        stamps.append(Stamp(span.phase, at))
        at += round(span.ms * hz / 1000)
    return [*stamps, Stamp("restore-end", at)]


def _label(way: Way, phase: str) -> str:
    return _WAY_LABELS[way].get(phase) or _LABELS.get(phase, phase)


def _part(way: Way, phase: str, begin: float, jump: float | None) -> Part:
    if phase in _BOOT or (way is Way.ORDINARY and phase == "jump"):
        return Part.JUMP
    return Part.OLD if jump is None or begin < jump else Part.NEW


def _boot_parts(way: WayResult, begins: dict[str, float], jump: float | None) -> list[Bar]:
    if jump is None:
        return []
    marks = way.second.marks
    if "mount" in begins:  # where sku-init began, after the kernel's last word
        found = boot_steps.steps(marks, "init", begins["mount"] - jump)
        found = [step for step in found if step.end_ms <= begins["mount"] - jump + 1e-3]
    else:
        names = [mark.name for mark in marks]
        found = boot_steps.steps(marks, "root" if "root" in names else "init", way.second.boot_ms)
    return [_detail(step, jump) for step in found]


def _detail(step: Step, jump: float) -> Bar:
    return Bar(step.name, Part.JUMP, jump + step.begin_ms, step.end_ms - step.begin_ms, detail=True)


def of_variant(variant: Variant) -> Timeline:
    """Return the parts of one boot of a bench, from the jump on."""
    return Timeline(
        name=variant.name,
        kernels=variant.release,
        blackout_ms=None,
        slowest_ms=None,
        jump_ms=0.0,
        bars=[_detail(step, 0.0) for step in variant.steps],
        before=[],
    )


def axis(end_ms: float, *, ticks: int = 8) -> tuple[float, list[float]]:
    """Return where a scale ends that takes ``end_ms``, and its ticks: at most so many, even."""
    if end_ms <= 0:
        return 1.0, [0.0, 1.0]
    power = 1e-6
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            if end_ms <= step * ticks:
                return end_ms, [step * n for n in range(int(end_ms / step) + 1)]
        power *= 10


def end_ms(timelines: Sequence[Timeline]) -> float:
    """Return when the last of several ends: what they are drawn on is as long for each."""
    return max((timeline.end_ms for timeline in timelines), default=0.0)
