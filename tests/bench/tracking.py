"""Tracking: what ten thousand jobs cost, in a runtime that costs next to nothing."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from flcore import JobStateChange
from launchers.container_spec import ContainerSpec
from launchers.records.job_record import JobIdentity, RecordStore
from launchers.runtime.base import ContainerSummary
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

from .framework import Contest, at_least, at_most, bench

JOBS = 10_000
NEVER = 3600.0
TIMEOUT = 120.0


@bench(rounds=3, warm_up=0)
def ten_thousand_jobs() -> Iterator[Contest]:
    """Ten thousand jobs tracked from creation to end; with a record on disk of each, as at a site."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        measures = {"flcore": partial(_track, None), "with records": partial(_track, Path(folder))}
        yield Contest(measures, targets={"bytes a job": at_most(4096), "changes/s": at_least(20_000)})


class _ListedRuntime(FakeRuntime):
    """Tells when a list was taken in: the next one is asked for then."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = threading.Event()

    def list_containers(self) -> list[ContainerSummary]:
        self.listed.set()
        return super().list_containers()


class _Tracked:
    """Ten thousand running jobs."""

    def __init__(self, folder: Path | None, stack: ExitStack) -> None:
        self.runtime = _ListedRuntime()
        self.tracker = StateTracker(self.runtime, settings=JobSettings(relist_interval=NEVER))
        stack.callback(self.tracker.close)
        self._store = RecordStore(folder) if folder else None
        if self._store:
            self._store.open()
            stack.callback(self._store.close)
        self._told = 0
        self._told_all = threading.Condition()
        ids = [self.runtime.create(ContainerSpec(f"job-{number}", "job:1", ("run",))) for number in range(JOBS)]
        gc.collect()
        tracemalloc.start()
        self.jobs = [self._job(*one) for one in enumerate(ids)]
        for job in self.jobs:
            self.tracker.watch(job)
        self._wait_for(JOBS)
        gc.collect()
        self.size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    def changes_per_second(self) -> float:
        """End all, and return how fast that was told."""
        began = time.perf_counter()
        for job in self.jobs:
            self.runtime.exit(job.identity.container_name)
        self._wait_for(3 * JOBS)
        return JOBS / (time.perf_counter() - began)

    def start(self) -> None:
        """Start all, and return when that was told."""
        for job in self.jobs:
            self.runtime.start(job.identity.container_id)
        self._wait_for(2 * JOBS)

    def seconds_of_a_list(self) -> float:
        """Return how long it takes until a list of all containers is compared with what is known."""
        self.runtime.listed.clear()
        began = time.perf_counter()
        self.tracker.doubt()
        self.tracker.doubt()  # begins when the first is done
        self.runtime.listed.wait(TIMEOUT)
        self.runtime.listed.clear()
        self.runtime.listed.wait(TIMEOUT)
        return time.perf_counter() - began

    def _job(self, number: int, container_id: str) -> TrackedJob:
        nonce, name = container_id[:16], f"job-{number}"
        who = JobIdentity(name, "site-1", name, container_id, nonce)
        record = self._store.add("bench", who) if self._store else None
        return TrackedJob(who, JobHooks(self._count, record=record))

    def _count(self, change: JobStateChange) -> None:
        self._told += 1
        if not self._told % JOBS:
            with self._told_all:
                self._told_all.notify_all()

    def _wait_for(self, changes: int) -> None:
        with self._told_all:
            assert self._told_all.wait_for(lambda: self._told >= changes, TIMEOUT)


def _track(folder: Path | None) -> dict[str, float]:
    with ExitStack() as stack:
        tracked = _Tracked(folder, stack)
        tracked.start()
        ms_of_a_list = tracked.seconds_of_a_list() * 1e3
        return {
            "bytes a job": tracked.size / JOBS,
            "changes/s": tracked.changes_per_second(),
            "ms a list": ms_of_a_list,
        }
