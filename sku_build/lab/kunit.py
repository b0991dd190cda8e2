# SPDX-License-Identifier: GPL-2.0-only
"""The unit tests that our series bring along (KUnit), as a kernel ran them at its boot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sku_build.lab.machine import Machine

# What makes the results readable afterwards, in debugfs.
SYMBOLS = ("KUNIT", "KUNIT_DEBUGFS")
# By series: the name of the suite, and the symbol that it is built in with.
SUITES = {
    "handover": ("kexec_handover", "KEXEC_HANDOVER_KUNIT_TEST"),
    "pid_reserve": ("pid_reserve", "PID_RESERVE_KUNIT_TEST"),
    "pin_mem": ("pin_mem", "PIN_MEM_KUNIT_TEST"),
    "cpu_park": ("cpu_park", "ARM64_CPU_PARK_KUNIT_TEST"),
    "quick_kexec": ("kexec_in_place", "KEXEC_IN_PLACE_KUNIT_TEST"),
    "kept_initramfs": ("kept_initramfs", "INITRAMFS_KEPT_KUNIT_TEST"),
    "device_state": ("device_state", "DEVICE_STATE_KUNIT_TEST"),
    "pci_state_cache": ("pci_state_cache", "PCI_STATE_CACHE_KUNIT_TEST"),
    "partial_init": ("partial_init", "PARTIAL_INIT_KUNIT_TEST"),
    "hns3_partial_init": ("hns3_partial_init", "HNS3_PARTIAL_INIT_KUNIT_TEST"),
    "sata_state_cache": ("sata_state_cache", "SATA_STATE_CACHE_KUNIT_TEST"),
    "e1000e_link_kept": ("e1000e_link_kept", "E1000E_LINK_KEPT_KUNIT_TEST"),
}

_RESULTS = "/sys/kernel/debug/kunit"
_NAME = re.compile(r"^\s*# Subtest: (?P<name>\S+)$")
# A case is indented, the suite itself is not; older kernels write a dash before the name.
_VERDICT = re.compile(r"^(?P<indent>\s*)(?P<bad>not )?ok \d+ (?:- )?(?P<what>.*)$")


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """A suite of unit tests: how many cases it has, which failed, which were not done."""

    name: str
    cases: int
    failed: list[str]
    skipped: list[str]


def symbols(series: Iterable[str]) -> list[str]:
    """Return the configuration symbols, all ``=y``, that have the unit tests of ``series`` run."""
    return [*SYMBOLS, *(SUITES[name][1] for name in series if name in SUITES)]


def ran(machine: Machine) -> list[Suite]:
    """Return what the running kernel's unit tests said; debugfs must be mounted."""
    return suites(machine.run(f"cat {_RESULTS}/*/results", check=False).output)


def suites(text: str) -> list[Suite]:
    """Return the suites in ``text``: the results of one after the other (KTAP)."""
    found: list[Suite] = []
    for line in text.splitlines():
        if match := _NAME.match(line):
            found.append(Suite(name=match["name"], cases=0, failed=[], skipped=[]))
        elif found and (match := _VERDICT.match(line)):
            found[-1] = _with(found[-1], match)
    return found


def _with(suite: Suite, verdict: re.Match[str]) -> Suite:
    what = verdict["what"]
    if not verdict["indent"]:  # the suite's own; it says no more than its cases, unless it failed
        failed = [*suite.failed, "the suite"] if verdict["bad"] and not suite.failed else None
        return suite if failed is None else msgspec.structs.replace(suite, failed=failed)
    return Suite(
        name=suite.name,
        cases=suite.cases + 1,
        failed=[*suite.failed, what] if verdict["bad"] else suite.failed,
        skipped=[*suite.skipped, what] if "# SKIP" in what else suite.skipped,
    )


def complaints(found: Sequence[Suite], config: str) -> Iterator[str]:
    """Yield a sentence for each unit test of ``config``'s that did not pass, or did not run.

    ``config`` is the text of the kernel's configuration.
    """
    known = {suite.name: suite for suite in found}
    for name, symbol in SUITES.values():
        if f"CONFIG_{symbol}=y\n" not in config:
            continue
        suite = known.pop(name, None)
        if suite is None or not suite.cases:
            yield f"the unit tests {name} did not run"
        else:
            yield from (f"the unit test {name}: {what} failed" for what in suite.failed)
            yield from (f"the unit test {name}: {what} was not done" for what in suite.skipped)
