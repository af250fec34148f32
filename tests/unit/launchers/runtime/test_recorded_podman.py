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
from launchers.runtime.engine_traits import as_traits

FOLDER = Path(__file__).parent / "answers"
RELEASES = ("podman-4.3", "podman-5.8")
ANSWERS: dict[str, Any] = {release: json.loads((FOLDER / f"{release}.json").read_text()) for release in RELEASES}
LIVES: dict[str, Any] = {release: answers["containers"] for release, answers in ANSWERS.items()}
releases = pytest.mark.parametrize("release", RELEASES)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_each_engine_that_answered_is_known_by_its_version(path: Path) -> None:
    dialect = dialect_of(json.loads(path.read_text())["version"])
    assert (dialect is PODMAN) == path.stem.startswith("podman")


@releases
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
    release: str, life: str, state: DOCKER_STATE, exit_code: int | None
) -> None:
    said = LIVES[release][life]
    seen = answer.inspected_state(said["inspected"], PODMAN)

    assert [answer.listed_container(entry, PODMAN).state for entry in said["listed"]] == [state]
    assert (seen.state, seen.exit_code) == (state, exit_code)


@pytest.mark.parametrize(("release", "told"), [("podman-4.3", False), ("podman-5.8", True)])
def test_that_the_kernel_killed_for_want_of_memory_podman_says_from_5_on(release: str, told: bool) -> None:
    seen = {life: answer.inspected_state(said["inspected"], PODMAN) for life, said in LIVES[release].items()}

    assert {life for life, state in seen.items() if state.oom_killed} == ({"out of memory"} if told else set())


@releases
def test_an_exit_code_that_podman_has_not_seen_is_no_success_and_no_signal(release: str) -> None:
    result = result_of(answer.inspected_state(LIVES[release]["killed while paused"]["inspected"], PODMAN))

    assert (result.return_code, result.exit_code, result.signal) == (JobReturnCode.INFRASTRUCTURE_ERROR, None, None)


@pytest.mark.parametrize(
    ("release", "return_code", "why"),
    [
        ("podman-4.3", JobReturnCode.INFRASTRUCTURE_ERROR, ""),  # it says so to whoever starts it, and forgets it
        ("podman-5.8", JobReturnCode.EXECUTION_ERROR, "`no-such-command` not found"),
    ],
)
def test_what_could_not_be_started_is_no_success(release: str, return_code: JobReturnCode, why: str) -> None:
    result = result_of(answer.inspected_state(LIVES[release]["not startable"]["inspected"], PODMAN))

    assert (result.return_code, result.exit_code) == (return_code, None)
    assert why in result.error


@releases
@pytest.mark.parametrize("life", LIVES[RELEASES[0]])
def test_every_event_names_its_container_and_those_of_a_removal_are_heard(release: str, life: str) -> None:
    events = LIVES[release][life]["events"]

    assert {answer.told_container(event) for event in events} == {LIVES[release][life]["inspected"]["Id"]}
    assert events[-1]["Action"] in PODMAN.events


@releases
@pytest.mark.parametrize(("life", "exit_code"), [("exited with 3", 3), ("killed", 137), ("out of memory", 137)])
def test_one_event_tells_the_end(release: str, life: str, exit_code: int) -> None:
    ends = [end for event in LIVES[release][life]["events"] if (end := answer.told_end(event))]

    assert [end.exit_code for end in ends] == [exit_code]


@releases
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
    release: str, request_made: str, refusals: Refusals, kind: type[JobLaunchError], said: str
) -> None:
    refused = ANSWERS[release]["refusals"][request_made]
    error = answer.refusal("it", refused["status"], refused["said"], refusals, PODMAN)

    assert type(error) is kind
    assert said in str(error)


@releases
def test_a_kill_of_a_paused_one_has_arrived(release: str) -> None:
    assert PODMAN.was_delivered(ANSWERS[release]["refusals"]["kill of a paused one"]["said"])


@pytest.mark.parametrize("release", [*RELEASES, *(f"{release}-rootless" for release in RELEASES)])
def test_a_podman_without_root_is_known_and_keeps_no_limit_on_a_host_with_cgroup_v1(release: str) -> None:
    answers = json.loads((FOLDER / f"{release}.json").read_text())
    traits = as_traits(answers["version"], answers["info"])

    assert traits.is_rootless == release.endswith("-rootless")
    assert traits.missing(("memory_limit", "pids_limit")) == (
        ("memory_limit", "pids_limit") if traits.is_rootless else ()
    )
