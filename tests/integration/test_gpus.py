"""GPUs of a host that several parents share, on a real engine; the devices are pretended where there are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.errors import JobStartError
from launchers.container_spec import LABEL_SITE
from launchers.records.gpu_leases import GpuLeases
from launchers.runtime.docker_dialect import dialect_of

from .conftest import Lab, until
from .engine_traits import Traits
from .gpu_parent import EVIDENCE, GPU_IDS

ROOT = Path(__file__).parents[2]
PRETENDED = "/dev/net/tun"
"""What such a GPU is."""


class Host:
    """Two sites, each with its parent's process and its jobs."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.names = [f"site-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        self._parents: list[subprocess.Popen[bytes]] = []

    def start_parent(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.gpu_parent", name, str(self.folder), *self.jobs(name)]
        parent = subprocess.Popen(command, cwd=ROOT)
        self._parents.append(parent)
        return parent

    def jobs(self, name: str) -> list[str]:
        return [f"job-{name[-8:]}-{n}" for n in range(4)]

    def notes(self, name: str, job_id: str) -> list[list[str]]:
        """Return the time and the devices that a job noted, at its begin and at its end."""
        path = self.folder / name / job_id / EVIDENCE
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def begun(self, name: str) -> int:
        return sum(bool(self.notes(name, job_id)) for job_id in self.jobs(name))

    def containers(self) -> list[Any]:
        labels = [f"{LABEL_SITE}={name}" for name in self.names]
        return [entry for label in labels for entry in self.client.api.containers(all=True, filters={"label": label})]

    def holders(self) -> dict[str, str]:
        return GpuLeases(self.folder / "gpus", lambda: GPU_IDS).holders()

    def close(self) -> None:
        for parent in self._parents:
            parent.kill()
            parent.wait()
        for entry in self.containers():
            self.client.api.remove_container(entry["Id"], force=True)


@pytest.fixture
def host(docker_client: Any, tmp_path: Path) -> Iterator[Host]:
    host = Host(docker_client, tmp_path)
    yield host
    host.close()


def test_two_parents_of_which_one_is_killed_never_give_one_device_to_two_jobs_and_lose_none(host: Host) -> None:
    victim, other = host.names
    first, second = host.start_parent(victim), host.start_parent(other)
    until(lambda: host.begun(victim) >= 2, 60)
    first.kill()
    first.wait()
    until(lambda: host.begun(other) >= 3, 60)  # it has to do with what the dead parent's jobs leave
    third = host.start_parent(victim)
    assert (second.wait(60), third.wait(60)) == (0, 0)

    assert host.holders() == {}
    assert host.containers() == []
    used = {job_id: host.notes(name, job_id) for name in host.names for job_id in host.jobs(name)}
    assert all(len(notes) == 2 and notes[0][1] == notes[1][1] for notes in used.values()), used
    assert {notes[0][1] for notes in used.values()} <= set(GPU_IDS)
    for one, two in combinations(used.values(), 2):
        (begin, gpu_id), (end, _) = one
        (other_begin, other_gpu_id), (other_end, _) = two
        assert gpu_id != other_gpu_id or float(end) <= float(other_begin) or float(other_end) <= float(begin), used


def test_the_engine_is_asked_for_the_very_devices_that_a_job_is_shown(host: Host) -> None:
    name = host.names[0]
    assert host.start_parent(name).wait(60) == 0
    dialect = dialect_of(host.client.version())
    asked = [json.loads(line) for line in (host.folder / "requests.jsonl").read_text().splitlines()]
    assert {entry["name"]: entry["devices"] for entry in asked} == {
        f"{name}-{job_id}": dialect.gpu_requests([host.notes(name, job_id)[0][1]]) for job_id in host.jobs(name)
    }


@pytest.mark.skipif(not os.environ.get("FLCORE_TEST_GPU"), reason="this engine has no GPU, be it a pretended one")
def test_a_job_has_the_gpu_that_the_engine_has_a_name_for_and_no_job_has_it_unasked(lab: Lab, traits: Traits) -> None:
    site = lab.site("sh", "-c", f"! test -c {PRETENDED} || echo yes", gpu_ids=[os.environ["FLCORE_TEST_GPU"]])
    if not traits.heeds_requests_for_gpus:
        with pytest.raises(JobStartError, match="drops requests for GPUs; take a Podman that heeds them"):
            lab.launch_at(site, resource_spec={"site-1": {"num_of_gpus": 1}})
        return
    with_one = lab.launch_at(site, resource_spec={"site-1": {"num_of_gpus": 1}})
    assert with_one.wait() is JobReturnCode.SUCCESS
    assert with_one.logs() == "yes\n"
    without = lab.launch_at(site, f"{lab.job_id}-without")
    assert without.wait() is JobReturnCode.SUCCESS
    assert without.logs() == ""


def test_an_engine_without_nvidias_toolkit_refuses_with_the_way_out(lab: Lab, traits: Traits) -> None:
    if "nvidia" in lab.client.info()["Runtimes"]:
        pytest.skip("this engine has the toolkit")
    site = lab.site("true", gpu_ids=["0"])
    way_out = "install the NVIDIA Container Toolkit" if traits.heeds_requests_for_gpus else "take a Podman that heeds"
    with pytest.raises(JobStartError, match=way_out):
        lab.launch_at(site, resource_spec={"site-1": {"num_of_gpus": 1}})
    assert lab.left_over() == []
    assert GpuLeases(lab.folder / ".flcore/gpus", list).holders() == {}
