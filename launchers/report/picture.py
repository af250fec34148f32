"""What a page shows of one job, put into words and places: its runs in, plain data out, for templates. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from markupsafe import Markup

from flcore.job_launcher_spec import JobUsage
from flcore.observers.job_history import JobHistory, Outage

from ..docker_state import TERMINAL_STATES
from ..operator.job_view import JobView
from . import charts, words
from .jobs import Job
from .log_tail import LogTail
from .metrics import Metrics
from .phases import Span, ended_at, overlapping, spans
from .words import Verdict

_LEAST_WIDTH = 0.4
"""Of a bar, in percent: a shorter one could not be seen."""


class Bar(NamedTuple):
    """A part of a line of time. Places are in percent of the line."""

    phase: str
    x: float
    width: float
    title: str


class Tick(NamedTuple):
    """A mark on a line of time."""

    x: float
    text: str


class Stretch(NamedTuple):
    """How long a run was in a phase, or that it reached a final state."""

    phase: str
    length: str


@dataclass(frozen=True, slots=True)
class RunPicture:
    """One run: a job at one site."""

    site: str
    verdict: Verdict
    took: str
    bars: Sequence[Bar]
    outages: Sequence[Bar]
    stretches: Sequence[Stretch]
    notes: Sequence[str]
    facts: Sequence[tuple[str, str]]
    error: Sequence[str]
    request: str
    log: LogTail
    open_log: bool

    @property
    def summary(self) -> str:
        """What who does not see the line of time should know of it."""
        return ", ".join(f"{part.phase} {part.length}".strip() for part in self.stretches) or "nothing is known"


@dataclass(frozen=True, slots=True)
class ChartPicture:
    """A chart, drawn, and its values."""

    chart: charts.Chart
    svg: Markup
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class JobPicture:
    """One job, with all its runs."""

    job_id: str
    name: str
    verdict: Verdict
    began: str
    took: str
    runs: Sequence[RunPicture]
    ticks: Sequence[Tick]
    charts: Sequence[ChartPicture]
    numbers: Sequence[tuple[str, str]]
    notes: Sequence[str]

    @property
    def by_urgency(self) -> list[RunPicture]:
        """The runs, those that say why the job is as it is first."""
        return sorted(self.runs, key=lambda run: words.URGENCY.index(run.verdict.kind))


def picture(
    job: Job, outages: Sequence[Outage], logs: Sequence[LogTail], metrics: Sequence[tuple[str, Metrics]], now: float
) -> JobPicture:
    """Return all there is to show of a job. ``logs``: of each of its runs; ``metrics``: by site."""
    start, end = job.began_at, max(job.ended_at(now), job.began_at + 0.1)
    runs = [_run(view, log, outages, start, end, now) for view, log in zip(job.views, logs, strict=True)]
    return JobPicture(
        job_id=job.job_id,
        name=job.name,
        verdict=job.verdict,
        began=words.moment(start) if start else "",
        took=job.took(now),
        runs=runs,
        ticks=[Tick(_percent(x, 0, end - start), charts.short_time(x)) for x in charts.time_ticks(0, end - start)],
        charts=[_drawn(chart) for chart in [*_metric_charts(metrics), *_usage_charts(job)]],
        numbers=[(_of(site, name, metrics), words.number(n)) for site, found in metrics for name, n in found.numbers],
        notes=[f"{site}: metrics.json: {note}" for site, found in metrics for note in _metric_notes(found)],
    )


def _run(view: JobView, log: LogTail, outages: Sequence[Outage], start: float, end: float, now: float) -> RunPicture:
    found, verdict = spans(view, now), words.verdict(view)
    mine = overlapping(outages, view.history.site, start, end, now)
    first = found[0].start if found else start
    return RunPicture(
        site=view.history.site,
        verdict=verdict,
        took=words.duration(max(0.0, ended_at(view, now) - first)),
        bars=[_bar(span, start, end) for span in found],
        outages=[_outage_bar(outage, start, end) for outage in mine],
        stretches=_stretches(view, found),
        notes=[words.outage(outage, now) for outage in mine],
        facts=list(_facts(view)),
        error=_error_lines(view.history),
        request=json.dumps(view.history.request, indent=2, ensure_ascii=True) if view.history.request else "",
        log=log,
        open_log=verdict.kind not in (words.OK, words.ABORTED),
    )


def _bar(span: Span, start: float, end: float) -> Bar:
    x, width = _percent(span.start, start, end), 100 * span.seconds / (end - start)
    return Bar(span.phase, x, max(_LEAST_WIDTH, width), f"{span.phase} {words.duration(span.seconds)}")


def _outage_bar(outage: Outage, start: float, end: float) -> Bar:
    until = outage.until or end
    x, width = _percent(outage.since, start, end), 100 * (until - outage.since) / (end - start)
    return Bar(
        "outage", x, max(_LEAST_WIDTH, width), f"the engine did not answer for {words.duration(until - outage.since)}"
    )


def _percent(value: float, start: float, end: float) -> float:
    return min(100.0, max(0.0, 100 * (value - start) / (end - start)))


def _stretches(view: JobView, found: Sequence[Span]) -> list[Stretch]:
    shown = [Stretch(span.phase, words.duration(span.seconds)) for span in found]
    last = view.history.state
    return [*shown, Stretch(last, "")] if last in TERMINAL_STATES else shown


def _facts(view: JobView) -> Iterable[tuple[str, str]]:
    history, result = view.history, view.history.result
    if result:
        yield "return code", f"{result.return_code.name} ({result.return_code.value})"
        unseen = "none: it never ran, or its end was not seen"
        yield "exit code", unseen if result.exit_code is None else str(result.exit_code)
        if result.ended_by:
            yield "ended by", words.plain(result.ended_by, 200)
    elif view.has_parent is not None:
        yield "followed by", "a process of the site" if view.has_parent else "nobody: the site's process is not there"
    if history.recovered:
        yield "recovered", f"{history.recovered} times" if history.recovered > 1 else "once, by another process"
    for pull in history.pulls:
        how = f"failed: {words.plain(pull.error, 200)}" if pull.error else words.duration(pull.until - pull.since)
        yield "image pulled", f"{words.plain(pull.image, 120)}: {how}"
    if history.container_name:
        yield "container", f"{words.plain(history.container_name, 140)} {words.plain(history.container_id[:12])}"
    if view.launcher:
        yield "launcher", words.plain(view.launcher, 80)


def _error_lines(history: JobHistory) -> list[str]:
    """Return a result's error, its last output a line each."""
    error = history.result.error if history.result else ""
    return [words.plain(line, 600) for line in error.split(" | ")] if error else []


