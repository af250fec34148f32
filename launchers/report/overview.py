"""What a page shows of all jobs at a glance. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from flcore.observers.job_history import Outage

from . import words
from .jobs import Job
from .phases import PHASES
from .strip import Strip, strip

_REASONS_SHOWN = 8
_OUTAGES_SHOWN = 5
_COUNTED = (
    (words.ACTIVE, "active"),
    (words.OK, "succeeded"),
    (words.FAILED, "failed"),
    (words.ABORTED, "aborted"),
    (words.LOST, "lost"),
    (words.ENDED, "ended untold"),
)
_WITH_FAILED_RUNS = (words.ACTIVE, words.FAILED, words.LOST)
"""Verdicts of jobs some of whose runs may have failed: of any other, none has."""
_ALWAYS_COUNTED = (words.ACTIVE, words.OK, words.FAILED)


@dataclass(frozen=True, slots=True)
class PhaseTotal:
    """What all runs together spent in a phase."""

    phase: str
    x: float
    share: float
    """In percent, as ``x``: where it begins on a line of the whole."""
    total: str
    median: str
    longest: str
    longest_job: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why jobs failed."""

    text: str
    runs: int
    last_job: str


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is to know at a glance."""

    summary: str
    counts: Sequence[tuple[str, str, int]]
    """Kind, word and number of jobs."""
    phases: Sequence[PhaseTotal]
    reasons: Sequence[Reason]
    outages: Sequence[str]
    problems: Sequence[str]
    strip: Strip | None
    """None where there are not several jobs."""


def overview(
    jobs: Sequence[Job], outages: Sequence[Outage], problems: Sequence[str], now: float, among: int | None = None
) -> Overview:
    """Return what there is to know of some jobs at a glance. ``among``: how many there are of which they were found."""
    kinds = Counter(job.verdict.kind for job in jobs)
    counts = [(kind, word, kinds[kind]) for kind, word in _COUNTED if kinds[kind] or kind in _ALWAYS_COUNTED]
    return Overview(
        summary=_summary(jobs, counts, now, len(jobs) if among is None else among),
        counts=counts if len(jobs) > 1 else [],
        phases=_phase_totals(jobs, now),
        reasons=_reasons(jobs),
        outages=[words.outage(outage, now) for outage in outages[-_OUTAGES_SHOWN:]],
        problems=[words.plain(problem, 300) for problem in problems],
        strip=strip(jobs, now) if len(jobs) > 1 else None,
    )


def _summary(jobs: Sequence[Job], counts: Sequence[tuple[str, str, int]], now: float, among: int) -> str:
    if not jobs:
        return f"None of {among:,} jobs matches." if among else "No job has run yet."
    if len(jobs) == 1:
        return _summary_of_one(jobs[0], now)
    of = f" of {among:,}" if among > len(jobs) else ""
    return f"{len(jobs):,}{of} jobs: {', '.join(f'{count:,} {word}' for _, word, count in counts if count)}."


def _summary_of_one(job: Job, now: float) -> str:
    verdict, why = job.verdict, job.why
    took = f" after {job.took(now)}" if verdict.kind != words.ACTIVE and job.took(now) else ""
    return f"{job.job_id}: {verdict.word}{took}{f' ({why})' if why else ''}."


def _phase_totals(jobs: Sequence[Job], now: float) -> list[PhaseTotal]:
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for job in jobs:
        for phase, start, end in job.spans(now):
            found[phase].append((end - start, job.job_id))
    whole = sum(length for lengths in found.values() for length, _ in lengths) or 1.0
    totals, x = [], 0.0
    for phase in sorted(found, key=_rank):
        totals.append(_phase_total(phase, found[phase], whole, x))
        x += totals[-1].share
    return totals


def _phase_total(phase: str, lengths: Sequence[tuple[float, str]], whole: float, x: float) -> PhaseTotal:
    total = sum(length for length, _ in lengths)
    longest, job_id = max(lengths)
    return PhaseTotal(
        phase=phase,
        x=x,
        share=100 * total / whole,
        total=words.duration(total),
        median=words.duration(median(length for length, _ in lengths)),
        longest=words.duration(longest),
        longest_job=job_id,
    )


def _rank(phase: str) -> int:
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def _reasons(jobs: Sequence[Job]) -> list[Reason]:
    found: dict[str, list[str]] = defaultdict(list)
    for job in (job for job in jobs if job.verdict.kind in _WITH_FAILED_RUNS):
        for view in job.views:
            verdict = words.verdict(view)
            if verdict.kind in (words.FAILED, words.LOST):
                found[verdict.reason].append(job.job_id)
    most = sorted(found.items(), key=lambda item: -len(item[1]))[:_REASONS_SHOWN]
    return [Reason(text, len(job_ids), job_ids[0]) for text, job_ids in most]
