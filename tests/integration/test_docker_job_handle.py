"""The contract's ``DockerJobHandle(container, timeout)``, for a container that no launcher of ours made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flcore import JobReturnCode
from launchers.docker_launcher import DOCKER_STATE, DockerJobHandle

from .conftest import IMAGE
from .engine_traits import Traits

Run = Callable[..., Any]


@pytest.fixture
def run(docker_client: Any) -> Iterator[Run]:
    containers = []

    def run(*command: str, **options: Any) -> Any:
        container = docker_client.containers.create(IMAGE, list(command), init=True, **options)
        containers.append(container)
        container.start()
        return container

    yield run
    for container in containers:
        container.remove(force=True)


def test_it_waits_for_a_foreign_container_and_leaves_it_there(run: Run) -> None:
    container = run("sh", "-c", "sleep 0.2; exit 3")
    handle = DockerJobHandle(container)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert handle.poll() is JobReturnCode.EXECUTION_ERROR
    container.reload()
    assert container.status == "exited"


def test_it_knows_the_past_of_a_container_that_has_ended(run: Run) -> None:
    container = run("true")
    container.wait()
    handle = DockerJobHandle(container, timeout=10)
    assert handle.enter_states([DOCKER_STATE.RUNNING])
    assert handle.poll() is JobReturnCode.SUCCESS


def test_its_timeout_is_for_entering_states(run: Run) -> None:
    handle = DockerJobHandle(run("sleep", "60"), timeout=0.2)
    assert not handle.enter_states([DOCKER_STATE.PAUSED])
    assert handle.poll() is JobReturnCode.UNKNOWN
    assert handle.terminate() is JobReturnCode.ABORTED


@pytest.fixture
def _shows_restarting(traits: Traits) -> None:
    if not traits.shows_restarting:
        pytest.skip("this engine has no state for a container between two runs")


@pytest.mark.usefixtures("_shows_restarting")
def test_a_restarting_container_is_not_at_its_end(run: Run) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    handle = DockerJobHandle(run("sh", "-c", "sleep 0.1; exit 3", restart_policy=policy))
    assert handle.enter_states(["restarting"], timeout=20)
    assert handle.poll() is JobReturnCode.UNKNOWN
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    handle.container.reload()
    assert handle.container.attrs["RestartCount"] == 2


@pytest.mark.usefixtures("_shows_restarting")
def test_a_restarting_container_can_be_terminated(run: Run) -> None:
    handle = DockerJobHandle(run("sh", "-c", "exit 3", restart_policy={"Name": "always"}))
    assert handle.enter_states(["restarting"], timeout=20)
    assert handle.terminate() is JobReturnCode.ABORTED
    handle.container.reload()
    assert handle.container.status == "exited"


def test_a_container_that_was_never_started_can_be_terminated(docker_client: Any) -> None:
    handle = DockerJobHandle(docker_client.containers.create(IMAGE, ["true"]))
    assert handle.enter_states(["created"], timeout=10)
    assert handle.terminate() is JobReturnCode.ABORTED
