"""What an engine has told of an end counts, and nothing is gone that it merely cannot be asked about."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from flcore.errors import RuntimeRefusedError
from launchers.docker_state import DOCKER_STATE, GONE
from launchers.runtime import docker_container
from launchers.runtime.docker import DockerRuntime

DIED_AT = 1_700_000_000


class Engine:
    """What docker-py's low-level client says of one container."""

    def __init__(self) -> None:
        self.base_url = "http://engine"
        self.events_told = [event("3")]
        self.status, self.exit_code, self.started = "exited", 0, "2023-11-14T22:13:10Z"
        self.listed = True
        self.labels: dict[str, str] | None = {}
        self.first_words: list[int] = []
        """Exit codes that it says before the one that it stays with."""
        self.inspections = 0

    def version(self) -> dict[str, Any]:
        return {"ApiVersion": "1.41"}

    def events(self, **_: Any) -> Iterator[dict[str, Any]]:
        return iter(self.events_told)

    def inspect_container(self, _: str) -> dict[str, Any]:
        self.inspections += 1
        exit_code = self.first_words.pop(0) if self.first_words else self.exit_code
        ended = {"FinishedAt": "2023-11-14T22:13:40Z", "OOMKilled": False, "Error": "", "Running": False}
        state = {"Status": self.status, "ExitCode": exit_code, "StartedAt": self.started, **ended}
        return {"Created": "2023-11-14T22:13:09Z", "State": state, "Config": {"Labels": self.labels}}

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "c1", "Names": ["/one"], "State": "exited", "Labels": {}}] if self.listed else []


def event(exit_code: str, action: str = "die") -> dict[str, Any]:
    attributes = {"exitCode": exit_code}
    return {"id": "c1", "Action": action, "timeNano": DIED_AT * 10**9, "Actor": {"Attributes": attributes}}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def runtime(engine: Engine) -> DockerRuntime:
    return DockerRuntime(client=SimpleNamespace(api=engine))


@pytest.fixture(autouse=True)
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.runtime.docker_settling.SETTLING", 0.5)


def hear(runtime: DockerRuntime) -> None:
    with runtime.open_events() as ids:
        assert list(ids) == ["c1"]


@pytest.mark.parametrize("said_later", [0, 255])
def test_the_end_that_was_told_counts_if_the_engine_has_forgotten_it(
    engine: Engine, runtime: DockerRuntime, said_later: int, caplog: pytest.LogCaptureFixture
) -> None:
    hear(runtime)
    engine.exit_code = said_later
    state = runtime.inspect("c1")
    assert (state.exit_code, state.finished_at) == (3, DIED_AT)
    assert f"the engine told of the exit code 3, and says {said_later} now" in caplog.text


@pytest.mark.parametrize("exit_code", [0, 7])
def test_an_event_of_an_end_that_the_engine_has_not_seen_tells_nothing(
    engine: Engine, runtime: DockerRuntime, exit_code: int
) -> None:
    engine.events_told, engine.exit_code = [event("255")], exit_code
    hear(runtime)
    assert runtime.inspect("c1").exit_code == exit_code


def test_another_code_than_those_of_what_is_forgotten_is_the_truth(engine: Engine, runtime: DockerRuntime) -> None:
    engine.exit_code = 7
    hear(runtime)
    assert runtime.inspect("c1").exit_code == 7


def test_an_engine_that_has_come_back_is_not_taken_at_its_first_255(engine: Engine, runtime: DockerRuntime) -> None:
    engine.first_words, engine.exit_code, engine.events_told = [255], 7, [event("0", "start")]
    with runtime.open_events():
        assert runtime.inspect("c1").exit_code == 7


def test_nor_is_one_that_has_gone_and_answers_before_its_events_do(engine: Engine, runtime: DockerRuntime) -> None:
    engine.first_words, engine.exit_code, engine.events_told = [255], 7, [event("0", "start")]
    hear(runtime)
    assert runtime.inspect("c1").exit_code == 7


def test_a_255_that_an_engine_stays_with_is_its_word(engine: Engine, runtime: DockerRuntime) -> None:
    engine.exit_code, engine.events_told = 255, [event("255")]
    hear(runtime)
    assert runtime.inspect("c1").exit_code == 255


