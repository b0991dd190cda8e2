# SPDX-License-Identifier: GPL-2.0-only
"""The series ``device_state``: what is sealed comes over, and nothing else is ever believed.

Its test driver hands a text over as the state of no device, and damages it on request.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sku_build.board import Board
from sku_build.lab import bundle, guest
from sku_build.lab.machine import Machine
from sku_build.lab.phases import Phase
from sku_build.lab.scenario import Options, Run

pytestmark = [pytest.mark.lab, pytest.mark.series("device_state")]

_FILE = "/sys/kernel/debug/device_state"
_NONE, _DAMAGED, _OTHER = "-2", "-74", "-116"  # ENOENT, EBADMSG, ESTALE
_PREFIX = "device_state: "


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What is told to the driver, what the next kernel's gets, and what that kernel says."""

    told: tuple[str, ...]
    came: str
    said: str | None = None


_NOT_USED = "test of debugfs not used: "
_CASES = (
    Case(("save a text",), "a text"),
    Case((), _NONE),
    Case(("save a text", "drop"), _NONE),
    Case(("save one", "save another"), "another"),
    Case(("save x", "damage break"), _DAMAGED, _NOT_USED + "not consistent"),
    Case(("save x", "damage data"), _DAMAGED, _NOT_USED + "wrong checksum"),
    Case(("save x", "damage length"), _DAMAGED, _NOT_USED + "wrong length"),
    Case(
        ("save x", "damage identity"),
        _OTHER,
        _NOT_USED + "it is of another text, and there is a text",
    ),
    Case(("save x", "damage version"), _OTHER, _NOT_USED + "version 2, and 1 is wanted"),
    Case(("save x", "damage magic"), _NONE, "wrong magic"),
    Case(("save x", "damage head"), _NONE, "wrong checksum of the head"),
    # A list that leads astray keeps nobody from what comes before.
    Case(("save x", "damage next"), "x", "was not handed over"),
    Case(("save x", "damage loop"), "x", "was not handed over"),
    Case(("save the last",), "the last"),
)


def _jump(run: Run, machine: Machine, item: bundle.Bundle) -> None:
    with machine.phase(Phase.LOAD):
        machine.tell(f"load {bundle.IMAGE} {bundle.INITRAMFS} {run.cmdline(item)}")
        machine.expect(guest.Loaded)
    machine.jump()


def test_only_what_is_sealed_and_whole_and_of_this_device_comes_over(
    handover_bundle: Path, qemu_virt: Board, tmp_path: Path
) -> None:
    run = Run("kexec", qemu_virt, Options(directory=tmp_path))
    item = bundle.load(handover_bundle, qemu_virt)
    with run.machine(item, share=item.path) as machine:
        with machine.phase(Phase.FIRST_KERNEL):
            run.started(machine, item)
            assert machine.get(_FILE).strip() == _NONE
            log = "\n".join(line.text for line in run.log(machine, 1))
            assert "ok 1 test_a_sound_state_is_believed" in log
            assert "not ok" not in log
        for number, case in enumerate(_CASES, start=2):
            with machine.phase(Phase.LOAD):
                for line in case.told:
                    machine.put(_FILE, line)
            _jump(run, machine, item)
            with machine.phase(Phase.SECOND_KERNEL):
                run.started(machine, item)
                assert machine.get(_FILE).strip() == case.came, case
                texts = [line.text for line in run.log(machine, number)]
            said = [text for text in texts if text.startswith(_PREFIX)]
            assert len(said) == (case.said is not None), (case, said)
            assert case.said is None or case.said in said[0]
        with machine.phase(Phase.SHUTDOWN):
            machine.power_off()
