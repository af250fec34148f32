"""Jobs whose clients send each other secure messages, in a real federation that gives some of them the sites' keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.engines.engine import until

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import CyclicJob, Job, SwarmJob
from .kits import CLIENTS, LEAD, SITES
from .launchers import SERVER, Launcher
from .topologies import Topology

JOBS = [Job("greeting", trainer={"greet": True}), SwarmJob(), CyclicJob()]
A_MINUTE = 60.0


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    launcher = Launcher.flcore(private_key=[{"name": "*-with-key", "submitter": LEAD}])
    with Federation(version, launcher, Topology.BRIDGE) as federation:
        yield federation


def has_decoy(federation: Federation, job_id: str, site: str) -> bool:
    """Whether what a client's job sees as its key is the site's decoy."""
    name, kit = f"{site}-{job_id}", federation.folder / site
    until(lambda: name in federation.containers(job_id), 60, "the client's container")
    mounts = {mount["Destination"]: mount["Source"] for mount in federation.inspected(name)["Mounts"]}
    return bool(mounts[str(kit / "startup/client.key")] == str(kit / ".flcore/decoy.key"))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_with_the_key_for_that_job_it_gives_the_right_model(federation: Federation, job: Job) -> None:
    job_id = federation.submit(replace(job, name=f"{job.name}-with-key"))
    assert [has_decoy(federation, job_id, site) for site in CLIENTS] == [False, False]
    outcome = federation.wait(job_id)

    assert outcome.is_right, federation.story()
    assert federation.left_over() == []


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_without_it_a_job_that_needs_it_ends_within_a_minute_and_logs_name_what_to_set(
    federation: Federation, job: Job
) -> None:
    if federation.flare.release < (2, 8):
        pytest.skip("its kits are signed, so that all jobs have the key")
    job_id = federation.submit(job)
    assert [has_decoy(federation, job_id, site) for site in CLIENTS] == [True, True]
    outcome = federation.wait(job_id, A_MINUTE)

    assert outcome.status == "FINISHED:EXECUTION_EXCEPTION", federation.story()
    logs = [line for site in SITES for line in federation.log(site).splitlines() if job_id in line]
    assert [line for line in logs if "'private_key'" in line and "ended on the request of the site" in line]
    assert [line for line in federation.log(SERVER).splitlines() if job_id in line and "'private_key'" in line]
    assert federation.left_over() == []