def test_a_255_of_an_engine_that_answers_since_long_is_taken_at_once(
    engine: Engine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.runtime.docker_settling.SETTLING", 0.0)
    engine.exit_code = 255
    with runtime.open_events():
        assert runtime.inspect("c1").exit_code == 255
    assert engine.inspections == 1


def test_another_first_word_is_taken_at_once(engine: Engine, runtime: DockerRuntime) -> None:
    engine.first_words, engine.exit_code = [137], 7
    with runtime.open_events():
        assert runtime.inspect("c1").exit_code == 137


def test_without_an_event_inspection_is_the_truth(runtime: DockerRuntime) -> None:
    assert runtime.inspect("c1").exit_code == 0


@pytest.mark.parametrize("exit_code", [0, 255])
def test_a_label_in_place_of_the_exit_code_tells_nothing(
    engine: Engine, runtime: DockerRuntime, exit_code: int
) -> None:
    engine.labels, engine.exit_code = {"exitCode": "3"}, exit_code
    hear(runtime)
    assert runtime.inspect("c1").exit_code == exit_code


def test_an_end_before_the_last_start_does_not_count(engine: Engine, runtime: DockerRuntime) -> None:
    hear(runtime)
    engine.started = "2023-11-14T22:13:30Z"
    assert runtime.inspect("c1").exit_code == 0


def test_what_runs_has_no_end(engine: Engine, runtime: DockerRuntime) -> None:
    hear(runtime)
    engine.status = "running"
    assert runtime.inspect("c1").state is DOCKER_STATE.RUNNING


@pytest.mark.parametrize("told", [event("3", "start"), event("no number"), {"id": "c1"}])
def test_an_event_that_tells_of_no_end_is_a_hint_only(
    engine: Engine, runtime: DockerRuntime, told: dict[str, Any]
) -> None:
    engine.events_told = [told]
    hear(runtime)
    assert runtime.inspect("c1").exit_code == 0


def test_what_is_not_listed_any_more_is_not_kept(engine: Engine, runtime: DockerRuntime) -> None:
    hear(runtime)
    engine.listed = False
    runtime.list_containers()
    assert runtime.inspect("c1").exit_code == 0


# --- a container that is being made ---


class Slow(Engine):
    """Lists a container before it can be inspected."""

    def __init__(self, looks: int, listed: bool = True) -> None:
        super().__init__()
        self.looks = looks
        self.listed = listed

    def inspect_container(self, container_id: str) -> dict[str, Any]:
        self.looks -= 1
        if self.looks >= 0:
            raise NotFound("No such container")
        return super().inspect_container(container_id)


def test_a_container_that_is_listed_is_not_gone_though_it_cannot_be_inspected_yet() -> None:
    runtime = DockerRuntime(client=SimpleNamespace(api=Slow(looks=2)))
    assert runtime.inspect("c1").state is DOCKER_STATE.EXITED


def test_a_container_that_is_not_listed_either_is_gone() -> None:
    engine = Slow(looks=2, listed=False)
    runtime = DockerRuntime(client=SimpleNamespace(api=engine))
    assert (runtime.inspect("c1"), engine.looks) == (GONE, 1)


def test_nothing_is_said_of_a_container_that_stays_between_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_container, "LOOK_PAUSE", 0)
    runtime = DockerRuntime(client=SimpleNamespace(api=Slow(looks=1000)))
    with pytest.raises(RuntimeRefusedError):
        runtime.inspect("c1")


# --- a container that is being removed ---


def test_a_removal_that_is_in_progress_is_over_when_nothing_is_left() -> None:
    class Removing(Engine):
        looks = 0

        def remove_container(self, _: str, **__: Any) -> None:
            response = requests.Response()
            response.status_code = 409
            raise APIError("in progress", response=response)

        def inspect_container(self, container_id: str) -> dict[str, Any]:
            self.looks += 1
            if self.looks > 3:
                self.listed = False
                raise NotFound("No such container")
            return super().inspect_container(container_id)

    engine = Removing()
    DockerRuntime(client=SimpleNamespace(api=engine)).remove("c1")

    assert engine.looks == 4
