"""Disks: what it costs to hold jobs to what their folders may hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking.job_disk import JobDisk
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

from .framework import Contest, at_most, bench

JOBS, FILES = 100, 1_000
LIMIT = 1 << 30
SECONDS = 20.0
TIMEOUT = 120.0


@bench(rounds=3, warm_up=0)
def folders_of_a_hundred_jobs() -> Iterator[Contest]:
    """A hundred running jobs with a thousand files each, of which one fills its folder in the end."""
    with TemporaryDirectory(prefix="flcore-bench-") as name:
        folders = [_filled(Path(name, f"job-{number}")) for number in range(JOBS)]
        measures = {"no limit": partial(_watch, folders, None), "flcore": partial(_watch, folders, LIMIT)}
        targets = {"% of a processor": at_most(5.0), "s until its end": at_most(15.0)}
        yield Contest(measures, floor="no limit", targets=targets)


def _filled(folder: Path) -> Path:
    for number in range(FILES):
        place = folder / f"{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        os.mknod(place / f"{number}")
    return folder


def _watch(folders: list[Path], limit: int | None) -> dict[str, float]:
    with ExitStack() as stack:
        runtime = FakeRuntime()
        tracker = StateTracker(runtime, settings=JobSettings())
        stack.callback(tracker.close)
        jobs = [_run(runtime, tracker, folder, limit) for folder in folders]
        for job in jobs:
            assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        began, used = time.monotonic(), time.process_time()
        jobs[0].wait(SECONDS)
        share = 100 * (time.process_time() - used) / (time.monotonic() - began)
        return {"% of a processor": share} | ({"s until its end": _fill(jobs[-1])} if limit else {})


def _run(runtime: FakeRuntime, tracker: StateTracker, folder: Path, limit: int | None) -> TrackedJob:
    container_id = runtime.create(ContainerSpec(folder.name, "job:1", ("run",)))
    hooks = JobHooks(settings=JobSettings(stop_grace=0), disk=JobDisk(folder, limit) if limit else None)
    job = TrackedJob(JobIdentity(folder.name, "site-1", folder.name, container_id), hooks)
    runtime.start(container_id)
    tracker.watch(job)
    return job


def _fill(job: TrackedJob) -> float:
    """Return how many seconds a job lives after it has filled its folder."""
    assert job.hooks.disk
    data, began = job.hooks.disk.folder / "data", time.monotonic()
    try:
        with data.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, job.hooks.disk.limit)
        assert job.wait(TIMEOUT), "it was not ended"
        return time.monotonic() - began
    finally:
        data.unlink(missing_ok=True)
