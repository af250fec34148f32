"""A job that takes too long, or says nothing for too long, is ended by the site, which says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flcore import JobReturnCode
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, Progress
from launchers.records.job_record import JobIdentity
from launchers.records.told import Told
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

TIMEOUT = 10.0


class Bench:
    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        self.tracker = StateTracker(self.runtime, settings=JobSettings(relist_interval=0.02))

    def running(self, settings: JobSettings, told: Progress | None = None) -> TrackedJob:
        container_id = self.runtime.create(ContainerSpec("one", "job:1", ("run",)))
        hooks = JobHooks(settings=replace(settings, stop_grace=0))
        job = TrackedJob(JobIdentity("job-1", "site-1", "one", container_id), hooks, Told(told) if told else None)
        self.runtime.start(container_id)
        self.tracker.watch(job)
        assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        return job


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.tracker.close()


def reason(job: TrackedJob) -> str:
    result = job.wait(TIMEOUT)
    assert result is not None
    assert result.return_code is JobReturnCode.ABORTED
    return result.ended_by


def test_a_job_that_runs_too_long_is_ended(bench: Bench) -> None:
    job = bench.running(JobSettings(run_timeout=0.05))
    assert reason(job) == "the site: it ran for more than 0.05 s ('run_timeout')"


def test_a_job_that_is_fast_enough_is_left_alone(bench: Bench) -> None:
    job = bench.running(JobSettings(run_timeout=60))
    bench.runtime.exit("one", 0)
    result = job.wait(TIMEOUT)
    assert result is not None
    assert result.succeeded


def test_a_pause_does_not_stop_the_clock(bench: Bench) -> None:
    job = bench.running(JobSettings(run_timeout=0.1))
    bench.runtime.pause("one")
    assert "run_timeout" in reason(job)


def test_a_job_of_an_earlier_process_has_used_up_its_time_already(bench: Bench) -> None:
    told = Progress(DOCKER_STATE.RUNNING, frozenset({DOCKER_STATE.CREATED, DOCKER_STATE.RUNNING}), time.time())
    job = bench.running(JobSettings(run_timeout=0.05), told)
    assert "run_timeout" in reason(job)


def test_a_silent_job_is_ended(bench: Bench) -> None:
    job = bench.running(JobSettings(idle_timeout=0.05))
    assert reason(job) == "the site: it wrote nothing for more than 0.05 s ('idle_timeout')"


def test_a_job_that_writes_now_and_then_is_left_alone_until_it_stops(bench: Bench) -> None:
    job = bench.running(JobSettings(idle_timeout=0.2))
    pause, began = threading.Event(), time.monotonic()
    while time.monotonic() - began < 0.6:
        bench.runtime.write("one", b"still here\n")
        pause.wait(0.02)
    assert job.result is None
    assert "idle_timeout" in reason(job)
    assert time.monotonic() - began >= 0.75


def test_a_paused_job_is_not_called_silent(bench: Bench) -> None:
    job = bench.running(JobSettings(idle_timeout=0.1))
    bench.runtime.pause("one")
    assert job.wait(0.3) is None
    bench.runtime.unpause("one")
    assert "idle_timeout" in reason(job)


def test_an_outage_is_no_silence(bench: Bench) -> None:
    job = bench.running(JobSettings(idle_timeout=0.1))
    bench.runtime.set_reachable(False)
    assert job.wait(0.3) is None
    assert job.end_request is None
