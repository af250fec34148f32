"""Ends jobs that take too long, or write nothing for too long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from ..docker_state import DOCKER_STATE
from ..runtime.base import Runtime
from .tracked_job import TrackedJob
from .worker_loop import Timer, WorkerLoop

logger = logging.getLogger(__name__)

IDLE_LOOKS = 4
"""How often a job's output is looked at within the time that it may be silent."""


class Countdown:
    """The time that one job has taken, and for how long it has been silent."""

    __slots__ = ("job", "last_output", "quiet_since", "run_timer")

    def __init__(self, job: TrackedJob) -> None:
        self.job = job
        self.run_timer: Timer | None = None
        self.quiet_since = 0.0
        """By the monotonic clock, as all here: one that jumps ends no job."""
        self.last_output = ""

    def cancel(self) -> None:
        """Hold on to nothing: a timer may be due much later than the job's end."""
        if self.run_timer:
            self.run_timer.cancel()


class JobTimeouts:
    """Counts the time of jobs; for the tracker's worker only. ``end`` pursues the end that it has requested."""

    def __init__(self, loop: WorkerLoop, runtime: Runtime, end: Callable[[TrackedJob], None]) -> None:
        self._loop = loop
        self._runtime = runtime
        self._end = end

    def begin(self, job: TrackedJob, started_at: float | None) -> Countdown | None:
        """Begin to count a running job's time; None if it has all the time of the world."""
        settings = job.hooks.settings
        if settings.run_timeout is None and settings.idle_timeout is None:
            return None
        countdown = Countdown(job)
        if settings.run_timeout is not None:
            reason = f"the site: it ran for more than {settings.run_timeout:g} s ('run_timeout')"
            late = partial(self._end_late, job, reason)
            countdown.run_timer = self._loop.after(settings.run_timeout - job.age(started_at), late)
        if settings.idle_timeout is not None:
            self._count_silence_anew(countdown, settings.idle_timeout)
        return countdown

    def _end_late(self, job: TrackedJob, reason: str) -> None:
        if not job.result:
            job.request_end(reason, time.time())
            self._end(job)

    def _count_silence_anew(self, countdown: Countdown, idle: float) -> None:
        countdown.quiet_since = time.monotonic()
        self._look_soon(countdown, idle)

    def _look_soon(self, countdown: Countdown, idle: float) -> None:
        self._loop.after(idle / IDLE_LOOKS, partial(self._look, countdown, idle))

    def _look(self, countdown: Countdown, idle: float) -> None:
        if not countdown.job.result:
            # Asked for only now and then, and only of jobs with an 'idle_timeout': no engine tells it by an event.
            job = countdown.job
            question = partial(self._runtime.last_output_time, job.identity.container_id)
            seen, not_seen = partial(self._seen, countdown, idle), partial(self._not_seen, countdown, idle)
            self._loop.ask(question, seen, not_seen, job.subject)

    def _seen(self, countdown: Countdown, idle: float, last_output: str) -> None:
        now = time.monotonic()
        # A paused process cannot write: its silence begins when it goes on.
        if last_output != countdown.last_output or countdown.job.state is not DOCKER_STATE.RUNNING:
            countdown.last_output, countdown.quiet_since = last_output, now
        if now - countdown.quiet_since >= idle:
            reason = f"the site: it wrote nothing for more than {idle:g} s ('idle_timeout')"
            self._end_late(countdown.job, reason)
        else:
            self._look_soon(countdown, idle)

    def _not_seen(self, countdown: Countdown, idle: float, error: Exception) -> None:
        logger.debug("%s: its output cannot be looked at: %s", countdown.job.identity, error)
        self._count_silence_anew(countdown, idle)  # it may well have written
