"""What the events of a site tell of its jobs, counted. Knows no metrics library, and asks nobody."""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..errors import (
    ConfigError,
    ImageError,
    JobAbortedError,
    JobRejectedError,
    JobStartError,
    NameInUseError,
    NetworkError,
    NoGpuError,
    NoLauncherError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
    SiteBusyError,
)
from ..job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode, JobStateChange, JobUsage

LAUNCHING, RUNNING, OTHER = "launching", "running", "other"
STATES = (LAUNCHING, "created", RUNNING, "paused", "restarting", "removing", OTHER)
"""Of jobs that have not ended."""
NO_STUDY = ""
"""In place of a study's name: jobs that name none."""
LAUNCHED, FAILED = OUTCOMES = ("launched", "failed")
"""Of launches."""
RETURN_CODES = tuple(code.name for code in JobReturnCode if code is not JobReturnCode.UNKNOWN)

_OF_LAUNCHES: Mapping[type[Exception] | tuple[type[Exception], ...], str] = {
    (JobRejectedError, ConfigError, NoLauncherError): "refused",
    (SiteBusyError, NoGpuError, NameInUseError): "busy",
    ImageError: "image",
    (JobStartError, NetworkError): "not_started",
    JobAbortedError: "aborted",
    (RuntimeUnavailableError, RuntimeRefusedError): "engine",
}
_OF_ENDS = ("exit_code", "signal", "out_of_memory", "timeout", "disk", "lost")
REASONS = (*_OF_ENDS, *_OF_LAUNCHES.values(), OTHER)
"""Why jobs fail."""

LAUNCH_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
EXIT_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Seconds."""
KEPT_ENDED = 1000
"""How many ended jobs are kept in mind, the newest: of some, more may be told."""
_A_TIMEOUT = re.compile(r"\('\w*timeout'\)")
"""How the errors and requests of launchers name the key of the site's config that sets a time limit,"""
_OF_THE_DISK = re.compile(r"\('disk'\)")
"""or how much a job's folder may hold."""
_IN_A_FULL_FOLDER = re.compile(r"\('disk'\)$")
"""How a reason ends of a job that failed by itself as its folder was full. A job may say the same elsewhere."""


class Distribution(NamedTuple):
    """How often something took how long."""

    buckets: Sequence[tuple[str, float]]
    """``(seconds, how often it took no longer)``; the last is ``+Inf``."""
    total: float
    """Seconds of all together."""


Values = Mapping[tuple[str, ...], float | Distribution]
"""By the values of labels."""


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds

    def distribution(self) -> Distribution:
        names = [*map(str, self._bounds), "+Inf"]
        return Distribution(list(zip(names, accumulate(self._counts), strict=True)), self._total)


