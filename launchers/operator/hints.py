"""What to say to who finds no job: where jobs were looked for, what is called almost so, and what to type."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from .job_index import JobIndex
from .job_view import JobView
from .selection import NoSuchJobError
from .terminal import warn

_ELSEWHERE = "name other sites by --site CONFIG or --workspace DIR"
_RUN = "run one by: flcore run JOB --site CONFIG"


def looked_for(index: JobIndex, choose: Callable[[list[JobView]], list[JobView]]) -> list[JobView]:
    """Return which of the jobs are chosen. Says first what could not be found out: it may be why one is not there."""
    there = index.jobs()
    for problem in index.problems:
        warn(problem)
    try:
        with hinting(index):
            return choose(there)
    except NoSuchJobError:
        for claim in index.claims:
            warn(claim)
        raise


def where_looked(index: JobIndex) -> str:
    """Return where jobs were looked for, and how to have others looked for."""
    asked = index.asked()
    engines = f"asked {' and '.join(asked)}" if asked else "asked no engine"
    return f"looked in {index.places}; {engines}; {_ELSEWHERE}"


def no_job_here(index: JobIndex, study: str | None = None) -> str:
    """Return, in one line, that there is no job where jobs were looked for, be it of a study, and what to type."""
    of_study = "" if study is None else f" of the study {study}" if study else " of no study"
    return f"no job{of_study} here: {where_looked(index)}, or {_RUN}"


@contextmanager
def hinting(index: JobIndex) -> Iterator[None]:
    """Have who names a job that is not there be told which is called almost so; or where it was looked for, if none."""
    try:
        yield
    except NoSuchJobError as error:
        if not error.name or error.is_explained:
            raise
        known = index.job_ids("")
        if not known:
            raise NoSuchJobError(f"there is no job {error.name!r}; {no_job_here(index)}") from error
        raise NoSuchJobError.of(error.name, _almost(error.name, known)) from error


def _almost(name: str, known: Iterable[str]) -> str:
    """Return a question that names the job that is called almost so; empty where none is.

    An id is a name and a number that nobody types: as good as the whole id is its beginning.
    """
    site, slash, job = name.rpartition("/")
    called: dict[str, set[str]] = defaultdict(set)
    for job_id in known:
        called[job_id].add(job_id)
        called[job_id.rpartition("-")[0] or job_id].add(job_id)
    close = difflib.get_close_matches(job, called, n=1)
    if not close:
        return ""
    meant = close[0] if len(called[close[0]]) > 1 else next(iter(called[close[0]]))
    return f"; did you mean {site + slash + meant!r}?"
