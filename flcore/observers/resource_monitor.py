"""What running jobs use, measured now and then: a component that fires JOB_USAGE."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from ..config.rules import checks_by_rules, rule
from ..errors import FLCoreError, RuntimeUnavailableError
from ..event_type import EventType
from ..fl_component import FLComponent
from ..fl_constant import FLContextKey
from ..fl_context import FLContext
from ..job_launcher_spec import JobHandleSpec, JobReturnCode
from ..threads import LONGEST_WAIT, OwnThread

FIRST_AFTER = 0.2
"""Seconds from a job's launch to its first sample."""
SAMPLES_PER_AGE = 60
"""How many samples of a job there are, at most, in the time from one age to about twice that age."""
REST = 0.25
"""Seconds between two samples, of whatever jobs: the more there are, the less often each is measured."""
CLOSE_TIMEOUT = 10.0
"""Seconds that closing waits for a sample that is under way."""


class _Sample(NamedTuple):
    """A job of which one is taken."""

    site: str
    job_id: str
    handle: JobHandleSpec
    engine: Any


class _Watch:
    """A job that is measured, and when it will be."""

    __slots__ = ("began", "due", "sample")

    def __init__(self, sample: _Sample) -> None:
        self.sample = sample
        self.began = time.monotonic()
        self.due = self.began + FIRST_AFTER

    def postpone(self, interval: float) -> None:
        """Set when the next sample is due."""
        now = time.monotonic()
        self.due = now + seconds_to_next(now - self.began, interval)


@rule(lambda: {"type": "number", "minimum": FIRST_AFTER})
def _interval(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not value >= FIRST_AFTER:
        raise ValueError(f"{key} must be a number of seconds, {FIRST_AFTER:g} at least, got {value!r}")
    return float(min(value, LONGEST_WAIT))


@checks_by_rules
class ResourceMonitor(FLComponent):
    """Measures what each running job uses, and fires JOB_USAGE for the components of its site.

    A job is measured soon after its launch, then each time it has become twice as old, until that takes longer than
    ``interval``; then every ``interval`` seconds, or every sixtieth of its age where that is longer. So a job has about
    sixty samples, and some more for each doubling of its time. One thread measures all jobs, one after the other, four
    a second at most (a Docker Engine before 25 takes a second for each). Where an engine does not answer, samples are
    left out. There is no thread while no job runs.

    Args:
        interval: seconds between two samples of a job.
    """

    def __init__(self, interval: float = 10.0) -> None:
        super().__init__()
        self._interval = _interval("interval", interval)
        self._watches: dict[str, _Watch] = {}
        self._thread: OwnThread | None = None
        """There is one as long as there is a job."""
        self._rests_until = 0.0
        self._changed = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Measure jobs from their launch, or from when they were found again, to their end or that of the system."""
        if event_type in (EventType.AFTER_JOB_LAUNCH, EventType.JOB_RECOVERED):
            handle = fl_ctx.get_prop(FLContextKey.JOB_HANDLE)
            if isinstance(handle, JobHandleSpec):
                self._begin(_Sample(fl_ctx.get_identity_name(), fl_ctx.get_job_id(), handle, fl_ctx.get_engine()))
        elif event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED):
            self._forget_if_ended(fl_ctx.get_job_id())
        elif event_type == EventType.SYSTEM_END:
            self.close()
        elif self._watches:
            self._have_thread()  # that of a job's begin may not have come

    def close(self) -> None:
        """Measure no job any more, and return when the thread has ended. Idempotent."""
        with self._changed:
            self._watches.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(CLOSE_TIMEOUT)

    def _begin(self, sample: _Sample) -> None:
        with self._changed:
            self._watches[sample.job_id] = _Watch(sample)
            self._changed.notify_all()
        self._have_thread()

    def _have_thread(self) -> None:
        with self._changed:
            if self._thread or not self._watches:
                return
            thread = OwnThread("monitor", self._run)
            try:
                thread.start()
            except RuntimeUnavailableError as error:
                self.logger.warning("jobs are not measured until the next event: %s", error)
            else:
                self._thread = thread

    def _forget_if_ended(self, job_id: str) -> None:
        """Forget a job, unless one of the same id runs already."""
        with self._changed:
            watch = self._watches.get(job_id)
            if watch and watch.sample.handle.poll() != JobReturnCode.UNKNOWN:
                self._forget(watch.sample)

    def _forget(self, sample: _Sample) -> None:
        with self._changed:
            watch = self._watches.get(sample.job_id)
            if watch and watch.sample is sample:
                del self._watches[sample.job_id]
                self._changed.notify_all()

    # The thread

    def _run(self) -> None:
        while sample := self._next():
            self._take(sample)
            self._rests_until = time.monotonic() + REST

    def _next(self) -> _Sample | None:
        """Return the job whose sample is due, when it is; None when there is no job any more, and so no thread."""
        with self._changed:
            while self._watches:
                watch = min(self._watches.values(), key=lambda watch: watch.due)
                patience = max(watch.due, self._rests_until) - time.monotonic()
                if patience <= 0:
                    watch.postpone(self._interval)
                    return watch.sample
                self._changed.wait(patience)
            self._thread = None
            return None

    def _take(self, sample: _Sample) -> None:
        """Measure a job and tell the others; what goes wrong ends nothing."""
        about = {"site": sample.site, "job_id": sample.job_id}
        try:
            self._measure(sample)
        except FLCoreError as error:
            self.logger.debug("job %s: not measured this time: %s", sample.job_id, error, extra=about)
        except BaseException:  # whatever a handle or a component raises, the other jobs are measured
            self.logger.exception("job %s: cannot be measured, and will not be any more", sample.job_id, extra=about)
            self._forget(sample)

    def _measure(self, sample: _Sample) -> None:
        usage = sample.handle.usage()
        if usage:
            fl_ctx: FLContext = sample.engine.new_context()
            fl_ctx.set_prop(FLContextKey.CURRENT_RUN, sample.job_id, private=False, sticky=False)
            self.fire_event_with_data(EventType.JOB_USAGE, fl_ctx, FLContextKey.JOB_USAGE, usage)
        elif sample.handle.poll() != JobReturnCode.UNKNOWN:
            self._forget(sample)


def seconds_to_next(age: float, interval: float) -> float:
    """Return when a job of some age is measured again: soon while it is young, seldom when it is old."""
    return max(FIRST_AFTER, min(age, interval), age / SAMPLES_PER_AGE)
