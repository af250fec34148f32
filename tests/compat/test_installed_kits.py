"""Kits as provisioned, set up by `flcore nvflare install` and nothing else: jobs run in containers, and end well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit_folder import snapshot

from . import kits
from .environments import NEWEST, Flare, flare
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS, SITES, Addresses
from .launchers import SERVER, Launcher
from .topologies import Topology


@pytest.fixture(scope="module")
def version() -> Flare:
    return flare(os.environ.get("NVFLARE", NEWEST))


INSTALLED = [topology for topology in Topology if topology is not Topology.OWN_NETWORKS]
"""What `install` is told by its options; a network of each job's own is written into a kit by hand."""


@pytest.fixture(scope="module", params=INSTALLED)
def federation(request: pytest.FixtureRequest, version: Flare) -> Iterator[Federation]:
    with Federation(version, Launcher.flcore(), request.param, installed=True) as federation:
        yield federation


def test_a_job_ends_well_and_leaves_nothing(federation: Federation) -> None:
    outcome = federation.run(Job())

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []


def test_a_check_finds_all_as_it_should_be_while_the_parents_run(federation: Federation) -> None:
    shown = federation.flcore("check", *map(str, federation.kits))

    assert "MISSING" not in shown
    assert shown.count("  ok       launcher: ") == len(SITES)


@pytest.fixture
def provisioned(version: Flare, tmp_path: Path) -> dict[str, Path]:
    """Kits whose parents do not run."""
    return kits.provision(version, tmp_path, Addresses("localhost", "localhost", 8002, 8003, {}))


def call(version: Flare, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{version.python.parent}:{os.defpath}"}
    command = [version.command("flcore"), *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_uninstalled_kit_is_byte_for_byte_what_was_provisioned(version: Flare, provisioned: dict[str, Path]) -> None:
    sites = [provisioned[site] for site in (SERVER, *CLIENTS)]
    before = [snapshot(kit) for kit in sites]
    wanted = ("--image", "job:1", "--network", "flare", "--address", "172.30.0.1")
    for words in (("install", *sites, *wanted), ("install", *sites, "--address", "172.30.0.1"), ("uninstall", *sites)):
        done = call(version, "nvflare", *words)
        assert done.returncode == 0, done.stderr
    assert [snapshot(kit) for kit in sites] == before


def test_a_kit_as_provisioned_is_told_to_have_another_launcher(version: Flare, provisioned: dict[str, Path]) -> None:
    done = call(version, "check", provisioned[SERVER])
    assert done.returncode == 1
    assert (
        "  MISSING  launcher: jobs are launched by ServerProcessJobLauncher (process_launcher, in local/" in done.stdout
    )
