"""Which lines of a journal are parsed at all: those of some jobs, or all but most of what jobs have used.

To look for a text takes a hundredth of the time that it takes to parse it. So a look at one job of thousands is quick
though all of the journal is read, and no index of it need be kept, which could be stale or forged, and which each line
of a site's would pay for. What is looked for is what ``JobJournal`` writes, in its order of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..disk.journal_file import as_written
from ..job_meta import is_identifier

_USAGE = b"{" + as_written("event", "usage")
_WHOSE = re.compile(rb'"site": "[^"]*", "job_id": "[^"]*"(?=, "cpu_seconds": )')


class Wanted(NamedTuple):
    """What somebody wants to know of a journal; all of it, if nothing is said."""

    jobs: Sequence[str] | None = None
    """Ids of jobs, or beginnings of ids; None for all jobs. With them, lines that are of no job are not wanted."""
    usage: bool = True
    """Whether it matters what a job has used. If not, only some of that is told: it may be all that tells of a job."""

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
