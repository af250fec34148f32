"""What NVIDIA FLARE's jobs can do works under our isolation, with no key of the site's and no way to the server."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.engine import until

from .environments import NEWEST, Flare, flare
from .features import FeatureJob
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS
from .launchers import Launcher
from .topologies import Topology

A_MILLION = 1_000_000
COMPLETED = "FINISHED:COMPLETED"
TRAINED_TWICE = [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]


@pytest.fixture(scope="module")
def version() -> Flare:
    return flare(os.environ.get("NVFLARE", NEWEST))


@pytest.fixture(scope="module")
def federation(version: Flare) -> Iterator[Federation]:
    with Federation(version, Launcher.flcore(), Topology.BRIDGE) as federation:
        yield federation


def done(federation: Federation, name: str) -> tuple[str, Path]:
    """Run a job to its good end; return its id, and the folder with its result."""
    outcome = federation.run(FeatureJob(name, federation.flare))
    assert outcome.status == COMPLETED, federation.story()
    assert federation.left_over() == []
    return outcome.job_id, federation.result(outcome.job_id)


@pytest.mark.parametrize("name", ["client-api", "client-api-process"])
def test_a_script_trains_by_the_client_api(federation: Federation, name: str) -> None:
    job_id, _ = done(federation, name)

    assert federation.ask("model", job_id) == TRAINED_TWICE


def test_each_site_s_model_is_evaluated_at_each_site(federation: Federation) -> None:
    _, result = done(federation, "cross-site-evaluation")

    [file] = result.rglob("cross_val_results.json")
    results = json.loads(file.read_text())
    assert sorted(results) == list(CLIENTS)
    assert all({*CLIENTS} <= results[site].keys() for site in CLIENTS)


def test_statistics_of_all_sites_are_right(federation: Federation) -> None:
    _, result = done(federation, "statistics")

    [file] = result.rglob("statistics/all.json")
    of_ones = json.loads(file.read_text())["ones"]
    assert of_ones["count"]["Global"]["train"] == 30
    assert of_ones["mean"]["Global"]["train"] == 1


def test_clients_stream_files_to_the_server(federation: Federation) -> None:
    _, result = done(federation, "file-exchange")

    digests = {path.name: path.read_text() for path in result.rglob("received/*")}
    assert digests == {site: hashlib.sha256(site.encode() * A_MILLION).hexdigest() for site in CLIENTS}


def test_the_server_has_what_clients_log_while_they_run(federation: Federation) -> None:
    job_id, _ = done(federation, "log-streaming")

    logs = federation.ask("logs", job_id, "site-1")
    assert "NPTrainer" in json.dumps(logs)


def test_an_administrator_reads_the_log_of_a_job_at_a_site(federation: Federation) -> None:
    job_id = federation.submit(Job("slow", rounds=1, trainer={"seconds": 3}))
    path = f"{job_id}/log.txt"
    log = federation.folder / "site-1" / path
    until(lambda: log.is_file() and b"begins a round" in log.read_bytes(), 60, "a round")

    assert "begins a round" in federation.ask("cat", "site-1", path)
    assert federation.ask("tail", "site-1", path).strip()
    assert federation.wait(job_id).is_right, federation.story()
