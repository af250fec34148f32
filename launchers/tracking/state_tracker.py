"""The one thing per runtime that learns what happened to every job, and tells.

Three threads, whatever the number of jobs::

    reader     subscribes to the runtime's events and hands the ids of containers to the worker; nothing else
    worker     keeps the books: moves state machines, wakes who waits; never waits for an engine itself
    notifier   calls listeners, in order; they may be slow or raise without delaying a waiter or losing a change

Whatever asks the engine (an inspection, a list, a signal, a clean-up) runs in a pool whose threads end when there is
nothing to ask. Events are hints, inspection is the truth: an event that is lost, doubled or late changes no result.
The list, every few seconds, is the safety net, and alone decides whether the runtime answers: one that does not is a
condition of its own and ends no job, and a container that cannot be inspected holds up no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.job_launcher_spec import JobReturnCode, LauncherFigures

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, ContainerState, effective_state, result_of
from ..runtime.base import ContainerSummary, Runtime
from ..settings import JobSettings
from .ending import Ending
from .job_ender import JobEnder
from .job_output import last_output
from .job_timeouts import Countdown, JobTimeouts
from .tracked_job import CleanUpDelayedError, TrackedJob
from .worker_loop import WorkerLoop
from .worker_pool import WorkerPool, logged

logger = logging.getLogger(__name__)

RELIST_INTERVAL = 5.0
"""Seconds between two lists while jobs run: how late a change whose event was lost is seen."""
CREATION_GRACE = 20.0
"""Seconds: see ``StateTracker``."""
CLOSE_TIMEOUT = 10.0
"""Seconds that closing waits for each thread. A listener may block for ever; the site must not."""
CLEAN_UP_TIMEOUT = 30.0
"""Seconds that closing waits for clean-ups."""
_RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
_AWAY_INTERVAL = 2.0
"""Seconds between two lists while the engine does not answer."""
_CLEANERS = 4
_AS_MEANT = (JobReturnCode.SUCCESS, JobReturnCode.ABORTED)


class _Watch:
    """What the worker keeps in mind of one job."""

    __slots__ = ("again", "countdown", "ending", "failures", "job", "listed", "listed_again", "looking")

    def __init__(self, job: TrackedJob) -> None:
        self.job = job
        self.looking = False
        """An inspection is under way; ``again``: and something happened since."""
        self.again = False
        self.listed = self.listed_again = False
        """Nothing but a list has said that there is something to see; or to see again."""
        self.failures = 0
        self.ending = Ending(job.hooks.settings.stop_grace)
        self.countdown: Countdown | None = None


class _Expectation:
    """A job whose container may still appear."""

    __slots__ = ("job", "patience", "until")

    def __init__(self, job: TrackedJob, patience: float) -> None:
        self.job = job
        self.patience = patience
        """Seconds, from the first list that is answered: an engine that hangs may do later what it was asked for."""
        self.until: float | None = None

    def is_in_vain(self) -> bool:
        """Whether it has not come in time. Call with each list that it is not in."""
        now = time.monotonic()
        if self.until is None:
            self.until = now + self.patience
        return now >= self.until


class StateTracker:
    """Tracks the jobs of one runtime. Threads start with the first job; all methods may be called from any thread.

    Args:
        runtime: whose containers.
        on_engine: called by the notifier, ``(reachable, reason)``, when the runtime stops answering, and when it
            answers again.
        on_unknown: called in the pool with the listed containers that are not tracked.
        settings: how often it lists, and how long a container may still appear.
        site: whose jobs they are, for the log.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_engine: Callable[[bool, str], None] | None = None,
        on_unknown: Callable[[list[ContainerSummary]], None] | None = None,
        settings: JobSettings = JobSettings(),
        site: str = "",
    ) -> None:
        self._runtime = runtime
        self._about = {"site": site}
        self._on_engine = on_engine
        self._on_unknown = on_unknown
        self._settings = settings
        self._watches: dict[str, _Watch] = {}
        """By container id."""
        self._expected: dict[str, _Expectation] = {}
        """By nonce."""
        self._loop = WorkerLoop("worker")
        self._ender = JobEnder(self._loop, runtime, self)
        self._timeouts = JobTimeouts(self._loop, runtime, self.end)
        self._cleaners = WorkerPool("cleaner", _CLEANERS)
        self._outbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="flcore-reader", daemon=True)
        self._notifier = threading.Thread(target=self._notify, name="flcore-notifier", daemon=True)
        self._lock = threading.Lock()
        self._started = False
        self._closing = threading.Event()
        self._unreachable = ""
        self._streams = 0
        """How many streams of events were opened."""
        self._missed = 0
        self._uncleaned: dict[TrackedJob, int] = {}
        """Ended jobs whose clean-up is tried again later, and how often it was tried."""
        # The rest is the worker's alone.
        self._reachable = True
        self._listing = False
        self._list_again = False
        self._ticking = False
        self._list_began = 0.0
        self._sweeping = False
        self._sweep_ends: float | None = None
        """A list that begins then, or later, is the sweep's last; None before the first is answered."""

    def watch(self, job: TrackedJob) -> None:
        """Follow a job's container from now on; what happened to it before counts too. Idempotent."""
        with self._lock:
            self._begin(job)
            self._watches.setdefault(job.identity.container_id, _Watch(job))
        self._post(self._tick_if_idle)
        self.poke(job)

    def expect(self, job: TrackedJob, asked_ago: float = 0.0) -> None:
        """Follow a job whose container may or may not be there, by its nonce. It ends if none appears in time.

        ``asked_ago``: seconds since the engine was asked for the container.
        """
        with self._lock:
            self._begin(job)
            self._expected[job.identity.nonce] = _Expectation(job, self._settings.creation_grace - asked_ago)
        self._post(self._tick_if_idle)
        self._post(self._list)

    def restore(self, job: TrackedJob, seen: ContainerState, output: str) -> None:
        """Take in the end of a job as another process saw it; nobody is asked."""
        with self._lock:
            self._begin(job)
        self._post(partial(self._take_in, _Watch(job), seen, output))

    def sweep(self) -> None:
        """List for as long as a container may still appear that nobody knows of, even if there is no job."""
        with self._lock:
            self._begin(None)
        self._post(self._begin_sweep)

    def poke(self, job: TrackedJob) -> None:
        """Have a job's container looked at, without waiting for an event."""
        self._post(partial(self._look_at, job.identity.container_id))

    def end(self, job: TrackedJob) -> None:
        """Have a job ended for which an end was requested: soon, or when the engine answers again. Never blocks."""
        self._post(partial(self._pursue_end_of, job.identity.container_id))

    def doubt(self) -> None:
        """Have it found out whether the engine answers at all."""
        self._post(self._list)

    def tell(self, call: Callable[[], None]) -> None:
        """Have the notifier call something too, behind all that it has to tell already. Not after the closing."""
        with self._lock:
            if not self._closing.is_set():
                self._begin(None)
                self._outbox.put(call)

    def figures(self) -> LauncherFigures:
        """Return figures of this tracker's own work. Asks nobody."""
        return LauncherFigures(max(0, self._streams - 1), self._missed, self._outbox.qsize())

    def why_no_end(self) -> str:
        """Return why an end that was asked for is not seen yet."""
        return self._unreachable or "the engine has not confirmed its end"

    def close(self) -> None:
        """Stop tracking: ended jobs are cleaned up and announced first, running ones go on untracked. Idempotent."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            started = self._started
        if started:
            self._runtime.close_events()
            self._post(self._list_if_reachable)
            self._loop.finish(CLOSE_TIMEOUT)  # no more changes
            _join(self._reader)
            self._cleaners.close(CLEAN_UP_TIMEOUT)
            self._clean_up_for_the_last_time()
            self._outbox.put(None)
            _join(self._notifier)  # no more listeners
        for watch in self._watches.values():
            watch.job.let_go()
        for expectation in self._expected.values():
            expectation.job.let_go()

    def _begin(self, job: TrackedJob | None) -> None:
        if self._closing.is_set():
            raise RuntimeUnavailableError(f"{job.identity if job else 'the search for jobs'}: the site is closed")
        if not self._started:
            self._started = True
            for part in (self._reader, self._loop, self._notifier):
                part.start()

    def _post(self, call: Callable[[], object]) -> None:
        self._loop.post(call)

    # The reader's thread

    def _read(self) -> None:
        failures = 0
        while not self._closing.is_set():
            failures = 0 if self._read_one_stream() else failures + 1
            self._closing.wait(_RECONNECT_DELAYS[min(failures, len(_RECONNECT_DELAYS) - 1)])

    def _read_one_stream(self) -> bool:
        """Pass on the events of one connection until it ends; False if there was none."""
        try:
            with self._runtime.open_events() as container_ids:
                self._streams += 1
                if self._closing.is_set():
                    return True  # nobody will close a stream that was opened only now
                self._post(self._list)  # subscribe first, then list: nothing falls in between
                for container_id in container_ids:
                    if container_id in self._watches:
                        self._post(partial(self._look_at, container_id))
        except FLCoreError as error:
            logger.debug("%s: no event stream: %s", self._runtime.name, error, extra=self._about)
            self.doubt()
            return False
        except Exception:
            logger.exception("%s: the event stream failed; it is opened again", self._runtime.name, extra=self._about)
            return False
        return True

    # The notifier's thread

    def _notify(self) -> None:
        while (call := self._outbox.get()) is not None:
            logged(call)

    # All that follows runs in the worker's loop. First, looking at one container

    def _look_at(self, container_id: str, listed: bool = False) -> None:
        """Have one container inspected; at most one inspection of each at a time, so that their order is right.

        ``listed``: because of what a list says of it, and of nothing else.
        """
        watch = self._watches.get(container_id)
        if watch is None:
            return
        if not self._reachable:
            self._list()  # it tells whether the engine answers again, and then what is new
            return
        if watch.looking:
            watch.listed &= listed
            watch.listed_again = listed and (watch.listed_again or not watch.again)
            watch.again = True
            return
        watch.looking, watch.listed = True, listed
        self._loop.ask(partial(self._inspect, watch.job), partial(self._seen, watch), partial(self._not_seen, watch))

    def _inspect(self, job: TrackedJob) -> tuple[ContainerState, str]:
        """In the pool: return what is seen of a container and, if it failed, the end of its output."""
        container_id = job.identity.container_id
        seen = self._runtime.inspect(container_id)
        if effective_state(seen) in TERMINAL_STATES:
            job.heed_noted_end()
            seen = job.hooks.end_of(seen)
        explained = job.end_request is not None or not _has_failed(seen)
        return seen, "" if explained else last_output(self._runtime, container_id, job.hooks.secrets)

    def _seen(self, watch: _Watch, answer: tuple[ContainerState, str]) -> None:
        seen, output = answer
        watch.looking = False
        watch.failures = 0
        self._note_engine(reachable=True)  # this may have been the last job, and no list follows
        if watch.ending.under_way and effective_state(seen) in TERMINAL_STATES:
            return  # the answer to the signal will tell who was first, and is followed by another look
        self._take_in(watch, seen, output)
        if watch.again:
            watch.again = False
            self._look_at(watch.job.identity.container_id, watch.listed_again)

    def _not_seen(self, watch: _Watch, error: Exception) -> None:
        watch.looking = watch.again = False
        level = logging.DEBUG if watch.failures else logging.WARNING
        logger.log(level, "%s: cannot be inspected, will be again: %s", watch.job.identity, error)
        if isinstance(error, RuntimeUnavailableError):
            self._list()  # is it the engine, or this container alone?
        delay = _RETRY_DELAYS[min(watch.failures, len(_RETRY_DELAYS) - 1)]
        watch.failures += 1
        self._loop.after(delay, partial(self._look_at, watch.job.identity.container_id))

    def _take_in(self, watch: _Watch, seen: ContainerState, output: str = "") -> None:
        job = watch.job
        is_known = job.state is not None
        changes = job.observe(seen, time.time(), output)
        if watch.listed and is_known:
            self._missed += len(changes)
        for change in changes:
            logger.info("%s: %s -> %s", job.identity, change.previous or "new", change.state)
            self._outbox.put(partial(job.tell, change))
        if job.result:
            level = logging.INFO if job.result.return_code in _AS_MEANT else logging.WARNING
            logger.log(level, "%s: %s %s", job.identity, job.result.return_code.name, job.result.error)
            self._drop(watch)
            self._outbox.put(job.announce)
            self._cleaners.submit(partial(self._clean_up, job))
            return
        if job.state is DOCKER_STATE.RUNNING and watch.countdown is None:
            watch.countdown = self._timeouts.begin(job, seen.started_at)
        if job.state is DOCKER_STATE.CREATED and job.hooks.end_unstarted:
            job.request_end(job.hooks.end_unstarted, time.time())
        if job.end_request:
            self._pursue_end(watch)

    def _drop(self, watch: _Watch) -> None:
        self._watches.pop(watch.job.identity.container_id, None)
        if watch.countdown:
            watch.countdown.cancel()

    def _clean_up(self, job: TrackedJob, attempt: int = 0) -> None:
        """In a cleaner's thread."""
        try:
            job.be_cleaned_up()
        except (FLCoreError, CleanUpDelayedError) as error:
            delay = _RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)]
            level = logging.DEBUG if attempt else logging.WARNING
            logger.log(level, "%s: cannot be cleaned up, will be in %g s: %s", job.identity, delay, error)
            self._uncleaned[job] = attempt + 1
            self._post(partial(self._loop.after, delay, partial(self._clean_up_again, job)))

    def _clean_up_again(self, job: TrackedJob) -> None:
        attempt = self._uncleaned.pop(job, None)
        if attempt is not None:
            self._cleaners.submit(partial(self._clean_up, job, attempt))

    def _clean_up_for_the_last_time(self) -> None:
        """In the closing thread: what is left even then is the next process's to find."""
        if self._reachable:
            for job in list(self._uncleaned):
                self._clean_up(job, self._uncleaned.pop(job))

    def _clean_up_what_is_left(self) -> None:
        for job in list(self._uncleaned):
            self._clean_up_again(job)

    # Listing all

    def _tick_if_idle(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._tick()

    def _tick(self) -> None:
        """List now and then, for as long as there is something to look for."""
        self._ticking = bool(self._watches or self._expected or self._sweeping)
        if self._ticking:
            self._list()
            interval = self._settings.relist_interval
            self._loop.after(interval if self._reachable else min(interval, _AWAY_INTERVAL), self._tick)

    def _begin_sweep(self) -> None:
        self._sweeping, self._sweep_ends = True, None
        self._tick_if_idle()

    def _sweep_on(self) -> None:
        if self._sweep_ends is None:
            self._sweep_ends = time.monotonic() + self._settings.creation_grace
        elif self._list_began >= self._sweep_ends:
            self._sweeping = False

    def _list(self) -> None:
        if self._listing:
            self._list_again = True
        else:
            self._listing = True
            self._list_began = time.monotonic()
            self._loop.ask(self._runtime.list_containers, self._listed, self._not_listed)

    def _list_if_reachable(self) -> None:
        if self._reachable:
            self._list()

    def _listed(self, summaries: list[ContainerSummary]) -> None:
        self._note_engine(reachable=True)
        if self._sweeping:
            self._sweep_on()
        self._place(summaries)
        self._compare({summary.id: summary.state for summary in summaries})
        self._report_unknown(summaries)
        self._list_done()

    def _not_listed(self, error: Exception) -> None:
        if isinstance(error, RuntimeUnavailableError):
            self._note_engine(reachable=False, reason=str(error))
        else:
            logger.error("%s: cannot be listed, will be again: %r", self._runtime.name, error, extra=self._about)
        self._list_done()

    def _list_done(self) -> None:
        self._listing = False
        if self._list_again:
            self._list_again = False
            self._list()

    def _compare(self, states: dict[str, DOCKER_STATE]) -> None:
        """Look at the containers whose state is not what we know."""
        lost = False
        for container_id, watch in list(self._watches.items()):
            state = states.get(container_id)
            if state != watch.job.state or state is DOCKER_STATE.CREATED:  # a failed start leaves it "created"
                lost |= state in TERMINAL_STATES and watch.job.state is not None and not watch.looking
                self._look_at(container_id, listed=True)
            if watch.job.end_request:
                self._pursue_end(watch)
        if lost:
            again = "an end was told by no event; the event stream is opened again"
            logger.info("%s: %s", self._runtime.name, again, extra=self._about)
            self._runtime.close_events()

    def _place(self, summaries: list[ContainerSummary]) -> None:
        """Find the containers of jobs that are expected, and give up those that were never made."""
        by_nonce = {summary.nonce: summary.id for summary in summaries if summary.nonce}
        for nonce, expectation in list(self._expected.items()):
            job = expectation.job
            if container_id := by_nonce.get(nonce):
                job.place(container_id)
                self._watches.setdefault(container_id, _Watch(job))
                del self._expected[nonce]
            elif expectation.is_in_vain():
                self._take_in(_Watch(job), _NEVER_MADE)
                del self._expected[nonce]

    def _report_unknown(self, summaries: list[ContainerSummary]) -> None:
        unknown = [summary for summary in summaries if summary.id not in self._watches]
        if unknown and self._on_unknown and not self._closing.is_set():
            self._loop.ask(partial(self._on_unknown, unknown), _nothing, self._not_dealt_with)

    def _not_dealt_with(self, error: Exception) -> None:
        logger.warning("%s: an unknown container was not dealt with: %s", self._runtime.name, error, extra=self._about)

    def _note_engine(self, reachable: bool, reason: str = "") -> None:
        if reachable is self._reachable:
            return
        self._reachable = reachable
        self._unreachable = "" if reachable else reason
        if reachable:
            logger.warning("%s answers again", self._runtime.name, extra=self._about)
            self._runtime.close_events()  # the stream may be half open: a new one is sure
            self._clean_up_what_is_left()
        else:
            away = "does not answer; jobs are not affected"
            logger.warning("%s %s: %s", self._runtime.name, away, reason, extra=self._about)
            self._loop.after(_AWAY_INTERVAL, self._list)
        if self._on_engine:
            self._outbox.put(partial(self._on_engine, reachable, reason))

    def _pursue_end_of(self, container_id: str) -> None:
        if watch := self._watches.get(container_id):
            self._pursue_end(watch)

    def _pursue_end(self, watch: _Watch) -> None:
        if self._reachable:  # else the next list that is answered comes here
            self._ender.pursue(watch.job, watch.ending)


_NEVER_MADE = ContainerState(DOCKER_STATE.DEAD, error="its container was never made")


def _nothing(_: object) -> None:
    """What follows an answer that needs none."""


def _has_failed(seen: ContainerState) -> bool:
    if effective_state(seen) not in TERMINAL_STATES or seen.started_at is None:
        return False
    return result_of(seen).return_code != JobReturnCode.SUCCESS


def _join(*threads: threading.Thread) -> None:
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT)
