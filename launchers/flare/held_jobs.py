"""Jobs that NVIDIA FLARE is about to schedule, and that a kit's components were asked about: they wait in its queue."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from flcore.errors import Hold, JobAbortedError, JobLaunchError, RuntimeUnavailableError

logger = logging.getLogger(__name__)

GIVEN_UP_AFTER = 1800.0
"""Seconds without NVIDIA FLARE asking, or launching, after which a job is told as ended: a server asks again within ten
minutes, unless its ``job_scheduler`` says otherwise, and tells a client nothing of a job that it drops."""
_SCHEDULED_NEXT = "waits until NVIDIA FLARE schedules it"
_WAITS = "the site has put it off, and says there why"
_IS_LOOKED_AT = "the site is looking at it"
"""What a server is told, which shows that to others."""


class TellsOfHolds(Protocol):
    """What the jobs' site is told, see :class:`flcore.site_events.SiteEvents`."""

    def tell_of_hold(self, job_id: str, reason: str) -> None: ...

    def tell_of_failed_launch(self, job_id: str, error: Exception, end_id: str = "") -> None: ...


@dataclass(slots=True)
class _Job:
    """A job that was asked about."""

    asked_at: float
    """When that was last, by the clock."""
    hold: Hold | None = None
    """Why it waits; None where it may be launched."""
    told: str = ""
    """What it was last said to wait for; empty before it was looked at."""
    since: dict[type[Exception], float] = field(default_factory=dict)
    """When it was first put off by an error of a kind."""
    until: float = math.inf
    """When it is put off no longer."""
    asking: threading.Lock = field(default_factory=threading.Lock)
    """Held by the thread that looks at it."""


class HeldJobs:
    """Those of one parent. All methods may be called from any thread.

    Args:
        events: who tells that jobs wait, and have ended.
        ask_later: has a call made in some seconds, as :meth:`launchers.job_launcher.JobLauncher.ask_later`.
        forget: removes what has come of a job, which was looked at, and is not looked at any more.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        events: TellsOfHolds,
        ask_later: Callable[[float, Callable[[], object]], None],
        forget: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._ask_later = ask_later
        self._forget = forget
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def why_not_yet(self, job_id: str, attempt: Callable[[], bool]) -> str:
        """Return what a job waits for, for NVIDIA FLARE; empty where that may launch it, or have that be refused.

        ``attempt`` has all hear what would be launched, and raises what a component has refused it by; it returns
        False for a job that is none of this launcher's. It is called when that may be another answer than the last.
        NVIDIA FLARE may ask again before it was answered: then the job waits.
        """
        now = self._clock()
        with self._lock:
            is_new = job_id not in self._jobs
            job = self._jobs.setdefault(job_id, _Job(now))
            job.asked_at = now
        if not job.asking.acquire(blocking=False):
            return _IS_LOOKED_AT
        try:
            return self._answer(job_id, job, attempt)
        finally:
            job.asking.release()
            if is_new and self._jobs.get(job_id) is job:
                self._look_later(job_id, GIVEN_UP_AFTER)

    def taken(self, job_id: str) -> bool:
        """Note that a job is being launched, which tells how that ends. Returns whether it was asked about."""
        with self._lock:
            return self._jobs.pop(job_id, None) is not None

    def close(self) -> None:
        """Tell of all that they have ended: the site ends."""
        with self._lock:
            jobs, self._jobs = self._jobs, {}
        for job_id in jobs:
            self._tell_of_end(job_id, "the site, which ends")

    def _answer(self, job_id: str, job: _Job, attempt: Callable[[], bool]) -> str:
        if job.told and job.hold is None:
            return ""
        if job.hold and self._clock() < job.until and not job.hold.may_go_on():
            return job.hold.summary or _WAITS
        hold: Hold | None = None
        kind: type[Exception] = JobLaunchError
        try:
            if not attempt():
                self.taken(job_id)
                return ""
        except RuntimeUnavailableError as error:
            hold, kind = Hold(str(error), lambda: True, math.inf, "its engine does not answer"), type(error)
        except JobLaunchError as error:
            hold, kind = error.hold, type(error)
        return self._note(job_id, job, hold, kind)

    def _note(self, job_id: str, job: _Job, hold: Hold | None, kind: type[Exception]) -> str:
        """Note why a job is put off, if it still is, and tell of that if it is new. Returns as why_not_yet does."""
        now = self._clock()
        with self._lock:
            if self._jobs.get(job_id) is not job:
                return ""  # it was launched meanwhile, or told as ended
            if hold:
                job.until = job.since.setdefault(kind, now) + hold.patience
            job.hold = hold if hold and now < job.until else None
            reason = job.hold.reason if job.hold else _SCHEDULED_NEXT
            is_news, job.told = reason != job.told, reason
            if job.hold is None:
                self._forget(job_id)
        if is_news:
            self._events.tell_of_hold(job_id, reason)
        return job.hold.summary or _WAITS if job.hold else ""

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
                self._forget(job_id)
        if job and left > 0:
            self._look_later(job_id, left)
        elif job:
            self._tell_of_end(job_id, f"NVIDIA FLARE, which has not asked for it for {GIVEN_UP_AFTER / 60:g} minutes")

    def _tell_of_end(self, job_id: str, by: str) -> None:
        self._events.tell_of_failed_launch(job_id, JobAbortedError(f"job {job_id}: it was not launched: {by}", by))
