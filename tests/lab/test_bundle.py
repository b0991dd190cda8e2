# SPDX-License-Identifier: GPL-2.0-only
"""A signed bundle on the machine it is for: refused when anything is wrong, and updated from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sku_build import bundle as bundles
from sku_build.board import Board
from sku_build.errors import ExitCode
from sku_build.lab import Options, bundle, guest, update
from sku_build.lab.phases import Phase
from sku_build.lab.update import Load, Service
from tests.unit import bundle_samples as samples

pytestmark = pytest.mark.lab

_KEYS = "/etc/sku/keys"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.key(tmp_path_factory.mktemp("key") / "release")


@pytest.fixture(scope="module")
def packed(next_bundle: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed") / "bundle"
    bundles.make(next_bundle, target, key=key)
    return target


@pytest.fixture(scope="module")
def served(
    first_bundle: Path,
    packed: Path,
    qemu_virt: Board,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A guest that serves, and sees the bundle."""
    load = Load(data_mib=16)
    run = update.prepared(qemu_virt, load, Options(directory=tmp_path_factory.mktemp("bundle")))
    loaded = (bundle.load(path, qemu_virt) for path in (first_bundle, packed))
    with update.service(run, *loaded, load) as (service, _):
        with service.machine.phase(Phase.LOAD):
            service.mount()
        yield service
        with service.machine.phase(Phase.SHUTDOWN):
            service.machine.power_off()


def _command(service: Service, verb: str, *words: str) -> str:
    cmdline = service.run.cmdline(service.second)
    return " ".join(
        [
            "skuctl",
            verb,
            f"--pid {service.pid}",
            "--bundle /bundle",
            f"--cmdline '{cmdline}'",
            *words,
        ]
    )


def _trust(service: Service, key: Path) -> None:
    public = Path(f"{key}.pub").read_text().strip()
    service.machine.run(f"mkdir -p {_KEYS}; echo '{public}' >{_KEYS}/{key.name}.pub")


def _refused(service: Service, verb: str, why: str) -> None:
    said = service.machine.run(_command(service, verb), check=False)
    assert said.status == ExitCode.CHECK, said.output
    assert why in said.output
    told = service.machine.run(_command(service, "check", "--json"), check=False).output
    (finding,) = json.loads(told[told.index("{") :].splitlines()[0])["findings"]
    assert finding["what"] == "bundle"
    assert service.machine.run("cat /sys/kernel/kexec_loaded").output.strip() == "0"
    assert service.machine.run("skuctl status").output.strip() == "idle"


def test_a_bundle_is_refused_until_somebody_trusted_signed_all_of_it(
    served: Service, packed: Path, key: Path, tmp_path: Path
) -> None:
    with served.machine.phase(Phase.UPDATE):
        _refused(served, "load", "there is no trusted key")
        _trust(served, samples.key(tmp_path / "other"))
        _refused(served, "update", "signed by a key that is not trusted")
        _trust(served, key)
        config = packed / "config"
        content = config.read_bytes()
        config.write_bytes(content + b"\n")
        _refused(served, "update", "config is not what was signed")
        config.unlink()
        _refused(served, "load", "config is missing")
        config.write_bytes(content)
        said = served.machine.run(_command(served, "check"))
        assert "nothing stands in the way" in said.output


def test_a_signed_bundle_is_updated_to(served: Service, key: Path) -> None:
    """Last: the guest is another one afterwards."""
    machine = served.machine
    before = served.census()
    with machine.phase(Phase.UPDATE):
        _trust(served, key)
        machine.begin(_command(served, "update"))
        match machine.expect(guest.Init, guest.Ran):
            case guest.Ran(output=output):
                pytest.fail(output)
            case guest.Init() as init:
                served.run.check_release(init, served.second)
    assert served.census() == before
