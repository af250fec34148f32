"""The one thing per runtime that learns what happened to every job, and tells.

Three threads, whatever the number of jobs::

    reader     subscribes to the runtime's events and puts the ids of containers into the inbox; nothing else
    worker     inspects those containers, moves their state machines and wakes who waits; lists again every few seconds
    notifier   calls listeners, in order; they may be slow or raise without delaying a waiter or losing a change

Events are hints, inspection is the truth: an event that is lost, doubled or late changes no result. A runtime that
does not answer is a condition of its own and ends no job. Only the worker moves a job's state machine.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.job_launcher_spec import JobResult, JobStateChange

from .docker_state import DOCKER_STATE, ContainerState, EndRequest, StateMachine, Transition
from .runtime.base import Runtime

logger = logging.getLogger(__name__)

RELIST_INTERVAL = 5.0
"""Seconds between two lists while jobs run: how late a change whose event was lost is seen."""
CLOSE_TIMEOUT = 10.0
"""Seconds that closing waits for each thread. A listener may block for ever; the site must not."""
_RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
_CLEANERS = 4

_RELIST = "list all containers"
_STOP = "end this thread"


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """Which job, of which site, in which container."""

    job_id: str
    site: str
    container_name: str
    container_id: str

    def __str__(self) -> str:
        return f"job {self.job_id} in container {self.container_name} ({self.container_id[:12]})"


class TrackedJob:
    """What is known of one job. The tracker writes it; everybody may read it and wait on it, from any thread."""

    def __init__(
        self,
        identity: JobIdentity,
        on_change: Callable[[JobStateChange], None] | None = None,
        clean_up: Callable[[TrackedJob], None] | None = None,
    ) -> None:
        self.identity = identity
        self._on_change = on_change
        self._clean_up = clean_up
        self._machine = StateMachine()
        self._result: JobResult | None = None
        self._end_request: EndRequest | None = None
        self._tracked = True
        self._announced = False
        self._done_callbacks: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._cleaned_up = threading.Event()

    @property
    def state(self) -> DOCKER_STATE | None:
        """The state that was seen last; None before the first look."""
        return self._machine.state

    @property
    def result(self) -> JobResult | None:
        """Why the job ended; None while it runs. Never changes once it is there."""
        return self._result

    def enter_states(self, states: Collection[DOCKER_STATE], timeout: float | None = None) -> bool:
        """Wait until one of the states was entered, at whatever time.

        Returns False after ``timeout`` seconds, or as soon as the job has ended without entering one. Raises
        RuntimeUnavailableError if the tracker was closed meanwhile.
        """
        wanted = frozenset(states)
        with self._changed:
            self._changed.wait_for(lambda: wanted & self._machine.entered or self._is_final(), timeout)
            entered = bool(wanted & self._machine.entered)
            if not entered and self._is_final():
                self._raise_if_untracked()
            return entered

    def wait(self, timeout: float | None = None) -> JobResult | None:
        """Return the result as soon as it is there; None after ``timeout`` seconds.

        Raises RuntimeUnavailableError if the tracker was closed meanwhile.
        """
        with self._changed:
            self._changed.wait_for(self._is_final, timeout)
            self._raise_if_untracked()
            return self._result

    def wait_for_clean_up(self, timeout: float) -> None:
        """Wait until what is left of the ended job was cleaned up, or could not be; ``timeout`` seconds at most."""
        self._cleaned_up.wait(timeout)

    def request_end(self, by: str, now: float) -> None:
        """Note that somebody asks for the end. The first request counts, and none after the end."""
        with self._changed:
            if self._end_request is None and self._result is None:
                self._end_request = EndRequest(by, now)

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called after the listener got the last change; at once if it did already."""
        with self._changed:
            if not self._announced:
                self._done_callbacks.append(callback)
                return
        callback()

    def _observe(self, seen: ContainerState, now: float) -> list[JobStateChange]:
        """Take in an inspection: the result first, then the bell. For the tracker's worker only."""
        with self._changed:
            transitions = self._machine.observe(seen, now)
            self._result = self._machine.result(self._end_request)
            if transitions:
                self._changed.notify_all()
        return [self._as_change(transition) for transition in transitions]

    def _as_change(self, transition: Transition) -> JobStateChange:
        who = self.identity
        is_last = self._result is not None and transition.state is self._machine.state
        return JobStateChange(
            job_id=who.job_id,
            site=who.site,
            container_name=who.container_name,
            container_id=who.container_id,
            previous=transition.previous,
            state=transition.state,
            time=transition.time,
            result=self._result if is_last else None,
        )

    def _tell(self, change: JobStateChange) -> None:
        """Hand a change to the listener; after the last, call who waits for the end. For the notifier only."""
        try:
            if self._on_change:
                self._on_change(change)
        finally:
            if change.result:
                self._announce()

    def _announce(self) -> None:
        with self._changed:
            self._announced = True
            callbacks, self._done_callbacks = self._done_callbacks, []
        for callback in callbacks:
            _logged(callback)

    def _be_cleaned_up(self) -> None:
        """For the tracker's cleaners only."""
        try:
            if self._clean_up:
                self._clean_up(self)
        finally:
            self._cleaned_up.set()

    def _let_go(self) -> None:
        with self._changed:
            self._tracked = False
            self._changed.notify_all()

    def _is_final(self) -> bool:
        return self._result is not None or not self._tracked

    def _raise_if_untracked(self) -> None:
        if self._result is None and not self._tracked:
            raise RuntimeUnavailableError(f"{self.identity}: its site was closed; the job may go on without it")


