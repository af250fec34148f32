"""Jobs with networks of their own, on a real engine: nothing of one is left, and what they are closed to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from flcore.errors import JobLaunchError, NetworkError
from launchers.container_spec import LABEL_JOB_ID
from launchers.probe.probe import LABEL_PROBE

from .conftest import CommandLauncher, Lab, until

POOL = "10.231.7.0/24"
OWN: dict[str, Any] = {"per_job": True, "pools": [POOL]}
SHOW_ADDRESS = "import socket; print(socket.gethostbyname(socket.gethostname()))"
JOBS = 4


def networks(lab: Lab, label: str) -> list[Any]:
    found: list[Any] = lab.client.api.networks(filters={"label": [label]})
    return found


def of_job(lab: Lab, job_id: str = "") -> list[str]:
    return [entry["Name"] for entry in networks(lab, f"{LABEL_JOB_ID}={job_id or lab.job_id}")]


def test_it_is_there_as_long_as_the_job(lab: Lab) -> None:
    handle = lab.launch_ready("sleep 60", network=OWN)
    assert of_job(lab) == [f"site-1-{lab.job_id}.net"]
    handle.terminate()
    handle.wait_for_clean_up(20)
    assert of_job(lab) == []


def test_a_jobs_address_is_of_the_sites_pool(lab: Lab) -> None:
    handle = lab.launch("python3", "-c", SHOW_ADDRESS, network=OWN)
    handle.wait()
    assert ip_address(handle.logs().strip()) in ip_network(POOL)


def test_a_launch_that_fails_leaves_none(lab: Lab) -> None:
    with pytest.raises(JobLaunchError):
        lab.launch("no-such-command", init=False, network=OWN)
    assert lab.left_over() == []
    assert of_job(lab) == []


def test_one_that_goes_with_a_killed_container_goes_too(lab: Lab) -> None:
    handle = lab.launch_ready("sleep 60", network=OWN)
    lab.client.api.remove_container(handle.container.id, force=True)
    handle.wait()
    until(lambda: not of_job(lab))


def test_a_pool_that_is_used_up_is_told_with_its_key(lab: Lab) -> None:
    site = lab.site("sleep", "60", network={"per_job": True, "pools": ["10.231.8.0/29"], "subnet_size": 29})
    handle = lab.launch_at(site)
    with pytest.raises(NetworkError, match=r"no /29 of 10\.231\.8\.0/29 is free on this engine.*'network\.pools'"):
        lab.launch_at(site, f"{lab.job_id}-2")
    handle.terminate()
    handle.wait_for_clean_up(20)


def test_jobs_that_are_launched_at_a_time_get_each_its_own_part_of_a_pool(lab: Lab) -> None:
    site = lab.site("sleep", "60", network=OWN)
    ids = [f"{lab.job_id}-{number}" for number in range(JOBS)]
    with ThreadPoolExecutor(JOBS) as pool:
        handles = list(pool.map(lambda job_id: lab.launch_at(site, job_id), ids))
        listed = [entry for job_id in ids for entry in networks(lab, f"{LABEL_JOB_ID}={job_id}")]
        list(pool.map(lambda handle: handle.terminate(), handles))
    assert len({entry["IPAM"]["Config"][0]["Subnet"] for entry in listed}) == JOBS
    for handle in handles:
        handle.wait_for_clean_up(20)
    assert [name for job_id in ids for name in of_job(lab, job_id)] == []


def test_what_a_job_reaches_is_tried_and_nothing_of_that_is_left(lab: Lab) -> None:
    launcher = CommandLauncher(["true"], network=OWN)
    said = [found.detail for found in launcher.check_reach()]
    launcher.close()
    assert "jobs do not reach each other" in said
    assert any(line.startswith("jobs do not reach the internet") for line in said)
    assert any(line.startswith("jobs do not reach the metadata") for line in said)
    assert networks(lab, LABEL_PROBE) == []
    assert lab.client.api.containers(all=True, filters={"label": [LABEL_PROBE]}) == []


def test_jobs_of_a_shared_network_reach_each_other(lab: Lab) -> None:
    launcher = CommandLauncher(["true"])
    said = [found for found in launcher.check_reach() if found.detail.startswith("jobs reach each other")]
    launcher.close()
    assert [found.warning for found in said] == [True]
