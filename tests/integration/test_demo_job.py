"""The main job in containers: the digits, on a server and two sites, with the configs that users start from."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode, JobWorkflow, Site
from flcore.submitted_job import SubmittedJob
from flcore.testing import EventRecorder
from launchers.container_spec import LABEL_JOB_ID
from launchers.docker_launcher import DockerJobHandle

from .conftest import until

CONFIGS = Path(__file__).parents[2] / "configs"
SITES = ("server", "site-1", "site-2")


class Federation:
    """The three sites of the demo, with a recorder each, and one run of the job."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.recorders = {name: EventRecorder() for name in SITES}
        self.sites = [self._start(name, stack) for name in SITES]
        self.workflow = JobWorkflow(SubmittedJob.read(CONFIGS / "jobs/digits"), self.sites)
        self.results: dict[str, JobResult] = {}

    def _start(self, name: str, stack: ExitStack) -> Site:
        site = Site.from_config(CONFIGS / f"docker/{name}.json", self.folder / name)
        site.add_component("recorder", self.recorders[name])
        return stack.enter_context(site)

    def run(self) -> None:
        self.results = self.workflow.run()

    def accuracies(self) -> list[float]:
        metrics = json.loads((self.folder / "server" / self.workflow.job_id / "metrics.json").read_text())
        return [done["accuracy"] for done in metrics["rounds"]]


@pytest.fixture
def federation(docker_client: Any, tmp_path: Path) -> Iterator[Federation]:
    with ExitStack() as stack:
        federation = Federation(tmp_path, stack)
        yield federation
    label = f"{LABEL_JOB_ID}={federation.workflow.job_id}"
    assert docker_client.api.containers(all=True, filters={"label": label}) == []


def test_three_containers_learn_to_read_digits(federation: Federation) -> None:
    federation.run()
    assert {site: result.return_code.name for site, result in federation.results.items()} == dict.fromkeys(
        SITES, "SUCCESS"
    )
    for recorder in federation.recorders.values():
        assert recorder.states() == ["created", "running", "exited"]
    assert federation.accuracies()[-1] >= 0.92


def test_the_job_survives_a_client_that_dies_in_the_middle(federation: Federation, docker_client: Any) -> None:
    runner = run_until(federation, "round 3/")
    docker_client.api.kill(f"site-2-{federation.workflow.job_id}")
    runner.join(120)
    results = federation.results
    assert (results["server"].succeeded, results["site-1"].succeeded) == (True, True)
    assert (results["site-2"].return_code, results["site-2"].exit_code) == (JobReturnCode.EXECUTION_ERROR, 137)
    assert federation.accuracies()[-1] >= 0.9


def test_a_server_that_dies_ends_the_clients(federation: Federation, docker_client: Any) -> None:
    runner = run_until(federation, "round 1/")
    docker_client.api.kill(f"server-{federation.workflow.job_id}")
    runner.join(60)
    assert federation.results["server"].exit_code == 137
    for site in ("site-1", "site-2"):
        result = federation.results[site]
        assert result.return_code is JobReturnCode.ABORTED
        assert result.ended_by == "the workflow, because the server failed"


def test_the_jobs_secret_is_in_no_argument_label_or_log(federation: Federation, docker_client: Any) -> None:
    runner = run_until(federation, "round 1/")
    inspections = {
        site: docker_client.api.inspect_container(handle_of(federation, site).container.id) for site in SITES
    }
    runner.join(60)
    for site, inspection in inspections.items():
        variables = dict(variable.split("=", 1) for variable in inspection["Config"]["Env"])
        secret = variables["NVFLARE_JOB_AUTH_TOKEN"]
        elsewhere = [
            inspection["Path"],
            inspection["Args"],
            inspection["Config"]["Cmd"],
            inspection["Config"]["Labels"],
        ]
        assert secret not in json.dumps(elsewhere)
        assert secret not in output_of(federation, site)


def run_until(federation: Federation, words: str) -> threading.Thread:
    """Start the job on a thread of its own; return the thread when the server has written the words."""
    runner = threading.Thread(target=federation.run)
    runner.start()
    until(lambda: words in output_of(federation, "server"), timeout=60)
    return runner


def handle_of(federation: Federation, site: str) -> DockerJobHandle:
    handle = federation.workflow.handles[site]
    assert isinstance(handle, DockerJobHandle)
    return handle


def output_of(federation: Federation, site: str) -> str:
    handle = federation.workflow.handles.get(site)
    return handle.logs() if handle else ""
