"""What Podman really answered (``tests/engines/record.py`` wrote it down), and what it means: the same as of Docker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
)
from launchers.docker_state import DOCKER_STATE, result_of
from launchers.runtime import docker_answer as answer
from launchers.runtime.docker_answer import NothingToDoError, Refusals
from launchers.runtime.docker_dialect import PODMAN, dialect_of

FOLDER = Path(__file__).parent / "answers"
ANSWERS = json.loads((FOLDER / "podman-5.8.json").read_text())
LIVES: dict[str, Any] = ANSWERS["containers"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_each_engine_that_answered_is_known_by_its_version(path: Path) -> None:
    dialect = dialect_of(json.loads(path.read_text())["version"])
    assert (dialect is PODMAN) == path.stem.startswith("podman")


@pytest.mark.parametrize(
    ("life", "state", "exit_code"),
    [
        ("created", DOCKER_STATE.CREATED, 0),
        ("running", DOCKER_STATE.RUNNING, 0),
        ("paused", DOCKER_STATE.PAUSED, 0),
        ("exited with 3", DOCKER_STATE.EXITED, 3),
        ("killed", DOCKER_STATE.EXITED, 137),
        ("killed while paused", DOCKER_STATE.EXITED, None),
        ("out of memory", DOCKER_STATE.EXITED, 137),
        ("not startable", DOCKER_STATE.CREATED, 0),
    ],
)
def test_a_container_is_in_its_state_by_list_and_by_inspection(
    life: str, state: DOCKER_STATE, exit_code: int | None
) -> None:
    said = LIVES[life]
    seen = answer.inspected_state(said["inspected"], PODMAN)

    assert [answer.listed_container(entry, PODMAN).state for entry in said["listed"]] == [state]
    assert (seen.state, seen.exit_code, seen.oom_killed) == (state, exit_code, life == "out of memory")


def test_an_exit_code_that_podman_has_not_seen_is_no_success_and_no_signal() -> None:
    result = result_of(answer.inspected_state(LIVES["killed while paused"]["inspected"], PODMAN))

    assert (result.return_code, result.exit_code, result.signal) == (JobReturnCode.INFRASTRUCTURE_ERROR, None, None)


def test_what_could_not_be_started_is_no_success() -> None:
    result = result_of(answer.inspected_state(LIVES["not startable"]["inspected"], PODMAN))

    assert (result.return_code, result.exit_code) == (JobReturnCode.EXECUTION_ERROR, None)
    assert "`no-such-command` not found" in result.error


@pytest.mark.parametrize("life", LIVES)
def test_every_event_names_its_container_and_those_of_a_removal_are_heard(life: str) -> None:
    events = LIVES[life]["events"]

    assert {answer.told_container(event) for event in events} == {LIVES[life]["inspected"]["Id"]}
    assert events[-1]["Action"] in PODMAN.events


@pytest.mark.parametrize(("life", "exit_code"), [("exited with 3", 3), ("killed", 137), ("out of memory", 137)])
def test_one_event_tells_the_end(life: str, exit_code: int) -> None:
    ends = [end for event in LIVES[life]["events"] if (end := answer.told_end(event))]

    assert [end.exit_code for end in ends] == [exit_code]


@pytest.mark.parametrize(
    ("request_made", "refusals", "kind", "said"),
    [
        ("name in use", answer.OF_A_CREATE, NameInUseError, "podman inspect"),
        ("create without its image", answer.OF_A_CREATE, RuntimeRefusedError, "no such image"),
        ("malformed name of an image", answer.OF_A_NAME_OF_AN_IMAGE, ImageError, "must be lowercase"),
        ("start of no command", answer.OF_A_START, JobStartError, "`no-such-command` not found"),
        ("start without its network", answer.OF_A_CREATE, NetworkError, "podman network create no-such-network"),
        ("network that is not there", answer.OF_A_CHECK, NetworkError, "no-such-network"),
        ("kill of an ended one", answer.OF_WHAT_NEEDS_A_CONTAINER, NothingToDoError, "can only kill running"),
        ("kill of none", answer.OF_WHAT_NEEDS_A_CONTAINER, NothingToDoError, "no such container"),
        ("remove_container of none", answer.OF_A_REMOVAL, NothingToDoError, "no such container"),
    ],
)
def test_a_refusal_is_of_its_kind_and_tells_the_way_out(
    request_made: str, refusals: Refusals, kind: type[JobLaunchError], said: str
) -> None:
    refused = ANSWERS["refusals"][request_made]
    error = answer.refusal("it", refused["status"], refused["said"], refusals, PODMAN)

    assert type(error) is kind
    assert said in str(error)


def test_a_kill_of_a_paused_one_has_arrived() -> None:
    assert PODMAN.was_delivered(ANSWERS["refusals"]["kill of a paused one"]["said"])
