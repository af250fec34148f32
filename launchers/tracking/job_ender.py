"""Ends jobs that somebody asked to end: asks, then kills, then kills again, until an inspection confirms it."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Protocol

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, effective_state
from ..runtime.base import Runtime
from .ending import Ending
from .tracked_job import TrackedJob
from .worker_loop import WorkerLoop

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """What is asked of the tracker."""

    def poke(self, job: TrackedJob) -> None:
        """Have a job inspected."""

    def doubt(self) -> None:
        """Have it found out whether the engine answers at all."""

    def end(self, job: TrackedJob) -> None:
        """Have a job's end pursued, if the engine answers."""


class JobEnder:
    """Pursues ends; for the tracker's worker only."""

    def __init__(self, loop: WorkerLoop, runtime: Runtime, tracker: Tracker) -> None:
        self._loop = loop
        self._runtime = runtime
        self._tracker = tracker

    def pursue(self, job: TrackedJob, ending: Ending) -> None:
        """Do what is next. Idempotent: call it whenever something was heard of the job or the engine."""
        if job.result:
            return
        if job.state is None:  # it is not known whether there is a process to signal, or a container to remove
            self._tracker.poke(job)
            return
        if not ending.begin(time.monotonic()):
            return
        question = partial(self._end_process, job, ending.signal)
        signalled, not_signalled = partial(self._signalled, job, ending), partial(self._not_signalled, job, ending)
        self._loop.ask(question, signalled, not_signalled, job.subject)

    def _end_process(self, job: TrackedJob, signal: str) -> bool:
        """In the pool: signal a process, or remove a container that has none; return whether it was there still."""
        container_id = job.identity.container_id
        if job.state is DOCKER_STATE.CREATED:
            # The engine is asked once more: one that was started meanwhile would be killed without having been asked,
            # and one whose start has failed has ended by itself.
            state = effective_state(self._runtime.inspect(container_id))
            if state is DOCKER_STATE.CREATED:
                return job.wish.deliver_by_removal(partial(self._runtime.remove, container_id))
            if state in TERMINAL_STATES:
                return False
        return job.wish.deliver(partial(self._runtime.send_signal, container_id, signal))

    def _signalled(self, job: TrackedJob, ending: Ending, _: bool) -> None:
        self._go_on_in(ending.sent(time.monotonic()), job)
        # An end that was seen while the signal was under way was put off, for nobody knew who was first: the job, or
        # who asked for its end. Now that is known, noted for the result, and the end may be looked at.
        self._tracker.poke(job)

    def _not_signalled(self, job: TrackedJob, ending: Ending, error: Exception) -> None:
        self._go_on_in(ending.not_sent(time.monotonic()), job)
        logger.warning("%s: cannot be signalled, will be again: %s", job.identity, error)
        self._tracker.doubt()  # is it the engine, or this container alone?

    def _go_on_in(self, seconds: float, job: TrackedJob) -> None:
        self._loop.after(seconds, partial(self._tracker.end, job))
