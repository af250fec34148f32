"""Which lines of a journal are parsed at all: those of some jobs, of the last jobs, or all but most of what jobs used.

To look for a text takes a hundredth of the time that it takes to parse it. So a look at one job of thousands is quick
though all of the journal is read, and no index of it need be kept, which could be stale or forged, and which each line
of a site's would pay for. What is looked for is what ``JobJournal`` writes, in its order of fields.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from ..disk.journal_chain import LINK
from ..disk.journal_file import as_written
from ..job_launcher_spec import JobReturnCode
from ..job_meta import is_identifier

_USAGE = b"{" + as_written("event", "usage")
_WHOSE = re.compile(rb'"site": "[^"]*", "job_id": "[^"]*"(?=, "cpu_seconds": )')


class Wanted(NamedTuple):
    """What somebody wants to know of a journal; all of it, if nothing is said."""

    jobs: Sequence[str] | None = None
    """Ids of jobs, or beginnings of ids; None for all jobs. With them, lines that are of no job are not wanted."""
    usage: bool = True
    """Whether it matters what a job has used. If not, only some of that is told: it may be all that tells of a job."""
    last: int | None = None
    """Of the jobs that have ended, only so many of the newest need be told, and others may be; None for all."""

    def lines(self, whole: bytes) -> Iterator[bytes]:
        """Yield those of some whole lines, in order, that are wanted, and perhaps others."""
        lines = iter(whole.split(b"\n")[:-1]) if self.jobs is None else _lines_about(self.jobs, whole)
        return lines if self.usage else _without_most_usage(lines)

    def is_met_by(self, line: Mapping[str, Any]) -> bool:
        """Whether a line that was parsed is of what is wanted."""
        return self.jobs is None or str(line.get("job_id", "")).startswith(tuple(self.jobs))


ALL = Wanted()


def job_ids(whole: bytes, beginning: str) -> set[str]:
    """Return the ids of jobs that begin so, of which some whole lines tell."""
    ids = re.findall(re.escape(_named(beginning)) + b'[^"\n]*', whole)
    start = len(_named(""))
    return {job_id for found in set(ids) if is_identifier(job_id := found[start:].decode(errors="replace"))}


def _named(beginning: str) -> bytes:
    """Return how the name of a job with such an id begins in a line."""
    return as_written("job_id", beginning)[:-1]


def _lines_about(jobs: Sequence[str], whole: bytes) -> Iterator[bytes]:
    starts = {start for job in jobs for start in _starts_of_lines_with(_named(job), whole)}
    return (whole[start : whole.find(b"\n", start)] for start in sorted(starts))


def _starts_of_lines_with(text: bytes, whole: bytes) -> Iterator[int]:
    place = whole.find(text)
    while place >= 0:
        yield whole.rfind(b"\n", 0, place) + 1
        place = whole.find(text, whole.find(b"\n", place))


def _without_most_usage(lines: Iterator[bytes]) -> Iterator[bytes]:
    told: set[bytes] = set()
    for line in lines:
        if line.startswith(_USAGE):
            whose = _WHOSE.search(line)
            if whose and whose[0] in told:
                continue
            if whose:  # else somebody else wrote it, in another order
                told.add(whose[0])
        yield line


_LINE = re.compile(
    rb'\n(?!\{"event": "usage")'
    rb'((?:\{"event": "\w+", "time": (\d+(?:\.\d+)?), ("site": "[^"\\\n]*", "job_id": "[^"\\\n]*"), )?[^\n]*)'
)
_USED_BY = re.compile(rb'("site": "[^"\\\n]*", "job_id": "[^"\\\n]*"), "cpu_seconds": ')
_BETWEEN = b', "job_id": "'
_LAUNCHING = b"{" + as_written("event", "launching")
_BEHIND_THE_END = b"{" + as_written("event", "federated_failure")
_TEXT = r'"(?:[ !#-\[\]-~]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NUMBER_OR_NULL = f"(?:null|{_NUMBER})"
_END = re.compile(
    rf'\{{"event": "(?:completed|aborted)", "time": {_NUMBER}, "site": {_TEXT}, "job_id": {_TEXT}, '
    rf'"result": \{{"return_code": "(?:{"|".join(code.name for code in JobReturnCode)})", '
    rf'"exit_code": {_NUMBER_OR_NULL}, "signal": {_NUMBER_OR_NULL}, "oom_killed": (?:true|false), "error": {_TEXT}, '
    rf'"ended_by": {_TEXT}, "started_at": {_NUMBER_OR_NULL}, "finished_at": {_NUMBER_OR_NULL}\}}'
    rf'(?:, "id": {_TEXT})?{LINK}\}}'.encode()
)
"""A line that says that a job is over, as a JSON object beyond doubt."""


class LinesOfJobs:
    """The lines of a journal by the job that they are of, to be parsed when somebody wants to know of that job.

    Without what jobs have used: a job of which nothing else tells is not here.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, list[bytes]] = defaultdict(list)
        """Each behind its time, by how site and job stand in it."""

    def keep(self, whole: bytes) -> Iterator[bytes]:
        """Keep those of some whole lines that are of a job, and yield what others there are."""
        first = whole.find(b"\n")
        found = chain(_LINE.findall(b"\n" + whole[:first]), _LINE.findall(whole, first, len(whole) - 1))
        for line, moment, whose in found:
            if whose:
                self._lines[whose] += moment, line
            else:
                yield line

    def of(self, job_id: str) -> list[list[bytes]]:
        """Return what there is of a job at each site, in order."""
        found = (self._lines.get(b"%b%b%b" % (site, _BETWEEN, job_id.encode() + b'"')) for site in self.sites)
        return [lines[1::2] for lines in found if lines]

    @cached_property
    def sites(self) -> Set[bytes]:
        """How the sites stand in the lines; to be asked when all was kept."""
        return {whose.partition(_BETWEEN)[0] for whose in self._lines}

    def latest(self) -> dict[str, float]:
        """Return a time for each job: no run of it began later. It is endless for those that may not have ended."""
        found: dict[str, float] = {}
        for whose, lines in self._lines.items():
            job_id = whose.rpartition(_BETWEEN)[2][:-1].decode(errors="replace")
            latest = max(map(float, lines[::2])) if _has_ended(lines[1::2]) else math.inf
            if latest > found.get(job_id, -1.0):
                found[job_id] = latest
        return found

    def has_all_that_used(self, whole: bytes) -> bool:
        """Whether there are lines here of all jobs of which some whole lines say what they have used."""
        found = _USED_BY.findall(whole)
        return len(found) == whole.count(_USAGE) and self._lines.keys() >= set(found)


def _has_ended(lines: Sequence[bytes]) -> bool:
    """Whether a job's lines say beyond doubt, before they are parsed, that its last run has a result.

    Where it was launched twice, its last line may be of the run before.
    """
    last = next((line for line in reversed(lines) if not line.startswith(_BEHIND_THE_END)), b"")
    is_told = _END.fullmatch(last) is not None
    return is_told and not [line for line in lines[1:] if line.startswith(_LAUNCHING)]
