"""What engines really answered (``tests/engines/record.py`` wrote it down), and what it means: the same of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobLaunchError, JobStartError, NameInUseError, NetworkError, RuntimeRefusedError
from launchers.docker_state import DOCKER_STATE, result_of
from launchers.runtime import docker_answer as answer
from launchers.runtime.docker_answer import NothingToDoError, Refusals

ANSWERS = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("answers/docker-*.json")}
NEWEST = "docker-28.5"
GONE_IN_29 = ("id", "status", "from")


def as_of_29(answers: dict[str, Any]) -> dict[str, Any]:
    """Return answers without what API 1.52 leaves out, by the API's change log."""
    containers = {
        name: life | {"events": [{k: v for k, v in event.items() if k not in GONE_IN_29} for event in life["events"]]}
        for name, life in answers["containers"].items()
    }
    return answers | {"containers": containers}


LIVES = {name: answers for name, answers in ANSWERS.items() if answers["containers"]}
LIVES["docker-29"] = as_of_29(ANSWERS[NEWEST])
engines = pytest.mark.parametrize("engine", sorted(LIVES))


@engines
@pytest.mark.parametrize(
    ("life", "state", "exit_code"),
    [
        ("created", DOCKER_STATE.CREATED, 0),
        ("running", DOCKER_STATE.RUNNING, 0),
        ("paused", DOCKER_STATE.PAUSED, 0),
        ("exited with 3", DOCKER_STATE.EXITED, 3),
        ("killed", DOCKER_STATE.EXITED, 137),
        ("killed while paused", DOCKER_STATE.EXITED, 137),
        ("out of memory", DOCKER_STATE.EXITED, 137),
        ("not startable", DOCKER_STATE.CREATED, 127),
    ],
)
def test_a_container_is_in_its_state_by_list_and_by_inspection(
    engine: str, life: str, state: DOCKER_STATE, exit_code: int
) -> None:
    said = LIVES[engine]["containers"][life]
    seen = answer.inspected_state(said["inspected"])

    assert [answer.listed_container(entry).state for entry in said["listed"]] == [state]
    assert (seen.state, seen.exit_code, seen.oom_killed) == (state, exit_code, life == "out of memory")


@engines
def test_what_could_not_be_started_is_no_success(engine: str) -> None:
    seen = answer.inspected_state(LIVES[engine]["containers"]["not startable"]["inspected"])

    assert result_of(seen).return_code == 1
    assert "executable file not found" in result_of(seen).error


@engines
@pytest.mark.parametrize("life", ["exited with 3", "killed", "out of memory", "killed while paused"])
def test_every_event_names_its_container_and_one_tells_the_end(engine: str, life: str) -> None:
    said = LIVES[engine]["containers"][life]
    events: list[Mapping[str, Any]] = said["events"]
    ends = [end for event in events if (end := answer.told_end(event))]

    assert {answer.told_container(event) for event in events} == {said["inspected"]["Id"]}
    assert [end.exit_code for end in ends] == [said["inspected"]["State"]["ExitCode"]]


@engines
@pytest.mark.parametrize(
    ("request_made", "refusals", "kind", "way_out"),
    [
        ("name in use", answer.OF_A_CREATE, NameInUseError, "docker inspect"),
        ("create without its image", answer.OF_A_CREATE, RuntimeRefusedError, "No such image"),
        ("start of no command", answer.OF_A_START, JobStartError, "executable file not found"),
        ("start without its network", answer.OF_A_START, NetworkError, "docker network create no-such-network"),
        ("network that is not there", answer.OF_A_CHECK, NetworkError, "no-such-network"),
        ("kill of an ended one", answer.OF_WHAT_NEEDS_A_CONTAINER, NothingToDoError, "is not running"),
        ("kill of none", answer.OF_WHAT_NEEDS_A_CONTAINER, NothingToDoError, "No such container"),
        ("remove_container of none", answer.OF_A_REMOVAL, NothingToDoError, "No such container"),
    ],
)
def test_a_refusal_is_of_its_kind_and_tells_the_way_out(
    engine: str, request_made: str, refusals: Refusals, kind: type[JobLaunchError], way_out: str
) -> None:
    said = LIVES[engine]["refusals"][request_made]
    error = answer.refusal("it", said["status"], said["said"], refusals)

    assert type(error) is kind
    assert way_out in str(error)


MEASURED = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("answers/*.json")}


@pytest.mark.parametrize("engine", sorted(name for name in MEASURED if not name.endswith("-rootless")))
def test_what_a_container_uses_is_measured(engine: str) -> None:
    usage = answer.measured_usage(MEASURED[engine]["statistics"])

    assert usage is not None
    assert 0.29 <= usage.cpu_seconds < 1
    assert 32 << 20 <= usage.memory < 64 << 20


@pytest.mark.parametrize("engine", sorted(name for name in MEASURED if name.endswith("-rootless")))
def test_what_a_whole_host_uses_is_not_taken_for_a_containers(engine: str) -> None:
    """Nobody but root gets a control group of version 1, so an engine without root reads that of the whole host."""
    assert answer.measured_usage(MEASURED[engine]["statistics"]) is None
