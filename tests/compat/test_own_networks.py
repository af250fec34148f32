"""Jobs in a real federation, each in a network of its own: the right model, and nothing left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from launchers.container_spec import LABEL_JOB_ID
from tests.engines.engine import api_of, until

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .launchers import Launcher
from .topologies import Topology

OWN = {"per_job": True, "pools": ["10.233.0.0/20"]}


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    launcher = Launcher.flcore(network=OWN)
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, launcher, Topology.OWN_NETWORKS) as federation:
        yield federation


def networks(federation: Federation, job_id: str) -> list[str]:
    with api_of(federation.engine) as api:
        found: list[dict[str, Any]] = api.networks(filters={"label": [f"{LABEL_JOB_ID}={job_id}"]})
    return [entry["Name"] for entry in found]


def test_a_job_whose_containers_reach_their_parents_alone_ends_well_and_leaves_nothing(federation: Federation) -> None:
    job_id = federation.submit(Job())
    until(lambda: len(networks(federation, job_id)) == len(federation.parents), 60, "a network for each container")
    outcome = federation.wait(job_id)

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []
    until(lambda: not networks(federation, job_id), 20, "no network is left")


def test_a_check_of_a_running_parents_kit_finds_that_its_jobs_reach_it(federation: Federation) -> None:
    said = federation.flcore("check", "--network", *map(str, federation.kits))

    assert said.count("reach: jobs reach their parent at flare-parent:") == len(federation.kits)
    assert said.count("reach: jobs do not reach each other") == len(federation.kits)
