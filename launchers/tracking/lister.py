"""Lists all containers of a runtime, and has done what follows from that."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from flcore.errors import RuntimeUnavailableError

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, ContainerState
from ..runtime.base import ContainerSummary, Runtime
from ..settings import JobSettings
from .event_reader import hang_up
from .job_watcher import JobWatcher, Watch
from .listing import Expectation, OneAtATime, Sweep
from .looking import Cause
from .reachability import Reachability
from .tracked_job import TrackedJob
from .worker_loop import WorkerLoop

logger = logging.getLogger(__name__)

AWAY_INTERVAL = 2.0
"""Seconds between two lists while the engine does not answer."""
_NEVER_MADE = ContainerState(DOCKER_STATE.DEAD, error="its container was never made")


class Lister:
    """Lists now and then while there is something to look for, and whenever there is a doubt.

    For the tracker's worker only, except where a method says otherwise.

    Args:
        runtime: whose containers.
        loop: the worker.
        watcher: who looks at single containers.
        engine: whether it answers: a list decides that, not an inspection.
        settings: how often it lists, and how long a container may still appear.
        on_unknown: called in the pool with the listed containers that are not watched; it returns whether any of them
            must be dealt with later, so that the lists go on.
        closing: set when nothing new may begin.
        about: whose containers they are, for the log.
    """

    def __init__(
        self,
        runtime: Runtime,
        loop: WorkerLoop,
        watcher: JobWatcher,
        engine: Reachability,
        settings: JobSettings,
        on_unknown: Callable[[list[ContainerSummary]], bool] | None,
        closing: threading.Event,
        about: Mapping[str, str],
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._watcher = watcher
        self._engine = engine
        self._settings = settings
        self._on_unknown = on_unknown
        self._closing = closing
        self._about = about
        self.expected: dict[str, Expectation] = {}
        """By nonce."""
        self._listing = OneAtATime()
        self._sweep = Sweep(settings.creation_grace)
        self._ticking = False
        self._dealing = OneAtATime()
        """With unknown containers. It may take long; what the next list has may have been too early for it."""
        self._some_are_left = False
        """Some must be dealt with later."""

    def expect(self, job: TrackedJob, asked_ago: float) -> None:
        """Watch a job as soon as a container with its nonce is listed; give it up if none is in time. From any thread.

        ``asked_ago``: seconds since the engine was asked for the container.
        """
        self.expected[job.identity.nonce] = Expectation(job, self._settings.creation_grace - asked_ago)

    def begin_sweep(self) -> None:
        """List for as long as a container may still appear that nobody knows of."""
        self._sweep.begin()
        self.keep_listing()

    def keep_listing(self) -> None:
        """List now and then, from now on for as long as there is something to look for. Idempotent."""
        if not self._ticking:
            self._tick()

    def list_all(self) -> None:
        """List now, or once more behind the list that is under way."""
        if self._listing.begin(time.monotonic()):
            self._loop.ask(self._runtime.list_containers, self._listed, self._not_listed)

    def list_for_the_last_time(self) -> None:
        """Learn what has ended and was told by no event yet. From an engine that is away, nothing is to be learned."""
        if self._engine.answers:
            self.list_all()

    def _tick(self) -> None:
        self._ticking = bool(self._watcher.watches or self.expected or self._sweep.under_way or self._some_are_left)
        if self._ticking:
            # The next one first: whatever happens to this list, the lists go on.
            interval = self._settings.relist_interval
            self._loop.after(interval if self._engine.answers else min(interval, AWAY_INTERVAL), self._tick)
            self.list_all()
            self._watcher.heed_noted_ends()

    def _listed(self, summaries: list[ContainerSummary]) -> None:
        again = self._listing.end()
        self._engine.note_answer()
        self._sweep.listed(self._listing.began, time.monotonic())
        self._place(summaries)  # first: what is expected is not unknown
        self._compare({summary.id: summary.state for summary in summaries})
        self._report_unknown(summaries)
        if again:
            self.list_all()

    def _not_listed(self, error: Exception) -> None:
        again = self._listing.end()
        if isinstance(error, RuntimeUnavailableError):
            self._engine.note_silence(str(error))
        else:
            logger.error("%s: cannot be listed, will be again: %r", self._runtime.name, error, extra=self._about)
        if again:
            self.list_all()

    def _place(self, summaries: list[ContainerSummary]) -> None:
        """Find the containers of jobs that are expected, and give up those that were never made."""
        ids = {(summary.nonce, summary.name): summary.id for summary in summaries if summary.nonce}
        for nonce, expectation in list(self.expected.items()):
            job = expectation.job
            if container_id := ids.get((nonce, job.identity.container_name)):
                job.place(container_id)
                self._watcher.add(job)
                del self.expected[nonce]
            elif expectation.is_in_vain(time.monotonic()):
                job.wish.note_delivery()  # if there is one: what was never made has not ended by itself
                self._watcher.take_in(Watch(job), _NEVER_MADE)
                del self.expected[nonce]

    def _compare(self, states: Mapping[str, DOCKER_STATE | None]) -> None:
        """Look at the containers whose state is not what we know."""
        lost = False
        for container_id, watch in list(self._watcher.watches.items()):
            state = states.get(container_id)
            if state != watch.job.state or state is DOCKER_STATE.CREATED:  # a failed start leaves it "created"
                # Where a look is under way, or the first is still to come, an event may well have told of the end.
                lost |= state in TERMINAL_STATES and watch.job.state is not None and not watch.looking.under_way
                self._watcher.look_at(container_id, Cause.LISTED)
            if watch.job.end_request:
                self._watcher.pursue_end(watch)
        if lost:
            # A stream may look alive and bring nothing, for ever: behind a proxy, or when its other end is gone. To
            # open another one where this was only late costs little.
            again = "an end was told by no event; the event stream is opened again"
            logger.info("%s: %s", self._runtime.name, again, extra=self._about)
            hang_up(self._runtime)

    def _report_unknown(self, summaries: list[ContainerSummary]) -> None:
        if not self._on_unknown or self._closing.is_set():
            return
        unknown = [summary for summary in summaries if summary.id not in self._watcher.watches]
        if not unknown:
            self._some_are_left = False
        elif self._dealing.begin(time.monotonic()):
            self._loop.ask(partial(self._on_unknown, unknown), self._dealt_with, self._not_dealt_with)

    def _dealt_with(self, some_are_left: bool) -> None:
        self._some_are_left = self._dealing.end() or some_are_left
        self.keep_listing()

    def _not_dealt_with(self, error: Exception) -> None:
        logger.warning("%s: an unknown container was not dealt with: %s", self._runtime.name, error, extra=self._about)
        self._dealt_with(some_are_left=True)
