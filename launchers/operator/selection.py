"""Which jobs an operator means: ``JOB`` or ``SITE/JOB``, by the id or the beginning of one, a study's, or the last."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Self

from flcore.errors import FLCoreError
from flcore.observers.journal_sieve import Wanted

from .job_view import JobView

MOST_LISTED = 10


class NoSuchJobError(FLCoreError):
    """No job is called so, or several are; the message says which."""

    name = ""
    """What was named, where no job is called so."""
    is_explained = False
    """The message says already what else may be meant."""

    @classmethod
    def of(cls, name: str, hint: str = "") -> Self:
        """Return the error of a name that means no job. ``hint``: what else may be meant."""
        end = "" if hint.endswith("?") else ";"
        error = cls(f"there is no job {name!r} here{hint}{end} list them with: flcore ps --all")
        error.name, error.is_explained = name, bool(hint)
        return error


def wanted_for(names: Sequence[str], *, usage: bool = False) -> Wanted:
    """Return what is wanted of journals to find the jobs that names mean, or all without names.

    ``usage``: and to say what they have used.
    """
    return Wanted([name.rpartition("/")[2] for name in names] if names else None, usage)


def wanted_to_show(args: argparse.Namespace) -> Wanted:
    """Return what is wanted of journals by :func:`jobs_to_show`, once."""
    names_some = args.job or args.study is not None
    return wanted_for(args.job)._replace(last=None if args.all or names_some else args.last)


def matching(views: Iterable[JobView], names: Sequence[str]) -> list[JobView]:
    """Return the jobs of which some name is the id, or its beginning; all without names.

    Raises NoSuchJobError for a name that means none.
    """
    views = list(views)
    if not names:
        return views
    found = [_matching_one(views, name) for name in names]
    chosen = {id(view) for some in found for view in some}
    return [view for view in views if id(view) in chosen]


def chosen(views: Iterable[JobView], args: argparse.Namespace) -> list[JobView]:
    """Return the jobs that a command line names, of the study that it names. Raises NoSuchJobError.

    One that is named and of another study is not meant.
    """
    named = matching(views, args.job)
    return named if args.study is None else [view for view in named if view.history.study == args.study]


def jobs_to_show(views: Iterable[JobView], args: argparse.Namespace) -> list[JobView]:
    """Return the jobs to be shown, the newest first: all that are active, and the last that have ended."""
    newest_first = sort(chosen(views, args))
    if args.all or args.job:
        return newest_first
    active = {view.history.job_id for view in newest_first if view.is_active}
    ended = dict.fromkeys(view.history.job_id for view in newest_first if view.history.job_id not in active)
    kept = active | set(list(ended)[: args.last])
    return [view for view in newest_first if view.history.job_id in kept]


def sort(views: Sequence[JobView]) -> list[JobView]:
    """Return the jobs with the newest first; the sites of one job stay together, in the order of their launch."""
    began: dict[str, float] = {}
    each = [(view, view.history.job_id, view.history.began_at) for view in views]
    for _, job_id, began_at in each:
        began[job_id] = max(began.get(job_id, 0.0), began_at)
    each.sort(key=lambda one: (-began[one[1]], one[1], one[2]))
    return [view for view, _, _ in each]


def the_one_job(views: Iterable[JobView], name: str, *, to_end: bool = False) -> list[JobView]:
    """Return what there is of one job, at one site or several. Raises NoSuchJobError for none, or several jobs.

    ``to_end``: of several the one is meant that has not ended yet.
    """
    found = _matching_one(list(views), name)
    job_ids = _ids(found)
    if to_end and len(job_ids) > 1 and len(active := _ids(view for view in found if view.is_active)) == 1:
        return [view for view in found if view.history.job_id in active]
    if len(job_ids) > 1:
        more = f", and {len(job_ids) - MOST_LISTED} more" if len(job_ids) > MOST_LISTED else ""
        listed = ", ".join(job_ids[:MOST_LISTED])
        raise NoSuchJobError(f"{len(job_ids)} jobs begin with {name!r}: {listed}{more}; give more of the id")
    return found


def _ids(views: Iterable[JobView]) -> list[str]:
    return list(dict.fromkeys(view.history.job_id for view in views))


def _matching_one(views: list[JobView], name: str) -> list[JobView]:
    site, _, job = name.rpartition("/")
    there = [view for view in views if site in ("", view.history.site)]
    # First by the whole id: one that another begins with could not be named otherwise.
    exact = [view for view in there if view.history.job_id == job]
    found = exact or [view for view in there if job and view.history.job_id.startswith(job)]
    if not found:
        others = sorted({view.history.site for view in views if job and view.history.job_id.startswith(job)})
        raise NoSuchJobError.of(name, f", but at {' and '.join(others)}" if others else "")
    return found
