"""What an engine told once, and an inspection does not say (any more), asked of a small engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from flcore import JobReturnCode
from flcore.errors import JobStartError
from launchers.docker_state import DOCKER_STATE, effective_state, result_of
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine

NEVER = "0001-01-01T00:00:00Z"
REFUSED = "crun: executable file `no-such-command` not found in $PATH"


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    engine.answers["POST /containers/0123/start"] = 500, {"message": REFUSED}
    inspection_says(engine)
    with closing(DockerRuntime(engine.address)) as runtime:
        with pytest.raises(JobStartError, match="no-such-command"):
            runtime.start("0123")
        yield runtime


def inspection_says(engine: SmallEngine, status: str = "created", error: str = "", started_at: str = NEVER) -> None:
    state = {"Status": status, "ExitCode": 0, "Error": error, "StartedAt": started_at, "FinishedAt": NEVER}
    engine.answers["GET /containers/0123/json"] = 200, {"Id": "0123", "State": state, "Config": {}}


def test_a_start_that_was_refused_is_an_end_though_the_inspection_says_nothing_of_it(runtime: DockerRuntime) -> None:
    seen = runtime.inspect("0123")

    assert effective_state(seen) is DOCKER_STATE.DEAD
    assert (result_of(seen).return_code, result_of(seen).exit_code) == (JobReturnCode.EXECUTION_ERROR, None)
    assert REFUSED in result_of(seen).error


def test_what_the_inspection_says_of_a_refused_start_counts(engine: SmallEngine, runtime: DockerRuntime) -> None:
    inspection_says(engine, error="its own words")
    assert runtime.inspect("0123").error == "its own words"


def test_what_runs_was_not_refused(engine: SmallEngine, runtime: DockerRuntime) -> None:
    inspection_says(engine, status="running", started_at="2026-11-29T10:00:00Z")
    assert runtime.inspect("0123").error == ""


def test_a_refusal_is_forgotten_with_its_container(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /containers/json"] = 200, [{"Id": "0123", "State": "created"}]
    runtime.list_containers()
    assert runtime.inspect("0123").error

    engine.answers["GET /containers/json"] = 200, []
    runtime.list_containers()
    assert not runtime.inspect("0123").error
