"""Looks at the containers of jobs, each by itself, and takes in what is seen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial

from flcore.errors import RuntimeUnavailableError
from flcore.job_launcher_spec import JobReturnCode
from flcore.site_log import TELLS_OF_END

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, ContainerState, EndRequest, effective_state, result_of
from ..records.end_marks import EndMarks
from ..runtime.base import Runtime
from .disk_watch import DiskWatch
from .ending import SIGTERM, Ending
from .job_cleaner import JobCleaner
from .job_ender import JobEnder, Tracker
from .job_output import last_output
from .job_timeouts import Countdown, JobTimeouts
from .looking import Cause, Looking
from .notifier import Notifier
from .reachability import Reachability
from .tracked_job import TrackedJob
from .worker_loop import Timer, WorkerLoop

logger = logging.getLogger(__name__)

_AS_MEANT = (JobReturnCode.SUCCESS, JobReturnCode.ABORTED)


class Watch:
    """What the worker keeps in mind of one job."""

    __slots__ = ("countdown", "ending", "job", "keeps_limits", "looking", "retry")

    def __init__(self, job: TrackedJob) -> None:
        self.job = job
        self.looking = Looking()
        self.ending = Ending(job.hooks.settings.stop_grace)
        self.keeps_limits = False
        """From its start on."""
        self.countdown: Countdown | None = None
        """If there is a time that it may not exceed."""
        self.retry: Timer | None = None
        """Has a look repeated that failed. There is one at most, however often somebody else has it looked at."""


class JobWatcher:
    """Keeps the books of all jobs: for the tracker's worker only, except where a method says otherwise.

    Args:
        tracker: who is asked to do something later.
        runtime: whose containers.
        loop: the worker.
        engine: whether it answers.
        cleaner: who gets the jobs that have ended.
        notifier: who tells listeners of what has changed.
        list_all: has all containers listed.
        marks: say whose end other processes have noted; None where nobody could.
    """

    def __init__(
        self,
        tracker: Tracker,
        runtime: Runtime,
        loop: WorkerLoop,
        engine: Reachability,
        cleaner: JobCleaner,
        notifier: Notifier,
        list_all: Callable[[], object],
        marks: EndMarks | None = None,
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._engine = engine
        self._ender = JobEnder(loop, runtime, tracker)
        self._timeouts = JobTimeouts(loop, runtime, tracker.end)
        self._disks = DiskWatch(loop, tracker.end)
        self._cleaner = cleaner
        self._notifier = notifier
        self._list_all = list_all
        self._marks = marks
        self.watches: dict[str, Watch] = {}
        """By container id, until the job's end. Any thread may look something up."""
        self.missed_changes = 0
        """How many changes no event has told of."""

    def add(self, job: TrackedJob) -> None:
        """Watch a job whose container is known. From any thread. Idempotent."""
        self.watches.setdefault(job.identity.container_id, Watch(job))

    def look_at(self, container_id: str, cause: Cause = Cause.TOLD) -> None:
        """Have one container inspected, if a job's end is waited for in it."""
        watch = self.watches.get(container_id)
        if watch is None:
            return
        if not self._engine.answers:
            self._list_all()  # it tells whether the engine answers again, and then what is new
        elif watch.looking.begin(cause):
            question = partial(self._inspect, watch.job)
            seen, not_seen = partial(self._seen, watch), partial(self._not_seen, watch)
            self._loop.ask(question, seen, not_seen, watch.job.subject)

    def look_for_start(self, container_id: str) -> None:
        """Have a job that was started looked at, unless it was seen since."""
        watch = self.watches.get(container_id)
        if watch and watch.job.state in (None, DOCKER_STATE.CREATED):
            self.look_at(container_id)

    def take_in(self, watch: Watch, seen: ContainerState, output: str = "") -> None:
        """Take in what was seen of a job's container, and have done what follows.

        Who waits for the job is served first: a listener may be slow, and may itself wait for the job's end.
        """
        job = watch.job
        is_known = job.state is not None
        changes = job.observe(seen, time.time(), output)  # this wakes who waits
        if watch.looking.cause is Cause.LISTED and is_known:  # what was there before the first look was not missed
            self.missed_changes += len(changes)
        for change in changes:
            logger.info("%s: %s -> %s", job.identity, change.previous or "new", change.state)
            self._notifier.tell(partial(job.tell, change, another_follows=change is not changes[-1]))
        if job.result:
            level = logging.INFO if job.result.return_code in _AS_MEANT else logging.WARNING
            code = job.result.return_code.name
            logger.log(level, "%s: %s %s", job.identity, code, job.result.error, extra=TELLS_OF_END)
            self._drop(watch)
            self._notifier.tell(job.announce)
            self._cleaner.clean_up(job)
            return
        if job.state is DOCKER_STATE.RUNNING and not watch.keeps_limits:
            watch.keeps_limits = True
            watch.countdown = self._timeouts.begin(job, seen.started_at)
            self._disks.begin(job)
        if job.state is DOCKER_STATE.CREATED and job.hooks.end_unstarted:
            job.request_end(job.hooks.end_unstarted, time.time())
        if job.end_request:
            self.pursue_end(watch)

    def pursue_end(self, watch: Watch) -> None:
        """Do what is next to end a job for which an end was requested."""
        if self._engine.answers:  # else the next list that is answered comes here
            self._ender.pursue(watch.job, watch.ending)

    def pursue_end_in(self, container_id: str) -> None:
        """Do what is next to end the job in a container, if it has not ended."""
        if watch := self.watches.get(container_id):
            self.pursue_end(watch)

    def heed_noted_ends(self) -> None:
        """Have jobs ended whose end another process has noted: one look, at a folder, whatever the number of jobs."""
        if self._marks:
            self._loop.ask(self._marks.find, self._heed, lambda error: logger.error("no wish is found: %r", error))

    def _heed(self, names: Collection[str]) -> None:
        marked = [watch for watch in list(self.watches.values()) if names and watch.job.record_name in names]
        for watch in marked:
            # One that is being launched looks for itself, as late as can be: who removed its container would interfere.
            if watch.job.state not in (None, DOCKER_STATE.CREATED):
                not_heeded = partial(logger.warning, "%s: the wish for its end is not heeded: %r", watch.job.identity)
                self._loop.ask(partial(self._read_wish, watch.job), partial(self._begin_to_end, watch), not_heeded)

    def _read_wish(self, job: TrackedJob) -> EndRequest | None:
        """In the pool."""
        job.heed_noted_end()
        if job.end_request and self._marks:
            self._marks.take_away(job.record_name)
        return job.end_request

    def _begin_to_end(self, watch: Watch, request: EndRequest | None) -> None:
        if watch.ending.under_way:
            return
        # Delivered by who has noted it: what is left to do is to kill, if nobody else does.
        if request and request.delivered and watch.ending.signal == SIGTERM:
            seconds = watch.ending.sent(time.monotonic())
            self._loop.after(seconds, partial(self.pursue_end_in, watch.job.identity.container_id))
        elif request:
            self.pursue_end(watch)

    def _inspect(self, job: TrackedJob) -> tuple[ContainerState, str]:
        """In the pool: return what is seen of a container and, if it failed, the end of its output."""
        container_id = job.identity.container_id
        seen = self._runtime.inspect(container_id)
        if effective_state(seen) in TERMINAL_STATES:
            # Before the result is made: it says whose request it was, and once it is there it never changes.
            job.heed_noted_end()
            seen = job.hooks.end_of(seen)
        explained = job.end_request is not None or not _has_failed(seen)
        return seen, "" if explained else last_output(self._runtime, container_id, job.hooks.secrets)

    def _seen(self, watch: Watch, answer: tuple[ContainerState, str]) -> None:
        seen, output = answer
        again = watch.looking.answered()
        self._engine.note_answer()  # this may have been the last job, and no list follows
        if watch.ending.under_way and effective_state(seen) in TERMINAL_STATES:
            return  # the answer to the signal will tell who was first, and is followed by another look
        self.take_in(watch, seen, output)
        if again:
            self.look_at(watch.job.identity.container_id, again)

    def _not_seen(self, watch: Watch, error: Exception) -> None:
        level = logging.DEBUG if watch.looking.failures else logging.WARNING
        delay = watch.looking.failed()
        logger.log(level, "%s: cannot be inspected, will be again: %s", watch.job.identity, error)
        if isinstance(error, RuntimeUnavailableError):
            self._list_all()  # is it the engine, or this container alone?
        if watch.retry is None:
            watch.retry = self._loop.after(delay, partial(self._look_again, watch))

    def _look_again(self, watch: Watch) -> None:
        watch.retry = None
        self.look_at(watch.job.identity.container_id)

    def _drop(self, watch: Watch) -> None:
        self.watches.pop(watch.job.identity.container_id, None)
        if watch.countdown:
            watch.countdown.cancel()
        if watch.retry:
            watch.retry.cancel()


def _has_failed(seen: ContainerState) -> bool:
    """Whether a process ran and its end is no success, so that its last output may say why."""
    if effective_state(seen) not in TERMINAL_STATES or seen.started_at is None:
        return False
    return result_of(seen).return_code != JobReturnCode.SUCCESS
