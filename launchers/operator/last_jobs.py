"""The jobs that ``flcore ps`` shows without being asked for more: which those are is found out before lines are parsed.

A journal is read whole, for only all of it says which jobs may run; but to parse it would take ten times as long.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from .site_files import UnparsedHistory


def tell_of_the_last(last: int, journals: Sequence[UnparsedHistory], surely: Iterable[str]) -> bool:
    """Have journals tell of the jobs that may not have ended, of the ``last`` that have, and perhaps of others.

    Return False if what they tell then may not be all of that, and only to parse them whole will do.

    Args:
        last: how many.
        journals: of one look.
        surely: the ids of jobs of which something else than the journals tells, so that they do, too.
    """
    latest: dict[str, float] = {}
    for journal in journals:
        for job_id, moment in journal.lines.latest().items():
            latest[job_id] = max(moment, latest.get(job_id, moment))
    told = {*surely, *(job_id for job_id, moment in latest.items() if moment == math.inf)}
    for job_id in told:
        _tell_of(job_id, journals)
    newest: list[float] = []
    for job_id in sorted(latest.keys() - told, key=lambda job_id: latest[job_id], reverse=True):
        if len(newest) == last and (not last or latest[job_id] < newest[0]):
            break
        heapq.heappush(newest, _tell_of(job_id, journals))
        if len(newest) > last:
            heapq.heappop(newest)
        told.add(job_id)
    is_enough = len(newest) == last and 0.0 not in newest  # what is only told to have used something began at no time
    return all(not one.is_odd and ((is_enough and one.knows(told)) or one.knows_all()) for one in journals)


def _tell_of(job_id: str, journals: Iterable[UnparsedHistory]) -> float:
    """Have the journals tell of a job, and return when it began, at whatever site last."""
    return max((journal.tell_of(job_id) for journal in journals), default=0.0)
