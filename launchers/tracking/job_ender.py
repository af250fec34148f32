"""Ends jobs that somebody asked to end: asks, then kills, then kills again, until an inspection confirms it."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Protocol

from ..docker_state import DOCKER_STATE
from ..runtime.base import Runtime
from .tracked_job import TrackedJob
from .worker_loop import WorkerLoop

logger = logging.getLogger(__name__)

KILL_INTERVAL = 5.0
"""Seconds between two kills of a job whose end is not seen."""
SIGNAL_RETRY = 1.0
"""Seconds after which a signal is sent again that could not be sent."""


class Tracker(Protocol):
    """What is asked of the tracker."""

    def poke(self, job: TrackedJob) -> None:
        """Have a job inspected."""

    def doubt(self) -> None:
        """Have it found out whether the engine answers at all."""

    def end(self, job: TrackedJob) -> None:
        """Have a job's end pursued, if the engine answers."""


class Ending:
    """How far one job's end has been pursued."""

    __slots__ = ("at", "job", "signal", "under_way")

    def __init__(self, job: TrackedJob) -> None:
        self.job = job
        self.signal = "SIGTERM"
        self.at = 0.0
        """What is sent next, and when at the earliest, by the monotonic clock."""
        self.under_way = False
        """A signal is: whether it or the job's own end came first is not known yet."""


class JobEnder:
    """Pursues ends; for the tracker's worker only."""

    def __init__(self, loop: WorkerLoop, runtime: Runtime, tracker: Tracker) -> None:
        self._loop = loop
        self._runtime = runtime
        self._tracker = tracker

    def pursue(self, ending: Ending) -> None:
        """Do what is next. Idempotent: call it whenever something was heard of the job or the engine."""
        job = ending.job
        if job.result or job.state is None or ending.under_way or time.monotonic() < ending.at:
            return
        ending.under_way = True
        question = partial(self._end_process, job, ending.signal)
        self._loop.ask(question, partial(self._signalled, ending), partial(self._not_signalled, ending))

    def _end_process(self, job: TrackedJob, signal: str) -> bool:
        """In the pool: signal a container's process, or remove a container that has none. Whether that ended it."""
        container_id = job.identity.container_id
        if job.state is DOCKER_STATE.CREATED and self._runtime.inspect(container_id).state is DOCKER_STATE.CREATED:
            self._runtime.remove(container_id)
            return True
        return self._runtime.send_signal(container_id, signal)

    def _signalled(self, ending: Ending, delivered: bool) -> None:
        grace = ending.job.hooks.settings.stop_grace if ending.signal == "SIGTERM" else KILL_INTERVAL
        ending.signal = "SIGKILL"
        ending.job.note_delivery(delivered)
        self._again_in(grace, ending)
        self._tracker.poke(ending.job)

    def _not_signalled(self, ending: Ending, error: Exception) -> None:
        logger.warning("%s: cannot be signalled, will be again: %s", ending.job.identity, error)
        self._again_in(SIGNAL_RETRY, ending)
        self._tracker.doubt()

    def _again_in(self, seconds: float, ending: Ending) -> None:
        ending.under_way = False
        ending.at = time.monotonic() + seconds
        self._loop.after(seconds, partial(self._tracker.end, ending.job))
