"""The runs of which an index tells, by the job that they are of. Pure."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from flcore.job_reports import LAST_OUTPUT
from flcore.observers.job_history import Outage

from ..operator.job_table import short_note_of
from ..operator.job_view import JobView
from ..output_lines import LINE_BREAK
from . import words
from .phases import Span, ended_at, overlapping, spans
from .words import Verdict

_LONGEST_LINE = 300


class Cause(NamedTuple):
    """Why some of a job's runs are not well."""

    sites: Sequence[str]
    reason: str
    """In a few words."""
    last_line: str
    """The last that they wrote, or that is known of a failure, as ``flcore ps`` has it; empty if nothing new."""


@dataclass(frozen=True)
class Job:
    """The runs of one job. What is to be said of them is found out once: a run that changes gets another view."""

    job_id: str
    views: Sequence[JobView]

    @cached_property
    def is_active(self) -> bool:
        """Whether time itself changes what is to be said of it."""
        return any(view.is_active for view in self.views)

    @cached_property
    def name(self) -> str:
        """What its author called it; empty if that is its id, or nothing."""
        names = (words.plain(view.history.name, 80).strip() for view in self.views)
        return next((name for name in names if name and name != self.job_id), "")

    @property
    def other_name(self) -> str:
        """Its name, unless its id begins with that."""
        return "" if self.job_id.casefold().startswith(self.name.casefold()) else self.name

    @cached_property
    def verdict(self) -> Verdict:
        return words.worst([words.verdict(view) for view in self.views])

    @cached_property
    def why(self) -> str:
        """Why it is not well: what those of its runs say that are as its verdict, without saying it twice."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for cause in self.causes:
            reasons[cause.reason] += cause.sites
        return "; ".join(f"{', '.join(sites)}: {reason}" for reason, sites in reasons.items())

    @cached_property
    def causes(self) -> Sequence[Cause]:
        """Why it is not well, with the last lines, by those of its runs that are as its verdict."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for view in self.views:
            verdict = words.verdict(view)
            if verdict.reason and verdict.kind == self.verdict.kind:
                found[verdict.reason, _last_line(view, verdict)].append(view.history.site)
        return [Cause(sites, *said) for said, sites in found.items()]

    @cached_property
    def study(self) -> str:
        """The study that it is of, by its metadata; empty if that names none."""
        studies = (words.plain(view.history.study, 80).strip() for view in self.views)
        return next(filter(None, studies), "")

    @cached_property
    def sites(self) -> Sequence[str]:
        return [view.history.site for view in self.views]

    @property
    def path(self) -> str:
        """What commands and addresses call it: ``SITE/JOB``, or ``JOB`` of several sites."""
        return self.job_id if len(self.views) > 1 else f"{self.sites[0]}/{self.job_id}"

    @cached_property
    def searchable(self) -> str:
        """All that it can be found by, in one case."""
        said = (f"{cause.reason} {cause.last_line}" for cause in self.causes)
        return " ".join((self.job_id, self.name, self.study, *self.sites, *said)).casefold()

    @cached_property
    def began_at(self) -> float:
        return min(view.history.began_at for view in self.views)

    def ended_at(self, now: float) -> float:
        return max(ended_at(view, now) for view in self.views) if self.is_active else self._ended_at

    @cached_property
    def _ended_at(self) -> float:
        return max(ended_at(view, 0.0) for view in self.views)

    def spans(self, now: float) -> Sequence[Span]:
        """Return the phases of all its runs."""
        return self._spans_until(now) if self.is_active else self._spans

    @cached_property
    def _spans(self) -> Sequence[Span]:
        return self._spans_until(0.0)

    def _spans_until(self, now: float) -> Sequence[Span]:
        return [span for view in self.views for span in spans(view, now)]

    def has_met(self, outage: Outage, now: float) -> bool:
        """Whether the engine of one of its sites did not answer meanwhile."""
        return any(
            overlapping([outage], view.history.site, self.began_at, self.ended_at(now), now) for view in self.views
        )

    def seconds(self, now: float) -> float:
        """Return how long it took, or takes until now; 0 if nobody knows when it began."""
        return max(0.0, self.ended_at(now) - self.began_at) if self.began_at else 0.0

    def took(self, now: float) -> str:
        return words.duration(self.seconds(now)) if self.began_at else ""


class Grouping:
    """Groups runs again and again. A job whose runs have not changed stays the same object, as does the list of all."""

    def __init__(self) -> None:
        self._views: Sequence[JobView] = ()
        self._jobs: Sequence[Job] = ()

    def jobs(self, views: Sequence[JobView]) -> Sequence[Job]:
        """Return the jobs of runs, as :func:`grouped` does."""
        if not _are_the_same(views, self._views):
            self._views, self._jobs = views, grouped(views, {job.job_id: job for job in self._jobs})
        return self._jobs


def grouped(views: Iterable[JobView], known: Mapping[str, Job] = MappingProxyType({})) -> list[Job]:
    """Return the jobs of runs, the newest first; the runs of each by their sites' names, a server's first."""
    found: dict[str, list[JobView]] = defaultdict(list)
    for view in views:
        found[view.history.job_id].append(view)
    jobs = (_job(job_id, runs, known.get(job_id)) for job_id, runs in found.items())
    return sorted(jobs, key=lambda job: (job.began_at, job.job_id), reverse=True)


def _job(job_id: str, runs: list[JobView], known: Job | None) -> Job:
    runs.sort(key=lambda view: (view.history.site != "server", view.history.site))
    return known if known and _are_the_same(runs, known.views) else Job(job_id, runs)


def _last_line(view: JobView, verdict: Verdict) -> str:
    """Return what a failed run said last, if that says more than its verdict."""
    result = view.history.result
    if verdict.kind != words.FAILED or result is None or result.succeeded:
        return ""
    note = result.error.partition(LAST_OUTPUT)[2].rpartition(LINE_BREAK)[2] if result.ended_by else short_note_of(view)
    said = words.plain(note, _LONGEST_LINE).strip()
    return "" if said == verdict.reason else said


def _are_the_same(some: Sequence[JobView], others: Sequence[JobView]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))