def _metric_charts(metrics: Sequence[tuple[str, Metrics]]) -> Iterable[charts.Chart]:
    for site, found in metrics:
        for curve in found.curves:
            title = _of(site, curve.name, metrics)
            line = charts.Line(curve.name, sorted(curve.points))
            yield charts.Chart(title, curve.step, [line])


def _of(site: str, name: str, metrics: Sequence[Any]) -> str:
    return name if len(metrics) == 1 else f"{name} at {site}"


def _metric_notes(metrics: Metrics) -> list[str]:
    skipped = [f"not shown, as there are no numbers: {', '.join(metrics.skipped)}"] if metrics.skipped else []
    return [*metrics.notes, *skipped]


def _usage_charts(job: Job) -> Iterable[charts.Chart]:
    measured = [view for view in job.views if len(view.history.usage) > 1]
    if not measured:
        return
    start = job.began_at
    cores = [charts.Line(view.history.site, _cores(view.history, start)) for view in measured]
    memory = [charts.Line(view.history.site, _memory(view.history.usage, start)) for view in measured]
    over_time: dict[str, Any] = {"x_title": "time", "say_x": charts.short_time, "is_over_time": True, "from_zero": True}
    yield charts.Chart("CPU, in cores", lines=cores, say_y=_cores_said, **over_time)
    yield charts.Chart("Memory", lines=memory, say_y=words.byte_size, is_of_bytes=True, **over_time)


def _cores(history: JobHistory, start: float) -> list[tuple[float, float]]:
    """Return the processors in use between two measurements, at the time of the later one."""
    pairs = ((old, new) for old, new in pairwise(history.usage) if new.time > old.time)
    return [
        (new.time - start, max(0.0, new.cpu_seconds - old.cpu_seconds) / (new.time - old.time)) for old, new in pairs
    ] or [(0.0, 0.0)]


def _memory(usage: Sequence[JobUsage], start: float) -> list[tuple[float, float]]:
    return [(each.time - start, float(each.memory)) for each in usage]


def _cores_said(value: float) -> str:
    return f"{value:.3g}"


def _drawn(chart: charts.Chart) -> ChartPicture:
    return ChartPicture(chart, charts.draw(chart), charts.value_rows(chart))
