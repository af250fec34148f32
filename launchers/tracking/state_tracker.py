"""The one thing per runtime that learns what happened to every job, and tells.

Three threads, whatever the number of jobs::

    reader     subscribes to the runtime's events and hands the ids of containers to the worker; nothing else
    worker     keeps the books: moves state machines, wakes who waits; never waits for an engine itself
    notifier   calls listeners, in order; they may be slow or raise without delaying a waiter or losing a change

Whatever asks the engine (an inspection, a list, a signal, a clean-up) runs in lanes whose threads end when there is
nothing to ask: one for lists, one for containers, and one for containers that have hung before, so that these take no
thread from the others. Events are hints, inspection is the truth: one that is lost, doubled or late changes no result.
The list, every few seconds, is the safety net, and alone decides whether the runtime answers: one that does not is a
condition of its own and ends no job, and a container that cannot be inspected holds up no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from flcore.errors import RuntimeUnavailableError
from flcore.job_launcher_spec import LauncherFigures
from flcore.site_log import TELLS_OF_OUTAGE
from flcore.threads import logged

from ..docker_state import ContainerState
from ..records.end_marks import EndMarks
from ..runtime.base import ContainerSummary, Runtime
from ..settings import JobSettings
from .event_reader import EventReader, hang_up
from .job_cleaner import JobCleaner
from .job_watcher import JobWatcher, Watch
from .lister import AWAY_INTERVAL, Lister
from .notifier import Notifier
from .reachability import Reachability
from .tracked_job import TrackedJob
from .worker_loop import WorkerLoop
from .worker_pool import THREAD_RETRY

logger = logging.getLogger(__name__)

THREAD_TIMEOUT = 10.0
"""Seconds that closing waits for each thread. A listener may block for ever; the site must not."""
EVENT_PATIENCE = 0.1
"""Seconds that an event of a job's start has. It comes with the answer: if both had the job looked at, one would do."""
CLEANERS_TIMEOUT = 30.0
"""Seconds that closing waits for clean-ups."""


