"""What is known of one job: written by the tracker, read and waited on by everybody."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.forks import OwnProcess
from flcore.job_launcher_spec import JobResult, JobStateChange
from flcore.threads import bounded, logged

from ..container_spec import hidden
from ..docker_state import DOCKER_STATE, ContainerState, EndRequest, StateMachine, Transition
from ..records.job_record import JobIdentity, JobRecord
from ..records.leases import JobLock
from ..records.told import TOLD_END_ID, Told
from ..settings import JobSettings
from .end_wish import EndWish
from .job_disk import JobDisk
from .lanes import Subject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobHooks:
    """What is to be done for one job, beside following it."""

    on_change: Callable[[JobStateChange], None] | None = None
    """Called by the notifier, in order."""
    clean_up: Callable[[TrackedJob], None] | None = None
    """Called after the end, by a thread of its own; and again later if it raises FLCoreError or CleanUpDelayedError."""
    record: JobRecord | None = None
    settings: JobSettings = field(default_factory=JobSettings)
    end_unstarted: str = ""
    """On whose request a container is ended that is found created: nobody else will start it. Empty: one may."""
    lock: JobLock | None = None
    """What the job has and must give back, where no record says so."""
    disk: JobDisk | None = None
    """Its folder; None if it may hold whatever it does."""
    has_own_network: bool | None = False
    """A network of its own may be there, to be removed after its container; None: of a job found again, nobody knows.
    """
    secrets: tuple[str, ...] = ()
    """What no result may show; unknown of a job that another process has launched."""
    end_of: Callable[[ContainerState], ContainerState] = lambda seen: seen
    """Returns how an ended job ended, from what the runtime says of that. Called by a thread that may wait."""

    @property
    def is_given_up(self) -> bool:
        """Whether what is told now comes behind the site's end, so that not all hear it: the next process tells it."""
        return self.record is not None and self.record.is_given_up


class CleanUpDelayedError(Exception):
    """A clean-up cannot be done now, and should be tried again."""


