"""A probe leaves nothing, whatever comes of it. What a real engine lets its container reach is tried on one."""

from __future__ import annotations

import errno
import json
import socket
from typing import Any

import pytest

from flcore.job_launcher_spec import Check
from launchers.container_spec import LABEL_NONCE, ContainerSpec
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.probe.probe import LABEL_PROBE
from launchers.runtime.fake import FakeRuntime

OWN: dict[str, Any] = {"network": {"per_job": True}}


class Answering(FakeRuntime):
    """Its containers say at once what a probe's would, and end."""

    answers: tuple[dict[str, Any], ...] = ({"address": "10.0.0.2", "port": 4000}, {"tcp": {"10.0.0.2 4000": "reached"}})

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = [json.dumps(answer) + "\n" for answer in self.answers]
        self.specs: list[ContainerSpec] = []

    def start(self, container_id: str) -> None:
        super().start(container_id)
        container = next(one for one in self.containers() if one.id == container_id)
        self.specs.append(container.spec)
        self.write(container.spec.name, self.said.pop(0).encode())
        self.exit(container.spec.name)


def found(runtime: FakeRuntime, **more: Any) -> list[Check]:
    return list(ClientDockerJobLauncher(**{"image": "job:1", "runtime": runtime, **more}).check_reach())


def nothing_is_left(runtime: FakeRuntime) -> bool:
    return not runtime.containers() and not runtime.job_networks.names()


@pytest.mark.parametrize("network", [OWN, {"network": "shared"}])
def test_it_tries_by_a_container_as_a_jobs_and_leaves_nothing(network: dict[str, Any]) -> None:
    runtime = Answering()
    said = found(runtime, user="1234:1234", pids_limit=99, env={"A": "b"}, **network)
    assert any(check.detail.startswith("jobs reach each other") for check in said)
    assert nothing_is_left(runtime)
    assert {(spec.image, spec.user, spec.isolation.pids_limit) for spec in runtime.specs} == {
        ("job:1", "1234:1234", 99)
    }
    asked = [json.loads(spec.environment["FLCORE_PROBE"]) for spec in runtime.specs]
    assert asked[0] == {"listen": True}
    assert ["10.0.0.2", 4000] in asked[1]["tcp"]


def test_each_of_two_has_a_network_of_its_own_where_jobs_have() -> None:
    runtime = Answering()
    found(runtime, **OWN)
    assert [spec.network for spec in runtime.specs] == [f"{spec.name}.net" for spec in runtime.specs]
    assert len({spec.network for spec in runtime.specs}) == 2


def test_each_network_that_jobs_may_join_is_tried_once() -> None:
    runtime = Answering()
    runtime.said *= 2
    studies = {"a": {"network": "cardio"}, "b": {"network": "shared"}, "c": {}}
    said = {check.what for check in found(runtime, network="shared", studies=studies)}
    assert said == {"reach by the network shared", "reach by the network cardio"}
    assert [spec.network for spec in runtime.specs] == ["shared", "shared", "cardio", "cardio"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda runtime: setattr(runtime, "start_error", "python3: not found"), "cannot be tried: python3: not found"),
        (
            lambda runtime: runtime.said.insert(0, "Traceback: no module\n"),
            "said 'Traceback: no module'; has the image",
        ),
        (lambda runtime: runtime.said.insert(0, ""), "said 'nothing'; has the image a python3"),
        (lambda runtime: runtime.set_reachable(False), "fake runtime does not answer"),
    ],
)
def test_what_cannot_be_tried_is_told_and_leaves_nothing(spoil: Any, why: str) -> None:
    runtime = Answering()
    spoil(runtime)
    (said,) = found(runtime, **OWN)
    assert (said.ok, why in said.detail) == (False, True)
    assert nothing_is_left(runtime)


def test_that_this_host_has_no_socket_left_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    create_server = socket.create_server

    def only_one(*args: Any, **kwargs: Any) -> socket.socket:
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(create_server(*args, **kwargs))
        return made[0]

    monkeypatch.setattr(socket, "create_server", only_one)
    runtime = Answering()
    (said,) = found(runtime, **OWN)
    assert (said.ok, said.detail) == (False, "what jobs reach cannot be tried: Too many open files")
    assert made[0].fileno() == -1
    assert nothing_is_left(runtime)


def test_without_an_image_of_the_sites_own_nothing_is_tried() -> None:
    (said,) = found(FakeRuntime(), image=None, images=["job:*"])
    assert (said.ok, "name it in 'image'" in said.detail) == (False, True)


@pytest.mark.parametrize(("age", "is_left"), [("0", False), ("99999999999", True)])
def test_what_a_killed_one_has_left_goes_with_the_next(age: str, is_left: bool) -> None:
    runtime = Answering()
    labels = {LABEL_PROBE: age, LABEL_NONCE: "0" * 16}
    left = ContainerSpec("flcore-probe-0", "job:1", ("true",), network="flcore-probe-0.net", labels=labels)
    runtime.job_networks.make(left)
    runtime.create(left)
    runtime.create(ContainerSpec("somebodys", "job:1", ("true",)))
    found(runtime, network="shared")
    names = {container.spec.name for container in runtime.containers()}
    assert names == {"somebodys", *(["flcore-probe-0"] if is_left else [])}
    assert bool(runtime.job_networks.names()) is is_left
