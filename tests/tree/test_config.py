# SPDX-License-Identifier: GPL-2.0-only
"""Configurations of the real kernels: proven where they hold, explained where they do not.

Where a place in the kernel's Kconfig files is expected, it is looked up in the source itself.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from sku_build import apply, async_probe, board, builddir, git, partial_init, tree
from sku_build.cli import cli
from sku_build.errors import CheckError, UserError
from sku_build.kconfig import ConfigReport, configure, crosscheck, dotconfig, parser
from sku_build.kconfig.conf import Conf
from sku_build.kconfig.model import Cause, Problem, Reason
from sku_build.toolchain import Toolchain, choose
from tests.tree.lines import LINES, those_for
from tests.unit import kconfig_tree

pytestmark = pytest.mark.tree


@dataclasses.dataclass(frozen=True)
class Station:
    """A patched kernel source with a build directory, ready to be configured."""

    tree: tree.Tree
    commit: str
    source: Path
    build: Path
    toolchain: Toolchain

    def configure(
        self,
        *extra: str,
        name: str = "qemu-virt",
        fragments: Sequence[str] = (),
        **options: bool,
    ) -> ConfigReport:
        chosen = board.with_fragments(board.load(name), fragments)
        return configure(
            self.source,
            self.build / name,
            board=chosen,
            series=those_for(self.tree, chosen.series),
            toolchain=self.toolchain,
            version=self.tree.kernel,
            extra=extra,
            **options,
        )

    def definitions(self, symbol: str) -> set[str]:
        """Return ``file:line`` of each definition that counts on arm64, as git finds them."""
        pattern = rf"^[[:space:]]*(menu)?config {symbol}[[:space:]]*$"
        found = git.git("grep", "-nE", pattern, "--", "*Kconfig*", cwd=self.source).stdout
        places = {":".join(line.split(":")[:2]) for line in found.splitlines()}
        foreign = re.compile(
            r"arch/(?!arm64/|Kconfig:)|scripts/kconfig/tests/|tools/|Documentation/"
        )
        return {place for place in places if not foreign.match(place)}


def station(line: str, build: Path) -> Station:
    found = tree.ensure(line)
    of_all_boards = {item for name in board.names() for item in board.load(name).series}
    wanted = those_for(found, sorted(of_all_boards))
    commit = apply.apply_series(found, wanted, branch=None).commit
    source = tree.source_dir(found, commit, slot=found.name)
    return Station(found, commit, source, build, choose("arm64", ccache=False))


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Station]]:
    """Stations made so far; build directories are kept for the module, and removed after it."""
    made: dict[str, Station] = {}
    yield made
    for item in made.values():
        shutil.rmtree(item.build)


@pytest.fixture
def at(
    request: pytest.FixtureRequest,
    stations: dict[str, Station],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Station]:
    line: str = request.param
    with builddir.exclusive(line, of=line):
        if line not in stations:
            stations[line] = station(line, tmp_path_factory.mktemp(f"config-{line}"))
        here = stations[line]
        tree.source_dir(here.tree, here.commit, slot=line)
        yield here


on_every_line = pytest.mark.parametrize("at", LINES, indirect=True)
on_6_1 = pytest.mark.parametrize("at", ["6.1"], indirect=True)
on_7_3 = pytest.mark.parametrize("at", ["7.3"], indirect=True)


@on_every_line
def test_board_is_proven_and_kconfiglib_agrees_on_every_symbol(at: Station, tmp_path: Path) -> None:
    report = at.configure(cross_check=True)
    assert (report.problems, report.waived, report.disagreements) == ([], [], [])
    assert (report.obstacles, report.warnings) == ([], [])
    resolved = at.build / "qemu-virt" / ".config"
    config = dotconfig.parse(resolved.read_text(encoding="utf-8"))
    for request in report.requested:
        assert config.get(request.symbol, "n") == request.value, request

    conf = Conf(at.source, at.build / "qemu-virt", at.toolchain)
    kconfig = parser.load(conf.environment(tmp_path), conf.build)
    kconfig.load_config(str(resolved))
    names = [symbol.name for symbol in kconfig.unique_defined_syms]
    assert len(names) > 15000
    assert crosscheck.disagreements(kconfig, names, config) == []


@on_every_line
def test_big_board_on_top_of_the_kernels_defconfig_is_proven(at: Station) -> None:
    report = at.configure(name="kunpeng920")
    assert (report.base, report.problems, report.waived) == ("defconfig", [], [])


@on_every_line
@pytest.mark.parametrize("fragment", ["systemd", "debug"])
def test_fragment_that_is_asked_for_by_name_is_proven(at: Station, fragment: str) -> None:
    plain, report = at.configure(), at.configure(fragments=[fragment])
    assert (report.problems, report.waived) == ([], [])
    assert len(report.requested) > len(plain.requested)


@on_every_line
def test_drivers_that_the_boards_probe_asynchronously_exist(at: Station) -> None:
    for name in board.names():
        chosen = board.load(name)
        found = async_probe.check_source(at.source, chosen)
        named = {*async_probe.names(chosen.cmdline)}.union(*partial_init.drivers(chosen).values())
        assert {driver.name for driver in found} == named
    with pytest.raises(UserError, match="no driver of this kernel is called hisi_sas_v9_hw"):
        wrong = msgspec.structs.replace(chosen, cmdline="driver_async_probe=hisi_sas_v9_hw")
        async_probe.check_source(at.source, wrong)


@on_6_1
def test_second_run_starts_no_make_and_leaves_the_config_alone(
    at: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = at.configure()
    written = (at.build / "qemu-virt" / ".config").stat().st_mtime_ns
    monkeypatch.setattr(Conf, "_make", None)
    again = at.configure()
    assert again.reused and again.sha256 == first.sha256
    assert (at.build / "qemu-virt" / ".config").stat().st_mtime_ns == written


# One request for each way to lose one on 6.1, and what it takes to lose it.
LOST = {
    "ACPI_NUMA": "CONFIG_ACPI_NUMA=y",
    "VIRTIO_PCII": "CONFIG_VIRTIO_PCII=y",
    "X86_64": "CONFIG_X86_64=y",
    "ARM_GIC": "# CONFIG_ARM_GIC is not set",
    "LOG_BUF_SHIFT": "CONFIG_LOG_BUF_SHIFT=40",
    "CMDLINE": "CONFIG_CMDLINE=y",
    "HZ_1000": "CONFIG_HZ_1000=y",
    "KALLSYMS": "# CONFIG_KALLSYMS is not set",
    "MODULE_SIG_KEY": 'CONFIG_MODULE_SIG_KEY="mine.pem"',
    "INITRAMFS_COMPRESSION_NONE": "CONFIG_INITRAMFS_COMPRESSION_NONE=y",
    "FUTEX_PI": "# CONFIG_FUTEX_PI is not set",
    "9P_FSCACHE": "CONFIG_9P_FSCACHE=m",
    "NFS_FS": "CONFIG_NFS_FS=m",
}
ALSO = ("CONFIG_HZ_100=y",)
# The other board is an expert's.
HIDDEN, HIDING, HIDDEN_ON = "KALLSYMS", "# CONFIG_EXPERT is not set", "qemu-virt-acpi"


def lost_on(at: Station, *lines: str, name: str = "qemu-virt") -> dict[str, Problem]:
    with pytest.raises(CheckError) as caught:
        at.configure(*lines, name=name)
    report = msgspec.convert(caught.value.data, ConfigReport)
    assert report.disagreements == []
    return {problem.symbol: problem for problem in report.problems}


@pytest.fixture(scope="module")
def broken() -> dict[str, dict[str, Problem]]:
    return {}


@pytest.fixture
def lost(at: Station, broken: dict[str, dict[str, Problem]]) -> dict[str, Problem]:
    if not broken:
        here = [line for symbol, line in LOST.items() if symbol != HIDDEN]
        broken["6.1"] = lost_on(at, *here, *ALSO)
        broken["6.1"] |= lost_on(at, LOST[HIDDEN], HIDING, name=HIDDEN_ON)
    return broken["6.1"]


def where(reason: Reason) -> set[str]:
    return set(reason.where)


@on_6_1
def test_every_lost_request_is_reported_with_its_definitions(
    at: Station, lost: dict[str, Problem]
) -> None:
    assert set(lost) == set(LOST)
    for symbol, problem in lost.items():
        assert str(problem.place) == f"--set {LOST[symbol]}"
        if problem.cause is not Cause.UNKNOWN:
            assert set(problem.defined) == at.definitions(symbol), symbol


@on_6_1
def test_unmet_dependencies_lead_to_what_can_be_requested(
    at: Station, lost: dict[str, Problem]
) -> None:
    problem = lost["ACPI_NUMA"]
    assert (problem.cause, problem.actual) == (Cause.DEPENDENCY, None)
    numa, acpi = problem.reasons
    assert (numa.text, where(numa)) == ("NUMA is n", at.definitions("NUMA"))
    assert [reason.text for reason in numa.because] == [
        "nothing stands in its way: request CONFIG_NUMA=y"
    ]
    assert (acpi.text, where(acpi)) == ("ACPI is n", at.definitions("ACPI"))
    (supports,) = acpi.because
    assert where(supports) == at.definitions("ARCH_SUPPORTS_ACPI")
    (without_prompt,) = supports.because
    assert "selected by EFI" in without_prompt.text
    assert where(without_prompt.because[0]) == at.definitions("EFI")


@on_6_1
def test_alternatives_of_a_dependency_are_each_explained(
    at: Station, lost: dict[str, Problem]
) -> None:
    (either,) = lost["MODULE_SIG_KEY"].reasons
    assert either.text == "MODULE_SIG || (IMA_APPRAISE_MODSIG && MODULES) is n"
    assert where(either.because[0]) == at.definitions("MODULE_SIG")


@on_6_1
def test_unknown_and_foreign_symbols_are_told_apart(at: Station, lost: dict[str, Problem]) -> None:
    assert lost["VIRTIO_PCII"].cause is lost["X86_64"].cause is Cause.UNKNOWN
    assert lost["VIRTIO_PCII"].did_you_mean[0] == "VIRTIO_PCI"
    (reason,) = lost["X86_64"].reasons
    place = next(place for place in reason.where if place.startswith("arch/x86/Kconfig:"))
    text = (at.source / "arch/x86/Kconfig").read_text(encoding="utf-8").splitlines()
    assert text[int(place.rpartition(":")[2]) - 1] == "config X86_64"


@on_6_1
def test_unwanted_symbol_names_what_selects_it(at: Station, lost: dict[str, Problem]) -> None:
    problem = lost["ARM_GIC"]
    assert (problem.cause, problem.actual) == (Cause.SELECTED, "y")
    selected_by = {reason.text.split()[2].rstrip(","): where(reason) for reason in problem.reasons}
    assert selected_by["ARM64"] == at.definitions("ARM64")
    for selector, places in selected_by.items():
        assert places == at.definitions(selector)


@on_6_1
def test_hidden_prompt_and_missing_prompt_are_told_apart(
    at: Station, lost: dict[str, Problem]
) -> None:
    assert lost["KALLSYMS"].cause is lost["FUTEX_PI"].cause is Cause.INVISIBLE
    (reason,) = lost["KALLSYMS"].reasons
    assert reason.text == "its prompt shows only if EXPERT"
    assert where(reason) == at.definitions("KALLSYMS")
    assert where(reason.because[0]) == at.definitions("EXPERT")
    assert reason.because[0].because[0].where == [f"--set {HIDING}"]
    assert "FUTEX_PI has no prompt" in lost["FUTEX_PI"].reasons[0].text


@on_6_1
def test_lost_choice_names_the_winner_and_its_request(lost: dict[str, Problem]) -> None:
    assert lost["HZ_1000"].cause is Cause.CHOICE
    (reason,) = lost["HZ_1000"].reasons
    assert "HZ_100 is" in reason.text
    assert reason.because[0].where == ["--set CONFIG_HZ_100=y"]


@on_6_1
def test_choice_that_is_hidden_as_a_whole_says_why(at: Station, lost: dict[str, Problem]) -> None:
    (reason,) = lost["INITRAMFS_COMPRESSION_NONE"].reasons
    (prompt,) = reason.because
    (condition,) = prompt.because
    assert condition.text == 'INITRAMFS_SOURCE != "" is n'
    assert where(condition.because[0]) == at.definitions("INITRAMFS_SOURCE")


@on_6_1
def test_range_and_type_are_read_from_the_definition(at: Station, lost: dict[str, Problem]) -> None:
    file, _, line = lost["LOG_BUF_SHIFT"].defined[0].rpartition(":")
    lines = (at.source / file).read_text(encoding="utf-8").splitlines()[int(line) :]
    low, high = next(text.split()[1:3] for text in lines if text.split()[:1] == ["range"])
    assert lost["LOG_BUF_SHIFT"].cause is Cause.RANGE
    assert f"{low} to {high}" in lost["LOG_BUF_SHIFT"].reasons[0].text
    assert lost["CMDLINE"].cause is lost["9P_FSCACHE"].cause is Cause.TYPE
    assert "string" in lost["CMDLINE"].reasons[0].text
    assert "bool" in lost["9P_FSCACHE"].reasons[0].text


@on_6_1
def test_nothing_can_be_m_on_a_board_without_modules(at: Station, lost: dict[str, Problem]) -> None:
    assert [where(reason) for reason in lost["NFS_FS"].reasons] == [at.definitions("MODULES")]


@on_7_3
def test_renamed_symbol_and_conditional_dependency_of_7_3(at: Station) -> None:
    lost = lost_on(at, "CONFIG_CFI_CLANG=y", "CONFIG_USB_CDNS_SUPPORT=y", "CONFIG_USB_SUPPORT=y")
    assert lost["CFI_CLANG"].cause is Cause.TRANSITIONAL
    assert where(lost["CFI_CLANG"].reasons[0]) == at.definitions("CFI")
    texts = [reason.text for reason in lost["USB_CDNS_SUPPORT"].reasons]
    # depends on USB || USB_GADGET; the two conditional ones hold, as neither is there
    assert texts[0] == "USB || USB_GADGET is n"


@on_6_1
def test_contradiction_with_a_fragment_names_its_line(at: Station) -> None:
    fragment = board.boards_dir().parent / "configs" / "qemu-virt.config.j2"
    line = fragment.read_text(encoding="utf-8").splitlines().index("CONFIG_NET_9P=y") + 1
    with pytest.raises(UserError) as caught:
        at.configure("# CONFIG_NET_9P is not set")
    assert f"configs/qemu-virt.config.j2:{line}" in str(caught.value)
    assert caught.value.exit_code == 2


@on_7_3
def test_kconfiglib_understands_the_language_as_the_kernels_conf_does(
    at: Station, tmp_path: Path
) -> None:
    """All combinations of what the tiny tree's newer constructs depend on, under the real conf."""
    at.configure()
    conf = at.build / "qemu-virt" / "scripts" / "kconfig" / "conf"
    kconfig = kconfig_tree.load(tmp_path)
    symbols = {
        "MODULES": "ny",
        "NET": "ny",
        "EXPERT": "ny",
        "BUS": "nmy",
        "CONDITIONAL": "nmy",
        "CONDITIONAL_COMPLEX": "nmy",
    }
    for values in itertools.product(*symbols.values()):
        given = "".join(f"CONFIG_{s}={v}\n" for s, v in zip(symbols, values, strict=True))
        (tmp_path / ".config").write_text(given, encoding="utf-8")
        subprocess.run(
            [conf, "-s", "--olddefconfig", "Kconfig"],
            cwd=tmp_path,
            env=os.environ | kconfig_tree.environment(),
            check=True,
            capture_output=True,
        )
        resolved = dotconfig.parse((tmp_path / ".config").read_text(encoding="utf-8"))
        assert resolved == kconfig_tree.values(kconfig, given, tmp_path), given


def test_command_writes_the_config_and_fails_with_exit_3(
    linux_6_1: tree.Tree, tmp_path: Path
) -> None:
    output = tmp_path / "config"
    arguments = [
        "config",
        "--tree",
        linux_6_1.name,
        "--board",
        "qemu-virt",
        "--output",
        str(output),
    ]
    done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    report = msgspec.json.decode(done.stdout)
    assert done.exit_code == 0
    assert report["problems"] == [] and report["version"] == linux_6_1.version
    assert dotconfig.parse(output.read_text(encoding="utf-8"))["NET_9P"] == "y"

    before = output.read_bytes()
    failed = CliRunner().invoke(cli, [*arguments, "--set", LOST["ACPI_NUMA"]])
    assert isinstance(failed.exception, CheckError)
    assert failed.exception.exit_code == 3
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config"]