class TrackedJob:
    """What is known of one job. The tracker writes it; everybody may read it and wait on it, from any thread."""

    __slots__ = (
        "_announced",
        "_changed",
        "_cleaned_up",
        "_done_callbacks",
        "_end_was_told",
        "_followers",
        "_is_taken_over",
        "_machine",
        "_output",
        "_process",
        "_result",
        "_told",
        "_tracked",
        "_unwritten",
        "hooks",
        "identity",
        "output_is_kept",
        "subject",
        "wish",
    )

    def __init__(self, identity: JobIdentity, hooks: JobHooks = JobHooks(), told: Told | None = None) -> None:
        self.identity = identity
        self.subject = Subject()
        """What the runtime is asked for of its container is about this."""
        self.hooks = hooks
        self._told = told or Told()
        self._machine = StateMachine(self._told.progress, self._told.begun)
        self._is_taken_over = self._machine.state is not None
        self._result: JobResult | None = None
        self._output = ""
        self.wish = EndWish(lambda: self.hooks.record)
        """Whether it is to end."""
        self._tracked = True
        self._announced = False
        self._end_was_told = False
        self._cleaned_up = False
        self._followers = 0
        self._unwritten = False
        """The record could not be written the last time."""
        self.output_is_kept = False
        """Noted by who keeps it: a clean-up that is tried again must not keep what a removed container has no more."""
        self._done_callbacks: list[Callable[[], None]] = []
        self._process = OwnProcess(identity)
        self._process.claim()
        self._changed = threading.Condition(threading.Lock())

    @property
    def state(self) -> DOCKER_STATE | None:
        """The state that was seen last; None before the first look."""
        return self._machine.state

    @property
    def result(self) -> JobResult | None:
        """Why the job ended; None while it runs. Never changes once it is there."""
        return self._result

    @property
    def end_request(self) -> EndRequest | None:
        """Who asked for the end, if somebody did."""
        return self.wish.request

    @property
    def end_id(self) -> str:
        """The id of the event of its end, when the last change was told: the same in whatever process that is told."""
        return self._told.end_id

    @property
    def record_name(self) -> str:
        """Of its record's file; empty if it has none."""
        return self.hooks.record.path.name if self.hooks.record else ""

    @property
    def entered(self) -> frozenset[DOCKER_STATE]:
        """Every state that was ever entered."""
        return self._machine.entered

    def age(self, started_at: float | None) -> float:
        """Return for how many seconds the job has run: by the clocks where another process began to follow it.

        A job that this process has started starts now, so that no clock that jumps ends it.
        """
        return max(0.0, time.time() - started_at) if self._is_taken_over and started_at else 0.0

    def check_process(self) -> None:
        """Raise ForkedError in a fork of the process that tracks the job: nobody would ever wake who waits there."""
        self._process.check()

    def enter_states(self, states: Collection[DOCKER_STATE], timeout: float | None = None) -> bool:
        """Wait until one of the states was entered, at whatever time.

        Returns False after ``timeout`` seconds, or as soon as the job has ended without entering one. Raises
        RuntimeUnavailableError if the tracker was closed meanwhile.
        """
        self.check_process()
        wanted = frozenset(states)
        with self._changed:
            self._changed.wait_for(lambda: wanted & self._machine.entered or self._is_final(), bounded(timeout))
            entered = bool(wanted & self._machine.entered)
            if not entered and self._is_final():
                self._raise_if_untracked()
            return entered

    def wait(self, timeout: float | None = None) -> JobResult | None:
        """Return the result as soon as it is there; None after ``timeout`` seconds.

        Raises RuntimeUnavailableError if the tracker was closed meanwhile.
        """
        if self._result is not None:
            return self._result
        self.check_process()
        with self._changed:
            self._changed.wait_for(self._is_final, bounded(timeout))
            self._raise_if_untracked()
            return self._result

    def wait_for_clean_up(self, timeout: float) -> bool:
        """Wait until nothing is left of the ended job but its files; False after ``timeout`` seconds."""
        self.check_process()
        with self._changed:
            return self._changed.wait_for(lambda: self._cleaned_up, bounded(timeout))

    def request_end(self, by: str, now: float, delivered: bool | None = None) -> None:
        """Note, on disk too, that somebody asks for the end. The first request counts, and none after the end.

        ``delivered``: see ``EndRequest``; by default the tracker finds out. A disk that refuses stops no end: then this
        process knows of the request until it can be written down with what is next, at the latest with the end.
        """
        if self._result is not None:
            return
        self.check_process()
        self.heed_noted_end()  # another process's may be the first
        with self._changed:
            if self._result is not None or not self.wish.utter(EndRequest(by, now, delivered)):
                return
            self._changed.notify_all()
        self.note(**self.wish.fields())  # without the lock: nobody who waits for the job waits for a disk

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called after the listener got the last change; at once if it did already."""
        self.check_process()
        with self._changed:
            if not self._announced:
                self._done_callbacks.append(callback)
                return
        callback()

    def begin_following(self) -> None:
        """Note that somebody reads the output as it comes: the container stays a little for that reader."""
        with self._changed:
            self._followers += 1

    def end_following(self) -> None:
        with self._changed:
            self._followers -= 1
            self._changed.notify_all()

    def wait_for_followers(self, timeout: float) -> None:
        """Return when nobody follows the output any more, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._followers == 0, bounded(timeout))

    def final_fields(self) -> Mapping[str, Any]:
        """Return the fields of a record from which another process makes this job's end again."""
        return {"seen": asdict(self._machine.seen), "output": self._output, **self.wish.fields()}

    def note(self, **fields: Any) -> bool:
        """Write down what it is good to know, though all goes on without. That it cannot be is logged once.

        Returns False if it cannot. True without a record: then there is no next process that would read it.
        """
        if self.hooks.record is None:
            return True
        try:
            self.hooks.record.note(**fields)
        except OSError as error:
            with self._changed:  # of two threads, one says it
                level, self._unwritten = logging.DEBUG if self._unwritten else logging.WARNING, True
            logger.log(
                level, "%s: its record cannot be written, and it goes on without: %s", self.identity, in_words(error)
            )
            return False
        self._unwritten = False
        return True

    # For the tracker only

    def note_end_id(self, end_id: str) -> None:
        """Note, on disk too, that the end is told by an id before its container's changes are."""
        self._told = replace(self._told, told_end_id=end_id)
        self.note(**{TOLD_END_ID: end_id})

    def place(self, container_id: str) -> None:
        """Take note of the job's container."""
        self.identity = replace(self.identity, container_id=container_id)

    def restore_end_request(self, request: EndRequest) -> None:
        """Take in a request that another process noted."""
        self.wish.utter(request)

    def heed_noted_end(self) -> None:
        """Take in what other processes have noted of a request in the record. Reads a file.

        For ``flcore stop``: it writes its wish down, and ends the job itself if it can.
        """
        if self._result is None:
            self.wish.heed()

    def observe(self, seen: ContainerState, now: float, output: str = "") -> list[JobStateChange]:
        """Take in an inspection: the result first, then the bell."""
        seen = replace(seen, error=hidden(seen.error, self.hooks.secrets))  # an engine may quote what it was asked for
        with self._changed:
            transitions = self._machine.observe(seen, now)
            if self._result is None:
                self._output = output
                self._result = self._machine.result(self.wish.request, output)
            if transitions or self._result:
                self._changed.notify_all()
        return [self._as_change(transition) for transition in transitions]

    def tell(self, change: JobStateChange, another_follows: bool = False) -> None:
        """Hand a change to the listener, with its id; note before that it is told, and after that it was.

        If ``another_follows`` at once, what is noted before that one says so of this one. In the notifier's thread.
        """
        state, last = DOCKER_STATE(change.state), self.final_fields() if change.result else {}
        is_noted = self.note(**self._told.fields_before(state, change.time), **last)
        if not is_noted:  # the next process must not take its number for another change
            self._told = self._told.anew()
        change = replace(change, id=self._told.next_id)
        self._told = self._told.then(state, change.time)
        try:
            if self.hooks.on_change:
                self.hooks.on_change(change)
        finally:  # a listener that raised was told, too
            if not another_follows and not self.hooks.is_given_up:
                self.note(**self._told.fields(), **({} if is_noted else last))

    def announce(self) -> None:
        """Call who waits for the end, after the last change was told."""
        with self._changed:
            self._announced = True
            callbacks, self._done_callbacks = self._done_callbacks, []
        for callback in callbacks:
            logged(callback)
        self._end_was_told = True  # only now: while one is still called, a next process must find the job
        self._forget_if_done()

    def be_cleaned_up(self) -> None:
        """Have the rest cleaned up. Raises FLCoreError or CleanUpDelayedError if that should be tried again."""
        if self.hooks.clean_up:
            try:
                self.hooks.clean_up(self)
            except (FLCoreError, CleanUpDelayedError):
                raise
            except Exception:  # a bug does not go away by trying again, and who waits must not wait for ever
                logger.exception("%s: an error in its clean-up", self.identity)
        with self._changed:
            self._cleaned_up = True
            self._changed.notify_all()
        self._forget_if_done()

    def let_go(self) -> None:
        """Wake who waits: nobody tracks this job any more."""
        with self._changed:
            self._tracked = False
            self._changed.notify_all()

    def _as_change(self, transition: Transition) -> JobStateChange:
        who = self.identity
        # One look may lead through several states. Only the last of them has the result.
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

    def _forget_if_done(self) -> None:
        # Listeners and cleaners are threads of their own. While either is not done, a next process must find the job.
        if self.hooks.record and self._end_was_told and self._cleaned_up and not self.hooks.is_given_up:
            self.hooks.record.forget()

    def _is_final(self) -> bool:
        return self._result is not None or not self._tracked

    def _raise_if_untracked(self) -> None:
        if self._result is None and not self._tracked:
            raise RuntimeUnavailableError(f"{self.identity}: its site was closed; the job may go on without it")
