"""The runs of which an index tells, by the job that they are of. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flcore.observers.job_history import Outage

from ..operator.job_view import JobView
from . import words
from .phases import ended_at, overlapping
from .words import Verdict


class Job(NamedTuple):
    """The runs of one job."""

    job_id: str
    views: Sequence[JobView]

    @property
    def name(self) -> str:
        """What its author called it; empty if that is its id, or nothing."""
        names = (words.plain(view.history.name, 80).strip() for view in self.views)
        return next((name for name in names if name and name != self.job_id), "")

    @property
    def verdict(self) -> Verdict:
        return words.worst([words.verdict(view) for view in self.views])

    @property
    def why(self) -> str:
        """Why it is not well: what those of its runs say that are as its verdict, without saying it twice."""
        kind = self.verdict.kind
        reasons: dict[str, list[str]] = defaultdict(list)
        for view in self.views:
            verdict = words.verdict(view)
            if verdict.reason and verdict.kind == kind:
                reasons[verdict.reason].append(view.history.site)
        return "; ".join(f"{', '.join(sites)}: {reason}" for reason, sites in reasons.items())

    @property
    def began_at(self) -> float:
        return min(view.history.began_at for view in self.views)

    def ended_at(self, now: float) -> float:
        return max(ended_at(view, now) for view in self.views)

    def has_met(self, outage: Outage, now: float) -> bool:
        """Whether the engine of one of its sites did not answer meanwhile."""
        return any(
            overlapping([outage], view.history.site, self.began_at, self.ended_at(now), now) for view in self.views
        )

    def took(self, now: float) -> str:
        return words.duration(max(0.0, self.ended_at(now) - self.began_at)) if self.began_at else ""


def grouped(views: Iterable[JobView]) -> list[Job]:
    """Return the jobs of runs, the newest first; the runs of each by their sites' names, a server's first."""
    found: dict[str, list[JobView]] = defaultdict(list)
    for view in views:
        found[view.history.job_id].append(view)
    for runs in found.values():
        runs.sort(key=lambda view: (view.history.site != "server", view.history.site))
    jobs = (Job(job_id, runs) for job_id, runs in found.items())
    return sorted(jobs, key=lambda job: (job.began_at, job.job_id), reverse=True)
