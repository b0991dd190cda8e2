# SPDX-License-Identifier: GPL-2.0-only
"""What one jump told, and what many of them say when they are compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from sku_build.bench.comparison import Comparison
from sku_build.errors import CheckError
from sku_build.lab.results import KernelBoot

Samples = Mapping[str, Sequence["Sample"]]

# What kernels say of themselves: by series, where it is.
# The one that has loaded the next one:
LOADED = {"relocation": ("quick_kexec", "/sys/kernel/kexec_in_place")}
# The one that has come up:
BOOTED = {
    "initramfs": ("kept_initramfs", "/sys/kernel/kept_initramfs/came"),
    "parked": ("cpu_park", "/sys/kernel/cpu_park/bringup_parked"),
    "teardown_ns": ("cpu_park", "/sys/kernel/cpu_park/teardown_ns"),
    "bringup_ns": ("cpu_park", "/sys/kernel/cpu_park/bringup_ns"),
}


class Sample(msgspec.Struct, frozen=True):
    """One jump: how the kernel came up, and what it and the one before said (:data:`LOADED`)."""

    boot: KernelBoot
    facts: dict[str, str] = {}

    @property
    def instructions(self) -> float:
        """How many were executed from the jump on, where the clock counts them, one a ns."""
        return self.boot.boot_ms * 1e6

    def between_ms(self, begin: str, end: str) -> float | None:
        """Return the time between two marks of the log, None when one is not there."""
        at = {mark.name: mark.us / 1000 for mark in self.boot.marks}
        return at[end] - at[begin] if begin in at and end in at else None

    @property
    def copied(self) -> int | None:
        """How many bytes the jump had to move: "in-place 0 TOTAL" or "relocated COPIED TOTAL"."""
        words = self.facts.get("relocation", "").split()
        return int(words[1]) if len(words) >= 3 and words[1].isdecimal() else None

    @property
    def teardown_bringup_ms(self) -> float | None:
        """How long CPUs went down and came up, where the kernel knows both."""
        both = [self.facts.get(name, "") for name in ("teardown_ns", "bringup_ns")]
        if not all(text.isdecimal() and int(text) for text in both):
            return None
        return sum(map(int, both)) / 1e6


# By series: what of the facts says that it did its work, and whether it does.
_WORKS: dict[str, tuple[str, Callable[[Sample, int], bool]]] = {
    "quick_kexec": ("relocation", lambda sample, cpus: sample.copied == 0),
    "kept_initramfs": ("initramfs", lambda sample, cpus: sample.facts["initramfs"] == "kept"),
    "cpu_park": ("parked", lambda sample, cpus: sample.facts["parked"] == str(cpus - 1)),
}


def idle(samples: Samples, off: Mapping[str, str | None], *, cpus: int) -> list[str]:
    """Return a sentence for each series that was not what the name of a way says.

    ``off`` is the series that each way is without, of the guest's ``cpus``. What a kernel does not
    tell of itself it does not have.
    """
    found = []
    for way, each in samples.items():
        for series, (fact, works) in _WORKS.items():
            told = [sample for sample in each if fact in sample.facts]
            wrong = [sample for sample in told if works(sample, cpus) is (series == off[way])]
            if wrong:
                said = wrong[0].facts[fact]
                found.append(
                    f"{way}: {series} {'worked' if series == off[way] else 'did not work'} in "
                    f"{len(wrong)} of {len(told)} jumps; its kernel says: {said}"
                )
    return found


def _values(
    samples: Sequence[Sample], value: Callable[[Sample], float | None]
) -> list[float] | None:
    """Return a value of every sample; None when one has none, or there are none."""
    found = [value(sample) for sample in samples]
    return [item for item in found if item is not None] if found and None not in found else None


class _Comparer:
    """Makes comparisons, and a note where one side could not be measured."""

    def __init__(self, samples: Samples, notes: list[str]) -> None:
        self._samples, self._notes = samples, notes
        self.made: list[Comparison] = []

    def add(
        self,
        name: str,
        value: Callable[[Sample], float | None],
        *,
        unit: str,
        goal: float | None = None,
        ours: str = "ours",
        ours_is: str,
        ordinary: str = "ordinary",
        ordinary_is: str,
    ) -> None:
        if ordinary not in self._samples:
            return
        values = {way: _values(self._samples[way], value) for way in (ours, ordinary)}
        unknown = [way for way, found in values.items() if found is None]
        if unknown:
            self._notes.append(f"{name}: not told by the kernel of {' and '.join(unknown)}")
            return
        try:
            comparison = Comparison(
                name=name,
                ours_is=ours_is,
                ordinary_is=ordinary_is,
                unit=unit,
                ours=values[ours] or [],
                ordinary=values[ordinary] or [],
                goal=goal,
            )
        except CheckError as error:
            self._notes.append(error.message)
            return
        self.made.append(comparison)


def _without(series: str) -> str:
    return f"ours without {series}"


def timed(
    samples: Samples, *, switches: Mapping[str, str | None], cpus: int, notes: list[str]
) -> list[Comparison]:
    """Compare samples of a guest with ``cpus`` CPUs whose clock is time; ``notes`` are added to."""
    compare = _Comparer(samples, notes)
    compare.add(
        "jump to the first process",
        lambda sample: sample.boot.boot_ms,
        unit="ms",
        goal=0.3,
        ours_is=f"all series, {cpus} CPUs",
        ordinary_is="the unpatched kernel",
    )
    if _without("cpu_park") in samples:
        compare.add(
            "bring-up of a CPU",
            lambda sample: _of_each(sample.between_ms("cpus", "cpus-up"), cpus),
            unit="ms",
            goal=0.1,
            ours_is="released from the park",
            ordinary_is="PSCI CPU_ON, the unpatched kernel",
        )
        compare.add(
            "teardown and bring-up of a CPU",
            lambda sample: _of_each(sample.teardown_bringup_ms, cpus),
            unit="ms",
            goal=0.1,
            ours_is="parked and released",
            ordinary=_without("cpu_park"),
            ordinary_is="the same kernel with cpu_park=off",
        )
    if _without("quick_kexec") in samples:
        compare.add(
            "bytes that the jump copies",
            lambda sample: sample.copied,
            unit="bytes",
            goal=0.0,
            ours_is="loaded to its place",
            ordinary=_without("quick_kexec"),
            ordinary_is="the same with kexec_in_place=off",
        )
    if _without("kept_initramfs") in samples:
        compare.add(
            "unpacking of the initramfs",
            lambda sample: sample.between_ms("unpack", "unpacked"),
            unit="ms",
            ours_is="kept, its pages used where they are",
            ordinary=_without("kept_initramfs"),
            ordinary_is="the same as a cpio archive",
        )
    for series, switch in switches.items():
        compare.add(
            f"jump to the first process, against that without {series}",
            lambda sample: sample.boot.boot_ms,
            unit="ms",
            ours_is="all series",
            ordinary=_without(series),
            ordinary_is=switch or f"built without {series}",
        )
    return compare.made


def _of_each(ms: float | None, cpus: int) -> float | None:
    """Return the part of each CPU that was not there from the start."""
    return None if ms is None else ms / (cpus - 1)


def counted(samples: Samples, *, notes: list[str]) -> list[Comparison]:
    """Compare samples of a guest with one CPU whose clock counts instructions."""
    compare = _Comparer(samples, notes)
    compare.add(
        "instructions to the first process",
        lambda sample: sample.instructions / 1e6,
        unit="million",
        goal=0.3,
        ours_is="all series, one CPU",
        ordinary_is="the unpatched kernel",
    )
    compare.add(
        "instructions to unpack the initramfs",
        lambda sample: sample.between_ms("unpack", "unpacked"),
        unit="million",
        ours_is="kept, its pages used where they are",
        ordinary=_without("kept_initramfs"),
        ordinary_is="the same as a cpio archive",
    )
    return compare.made


def warnings(samples: Iterable[Sequence[Sample]]) -> list[str]:
    """Return a sentence for each thing that a kernel warned of, however often it did."""
    found = [
        f"the kernel {sample.boot.release} warned: {line.text}"
        for each in samples
        for sample in each
        for line in sample.boot.warnings
    ]
    return list(dict.fromkeys(found))


def median_sample(samples: Sequence[Sample]) -> Sample:
    """Return the jump that took the median time, or the one next to it."""
    return sorted(samples, key=lambda sample: sample.boot.boot_ms)[len(samples) // 2]


def median_instructions(samples: Sequence[Sample]) -> int | None:
    """Return the median of the instructions, None without samples."""
    return round(statistics.median(s.instructions for s in samples)) if samples else None
