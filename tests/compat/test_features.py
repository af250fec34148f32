"""What NVIDIA FLARE's jobs can do works under our isolation, with no key of the site's and no way to the server."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engines.engine import until

from .environments import NEWEST, Flare, flare
from .features import FeatureJob, Image
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS
from .launchers import Launcher
from .rows import aborted
from .stage import ABORTED, Stage
from .topologies import Topology
from .torch_image import REPOSITORIES, torch_image, why_not

A_MILLION = 1_000_000
COMPLETED = "FINISHED:COMPLETED"
TRAINED_TWICE = [[3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]


@pytest.fixture(scope="module")
def version() -> Flare:
    return flare(os.environ.get("NVFLARE", NEWEST))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a site's data."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o755)  # for a job, which has a user of its own
    (folder / "scan").touch()
    return folder


@pytest.fixture(scope="module")
def federation(version: Flare, data: Path) -> Iterator[Federation]:
    launcher = Launcher.flcore(images=[REPOSITORIES], datasets={"scans": str(data)})
    with Federation(version, launcher, Topology.BRIDGE) as federation:
        yield federation


@dataclass(frozen=True)
class Asked:
    """What an administrator was told of a running job."""

    job_id: str
    cat: str
    tail: str
    stats: dict[str, Any]


@pytest.fixture(scope="module")
def asked(federation: Federation) -> Asked:
    """Ask a job that runs, have it log more at one site from then on, and see it to its good end."""
    job_id = Stage(federation).begin(Job("asked", rounds=1, trainer={"seconds": 5}), b"begins a round")
    where = "site-1", f"{job_id}/log.txt"
    cat, tail = federation.ask("cat", *where), federation.ask("tail", *where)
    stats = [federation.ask("stats", job_id, kind) for kind in ("server", "client")]
    if federation.flare.release >= (2, 8):
        federation.ask("log-level", job_id, "DEBUG", "site-1")
    assert federation.wait(job_id).is_right, federation.story()
    return Asked(job_id, cat, tail, stats[0] | stats[1])


def done(federation: Federation, name: str, image: Image | None = None) -> tuple[str, Path]:
    """Run a job to its good end; return its id, and the folder with its result."""
    outcome = federation.run(FeatureJob(name, federation.flare, image=image))
    assert outcome.status == COMPLETED, federation.story()
    assert federation.left_over() == []
    return outcome.job_id, federation.result(outcome.job_id)


@pytest.mark.parametrize("name", ["client-api", "client-api-process"])
def test_a_script_trains_by_the_client_api(federation: Federation, name: str) -> None:
    job_id, _ = done(federation, name)

    assert federation.ask("model", job_id) == TRAINED_TWICE


def test_a_job_has_the_site_s_data(federation: Federation) -> None:
    job_id, _ = done(federation, "client-data")
    assert federation.ask("model", job_id) == TRAINED_TWICE


@pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
def test_a_job_that_needs_pytorch_names_its_image(federation: Federation) -> None:
    image = Image(torch_image(federation.flare, federation.engine), federation.engine)
    _, result = done(federation, "torch", image)

    [file] = result.rglob("FL_global_model.pt")
    assert float(image.run(result, "torch_weight.py", str(file))) == 1.5


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
    if federation.flare.release < (2, 8):
        pytest.skip("NVIDIA FLARE streams no logs of jobs that an operator can ask for before 2.8")
    job_id, _ = done(federation, "log-streaming")

    # A client's last lines come after the end of the server's part, which is what a job's end is.
    until(lambda: "NPTrainer" in json.dumps(federation.ask("logs", job_id, "site-1")), 30, "what site-1 has logged")


def test_an_administrator_reads_the_log_of_a_running_job_at_a_site(asked: Asked) -> None:
    assert "begins a round" in asked.cat
    assert asked.tail.strip()


def test_an_administrator_asks_a_running_job_how_far_it_is(asked: Asked) -> None:
    assert asked.stats["server"]["ServerRunner"]["job_id"] == asked.job_id
    assert {*CLIENTS} <= asked.stats.keys()


def test_an_administrator_has_a_running_job_log_more(federation: Federation, asked: Asked) -> None:
    if federation.flare.release < (2, 8):
        pytest.skip("NVIDIA FLARE's API cannot do so before 2.8")
    logs = {site: (federation.folder / site / asked.job_id / "log.txt").read_text() for site in CLIENTS}
    assert [site for site, log in logs.items() if " - DEBUG - " in log] == ["site-1"]


def test_an_operator_aborts_a_job(federation: Federation) -> None:
    stage = Stage(federation)
    aborted(stage)
    stage.leaves_nothing()

    assert stage.sight.statuses == [ABORTED]
    assert stage.sight.is_right, stage.sight
