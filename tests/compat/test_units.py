"""The unit for a kit: a federation whose parents systemd starts, starts again when they die, and shuts in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.machine import USER, Machine, why_none
from tests.engines.engine import until
from tests.environments import ROOT

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS, SITES
from .launchers import Launcher
from .parents import Parent
from .topologies import Topology

UNIT = ROOT / "configs/deploy/flcore-kit@.service"
A_SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
TIMEOUT = 90.0


@dataclass
class UnitParent:
    """A parent that systemd starts, and starts again."""

    machine: Machine
    unit: str
    log: Path

    def start(self) -> None:
        self.machine.systemctl("start", self.unit)

    def kill(self) -> None:
        self.machine.systemctl("kill", "--signal=KILL", self.unit)

    def is_alive(self) -> bool:
        return self.machine.show(self.unit, "ActiveState") in ("active", "activating")

    def close(self) -> None:
        self.machine.systemctl("stop", self.unit)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Host:
    """A host that systemd runs, made for the first of a federation's parents."""

    def __init__(self) -> None:
        self.machine: Machine | None = None

    def parent_of(self, federation: Federation, site: str) -> Parent:
        self.machine = self.machine or self._boot(federation)
        return UnitParent(self.machine, f"flcore-kit@{site}.service", federation.folder / f"{site}.log")

    def _boot(self, federation: Federation) -> Machine:
        assert federation.proxy
        text = UNIT.read_text().replace("/srv/flare/", f"{federation.folder}/")
        text = text.replace("PATH=/opt/flare/bin", f"PATH={federation.flare.python.parent}")
        own = [f"Environment=DOCKER_HOST={federation.proxy.host}", f"StandardOutput=append:{federation.folder}/%i.log"]
        text = text.replace("[Install]", "\n".join([*own, "StandardError=inherit", "", "[Install]"]))
        (federation.folder / "host").mkdir()
        units = {"flcore-kit@.service": text, "docker.service": A_SERVICE}
        return federation.enter(Machine(federation.folder / "host", units))


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture(scope="module")
def federation(host: Host) -> Iterator[Federation]:
    if why := why_none():
        pytest.skip(why)
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, Launcher.flcore(), Topology.BRIDGE, user=USER, parent_of=host.parent_of) as federation:
        yield federation


def test_a_job_ends_well_by_parents_that_are_units(federation: Federation) -> None:
    outcome = federation.run(Job())
    assert outcome.is_right, federation.story()
    assert federation.left_over() == []


def test_a_parent_that_is_killed_is_started_again_and_takes_part_in_the_next_job(
    federation: Federation, host: Host
) -> None:
    for site in CLIENTS:
        federation.kill_parent(site)
    machine = host.machine
    assert machine
    until(lambda: all(machine.show(f"flcore-kit@{site}", "NRestarts") == "1" for site in CLIENTS), TIMEOUT, "restarts")
    assert all(federation.parents[site].is_alive() for site in SITES)
    outcome = federation.run(Job())
    assert outcome.is_right, federation.story()