class StateTracker:
    """Tracks the jobs of one runtime. Threads start with the first job; all methods may be called from any thread.

    ``on_engine(reachable, reason)`` is called by the notifier when the runtime stops answering, and when it answers
    again.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_engine: Callable[[bool, str], None] | None = None,
        relist_interval: float = RELIST_INTERVAL,
    ) -> None:
        self._runtime = runtime
        self._on_engine = on_engine
        self._relist_interval = relist_interval
        self._jobs: dict[str, TrackedJob] = {}
        self._inbox: SimpleQueue[str] = SimpleQueue()
        self._outbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._cleaners = ThreadPoolExecutor(_CLEANERS, thread_name_prefix="flcore-cleaner")
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._reachable = True
        self._next_list = time.monotonic()

    def watch(self, job: TrackedJob) -> None:
        """Follow a job's container from now on; what happened to it before counts too."""
        with self._lock:
            if self._closing.is_set():
                raise RuntimeUnavailableError(f"{job.identity}: the site is closed")
            self._jobs[job.identity.container_id] = job
            self._start_threads()
        self._inbox.put(job.identity.container_id)

    def poke(self, job: TrackedJob) -> None:
        """Have a job's container looked at, without waiting for an event."""
        self._inbox.put(job.identity.container_id)

    def close(self) -> None:
        """Stop tracking: ended jobs are cleaned up and announced first, running ones go on untracked. Idempotent."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            threads, jobs = self._threads, list(self._jobs.values())
        self._runtime.close_events()
        if self._reachable:
            self._inbox.put(_RELIST)
        self._inbox.put(_STOP)
        _join(threads[:2])  # no more changes
        self._cleaners.shutdown(wait=True)
        self._outbox.put(None)
        _join(threads[2:])  # no more listeners
        for job in jobs:
            job._let_go()

    def _start_threads(self) -> None:
        if self._threads:
            return
        loops = {"reader": self._read, "worker": self._work, "notifier": self._notify}
        self._threads = [
            threading.Thread(target=loop, name=f"flcore-{name}", daemon=True) for name, loop in loops.items()
        ]
        for thread in self._threads:
            thread.start()

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
                if self._closing.is_set():
                    return True  # nobody will close a stream that was opened only now
                self._inbox.put(_RELIST)  # subscribe first, then list: nothing falls in between
                for container_id in container_ids:
                    if container_id in self._jobs:
                        self._inbox.put(container_id)
        except FLCoreError as error:
            logger.debug("%s: no event stream: %s", self._runtime.name, error)
            return False
        except Exception:
            logger.exception("%s: the event stream failed; it is opened again", self._runtime.name)
            return False
        return True

    # The worker's thread

    def _work(self) -> None:
        while (item := self._next_item()) is not _STOP:
            try:
                self._relist() if item is _RELIST else self._look_at(item)
            except Exception:
                logger.exception("%s: tracking goes on after an error", self._runtime.name)

    def _next_item(self) -> str:
        """Return the next thing to do; a list when it is due, however many events there are."""
        if not self._jobs:
            return self._inbox.get()
        patience = self._next_list - time.monotonic()
        with suppress(Empty):
            if patience > 0:
                return self._inbox.get(timeout=patience)
        return _RELIST

    def _look_at(self, container_id: str) -> None:
        """Inspect one container and report what is new."""
        job = self._jobs.get(container_id)
        if job is None:
            return
        try:
            seen = self._runtime.inspect(container_id)
        except RuntimeUnavailableError as error:
            self._note_engine(reachable=False, reason=str(error))
        except FLCoreError as error:
            logger.warning("%s: cannot be inspected, will be again: %s", job.identity, error)
        else:
            self._note_engine(reachable=True)  # this may have been the last job, and no list follows
            self._take_in(job, seen)

    def _take_in(self, job: TrackedJob, seen: ContainerState) -> None:
        changes = job._observe(seen, time.time())
        for change in changes:
            logger.info("%s: %s -> %s", job.identity, change.previous or "new", change.state)
            self._outbox.put(partial(job._tell, change))
        if job.result:
            with self._lock:
                self._jobs.pop(job.identity.container_id, None)
            self._cleaners.submit(_logged, job._be_cleaned_up)

    def _relist(self) -> None:
        """List all containers, and look at those whose state is not what we know."""
        self._next_list = time.monotonic() + self._relist_interval
        with self._lock:
            jobs = list(self._jobs.values())
        if not jobs:
            return
        try:
            states = {summary.id: summary.state for summary in self._runtime.list_containers()}
        except RuntimeUnavailableError as error:
            self._note_engine(reachable=False, reason=str(error))
            return
        self._note_engine(reachable=True)
        for job in jobs:
            seen = states.get(job.identity.container_id)
            if seen != job.state or seen is DOCKER_STATE.CREATED:  # a failed start leaves it "created"
                self._look_at(job.identity.container_id)

    def _note_engine(self, reachable: bool, reason: str = "") -> None:
        if reachable is self._reachable:
            return
        self._reachable = reachable
        if reachable:
            logger.warning("%s answers again", self._runtime.name)
            self._runtime.close_events()  # the stream may be half open: a new one is sure
        else:
            logger.warning("%s does not answer; jobs are not affected: %s", self._runtime.name, reason)
        if self._on_engine:
            self._outbox.put(partial(self._on_engine, reachable, reason))

    # The notifier's thread

    def _notify(self) -> None:
        while (call := self._outbox.get()) is not None:
            _logged(call)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT)


def _logged(call: Callable[[], None]) -> None:
    """Call, and log what it raises: the thread goes on."""
    try:
        call()
    except Exception:
        logger.exception("an error in a listener or a clean-up; the others go on")