class StateTracker:
    """Tracks the jobs of one runtime. Threads start with the first job; all methods may be called from any thread.

    Args:
        runtime: whose containers.
        on_engine: called by the notifier, ``(reachable, reason)``, when the runtime stops answering, and when it
            answers again.
        on_unknown: called in the pool with the listed containers that are not tracked.
        settings: how often it lists, and how long a container may still appear.
        site: whose jobs they are, for the log.
        marks: say whose end other processes have noted; None where nobody could.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_engine: Callable[[bool, str], None] | None = None,
        on_unknown: Callable[[list[ContainerSummary]], bool] | None = None,
        settings: JobSettings = JobSettings(),
        site: str = "",
        marks: EndMarks | None = None,
    ) -> None:
        self._runtime = runtime
        self._about = {"site": site}
        self._on_engine = on_engine
        self._lock = threading.Lock()
        """Held by who begins something new, so that nothing does after the closing."""
        self._begun = False
        """There may be threads."""
        self._closing = threading.Event()
        self._notifier = Notifier()
        self._loop = WorkerLoop("worker")
        self._engine = Reachability(self._engine_has_changed)
        self._cleaner = JobCleaner(self._loop)
        # Each needs the other: a watcher in doubt has all listed, and a list says what to look at.
        self._watcher = JobWatcher(
            self,
            runtime,
            self._loop,
            self._engine,
            self._cleaner,
            self._notifier,
            lambda: self._lister.list_all(),
            marks,
        )
        self._lister = Lister(
            runtime, self._loop, self._watcher, self._engine, settings, on_unknown, self._closing, self._about
        )
        self._reader = EventReader(runtime, self._heed_event, self.doubt, self._about)

    def start(self, patience: float) -> None:
        """Start the threads, unless they run, and try for so many seconds.

        Raises RuntimeUnavailableError after the closing, and if no thread can be started even then.
        """
        give_up_at = time.monotonic() + patience
        while not self._has_begun(time.monotonic() >= give_up_at):
            self._closing.wait(THREAD_RETRY)

    def watch(self, job: TrackedJob) -> None:
        """Follow a job's container from now on; what happened to it before counts too. Idempotent."""
        self.watch_unstarted(job)
        self.poke(job)

    def watch_unstarted(self, job: TrackedJob) -> None:
        """Follow a job's container, to which nothing has happened yet but its creation. Idempotent.

        It is not looked at before something does: who starts it says so by :meth:`poke`.
        """
        with self._lock:
            self._begin(job)
            self._watcher.add(job)
        self._loop.post(self._lister.keep_listing)

    def expect(self, job: TrackedJob, asked_ago: float = 0.0) -> None:
        """Follow a job whose container may or may not be there, by its nonce. It ends if none appears in time.

        ``asked_ago``: seconds since the engine was asked for the container.
        """
        with self._lock:
            self._begin(job)
            self._lister.expect(job, asked_ago)
        self._loop.post(self._lister.keep_listing)
        self.doubt()

    def restore(self, job: TrackedJob, seen: ContainerState, output: str) -> None:
        """Take in the end of a job as another process saw it; nobody is asked."""
        with self._lock:
            self._begin(job)
        self._loop.post(partial(self._watcher.take_in, Watch(job), seen, output))

    def clean_up(self, job: TrackedJob) -> None:
        """Have a job that never had a container cleaned up until nothing is left of it. Nobody is told of it.

        Raises RuntimeUnavailableError after the closing, and if no thread can be started.
        """
        with self._lock:
            self._begin(job)
            job.announce()
            self._cleaner.clean_up(job)

    def sweep(self) -> None:
        """List for as long as a container may still appear that nobody knows of, even if there is no job."""
        with self._lock:
            self._begin(None)
        self._loop.post(self._lister.begin_sweep)

    def ask_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Have the pool make a call in some seconds, unless the tracker is closed before. What it raises is logged."""
        with self._lock:
            self._begin(None)
        question = partial(self._loop.ask, partial(logged, call), lambda _: None, lambda _: None)
        self._loop.later(seconds, question)

    def poke(self, job: TrackedJob) -> None:
        """Have a job's container looked at, without waiting for an event."""
        self._loop.post(partial(self._watcher.look_at, job.identity.container_id))

    def poke_unless_told(self, job: TrackedJob) -> None:
        """Have a job that was started looked at, unless an event has that done in a moment."""
        self._loop.later(EVENT_PATIENCE, partial(self._watcher.look_for_start, job.identity.container_id))

    def end(self, job: TrackedJob) -> None:
        """Have a job ended for which an end was requested: soon, or when the engine answers again. Never blocks."""
        self._loop.post(partial(self._watcher.pursue_end_in, job.identity.container_id))

    def doubt(self) -> None:
        """Have it found out whether the engine answers at all."""
        self._loop.post(self._lister.list_all)

    def tell(self, call: Callable[[], None]) -> None:
        """Have the notifier call something too, behind all that it has to tell already. Not after the closing."""
        with self._lock:
            if not self._closing.is_set():
                self._begin(None)
                self._notifier.tell(call)

    def figures(self) -> LauncherFigures:
        """Return figures of this tracker's own work. Asks nobody."""
        return LauncherFigures(max(0, self._reader.streams - 1), self._watcher.missed_changes, self._notifier.untold)

    def why_no_end(self) -> str:
        """Return why an end that was asked for is not seen yet."""
        return self._engine.why_not or "the engine has not confirmed its end"

    def close(self) -> None:
        """Stop tracking: ended jobs are cleaned up and announced first, running ones go on untracked. Idempotent."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            begun = self._begun
        if begun:
            self._finish()
        for watch in self._watcher.watches.values():
            watch.job.let_go()
        for expectation in self._lister.expected.values():
            expectation.job.let_go()

    def _has_begun(self, is_last_try: bool) -> bool:
        try:
            with self._lock:
                self._begin(None)
        except RuntimeUnavailableError:
            if is_last_try or self._closing.is_set():
                raise
            return False
        return True

    def _begin(self, job: TrackedJob | None) -> None:
        """With the lock: start the threads, unless they run.

        Raises RuntimeUnavailableError after the closing, and if no thread can be started; then nothing was begun.
        """
        if self._closing.is_set():
            raise RuntimeUnavailableError(f"{job.identity if job else 'the search for jobs'}: the site is closed")
        self._begun = True
        for part in (self._notifier, self._loop, self._reader):  # the reader last: those to whom it hands on are there
            part.start()

    def _finish(self) -> None:
        """End the threads in the order in which one hands on to the next, so that nothing that is known gets lost."""
        with ExitStack() as stack:  # done from the last to the first, each even if one before it is interrupted
            stack.callback(self._notifier.finish, THREAD_TIMEOUT)  # no more listeners
            stack.callback(self._clean_up_for_the_last_time)
            stack.callback(self._reader.join, THREAD_TIMEOUT)
            stack.callback(self._loop.finish, THREAD_TIMEOUT)  # no more changes
            # A job may have ended, and its event be still on its way here: else its end would be told by the next
            # process only, and its container stay till then.
            stack.callback(self._loop.post, self._lister.list_for_the_last_time)
            stack.callback(self._reader.stop)

    def _clean_up_for_the_last_time(self) -> None:
        self._cleaner.close(CLEANERS_TIMEOUT)
        if self._engine.answers:
            self._cleaner.try_for_the_last_time(CLEANERS_TIMEOUT)

    def _heed_event(self, container_id: str) -> None:
        """In the reader's thread. Events of containers that nobody waits for are none of the worker's business."""
        if container_id in self._watcher.watches:
            self._loop.post(partial(self._watcher.look_at, container_id))

    def _engine_has_changed(self, answers: bool, reason: str) -> None:
        """In the worker's loop: it answers again, or does not any more."""
        if answers:
            logger.warning("%s answers again", self._runtime.name, extra=self._about)
            hang_up(self._runtime)  # the stream may be half open: a new one is sure
            self._cleaner.retry_all()
        else:
            away = "does not answer; jobs are not affected"
            about = self._about | TELLS_OF_OUTAGE
            logger.warning("%s %s: %s", self._runtime.name, away, reason, extra=about)
            self._loop.after(AWAY_INTERVAL, self._lister.list_all)  # the lister's own next list may be far away
        if self._on_engine:
            self._notifier.tell(partial(self._on_engine, answers, reason))
