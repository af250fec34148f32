"""Where the time of a run went: the states of its container, and what came before there was one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flcore.observers.job_history import ImagePull, JobHistory, Outage, StateEntry

from ..docker_state import TERMINAL_STATES
from ..operator.job_view import JobView

LAUNCHING, PULLING = "launching", "pulling"
PHASES = (LAUNCHING, PULLING, "created", "running", "paused", "restarting", "removing")
"""In the order in which a run goes through them, if it does."""


class Span(NamedTuple):
    """A phase of a run. Times are in seconds since the epoch."""

    phase: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def spans(view: JobView, now: float) -> list[Span]:
    """Return the phases of a run in order, each until the next begins; a state that is final takes no time."""
    entries = list(_in_order(_entries(view.history)))
    ends = [*(entry.time for entry in entries[1:]), ended_at(view, now)]
    found = [Span(entry.state, entry.time, max(entry.time, end)) for entry, end in zip(entries, ends, strict=False)]
    return list(_with_pulls((span for span in found if span.phase not in TERMINAL_STATES), view.history.pulls))


def ended_at(view: JobView, now: float) -> float:
    """Return when a run ended as far as that is known; ``now`` for one that has not."""
    if view.is_active and view.state not in TERMINAL_STATES:
        return now
    history = view.history
    if history.state in TERMINAL_STATES:
        return history.states[-1].time
    finished = history.result and history.result.finished_at
    return finished or history.closed_at or (history.states[-1].time if history.states else history.began_at)


def overlapping(outages: Iterable[Outage], site: str, start: float, end: float, now: float) -> list[Outage]:
    """Return the outages of a site's engine in a time, cut to it."""
    cut = (
        outage._replace(since=max(start, outage.since), until=min(end, outage.until or now))
        for outage in outages
        if outage.site == site
    )
    return [outage for outage in cut if outage.since < (outage.until or 0)]


def _entries(history: JobHistory) -> Iterator[StateEntry]:
    if history.launching_at is not None:
        yield StateEntry(LAUNCHING, history.launching_at)
    yield from history.states


def _in_order(entries: Iterable[StateEntry]) -> Iterator[StateEntry]:
    """Let no phase begin before the one before it: an engine's clock may differ from its site's."""
    latest = 0.0
    for entry in entries:
        latest = max(latest, entry.time)
        yield entry._replace(time=latest)


def _with_pulls(found: Iterable[Span], pulls: Sequence[ImagePull]) -> Iterator[Span]:
    """Take the time in which its image was pulled out of the time in which a run was launched."""
    for span in found:
        if span.phase == LAUNCHING and pulls:
            yield from _split_by_pull(span, max(span.start, pulls[0].since), min(span.end, pulls[-1].until))
        else:
            yield span


def _split_by_pull(launching: Span, start: float, end: float) -> Iterator[Span]:
    if end <= start:
        yield launching
        return
    parts = (
        Span(LAUNCHING, launching.start, start),
        Span(PULLING, start, end),
        Span(LAUNCHING, end, launching.end),
    )
    yield from (part for part in parts if part.end > part.start)
