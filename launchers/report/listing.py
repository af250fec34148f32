"""The jobs as tables: what runs, what failed, the rest; or those of one state, a page of them at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import words
from .jobs import Cause, Job
from .query import BY_NAME, LONGEST, NEWEST, OLDEST, SHORTEST, STATE_TITLES, STATE_WORDS, Query, of_state
from .words import Verdict

PAGE_SIZE = 50
"""Rows of a page, where there are pages."""
FOLD_SIZE = 100
"""Rows that a file shows of each group; more can be unfolded, as many at a time."""
REASON = "Reason, and the last line written"
_CAUSES_SHOWN = 3


class Limits(NamedTuple):
    """How many rows each of the first page's groups has at most."""

    active: int
    failed: int
    ended: int


MOST_ROWS = 1000
"""Of each group in a file."""
LIVE, FILE = Limits(50, 10, 25), Limits(MOST_ROWS, MOST_ROWS, MOST_ROWS)
"""Of a page where each group has more pages, and of a file, which has no other."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a table of jobs."""

    job_id: str
    about: str
    """What it is called, if its id does not say that, and its study."""
    verdict: Verdict
    causes: Sequence[Cause]
    causes_left: int
    """Causes that are not shown."""
    sites: str
    began: str
    took: str
    path: str


class Fold(NamedTuple):
    """Rows that are shown once they are asked for."""

    summary: str
    rows: Sequence[JobRow]


class Column(NamedTuple):
    """A head of a table: what it says, the address that orders by it, and how it is ordered now (``aria-sort``)."""

    word: str
    address: str = ""
    order: str = ""


class Pager(NamedTuple):
    """Where a page is among others: the addresses of its neighbours, empty where there is none."""

    said: str
    previous: str
    following: str


@dataclass(frozen=True, slots=True)
class Group:
    """A table, and what is said of it."""

    id: str
    title: str
    count: int
    rows: Sequence[JobRow]
    columns: Sequence[Column] = ()
    note: str = ""
    empty: str = ""
    """What is said in the place of rows."""
    more: str = ""
    """What a link to all of it says, where this is not all; and its address."""
    more_at: str = ""
    folds: Sequence[Fold] = ()
    pager: Pager | None = None


def job_row(job: Job, now: float) -> JobRow:
    """Return a job's row."""
    began = words.moment(job.began_at) if job.began_at else ""
    return JobRow(
        job_id=job.job_id,
        about=_about(job),
        verdict=job.verdict,
        causes=job.causes[:_CAUSES_SHOWN],
        causes_left=max(0, len(job.causes) - _CAUSES_SHOWN),
        sites=", ".join(job.sites),
        began=began,
        took=job.took(now),
        path=job.path,
    )


@dataclass(frozen=True, slots=True)
class Listing:
    """Makes the tables. A file, which is not asked for anything, has folds in the place of more pages."""

    query: Query
    now: float
    is_file: bool = False

    def groups(self, jobs: Sequence[Job]) -> list[Group]:
        """Return the tables of jobs that were found, the newest first."""
        if self.query.state:
            return [self._page_of_state(self.query.ordered(of_state(jobs, self.query.state), self.now))]
        limits = FILE if self.is_file else LIVE
        found = [
            self._group("active", "Running now", of_state(jobs, "active"), limits.active),
            self._group("failed", "Failed", of_state(jobs, "failed"), limits.failed),
            self._group("ended", "Done", of_state(jobs, "ended"), limits.ended),
        ]
        return [group for group in found if group.count or group.empty]

    def _group(self, state: str, title: str, jobs: Sequence[Job], limit: int) -> Group:
        rows = self._rows(self.query.ordered(jobs, self.now)[:limit])
        left_out = len(jobs) > limit
        return Group(
            id=state,
            title=title,
            count=len(jobs),
            rows=rows[:FOLD_SIZE],
            columns=self._columns(state),
            note=f"The newest {limit:,} of {len(jobs):,}, the newest first." if left_out and self.is_file else "",
            empty="Nothing runs now." if state == "active" and not jobs and not self.query.narrows else "",
            more=f"All {len(jobs):,} {STATE_WORDS[state]}" if left_out and not self.is_file else "",
            more_at=self.query.address(state=state),
            folds=list(_folds(rows[FOLD_SIZE:])),
        )

    def _page_of_state(self, jobs: Sequence[Job]) -> Group:
        state, pages = self.query.state, max(1, -(-len(jobs) // PAGE_SIZE))
        start = (min(self.query.page, pages) - 1) * PAGE_SIZE
        rows = self._rows(jobs[start : start + PAGE_SIZE])
        return Group(
            id="jobs",
            title=STATE_TITLES[state],
            count=len(jobs),
            rows=rows,
            columns=self._columns(state),
            empty="" if jobs else f"No job is {STATE_WORDS[state]}.",
            pager=self._pager(start, len(rows), len(jobs)) if pages > 1 else None,
        )

    def _pager(self, start: int, shown: int, count: int) -> Pager:
        page = start // PAGE_SIZE + 1
        return Pager(
            f"{start + 1:,} to {start + shown:,} of {count:,}",
            self.query.address(page=page - 1) if start else "",
            self.query.address(page=page + 1) if start + shown < count else "",
        )

    def _rows(self, jobs: Sequence[Job]) -> list[JobRow]:
        return [job_row(job, self.now) for job in jobs]

    def _columns(self, state: str) -> list[Column]:
        """Return the heads of a table; in a file they order nothing."""
        where = Column(REASON if state in ("failed", "lost") else "Sites")
        if self.is_file:
            return [Column("Result"), Column("Job"), where, Column("Began"), Column("Took")]
        return [
            Column("Result"),
            self._ordering("Job", {BY_NAME: "ascending"}),
            where,
            self._ordering("Began", {NEWEST: "descending", OLDEST: "ascending"}),
            self._ordering("Took", {LONGEST: "descending", SHORTEST: "ascending"}),
        ]

    def _ordering(self, word: str, orders: Mapping[str, str]) -> Column:
        """Return a head by which the first of some orders can be had, and by that the other."""
        first, *others = orders
        following = others[0] if others and self.query.sort == first else first
        return Column(word, self.query.address(sort=following), orders.get(self.query.sort, ""))


def _about(job: Job) -> str:
    return " · ".join(filter(None, (job.other_name, f"study {job.study}" if job.study else "")))


def _folds(rows: Sequence[JobRow]) -> Iterator[Fold]:
    for start in range(0, len(rows), FOLD_SIZE):
        part = rows[start : start + FOLD_SIZE]
        yield Fold(f"{len(part)} more: {part[0].began} back to {part[-1].began}", part)
