"""What takes several calls for one container, asked of small engines that answer as Docker and Podman were heard to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from flcore.errors import JobStartError, NameInUseError, NetworkError, RuntimeRefusedError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import GONE
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_container import list_of
from launchers.runtime.docker_dialect import DOCKER, PODMAN, Dialect
from tests.small_engine import SmallEngine, small_engine

SPEC = ContainerSpec("one", "job:1", ("run",))
WITH_GPUS = ContainerSpec("one", "job:1", ("run",), gpu_ids=("0", "1"))
INIT = "POST /libpod/containers/0123/init"
START = "POST /containers/0123/start"
NO_SUCH = (500, {"message": "no container with ID 0123 found in database: no such container", "response": 500})
ID = "0123" * 16


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[SmallEngine]:
    with small_engine(tmp_path) as engine:
        yield engine


@pytest.fixture
def podman(docker: SmallEngine) -> SmallEngine:
    docker.about = {"Version": "5.8.6", "Components": [{"Name": "Podman Engine", "Version": "5.8.6"}]}
    docker.answers[INIT] = (204, None)
    docker.answers["POST /containers/0123/unpause"] = (500, {"message": "is not paused: container state improper"})
    return docker


@pytest.fixture
def runtime(docker: SmallEngine) -> Iterator[DockerRuntime]:
    with closing(DockerRuntime(docker.address)) as runtime:
        yield runtime


def asked(engine: SmallEngine, container: str = "0123") -> list[str]:
    """Return what the engine was asked for a container, without the version."""
    return [request.partition(" ")[2] for request in engine.asked if f"/containers/{container}" in request]


@pytest.mark.parametrize(
    ("answer", "rootless"),
    [((200, {"SecurityOptions": ["name=rootless"]}), ", rootless"), ((403, {"message": "not for you"}), "")],
    ids=["told", "forbidden"],
)
@pytest.mark.usefixtures("podman")
def test_check_says_which_engine_it_is(
    docker: SmallEngine, runtime: DockerRuntime, answer: tuple[int, Any], rootless: str
) -> None:
    docker.answers["GET /info"] = answer
    check, *_ = runtime.check(None, None)
    assert (check.ok, check.detail) == (True, f"Podman 5.8.6, API 1.41{rootless}")


# --- what Podman says by words ---


@pytest.mark.usefixtures("podman")
def test_a_container_that_podman_removes_while_it_is_inspected_is_gone(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["GET /containers/0123/json"] = NO_SUCH
    assert runtime.inspect("0123") == GONE


class Listing:
    """What docker-py's low-level client lists, after some refusals."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        if self.refusals:
            raise APIError("500 Server Error", explanation=self.refusals.pop(0))
        return [{"Id": ID}]


IS_BEING_REMOVED = 'reading information about layer "371eac046e9a": layer not known'


OF_PODMAN_4 = 'getting container from store "a6c40ca169a9": container not known'


@pytest.mark.parametrize("said", [IS_BEING_REMOVED, OF_PODMAN_4])
def test_a_list_that_podman_refuses_for_a_container_that_is_being_removed_is_asked_for_again(said: str) -> None:
    assert list_of(Listing(said, said), {}, PODMAN) == [{"Id": ID}]


@pytest.mark.parametrize(
    ("said", "dialect"), [("database is locked", PODMAN), (IS_BEING_REMOVED, DOCKER)], ids=["Podman", "Docker"]
)
def test_a_list_that_is_refused_for_anything_else_is_refused(said: str, dialect: Dialect) -> None:
    with pytest.raises(APIError, match=said):
        list_of(Listing(said), {}, dialect)


