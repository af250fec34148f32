"""What is drawn of a job below its phases: what it used, and its own curves, all over the time since it began. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..docker_state import DOCKER_STATE
from ..operator.job_view import JobView
from . import words
from .asked import cores_used, memory_limit
from .charts import Chart, Level, Line, short_time
from .jobs import Job
from .metrics import Curve, Metrics
from .phases import ended_at, spans

_TOLERANCE = 60.0
"""Seconds that a job's clock may differ from its site's."""


def charts_of(job: Job, metrics: Sequence[tuple[str, Metrics]], now: float) -> list[Chart]:
    """Return a job's charts. ``metrics``: what it has left at its sites."""
    return [*_usage_charts(job), *_metric_charts(job, metrics, now)]


def at_site(name: str, site: str, metrics: Sequence[Any]) -> str:
    """Return how something of one site's metrics is called."""
    return name if len(metrics) == 1 else f"{name} at {site}"


def _usage_charts(job: Job) -> Iterator[Chart]:
    measured = [view for view in job.views if len(view.history.usage) > 1]
    if not measured:
        return
    over_time: dict[str, Any] = {"x_title": "time", "say_x": short_time, "from_zero": True}
    cores = [_line(view, cores_used(view.history.usage) or [(job.began_at, 0.0)], job) for view in measured]
    memory = [_line(view, [(used.time, float(used.memory)) for used in view.history.usage], job) for view in measured]
    yield Chart("CPU, in cores", lines=cores, say_y=_cores_said, **over_time)
    limits = list(_limits(measured))
    yield Chart("Memory", lines=memory, say_y=words.byte_size, is_of_bytes=True, levels=limits, **over_time)


def _line(view: JobView, points: Iterable[tuple[float, float]], job: Job) -> Line:
    return Line(view.history.site, [(moment - job.began_at, value) for moment, value in points])


def _limits(measured: Sequence[JobView]) -> Iterator[Level]:
    found: dict[int, list[str]] = defaultdict(list)
    for view in measured:
        if limit := memory_limit(view):
            found[limit].append(view.history.site)
    yield from (Level("limit" if len(found) == 1 else f"limit at {', '.join(found[limit])}", limit) for limit in found)


def _metric_charts(job: Job, metrics: Sequence[tuple[str, Metrics]], now: float) -> Iterator[Chart]:
    views = {view.history.site: view for view in job.views}
    for site, found in metrics:
        for curve in found.curves:
            times, note = _times_of(curve, views[site], job, now)
            line = Line(curve.name, curve.points, times)
            yield Chart(at_site(curve.name, site, metrics), curve.step, [line], note=note)


def _times_of(curve: Curve, view: JobView, job: Job, now: float) -> tuple[list[float], str]:
    """Return when each point of a curve was, in seconds since the job began, and what is to be said of that."""
    start, end = _ran(view, now)
    if curve.times and start - _TOLERANCE <= min(curve.times) and max(curve.times) <= end + _TOLERANCE:
        return [moment - job.began_at for moment in curve.times], ""
    step = (end - start) / len(curve.points)
    note = f"No times are told: each {curve.step} is shown as long as the others."
    return [start - job.began_at + (index + 1) * step for index in range(len(curve.points))], note


def _ran(view: JobView, now: float) -> tuple[float, float]:
    """Return from when to when a run did run, as far as that is known."""
    began = (span.start for span in spans(view, now) if span.phase == DOCKER_STATE.RUNNING)
    start = next(began, view.history.began_at)
    return start, max(start, ended_at(view, now))


def _cores_said(value: float) -> str:
    return f"{value:.3g}"
