"""What engines say in words of their own, as tables. Podman's answers are recorded: 5.8.6, API 1.44."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.docker_state import DOCKER_STATE
from launchers.runtime.docker_dialect import DOCKER, PODMAN, Dialect, dialect_of

ID = "1107018a1b998b77cb531fa73a66a9521e9b140797d54c6e3f5543562c444a54"
PODMANS_VERSION = {
    "Platform": {"Name": "linux/amd64/debian-unknown"},
    "Version": "5.8.6",
    "ApiVersion": "1.44",
    "MinAPIVersion": "1.24",
    "Components": [
        {"Name": "Podman Engine", "Version": "5.8.6", "Details": {"APIVersion": "5.8.6", "MinAPIVersion": "4.0.0"}},
        {"Name": "Conmon", "Version": "conmon version 2.1.13, commit: unknown"},
        {"Name": "OCI Runtime (crun)", "Version": "crun version 1.28"},
    ],
}
DOCKERS_VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}, {"Name": "runc"}]}


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        (PODMANS_VERSION, PODMAN),
        (DOCKERS_VERSION, DOCKER),
        ({"Version": "1.2", "ApiVersion": "1.41"}, DOCKER),
        ({"Components": None}, DOCKER),
        ({"Components": [{}]}, DOCKER),
    ],
    ids=["podman", "docker", "another", "null", "no-name"],
)
def test_how_an_engine_speaks_is_told_by_its_version(version: dict[str, Any], dialect: Dialect) -> None:
    assert dialect_of(version) is dialect


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("configured", DOCKER_STATE.CREATED),
        ("initialized", DOCKER_STATE.CREATED),
        ("stopping", DOCKER_STATE.RUNNING),
        ("stopped", DOCKER_STATE.EXITED),
        ("paused", DOCKER_STATE.PAUSED),
        ("pondering", None),
        ("", None),
        (None, None),
    ],
)
def test_podmans_words_for_states_are_understood(word: str | None, meant: DOCKER_STATE | None) -> None:
    assert PODMAN.state(word) is meant


def test_a_word_of_podmans_means_nothing_where_docker_says_it() -> None:
    assert DOCKER.state("stopped") is None
    assert DOCKER.state("exited") is DOCKER_STATE.EXITED


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (
            f'container create: creating container storage: the container name "one" is already in use by {ID}. You '
            "have to remove that container to be able to reuse that name: that name is already in use",
            409,
        ),
        (
            f'container create: creating container storage: the container name "one" is already in use by {ID}. You '
            "have to remove that container to be able to reuse that name: that name is already in use by an external "
            "entity",
            409,
        ),
        ("container create: unable to find network with name or ID jobs: network not found", 404),
        (f"no container with ID {ID} found in database: no such container", 404),
        (f'no container with name or ID "{ID}" found: no such container', 404),
        ('normalizing image: normalizing name for compat API: parsing reference "A b": invalid reference format', 400),
        ('normalizing image: normalizing name for compat API: parsing reference "A": name must be lowercase', 400),
        (f'"{ID}" is already paused: container state improper', 500),
        ("crun: executable file `no such container` not found in $PATH: No such file or directory", 500),
        ("crun: executable file `x: network not found` not found in $PATH: No such file or directory", 500),
        ("container is stopped", 500),
    ],
)
def test_a_refusal_of_podmans_has_the_status_that_docker_would_give_it(said: str, status: int) -> None:
    assert PODMAN.status(500, said) == status
    assert DOCKER.status(500, said) == 500


@pytest.mark.parametrize(
    ("dialect", "said", "network"),
    [
        (PODMAN, "container create: unable to find network with name or ID jobs: network not found", "jobs"),
        (PODMAN, "unable to find network with name or ID jobs: network not found", "jobs"),
        (PODMAN, "crun: executable file `network jobs not found` not found in $PATH", None),
        (DOCKER, "network jobs not found", "jobs"),
        (DOCKER, "failed to set up container networking: network jobs not found", "jobs"),
        (DOCKER, "a job says: network jobs not found", None),
    ],
)
def test_a_network_that_is_missing_is_found_in_what_the_engine_says(
    dialect: Dialect, said: str, network: str | None
) -> None:
    match = dialect.no_network.fullmatch(said)
    assert (match and match[1]) == network


@pytest.mark.parametrize(
    ("said", "was_delivered"),
    [
        (f"timed out waiting for file /run/libpod/exits/{ID}", True),
        (f"can only kill running containers. {ID} is in state created: container state improper", False),
        (None, False),
    ],
)
def test_a_signal_has_arrived_though_podman_waits_for_the_end_in_vain(said: str | None, was_delivered: bool) -> None:
    assert PODMAN.was_delivered(said) is was_delivered
    assert not DOCKER.was_delivered(said)


def test_a_start_that_was_asked_for_twice_is_no_error_of_the_container() -> None:
    said = f"container {ID}: container is running"
    assert PODMAN.error(said) == ""
    assert DOCKER.error(said) == said
    assert PODMAN.error("crun: no such file") == "crun: no such file"


@pytest.mark.parametrize(
    ("options", "of_podman"),
    [
        ("size=1,mode=1777", "size=1,mode=1777,noexec,nosuid,nodev"),
        ("size=1,exec", "size=1,exec,nosuid,nodev"),
        ("noexec,size=1", "noexec,size=1,nosuid,nodev"),
    ],
)
def test_nothing_is_run_from_a_folder_in_memory_unless_its_options_say_so(options: str, of_podman: str) -> None:
    assert PODMAN.tmpfs(options) == of_podman
    assert DOCKER.tmpfs(options) == options


def test_each_engine_is_asked_for_gpus_in_its_own_words() -> None:
    gpus = ["GPU-1", "3"]
    assert DOCKER.gpu_requests(gpus) == [{"Driver": "nvidia", "DeviceIDs": gpus, "Capabilities": [["gpu"]]}]
    names = ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=3"]
    assert PODMAN.gpu_requests(gpus) == [{"Driver": "cdi", "DeviceIDs": names, "Capabilities": [["gpu"]]}]


DEVICE = {"PathOnHost": "/dev/nvidia0", "PathInContainer": "/dev/nvidia0", "CgroupPermissions": ""}


@pytest.mark.parametrize(
    ("dialect", "host", "shown"),
    [
        (PODMAN, {"DeviceRequests": None, "Devices": [DEVICE]}, True),
        (PODMAN, {"DeviceRequests": None, "Devices": []}, False),
        (DOCKER, {"DeviceRequests": DOCKER.gpu_requests(["0"]), "Devices": []}, True),
        (DOCKER, {"DeviceRequests": None, "Devices": []}, False),
        (DOCKER, {}, False),
    ],
)
def test_a_request_for_gpus_that_was_taken_is_shown(dialect: Dialect, host: dict[str, Any], shown: bool) -> None:
    assert dialect.shows_gpus({"HostConfig": host}) is shown


def test_removals_are_heard_of_in_both_words() -> None:
    assert {"destroy", "remove"} <= set(PODMAN.events)
