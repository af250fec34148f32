"""Jobs that want the one GPU of a site, in a real federation: they wait for each other, and none fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from launchers.records.gpu_leases import GpuLeases
from tests.engines.engine import until

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS
from .launchers import GPU, REQUESTS, Launcher
from .topologies import Topology

COMPLETED = "FINISHED:COMPLETED"
ONE_GPU = {"num_of_gpus": 1}
NOT_NOW = "enough resources"
"""What the server says of a job that it puts off."""
NEEDS_SITE_1 = {"min_clients": 1, "mandatory_clients": ["site-1"]}


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, Launcher.flcore_with_gpu(), Topology.BRIDGE) as federation:
        yield federation


def wanting(name: str, *sites: str, **meta: Any) -> Job:
    return Job(name, trainer={"seconds": 2}, meta={"resource_spec": dict.fromkeys(sites, ONE_GPU), **meta})


def history(federation: Federation, job_id: str) -> str:
    """Return what the server says of its tries to schedule a job."""
    return "\n".join(federation.ask("meta", job_id).get("schedule_history") or [])


def until_put_off(federation: Federation, job_id: str) -> None:
    until(lambda: NOT_NOW in history(federation, job_id), 60, f"job {job_id} is put off")


def requests(federation: Federation, site: str) -> list[tuple[str, Any]]:
    """Return the containers for which a site has asked for GPUs, with which."""
    path = federation.folder / site / REQUESTS
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["name"], line["devices"][0]["DeviceIDs"]) for line in lines]


def held(federation: Federation) -> dict[str, dict[str, str]]:
    """Return who has which GPU, by site."""
    folders = {site: Path(federation.folder / site / ".flcore/gpus") for site in CLIENTS}
    return {site: GpuLeases(folder, list).holders() for site, folder in folders.items()}


def watch(federation: Federation, job_ids: Sequence[str], site: str = "site-1") -> int:
    """Return the most containers that a site has had at the same time, when all jobs have ended."""
    most = 0

    def have_ended() -> bool:
        nonlocal most
        names = [name for job_id in job_ids for name in federation.containers(job_id) if name.startswith(site)]
        most = max(most, len(names))
        return all(federation.status(job_id).startswith("FINISHED:") for job_id in job_ids)

    until(have_ended, 180, "the end of all jobs", 0.2)
    return most


def test_two_jobs_that_want_the_one_gpu_of_a_site_get_it_one_after_the_other(federation: Federation) -> None:
    jobs = [wanting("first", "site-1"), wanting("second", *CLIENTS)]
    first, second = job_ids = [federation.submit(job) for job in jobs]
    until_put_off(federation, second)
    most = watch(federation, job_ids)
    outcomes = [federation.wait(job_id) for job_id in job_ids]

    assert [(one.status, one.model) for one in outcomes] == [(COMPLETED, job.model) for job in jobs], federation.story()
    assert most == 1
    assert requests(federation, "site-1") == [(f"site-1-{job_id}", [GPU]) for job_id in job_ids]
    assert requests(federation, "site-2") == [(f"site-2-{second}", [GPU])]
    assert federation.left_over() == []
    assert held(federation) == {"site-1": {}, "site-2": {}}
    if federation.flare.release >= (2, 9):
        assert f"site-1: job {second}: too few of the site's GPUs are free" in history(federation, second)
    assert f"job {second}: num_of_gpus: it asks for 1; 0 of 1 GPUs are free; {GPU}: job {first} of site-1" in (
        federation.log("site-1")
    )


def test_a_job_that_waits_gets_the_gpu_of_a_parent_that_was_killed(federation: Federation) -> None:
    first, second = (federation.submit(wanting(name, "site-1", **NEEDS_SITE_1)) for name in ("killed", "waiting"))
    until(lambda: f"site-1-{first}" in federation.containers(first), 60, "the first job's container")
    until_put_off(federation, second)
    federation.restart_parent("site-1")
    most = watch(federation, [first, second])
    outcome = federation.wait(second)

    assert f"Details: site-1:job {second}: too few of the site's GPUs are free" in history(federation, second)
    assert f"job {first}: found again" in federation.log("site-1")
    assert federation.status(first) != COMPLETED
    assert outcome.is_right, federation.story()
    assert most == 1
    assert requests(federation, "site-1")[-1] == (f"site-1-{second}", [GPU])
    assert federation.left_over() == []
    assert held(federation) == {"site-1": {}, "site-2": {}}
