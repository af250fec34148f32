"""When an engine is asked what it is, what it may refuse to tell, and what of it a check and a log say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import RuntimeRefusedError, RuntimeUnavailableError
from flcore.job_launcher_spec import Check
from launchers.container_spec import ContainerSpec
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_parent import shares_users
from launchers.runtime.engine_traits import LEAK
from tests.small_engine import SmallEngine

OF_A_CONTAINER = f"1 2 0:3 /var/lib/docker/containers/{'0' * 64}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
LIMITS = dict.fromkeys(("MemoryLimit", "PidsLimit", "CpuCfsQuota", "SwapLimit"), True)


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime


def asked(engine: SmallEngine) -> int:
    return sum(question.endswith("GET /info") for question in engine.asked)


def test_an_engine_is_asked_what_it_is_once_for_each_stream_of_its_events(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    for streams in (1, 2):
        with runtime.open_events():
            assert [runtime.traits() for _ in range(3)] == [runtime.traits()] * 3
        assert asked(engine) == streams


def test_what_an_engine_was_before_its_events_ended_does_not_count(engine: SmallEngine, runtime: DockerRuntime) -> None:
    with runtime.open_events():
        before = runtime.traits()
    engine.answers["GET /info"] = (200, {"SecurityOptions": ["name=rootless"]})
    with runtime.open_events():
        assert (before.is_rootless, runtime.traits().is_rootless) == (False, True)


def test_without_a_stream_that_would_tell_of_its_end_an_engine_is_asked_each_time(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    runtime.traits()
    engine.answers["GET /info"] = (200, {"SecurityOptions": ["name=rootless"]})
    assert runtime.traits().is_rootless


@pytest.mark.parametrize("status", [403, 404])
def test_who_forbids_the_question_forbids_no_job(engine: SmallEngine, runtime: DockerRuntime, status: int) -> None:
    engine.answers["GET /info"] = (status, {"message": "Forbidden"})
    assert not runtime.traits().tells
    assert [check.warning for check in runtime.check(None, None) if check.what == "limits"] == [True]


def test_an_engine_that_fails_to_say_what_it_is_is_not_taken_for_one_that_is_nothing(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    engine.answers["GET /info"] = (500, {"message": "no disk"})
    with pytest.raises(RuntimeRefusedError, match=r"what it is: the engine says: .*no disk"):
        runtime.traits()


def test_what_an_engine_warns_of_when_it_makes_a_container_is_logged_once_for_each_text(
    engine: SmallEngine, runtime: DockerRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    for warnings in (["no swap"], ["no swap", "no pids"], None):
        engine.answers["POST /containers/create"] = (201, {"Id": "0123", "Warnings": warnings})
        runtime.create(ContainerSpec("one", "job:1", ("run",)))
    told = f"{runtime.name} warns of the jobs that it is asked for:"
    assert [record.getMessage() for record in caplog.records] == [f"{told} no swap", f"{told} no pids"]


@pytest.mark.parametrize(
    ("version", "internal", "leaks"), [("25.0.4", True, True), ("25.0.4", False, False), ("25.0.5", True, False)]
)
def test_a_check_warns_of_an_internal_network_from_which_names_leak(
    engine: SmallEngine, runtime: DockerRuntime, version: str, internal: bool, leaks: bool
) -> None:
    engine.about = {"Version": version}
    engine.answers["GET /networks/inside"] = (200, {"Name": "inside", "Internal": internal})
    checks = [check for check in runtime.check(None, "inside") if check.what == "network"]
    warning = Check("network", True, f"inside is internal, and {LEAK}", warning=True)
    assert checks == [Check("network", True, "inside"), *([warning] if leaks else [])]


def test_a_check_says_what_the_engine_is_and_what_it_lacks(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /info"] = (200, {**LIMITS, "PidsLimit": False, "SecurityOptions": ["name=seccomp"]})
    (found, *warned) = runtime.check(None, None)
    assert (found.ok, found.warning, found.detail) == (True, False, "Docker Engine x, API 1.41")
    assert [(check.what, check.ok, check.warning) for check in warned] == [
        ("limits", True, True),
        ("security module", True, True),
    ]


def test_a_runtime_is_named_by_what_has_answered_in_words_and_in_logs(
    engine: SmallEngine, runtime: DockerRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    assert runtime.name == f"Docker Engine {engine.address}"

    engine.about = {"Version": "5.8.6", "Components": [{"Name": "Podman Engine"}]}
    engine.answers["POST /containers/create"] = 201, {"Id": "0123", "Warnings": ["no swap"]}
    runtime.create(ContainerSpec("one", "job:1", ("run",)))
    Path(engine.address.removeprefix("unix://")).unlink()

    assert runtime.name == f"Podman {engine.address}"
    assert caplog.messages == [f"Podman {engine.address} warns of the jobs that it is asked for: no swap"]
    with pytest.raises(RuntimeUnavailableError, match=f"^Podman {engine.address} does not answer"):
        runtime.list_containers()


@pytest.mark.parametrize(
    ("mountinfo", "uid_map", "shared"),
    [
        ("", "         0          0 4294967295\n", False),
        ("", "         0       1000          1\n         1     100000      65536\n", False),
        (OF_A_CONTAINER, "         0          0 4294967295\n", False),
        (OF_A_CONTAINER, "         0     300000      65536\n", True),
        (OF_A_CONTAINER, "         0       1000          1\n         1     100000      65536\n", True),
    ],
    ids=["on the host", "in a namespace of its own", "in a container", "of a remapped engine", "of a rootless engine"],
)
def test_a_site_in_a_container_shares_its_engines_users_unless_it_has_the_hosts(
    mountinfo: str, uid_map: str, shared: Any
) -> None:
    assert shares_users(mountinfo, uid_map) is shared