class JobTally:
    """Counts what happens to the jobs of one site. All methods may be called from any thread.

    An end is counted once, be it told by the last change of a job's container, by the site, or by both in any order.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` measures how long launches take."""
        self._clock = clock
        self._since = time.time()
        self._launching: dict[str, float] = {}
        """When the launches under way began, by the clock."""
        self._states: dict[str, str] = {}
        """Of jobs that were launched, or have a container."""
        self._ended: dict[str, bool] = {}
        """The newest jobs whose end was counted, and whether the site has told it; if not, it still may."""
        self._studies: dict[str, str] = {}
        """Of the jobs that have not ended."""
        self._seen_studies = {NO_STUDY}
        self._study_ends: Counter[str] = Counter()
        self._study_failures: Counter[str] = Counter()
        self._launches: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._launch_seconds = _Histogram(LAUNCH_BOUNDS)
        self._exit_seconds = _Histogram(EXIT_BOUNDS)
        self._used: dict[str, float | None] = {}
        """Processor seconds by job; None where those before a job was found again are not known yet."""
        self._cpu_seconds: float | None = None
        self._memory: dict[str, int] = {}
        self._reachable: dict[str, bool] = {}
        """By launcher."""
        self._outages: Counter[str] = Counter()
        self._lock = threading.Lock()

    def launching(self, job_id: str, study: str = NO_STUDY) -> None:
        """Count a launch that begins. ``study`` is one of few words: each has series of its own from now on."""
        with self._lock:
            self._ended.pop(job_id, None)
            self._is_of(study, job_id)
            self._launching[job_id] = self._clock()

    def launched(self, job_id: str) -> None:
        """Count a launch that has succeeded; its job may have ended already."""
        with self._lock:
            self._launches[LAUNCHED] += 1
            began = self._launching.pop(job_id, None)
            if began is not None:
                self._launch_seconds.observe(self._clock() - began)
            if job_id not in self._ended:
                self._states.setdefault(job_id, RUNNING)

    def recovered(self, job_id: str, handle: JobHandleSpec | None, study: str = NO_STUDY) -> None:
        """Count a job that was found again; of the study, see :meth:`launching`."""
        with self._lock:
            self._ended.pop(job_id, None)
            self._is_of(study, job_id)
            self._states[job_id] = (handle and handle.state) or RUNNING
            self._used[job_id] = None

    def changed(self, change: JobStateChange, launcher: str) -> None:
        """Count a change, and an end that it tells of, as soon as it is heard."""
        with self._lock:
            if change.container_id:  # else there is no engine, or nobody who says so
                self._reachable.setdefault(launcher, True)
            if change.job_id in self._ended:
                return
            if change.result is None:
                self._states[change.job_id] = change.state
                return
            self._count_end(change.job_id, change.result)
            self._note_end(change.job_id, told=False)
            finished_at = change.result.finished_at
            if finished_at is not None and finished_at >= self._since:  # else nobody was there to hear of it
                self._exit_seconds.observe(max(0.0, time.time() - finished_at))

    def ended(self, job_id: str, result: JobResult, launch_error: Exception | None) -> None:
        """Count a job of which the site tells that it has ended, or could not be launched."""
        with self._lock:
            if launch_error:
                self._launches[FAILED] += 1
                self._launching.pop(job_id, None)
            if self._ended.get(job_id) is not False:
                self._count_end(job_id, result, launch_error)
            self._note_end(job_id, told=True)

    def measured(self, usage: JobUsage) -> None:
        """Count what a job uses, unless it has ended meanwhile."""
        with self._lock:
            if usage.job_id not in self._states:
                return
            before = self._used.get(usage.job_id, 0.0)
            self._used[usage.job_id] = usage.cpu_seconds
            more = 0.0 if before is None else max(0.0, usage.cpu_seconds - before)
            self._cpu_seconds = (self._cpu_seconds or 0.0) + more
            self._memory[usage.job_id] = usage.memory

    def engine(self, launcher: str, reachable: bool) -> None:
        """Count that the engine of a launcher stopped answering, or answers again."""
        with self._lock:
            self._reachable[launcher] = reachable
            self._outages[launcher] += not reachable

    def values(self, studies: Iterable[str] = ()) -> dict[str, Values]:
        """Return all counts, by what is counted; with zeros of studies of which nothing was heard yet."""
        with self._lock:
            known = sorted({*self._seen_studies, *studies})
            values: dict[str, Values] = {
                "jobs": _filled(self._count_states(), STATES),
                "launches": _filled(self._launches, OUTCOMES),
                "ends": _filled(self._ends, RETURN_CODES),
                "failures": _filled(self._failures, REASONS),
                "study_jobs": _filled(Counter(self._studies.values()), known),
                "study_ends": _filled(self._study_ends, known),
                "study_failures": _filled(self._study_failures, known),
                "launch_seconds": {(): self._launch_seconds.distribution()},
                "exit_seconds": {(): self._exit_seconds.distribution()},
                "reachable": {(launcher,): reachable for launcher, reachable in self._reachable.items()},
                "outages": {(launcher,): self._outages[launcher] for launcher in self._reachable},
            }
            if self._cpu_seconds is not None:
                values["cpu_seconds"] = {(): self._cpu_seconds}
                values["memory"] = {(): sum(self._memory.values())}
            return values

    def _is_of(self, study: str, job_id: str) -> None:
        self._studies[job_id] = study
        self._seen_studies.add(study)

    def _note_end(self, job_id: str, told: bool) -> None:
        self._ended[job_id] = told
        if len(self._ended) > KEPT_ENDED:
            del self._ended[next(iter(self._ended))]

    def _count_end(self, job_id: str, result: JobResult, launch_error: Exception | None = None) -> None:
        self._states.pop(job_id, None)
        self._used.pop(job_id, None)
        self._memory.pop(job_id, None)
        self._ends[result.return_code.name] += 1
        study = self._studies.pop(job_id, NO_STUDY)
        self._study_ends[study] += 1
        if reason := failure_reason(result, launch_error):
            self._failures[reason] += 1
            self._study_failures[study] += 1

    def _count_states(self) -> Counter[str]:
        states = Counter(state if state in STATES else OTHER for state in self._states.values())
        states[LAUNCHING] = sum(job_id not in self._states for job_id in self._launching)
        return states


def failure_reason(result: JobResult, launch_error: Exception | None = None) -> str:
    """Return why a job has failed, or could not be launched, as one of ``REASONS``; empty if it has not."""
    if launch_error:
        return _reason_of_launch(launch_error)
    if result.succeeded:
        return ""
    if result.return_code is JobReturnCode.ABORTED:
        return _reason_of_abort(result.ended_by)
    if result.oom_killed:
        return "out_of_memory"
    if _IN_A_FULL_FOLDER.search(result.reason):
        return "disk"
    if result.signal:
        return "signal"
    if result.exit_code is None:
        return "lost" if result.return_code is JobReturnCode.INFRASTRUCTURE_ERROR else "exit_code"
    return "exit_code" if result.started_at else "not_started"


def _reason_of_abort(ended_by: str) -> str:
    if _A_TIMEOUT.search(ended_by):
        return "timeout"
    return "disk" if _OF_THE_DISK.search(ended_by) else "aborted"


def _reason_of_launch(error: Exception) -> str:
    if _A_TIMEOUT.search(str(error)):
        return "timeout"
    return next((reason for kinds, reason in _OF_LAUNCHES.items() if isinstance(error, kinds)), OTHER)


def _filled(counts: Counter[str], keys: Iterable[str]) -> Values:
    """Return counts by one label, with zeros: a series that begins only with its first event hides that one."""
    return {(key,): counts[key] for key in keys}
