"""JobEnder: what has ended by itself is not ended once more."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from flcore import JobReturnCode
from flcore.errors import JobStartError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import TrackedJob

TIMEOUT = 10


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def tracker(runtime: FakeRuntime) -> Iterator[StateTracker]:
    tracker = StateTracker(runtime, settings=JobSettings(relist_interval=3600))
    yield tracker
    tracker.close()


@pytest.fixture
def created(runtime: FakeRuntime, tracker: StateTracker) -> TrackedJob:
    """A job whose container was made, and nothing is told of what happens to it."""
    runtime.drop_events = True
    container_id = runtime.create(ContainerSpec("one", "job:1", ("run",)))
    job = TrackedJob(JobIdentity("job-1", "site-1", "one", container_id))
    tracker.watch(job)
    assert job.enter_states({DOCKER_STATE.CREATED}, TIMEOUT)
    return job


def test_a_job_whose_start_has_failed_is_not_ended_by_who_asks_afterwards(
    runtime: FakeRuntime, tracker: StateTracker, created: TrackedJob
) -> None:
    runtime.start_error = "no such program"
    with pytest.raises(JobStartError):
        runtime.start(created.identity.container_id)
    created.request_end("flcore stop", time.time())
    tracker.end(created)
    result = created.wait(TIMEOUT)
    assert result is not None
    assert (result.return_code, result.error) == (JobReturnCode.EXECUTION_ERROR, "no such program")


def test_a_job_that_was_never_started_is_ended_by_who_asks(
    runtime: FakeRuntime, tracker: StateTracker, created: TrackedJob
) -> None:
    created.request_end("flcore stop", time.time())
    tracker.end(created)
    result = created.wait(TIMEOUT)
    assert result is not None
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "flcore stop")
    assert runtime.containers() == []
