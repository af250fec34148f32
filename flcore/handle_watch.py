"""Tells the state changes of jobs whose launchers tell of none themselves: somebody has to look at their handles."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from weakref import WeakValueDictionary

from .errors import RuntimeUnavailableError
from .event_ids import EventId
from .job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode, JobStateChange
from .job_states import EXITED, FINAL, LOOK_INTERVAL, way_to
from .launch import Launch
from .site_events import SiteEvents
from .threads import OwnThread, logged

logger = logging.getLogger(__name__)

REST = 10
"""How many times as long as a look at all jobs took the rest after it is, at least: the more jobs, the fewer looks."""
STOP_TIMEOUT = 10.0
"""Seconds that a site which ends waits for a look that is under way."""


class HandleWatch:
    """Looks at the handles of one site's jobs, in one thread; there is none while there is no such job.

    All methods may be called from any thread.
    """

    def __init__(self, site: str, events: SiteEvents) -> None:
        self._site = site
        self._events = events
        self._jobs: dict[Launch, _WatchedJob] = {}
        self._turns: WeakValueDictionary[str, _Turns] = WeakValueDictionary()
        """By job id, of those of which something may be left to tell."""
        self._has_new = self._is_stopped = False
        self._thread: OwnThread | None = None
        self._changed = threading.Condition(threading.Lock())

    def watch(self, launch: Launch, handle: JobHandleSpec) -> None:
        """Have the changes of a job that was launched be told, unless its launcher does so."""
        if handle.tells_changes:
            return
        for earlier in self._runs_of(launch.job_id):  # ended, or it would not have been launched again
            earlier.look()
        tell = partial(self._events.tell_of_change, launch)
        with self._changed:
            turns = self._turns.setdefault(launch.job_id, _Turns())
            self._jobs[launch] = _WatchedJob(launch.job_id, self._site, handle, tell, turns)
            self._has_new = True
            self._changed.notify_all()
        self._have_thread()

    def tell_end(self, launch: Launch, result: JobResult, tell: Callable[[str], None]) -> None:
        """Call ``tell(id)`` when all changes of an ended job were told, up to the last; the id is that of its end.

        At once, and with no id, for a job whose launcher tells of them.
        """
        with self._changed:
            job = self._jobs.get(launch)
        if job is None:
            tell("")
            return
        job.end(result, tell)
        with self._changed:  # no sooner: what a next run of the job adds has its turn after this
            del self._jobs[launch]
            self._changed.notify_all()
        job.turns.take()

    def stop(self) -> None:
        """Look at no job any more, and return when the look that is under way is over."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(STOP_TIMEOUT)

    def go_on(self) -> None:
        """Look again: the site has started anew."""
        with self._changed:
            self._is_stopped = False
        self._have_thread()

    def _runs_of(self, job_id: str) -> list[_WatchedJob]:
        with self._changed:
            return [job for launch, job in self._jobs.items() if launch.job_id == job_id]

    def _have_thread(self) -> None:
        with self._changed:
            if self._thread or self._is_stopped or not self._jobs:
                return
            thread = OwnThread("handles", self._run)
            try:
                thread.start()
            except RuntimeUnavailableError as error:  # the end is told all the same, and with it what was missed
                why = "state changes of its jobs are told late"
                logger.warning("site %s: %s: %s", self._site, why, error, extra={"site": self._site})
            else:
                self._thread = thread

    def _run(self) -> None:
        took = 0.0
        while jobs := self._due(max(LOOK_INTERVAL, REST * took)):
            begun = time.monotonic()
            for job in jobs:
                logged(job.look)
            took = time.monotonic() - begun

    def _due(self, rest: float) -> Sequence[_WatchedJob]:
        """Return all jobs after a rest, or as soon as there is a new one; none where this thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_new or self._is_stopped or not self._jobs, rest)
            self._has_new = False
            if self._is_stopped or not self._jobs:
                self._thread = None
                return ()
            return list(self._jobs.values())


class _Turns:
    """What is to be told of one job id, run after run: all in order, by one thread at a time.

    What one thread adds while another tells, the other tells next: nobody waits for anybody's components.
    """

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._is_telling = False
        """Whether a thread is at that."""
        self._lock = threading.Lock()

    def add(self, call: Callable[[], None]) -> None:
        """Have something be told next, by a call."""
        with self._lock:
            self._calls.append(call)

    def take(self) -> None:
        """Tell all that is to be told, unless a thread is at that, which then does it. Raises what a call raises."""
        while call := self._next_call():
            try:
                self._tell(call)
            except BaseException:
                self.take()  # the rest is told all the same
                raise

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        finally:
            with self._lock:
                self._is_telling = False

    def _next_call(self) -> Callable[[], None] | None:
        with self._lock:
            if self._is_telling or not self._calls:
                return None
            self._is_telling = True
            return self._calls.popleft()


class _WatchedJob:
    """One job: what of it was told, and what is to be told next."""

    def __init__(
        self, job_id: str, site: str, handle: JobHandleSpec, tell: Callable[[JobStateChange], None], turns: _Turns
    ) -> None:
        self._job_id = job_id
        self._site = site
        self._handle = handle
        self._tell = tell
        self._id = EventId(secrets.token_hex(8), 0)
        """Of what was told last."""
        self._entered: list[str] = []
        self._time = 0.0
        """Of the last change."""
        self._has_ended = self._is_broken = False
        self._lock = threading.Lock()
        self.turns = turns

    def look(self) -> None:
        """Look at the handle, and have told what is new. One that raises is not looked at any more."""
        if self._is_broken:
            return
        try:
            ended = self._handle.poll() != JobReturnCode.UNKNOWN  # first: a state that is seen after it is the last
            state = self._handle.state
            result = self._handle.result if ended else None
        except Exception:  # of a third party's handle
            self._is_broken = True
            about = {"site": self._site, "job_id": self._job_id}
            logger.exception("job %s: its handle cannot say how it is; it is not looked at", self._job_id, extra=about)
            return
        if ended and result:
            self._enter_last(state, result)
        elif state and state not in FINAL:  # else it is about to end, of which poll() knows first
            self._enter(state)
        self.turns.take()

    def end(self, result: JobResult, tell: Callable[[str], None]) -> None:
        """Have what is left be told next, and then the end."""
        state = None
        try:
            state = self._handle.state
        except Exception:  # of a third party's handle: the end is told, as far as it is known
            logger.exception("a handle cannot say in what state its job has ended")
        self._enter_last(state, result)
        with self._lock:
            self.turns.add(partial(tell, str(self._next_id())))

    def _enter_last(self, state: str | None, result: JobResult) -> None:
        self._enter(state if state in FINAL else EXITED, result)

    def _enter(self, state: str, result: JobResult | None = None) -> None:
        """Note the changes that lead to a state, to be told."""
        with self._lock:
            if self._has_ended or state == self._state:
                return
            self._has_ended = result is not None
            for one in way_to(state):
                if one == state or one not in self._entered:
                    self._note(one, result if one == state else None)

    def _note(self, state: str, result: JobResult | None) -> None:
        self._time = max(self._time, (result and result.finished_at) or time.time())
        change = JobStateChange(
            *(self._job_id, self._site, "", "", self._state, state, self._time, result, str(self._next_id()))
        )
        self._entered.append(state)
        self.turns.add(partial(self._tell, change))

    @property
    def _state(self) -> str | None:
        return self._entered[-1] if self._entered else None

    def _next_id(self) -> EventId:
        self._id = self._id._replace(number=self._id.number + 1)
        return self._id