@pytest.mark.usefixtures("podman")
def test_a_container_that_podman_has_removed_meanwhile_needs_no_removal(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["DELETE /containers/0123"] = NO_SUCH
    runtime.remove("0123")


def test_docker_is_not_taken_for_podman(docker: SmallEngine, runtime: DockerRuntime) -> None:
    docker.answers["GET /containers/0123/json"] = NO_SUCH
    with pytest.raises(RuntimeRefusedError, match="no such container"):
        runtime.inspect("0123")


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            f'container create: creating container storage: the container name "one" is already in use by {ID}. You '
            "have to remove that container to be able to reuse that name: that name is already in use",
            NameInUseError,
            "its name is in use by the container 012301230123; see whose that is",
        ),
        (
            "container create: unable to find network with name or ID jobs: network not found",
            NetworkError,
            "make it with: podman network create jobs",
        ),
        ("container create: no space left on device", RuntimeRefusedError, "no space left on device"),
    ],
    ids=["name", "network", "other"],
)
@pytest.mark.usefixtures("podman")
def test_what_podman_refuses_at_a_create_is_told_by_its_kind(
    docker: SmallEngine, runtime: DockerRuntime, said: str, kind: type[Exception], told: str
) -> None:
    docker.answers["POST /containers/create"] = (500, {"message": said, "response": 500})
    with pytest.raises(kind, match=told) as raised:
        runtime.create(SPEC)
    assert type(raised.value) is kind


@pytest.mark.usefixtures("podman")
@pytest.mark.parametrize(
    "answer", [b"", {"cause": "container is stopped", "message": "container is stopped", "response": 500}]
)
def test_what_has_ended_uses_nothing_whatever_podman_answers(
    docker: SmallEngine, runtime: DockerRuntime, answer: Any
) -> None:
    docker.answers["GET /containers/0123/stats"] = (200, answer)
    assert runtime.usage("0123") is None


# --- signals ---


def test_docker_sends_a_signal_to_a_paused_process_by_itself(docker: SmallEngine, runtime: DockerRuntime) -> None:
    assert runtime.send_signal("0123", "SIGTERM")
    assert asked(docker) == ["POST /containers/0123/kill"]


