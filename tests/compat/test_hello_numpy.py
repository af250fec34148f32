"""Jobs in a real federation: the right model, and nothing left. `make test-compat` makes all that is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .launchers import Launcher
from .topologies import Topology


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, Launcher.flcore(), Topology.BRIDGE) as federation:
        yield federation


def test_a_job_of_three_containers_ends_well_and_leaves_nothing(federation: Federation) -> None:
    outcome = federation.run(Job())

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []


def test_a_job_brings_code_of_its_own(federation: Federation) -> None:
    outcome = federation.run(Job("custom", rounds=2, trainer={}))

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []
