"""The last 24 hours at a glance: a mark a job on a line of time, those that failed in a lane of their own. Pure."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import words
from .jobs import Job

LENGTH = 86_400
"""Seconds."""
STEP = 600
"""Seconds: it goes on by so many at once, so that a page is not drawn again for each second that passes."""
MOST_SINGLE = 400
"""Jobs that have a mark each. Of more, those of one lane that ended in the same ten minutes have one together."""
LANES = (
    ("active", "running", (words.ACTIVE,)),
    ("failed", "failed", (words.FAILED, words.LOST)),
    ("ended", "done", (words.OK, words.ABORTED, words.ENDED)),
)


class Mark(NamedTuple):
    """A job, or several that ended at about the same time. Places are in percent."""

    kind: str
    x: float
    title: str
    job: Job | None
    """The one that it is of; None for several."""
    height: float = 0.0
    """Of a bar, by how many jobs it stands for; 0 for the mark of one."""


class Hour(NamedTuple):
    """A time that is named below the strip."""

    x: float
    text: str
    is_major: bool
    """One of those for which there is room on a phone."""


class Lane(NamedTuple):
    """The marks of one kind of jobs, the earliest first."""

    id: str
    word: str
    kind: str
    """Whose symbol it has."""
    total: int
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Strip:
    """What is drawn."""

    lanes: Sequence[Lane]
    hours: Sequence[Hour]
    summary: str
    note: str
    """What else is to be said of it; empty if that is nothing."""


def end_of(now: float) -> float:
    """Return where the strip ends that is drawn at a time."""
    return math.ceil(now / STEP) * STEP


def strip(jobs: Sequence[Job], now: float) -> Strip:
    """Return the last 24 hours of some jobs, the newest first."""
    end = end_of(now)
    there = [(job.ended_at(now), job) for job in jobs]
    recent = sorted(((ended, job) for ended, job in there if ended > end - LENGTH), key=lambda each: each[0])
    is_single = len(recent) <= MOST_SINGLE
    lanes = [_lane(id_, word, kinds[0], _of(kinds, recent), end, is_single=is_single) for id_, word, kinds in LANES]
    note = _note(there, is_single, now)
    return Strip([lane for lane in lanes if lane.total], list(_hours(end)), _summary(lanes), note)


def _of(kinds: Sequence[str], recent: Sequence[tuple[float, Job]]) -> list[tuple[float, Job]]:
    return [(ended, job) for ended, job in recent if job.verdict.kind in kinds]


def _lane(id_: str, word: str, kind: str, mine: Sequence[tuple[float, Job]], end: float, *, is_single: bool) -> Lane:
    if id_ == "active":
        marks = [_mark_of_running(job, end) for _, job in mine]
    elif is_single:
        marks = [_mark(job, ended, end) for ended, job in mine]
    else:
        marks = list(_marks_together(mine, word, end))
    return Lane(id_, word, kind, len(mine), marks)


def _mark(job: Job, ended: float, end: float) -> Mark:
    why = f": {job.why}" if job.why else ""
    title = f"{words.moment(ended)} {job.name or job.job_id} {job.verdict.word}{why}"
    return Mark(job.verdict.kind, _place(ended, end), title, job)


def _mark_of_running(job: Job, end: float) -> Mark:
    title = f"{job.name or job.job_id} {job.verdict.word} since {words.moment(job.began_at)}"
    return Mark(job.verdict.kind, _place(job.began_at, end), title, job)


def _marks_together(found: Sequence[tuple[float, Job]], word: str, end: float) -> Iterator[Mark]:
    slots: dict[int, list[Job]] = defaultdict(list)
    for ended, job in found:
        slots[int((end - ended) // STEP)].append(job)
    most = max(map(len, slots.values()), default=1)
    for slot, jobs in slots.items():
        until = end - slot * STEP
        about = f"{words.clock(until - STEP)} to {words.clock(until)}: {len(jobs):,} {word}"
        alone = jobs[0] if len(jobs) == 1 else None
        yield Mark(jobs[0].verdict.kind, _place(until - STEP / 2, end), about, alone, 20 + 80 * len(jobs) / most)


def _place(moment: float, end: float) -> float:
    return min(100.0, max(0.0, 100 * (1 - (end - moment) / LENGTH)))


def _hours(end: float) -> Iterator[Hour]:
    """Yield each third hour of this machine's clock; midnight by its date."""
    for quarter in range(math.ceil((end - LENGTH) / 900), math.floor(end / 900) + 1):
        moment = quarter * 900.0
        clock = time.localtime(moment)
        if clock.tm_min == 0 and clock.tm_hour % 3 == 0:
            text = time.strftime("%b %d" if clock.tm_hour == 0 else "%H:%M", clock)
            yield Hour(_place(moment, end), text, clock.tm_hour % 6 == 0)


def _summary(lanes: Sequence[Lane]) -> str:
    told = ", ".join(f"{lane.total:,} {lane.word}" for lane in lanes if lane.total)
    return f"The last 24 hours: {told or 'no job'}."


def _note(there: Sequence[tuple[float, Job]], is_single: bool, now: float) -> str:
    latest = max((ended for ended, _ in there), default=0.0)
    if latest <= end_of(now) - LENGTH:
        return f"No job has run in the last 24 hours; the last one ended at {words.moment(latest)}." if latest else ""
    return "" if is_single else "A bar stands for the jobs that ended in the same ten minutes."
