"""Jobs that NVIDIA FLARE is about to schedule, and that a kit's components were asked about: they wait in its queue."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from flcore.errors import Hold, JobAbortedError, JobLaunchError, RuntimeUnavailableError

logger = logging.getLogger(__name__)

GIVEN_UP_AFTER = 1800.0
"""Seconds without NVIDIA FLARE asking, or launching, after which a job is told as ended: a server asks again within ten
minutes, unless its ``job_scheduler`` says otherwise, and tells a client nothing of a job that it drops."""
_SCHEDULED_NEXT = "waits until NVIDIA FLARE schedules it"


class TellsOfHolds(Protocol):
    """What the jobs' site is told, see :class:`flcore.site_events.SiteEvents`."""

    def tell_of_hold(self, job_id: str, reason: str) -> None: ...

    def tell_of_failed_launch(self, job_id: str, error: Exception, end_id: str = "") -> None: ...


@dataclass(slots=True)
class _Job:
    """A job that was asked about."""

    since: float
    """When that was first, by the clock."""
    asked_at: float
    hold: Hold | None = None
    """Why it waits; None where it may be launched."""
    told: str = ""
    """What it was last said to wait for."""


class HeldJobs:
    """Those of one parent. All methods may be called from any thread; for one job, by one thread at a time.

    Args:
        events: who tells that jobs wait, and have ended.
        ask_later: has a call made in some seconds, as :meth:`launchers.job_launcher.JobLauncher.ask_later`.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        events: TellsOfHolds,
        ask_later: Callable[[float, Callable[[], object]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._events = events
        self._ask_later = ask_later
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def why_not_yet(self, job_id: str, attempt: Callable[[], bool]) -> str:
        """Return what a job waits for; empty where NVIDIA FLARE may launch it, or have that be refused.

        ``attempt`` has all hear what would be launched, and raises what a component has refused it by; it returns
        False for a job that is none of this launcher's. It is called when that may be another answer than the last.
        """
        now = self._clock()
        with self._lock:
            is_new = job_id not in self._jobs
            job = self._jobs.setdefault(job_id, _Job(now, now))
            job.asked_at = now
        if job.told and job.hold is None:
            return ""
        if job.hold and now - job.since < job.hold.patience and not job.hold.may_go_on():
            return job.hold.reason
        hold: Hold | None = None
        try:
            if not attempt():
                self.taken(job_id)
                return ""
        except RuntimeUnavailableError as error:
            hold = Hold(str(error), lambda: True, math.inf)
        except JobLaunchError as error:
            hold = error.hold
        job.hold = hold if hold and now - job.since < hold.patience else None
        reason = job.hold.reason if job.hold else _SCHEDULED_NEXT
        if reason != job.told:
            job.told = reason
            self._events.tell_of_hold(job_id, reason)
        if is_new:
            self._look_later(job_id, GIVEN_UP_AFTER)
        return job.hold.reason if job.hold else ""

    def taken(self, job_id: str) -> None:
        """Note that a job is being launched, which tells how that ends. Idempotent."""
        with self._lock:
            self._jobs.pop(job_id, None)

    def close(self) -> None:
        """Tell of all that they have ended: the site ends."""
        with self._lock:
            jobs, self._jobs = self._jobs, {}
        for job_id in jobs:
            self._tell_of_end(job_id, "the site, which ends")

    def _look_later(self, job_id: str, seconds: float) -> None:
        try:
            self._ask_later(seconds, partial(self._give_up_if_forgotten, job_id))
        except RuntimeUnavailableError as error:
            logger.debug("job %s: nobody looks whether it is still wanted: %s", job_id, error)

    def _give_up_if_forgotten(self, job_id: str) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
            left = job.asked_at + GIVEN_UP_AFTER - self._clock() if job else 0.0
            if job and left <= 0:
                del self._jobs[job_id]
        if job and left > 0:
            self._look_later(job_id, left)
        elif job:
            self._tell_of_end(job_id, f"NVIDIA FLARE, which has not asked for it for {GIVEN_UP_AFTER / 60:g} minutes")

    def _tell_of_end(self, job_id: str, by: str) -> None:
        self._events.tell_of_failed_launch(job_id, JobAbortedError(f"job {job_id}: it was not launched: {by}", by))
