"""What a page shows of one job, put into words and places: its runs in, plain data out, for templates. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flcore.job_reports import LAST_OUTPUT
from flcore.observers.job_history import JobHistory, Outage

from ..docker_state import TERMINAL_STATES
from ..operator.job_view import JobView
from ..output_lines import LINE_BREAK
from . import charts, words
from .asked import NOT_MEASURED, Asked, asked
from .curves import at_site, charts_of
from .jobs import Job
from .log_tail import LogTail
from .metrics import Metrics
from .phases import Span, ended_at, overlapping, spans
from .words import Verdict

_LONGEST_NOTE = 500
"""Characters of what others say of a job."""
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
class Curves:
    """A chart in its place on the job's line of time, and its values."""

    drawing: charts.Drawing
    rows: Sequence[Sequence[str]]


class Failure(NamedTuple):
    """Why runs are not well."""

    sites: str
    reason: str
    error: Sequence[str]
    """What is told beside that, the last lines of its output among it."""


@dataclass(frozen=True, slots=True)
class JobPicture:
    """One job, with all its runs."""

    job_id: str
    name: str
    study: str
    path: str
    """What commands and addresses call it."""
    verdict: Verdict
    began: str
    took: str
    runs: Sequence[RunPicture]
    ticks: Sequence[Tick]
    curves: Sequence[Curves]
    asked: Sequence[Asked]
    numbers: Sequence[tuple[str, str]]
    notes: Sequence[str]

    @property
    def failures(self) -> list[Failure]:
        """Why it is not well, what several runs say in the same words once."""
        found: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
        for run in self.runs:
            if run.verdict.kind == self.verdict.kind and run.verdict.reason:
                found[run.verdict.reason, tuple(run.error)].append(run.site)
        return [Failure(", ".join(sites), reason, error) for (reason, error), sites in found.items()]

    @property
    def is_measured(self) -> bool:
        """Whether it is known of all its runs what they have used."""
        return all(row.used != NOT_MEASURED for row in self.asked)

    @property
    def has_verdicts(self) -> bool:
        """Whether there is a limit to which what was used can be compared."""
        return any(row.verdict for row in self.asked)

    @property
    def by_urgency(self) -> list[RunPicture]:
        """The runs, those that say why the job is as it is first."""
        return sorted(self.runs, key=lambda run: _urgency(run.verdict.kind))


def _urgency(kind: str) -> int:
    return words.URGENT.index(kind) if kind in words.URGENT else len(words.URGENT)


def picture(
    job: Job, outages: Sequence[Outage], logs: Sequence[LogTail], metrics: Sequence[tuple[str, Metrics]], now: float
) -> JobPicture:
    """Return all there is to show of a job. ``logs``: of each of its runs; ``metrics``: by site."""
    start, end = job.began_at, max(job.ended_at(now), job.began_at + 0.1)
    length = end - start
    runs = [_run(view, log, outages, start, end, now) for view, log in zip(job.views, logs, strict=True)]
    return JobPicture(
        job_id=job.job_id,
        name=job.other_name,
        study=job.study,
        path=job.path,
        verdict=job.verdict,
        began=words.moment(start) if start else "",
        took=job.took(now),
        runs=runs,
        ticks=[Tick(_percent(x, 0, length), charts.short_time(x)) for x in charts.time_ticks(0, length)],
        curves=[Curves(charts.draw(chart, length), charts.value_rows(chart)) for chart in charts_of(job, metrics, now)],
        asked=[row for view in job.views for row in asked(view)],
        numbers=list(_numbers(metrics)),
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
        notes=[*_waiting(view), *(words.outage(outage, now) for outage in mine)],
        facts=list(_facts(view)),
        error=_error_lines(view.history, verdict),
        request=json.dumps(view.history.request, indent=2, ensure_ascii=True) if view.history.request else "",
        log=log,
        open_log=verdict.kind not in (words.OK, words.ABORTED),
    )


def _waiting(view: JobView) -> Iterator[str]:
    """Yield what a launch waits for, if it does, and by which command it may go on."""
    if view.waits_for:
        yield f"It {words.plain(view.waits_for, _LONGEST_NOTE)}."


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


def _error_lines(history: JobHistory, verdict: Verdict) -> list[str]:
    """Return what a result's error says beside its verdict, its last output a line each."""
    error = history.result.error if history.result else ""
    reason, _, output = error.partition(LAST_OUTPUT)
    lines = [line for part in (reason, output) for line in part.split(LINE_BREAK) if line]
    told = [words.plain(line, 600) for line in lines]
    return told[1:] if told and told[0] == verdict.reason else told


def _numbers(metrics: Sequence[tuple[str, Metrics]]) -> Iterable[tuple[str, str]]:
    for site, found in metrics:
        yield from ((at_site(name, site, metrics), words.number(value)) for name, value in found.numbers)


def _metric_notes(metrics: Metrics) -> list[str]:
    skipped = [f"not shown, as there are no numbers: {', '.join(metrics.skipped)}"] if metrics.skipped else []
    return [*metrics.notes, *skipped]