@pytest.mark.usefixtures("podman")
def test_podman_is_asked_to_let_a_paused_process_go_on_before_it_sends_a_signal(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    assert runtime.send_signal("0123", "SIGTERM")
    assert asked(docker) == ["POST /containers/0123/unpause", "POST /containers/0123/kill"]


@pytest.mark.usefixtures("podman")
def test_a_kill_has_arrived_though_podman_waits_for_the_exit_code_in_vain(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    said = f"timed out waiting for file /run/libpod/exits/{ID}"
    docker.answers["POST /containers/0123/kill"] = (500, {"message": said, "response": 500})
    assert runtime.send_signal("0123", "SIGKILL")


# --- removal ---


@pytest.mark.parametrize(
    ("is_running", "is_paused", "is_killed"),
    [(True, False, True), (False, False, False), (True, True, False)],
    ids=["runs", "ended", "paused"],
)
@pytest.mark.usefixtures("podman")
def test_what_runs_in_a_container_of_podmans_is_killed_before_its_removal_which_would_wait_for_it(
    docker: SmallEngine, runtime: DockerRuntime, is_running: bool, is_paused: bool, is_killed: bool
) -> None:
    docker.answers["GET /containers/0123/json"] = (200, {"State": {"Running": is_running, "Paused": is_paused}})
    runtime.remove("0123")
    kill = ["POST /containers/0123/kill"] if is_killed else []
    assert asked(docker) == ["GET /containers/0123/json", *kill, "DELETE /containers/0123"]


def test_docker_kills_what_runs_in_a_container_by_itself(docker: SmallEngine, runtime: DockerRuntime) -> None:
    runtime.remove("0123")
    assert asked(docker) == ["DELETE /containers/0123"]


# --- GPUs ---


def inspection(gpus: str, **host: Any) -> tuple[int, Any]:
    return (200, {"Id": "0123", "Config": {"Env": ["PATH=/bin", f"NVIDIA_VISIBLE_DEVICES={gpus}"]}, "HostConfig": host})


def test_a_container_whose_gpus_docker_shows_is_started(docker: SmallEngine, runtime: DockerRuntime) -> None:
    docker.answers["GET /containers/0123/json"] = inspection("0,1", DeviceRequests=[{"DeviceIDs": ["0", "1"]}])
    runtime.start(runtime.create(WITH_GPUS))
    assert asked(docker)[-1] == START


@pytest.mark.usefixtures("podman")
def test_a_container_of_podmans_is_started_when_it_shows_its_devices(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["GET /containers/0123/json"] = inspection("0,1", Devices=[{"PathOnHost": "/dev/nvidia0"}])
    runtime.start(runtime.create(WITH_GPUS))
    look = "GET /containers/0123/json"
    assert asked(docker) == [look, INIT, look, START]


@pytest.mark.parametrize(
    ("engine", "way_out"),
    [("docker", "install the NVIDIA Container Toolkit"), ("podman", "take a Podman that heeds them")],
)
def test_a_job_never_runs_without_the_gpus_that_it_asked_for(
    request: pytest.FixtureRequest, docker: SmallEngine, runtime: DockerRuntime, engine: str, way_out: str
) -> None:
    request.getfixturevalue(engine)
    docker.answers["GET /containers/0123/json"] = inspection("0,1", DeviceRequests=None, Devices=[])
    container_id = runtime.create(WITH_GPUS)
    with pytest.raises(JobStartError, match=f"drops requests for GPUs; {way_out}"):
        runtime.start(container_id)
    assert START not in asked(docker)


@pytest.mark.usefixtures("podman")
def test_a_gpu_that_podman_has_no_name_for_is_told_with_the_way_out(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["GET /containers/0123/json"] = inspection("0,1", Devices=[])
    said = "setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0"
    docker.answers[INIT] = docker.answers[START] = (500, {"message": said, "response": 500})
    container_id = runtime.create(WITH_GPUS)
    with pytest.raises(JobStartError, match=r"unresolvable CDI devices .* nvidia-ctk cdi generate --output"):
        runtime.start(container_id)


@pytest.mark.usefixtures("podman")
def test_a_podman_of_which_only_dockers_part_may_be_asked_starts_no_job_with_gpus(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["GET /containers/0123/json"] = inspection("0,1", Devices=[])
    docker.answers[INIT] = (403, b"Forbidden")
    container_id = runtime.create(WITH_GPUS)
    with pytest.raises(RuntimeRefusedError):
        runtime.start(container_id)
    assert START not in asked(docker)


@pytest.mark.usefixtures("podman")
def test_a_job_without_gpus_of_a_site_that_gives_some_is_started_as_any_other(
    docker: SmallEngine, runtime: DockerRuntime
) -> None:
    docker.answers["GET /containers/0123/json"] = inspection("void", Devices=[])
    runtime.create(WITH_GPUS)
    runtime.start(runtime.create(SPEC))
    assert asked(docker) == ["GET /containers/0123/json", START]


def test_a_site_without_gpus_pays_nothing_for_those_that_have_some(docker: SmallEngine, runtime: DockerRuntime) -> None:
    runtime.start(runtime.create(SPEC))
    assert asked(docker) == [START]


@pytest.mark.usefixtures("podman")
def test_what_is_shown_of_a_request_for_gpus_is_in_the_words_of_the_engine_that_is_there(
    runtime: DockerRuntime,
) -> None:
    (request,) = runtime.describe(WITH_GPUS)["HostConfig"]["DeviceRequests"]
    assert (request["Driver"], request["DeviceIDs"]) == ("cdi", ["nvidia.com/gpu=0", "nvidia.com/gpu=1"])


def test_what_is_shown_of_a_request_for_gpus_is_in_dockers_words_where_no_engine_answers() -> None:
    (request,) = DockerRuntime("no-address").describe(WITH_GPUS)["HostConfig"]["DeviceRequests"]
    assert (request["Driver"], request["DeviceIDs"]) == ("nvidia", ["0", "1"])
