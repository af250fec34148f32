"""Which jobs a reader wants to see, and in which order, as an address says it. Pure.

``/?q=digits&state=failed&site=site-1&study=brain&sort=longest&page=2``: each may be missing, and what means nothing
here counts as missing, so that an address that somebody has sent shows something, whatever became of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from . import words
from .jobs import Job

STATES: Mapping[str, tuple[str, ...]] = {
    "active": (words.ACTIVE,),
    "failed": (words.FAILED, words.LOST),
    "succeeded": (words.OK,),
    "aborted": (words.ABORTED,),
    "lost": (words.LOST,),
    "untold": (words.ENDED,),
    "ended": (words.OK, words.ABORTED, words.ENDED),
    "all": words.KINDS,
}
"""What a state's name in an address means: the kinds of verdicts. A job that is lost is one that failed, too."""
STATE_WORDS: Mapping[str, str] = {
    "active": "running now",
    "failed": "failed or lost",
    "succeeded": "succeeded",
    "aborted": "aborted",
    "lost": "lost",
    "untold": "ended untold",
    "ended": "done",
    "all": "there",
}
STATE_TITLES: Mapping[str, str] = {
    "active": "Running now",
    "failed": "Failed or lost",
    "succeeded": "Succeeded",
    "aborted": "Aborted",
    "lost": "Lost",
    "untold": "Ended untold",
    "ended": "Done",
    "all": "All jobs",
}
STATE_OF_KIND: Mapping[str, str] = {
    words.ACTIVE: "active",
    words.FAILED: "failed",
    words.OK: "succeeded",
    words.ABORTED: "aborted",
    words.LOST: "lost",
    words.ENDED: "untold",
}
NEWEST, OLDEST, LONGEST, SHORTEST, BY_NAME = ORDERS = ("newest", "oldest", "longest", "shortest", "name")
_LONGEST_TEXT = 200
_DIGITS = re.compile("[0-9]{1,6}")
_PARAMETERS = {"text": "q"}
"""What stands in an address, where that is not the field's own name."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; as it is made, everything that there is."""

    text: str = ""
    """Words of which a job has all: in its id, its name, its sites, its study, or in what is said of its failure."""
    state: str = ""
    """One of ``STATES``; empty for all, those that run first, then those that failed."""
    site: str = ""
    study: str = ""
    sort: str = NEWEST
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """Return what an address asks for."""
        text, state, site, study, sort, page = (parameters.get(name, "").strip() for name in _names())
        return cls(
            text=text[:_LONGEST_TEXT],
            state=state if state in STATES else "",
            site=site[:_LONGEST_TEXT],
            study=study[:_LONGEST_TEXT],
            sort=sort if sort in ORDERS else NEWEST,
            page=max(1, int(page)) if _DIGITS.fullmatch(page) else 1,
        )

    def address(self, path: str = "/", **changes: Any) -> str:
        """Return the address that asks for this, with some of it changed; that begins at the first page again."""
        asked = replace(self, **{"page": 1} | changes)
        said = urlencode({name: value for name, value in zip(_names(), _values(asked), strict=True) if value})
        return f"{path}?{said}" if said else path

    @property
    def narrows(self) -> bool:
        """Whether it leaves out jobs for another reason than their states."""
        return bool(self.text or self.site or self.study)

    def found(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return which of the jobs are meant, of whatever state: the same sequence if all are."""
        if not self.narrows:
            return jobs
        wanted = self.text.casefold().split()
        return [job for job in jobs if self._is_there(job) and all(word in job.searchable for word in wanted)]

    def _is_there(self, job: Job) -> bool:
        return (not self.site or self.site in job.sites) and (not self.study or self.study == job.study)

    def ordered(self, jobs: Sequence[Job], now: float) -> Sequence[Job]:
        """Return jobs, of which the newest comes first, in the order that is asked for."""
        if self.sort == NEWEST:
            return jobs
        if self.sort == OLDEST:
            return jobs[::-1]
        key: Callable[[Job], Any] = _name_of if self.sort == BY_NAME else lambda job: job.seconds(now)
        return sorted(jobs, key=key, reverse=self.sort == LONGEST)


def of_state(jobs: Sequence[Job], state: str) -> list[Job]:
    """Return those of the jobs that are of a state, one of ``STATES``."""
    kinds = STATES[state]
    return [job for job in jobs if job.verdict.kind in kinds]


def _name_of(job: Job) -> tuple[str, str]:
    return (job.name or job.job_id).casefold(), job.job_id


def _names() -> list[str]:
    return [_PARAMETERS.get(field.name, field.name) for field in fields(Query)]


def _values(query: Query) -> list[Any]:
    """Return what stands in an address; nothing for what is so without being said."""
    told = ((getattr(query, field.name), field.default) for field in fields(Query))
    return ["" if value == unsaid else value for value, unsaid in told]
