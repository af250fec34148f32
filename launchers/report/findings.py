"""What an index tells at one moment, as a page needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flcore.observers.job_history import Outage

from ..operator.job_view import JobView
from ..operator.selection import matching
from .jobs import Grouping, Job
from .log_tail import log_tail
from .metrics import METRICS_FILE, Metrics, read_metrics
from .picture import JobPicture, picture
from .words import ACTIVE


class Index(Protocol):
    """What a page needs of a ``JobIndex``."""

    def jobs(self) -> list[JobView]: ...

    def outages(self) -> Sequence[Outage]: ...

    def watched_paths(self) -> Sequence[Path]: ...

    @property
    def problems(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What was known at one moment."""

    jobs: Sequence[Job]
    """The newest first."""
    outages: Sequence[Outage]
    problems: Sequence[str]
    now: float

    @classmethod
    def of(cls, index: Index, names: Sequence[str] = (), grouping: Grouping | None = None) -> Findings:
        """Ask for the jobs that names mean, or for all. Raises NoSuchJobError, or what the index raises.

        Who looks again and again for the same names gives the ``grouping`` of the last time.
        """
        jobs = (grouping or Grouping()).jobs(matching(index.jobs(), names))
        outages, now = index.outages(), time.time()
        if names:
            outages = [outage for outage in outages if any(job.has_met(outage, now) for job in jobs)]
        return cls(jobs, outages, index.problems, now)

    @property
    def is_moving(self) -> bool:
        """Whether time itself changes what is to be said."""
        return any(job.is_active for job in self.jobs) or any(outage.until is None for outage in self.outages)

    @property
    def sites(self) -> list[str]:
        return sorted({view.history.site for job in self.jobs for view in job.views})

    def picture(self, job: Job) -> JobPicture:
        """Return all there is to show of one job; reads its outputs and metrics."""
        logs = [log_tail(view) for view in job.views]
        return picture(job, self.outages, logs, list(_metrics(job)), self.now)

    def fingerprint(self, job: Job) -> Any:
        """Return what differs when the job's picture does; a job that is active has another one at each moment."""
        if job.verdict.kind == ACTIVE:
            return self.now
        files = [_stamp(path) for view in job.views for path in _files(view)]
        told = [
            (history.site, history.result, len(history.states), len(history.usage), history.closed_at, view.state)
            for view in job.views
            for history in (view.history,)
        ]
        return told, files, [outage.until for outage in self.outages]


def _metrics(job: Job) -> Iterator[tuple[str, Metrics]]:
    for view in job.views:
        if view.workspace:
            found = read_metrics(view.workspace / job.job_id)
            if found is not None:
                yield view.history.site, found


def _files(view: JobView) -> list[Path]:
    """Return what a run's picture is made of, beside what the index tells."""
    if view.workspace is None or view.log_path is None:
        return []
    return [view.log_path, view.workspace / view.history.job_id / METRICS_FILE]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size
