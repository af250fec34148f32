"""What a run was allowed, beside what it has used: too much, too little, or about right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from flcore.job_launcher_spec import JobUsage
from flcore.observers.job_tally import failure_reason

from ..operator.job_view import JobView
from . import words

TIGHT, LOOSE = 0.9, 0.25
"""Parts of a limit: what uses more of it may soon meet it, what uses less at most could do with less."""
_FEW = 5
"""Measurements from which nothing is concluded about a run that could do with less."""
_ROOM = 1.5
"""How much more than the most that was used is enough."""
TOO_LITTLE, TOO_MUCH, ENOUGH, UNKNOWN = "too-little", "too-much", "enough", "unknown"
NO_LIMIT, NOT_MEASURED = "no limit", "not measured"


class Asked(NamedTuple):
    """One kind of resource of one run."""

    site: str
    resource: str
    limit: str
    used: str
    share: float | None
    """The most that was used, in percent of the limit; None where one of them is not known."""
    kind: str
    """``TOO_LITTLE``, ``TOO_MUCH``, ``ENOUGH`` or ``UNKNOWN``."""
    verdict: str


def asked(view: JobView) -> list[Asked]:
    """Return what is known of each resource of a run; nothing of a run whose request nobody has told."""
    if not view.history.request:
        return []
    return [_memory(view), _processors(view), *_disk(view), *_gpus(view)]


def memory_limit(view: JobView) -> int | None:
    """Return how many bytes a run may use; None if nobody has limited it, or told."""
    return _positive(_limits(view).get("Memory"))


def cores_used(usage: Sequence[JobUsage]) -> list[tuple[float, float]]:
    """Return the processors in use between two measurements, at the time of the later one."""
    pairs = ((old, new) for old, new in pairwise(usage) if new.time > old.time)
    return [(new.time, max(0.0, new.cpu_seconds - old.cpu_seconds) / (new.time - old.time)) for old, new in pairs]


def _memory(view: JobView) -> Asked:
    limit, usage, result = memory_limit(view), view.history.usage, view.history.result
    most = max((used.memory for used in usage), default=None)
    said = f"{words.byte_size(most)} at most" if most is not None else NOT_MEASURED
    row = _row(view, "memory", words.byte_size(limit) if limit else NO_LIMIT, said)
    if result and result.oom_killed:
        said = f"{words.byte_size(usage[-1].memory)} when measured last" if usage else said
        why = "too little: it was killed for want of memory; allow it more"
        return row._replace(used=said, kind=TOO_LITTLE, verdict=why)
    if most is None or not limit:
        return row
    return _judged(row, most / limit, len(usage), f"{words.byte_size(_round_size(most * _ROOM))} would do")


def _processors(view: JobView) -> Asked:
    nano, usage = _positive(_limits(view).get("NanoCpus")), view.history.usage
    limit = nano / 1e9 if nano else None
    cores = [used for _, used in cores_used(usage)]
    most = max(cores, default=None)
    said = f"{_cores(_mean(usage))} on average, {_cores(most)} at most" if most is not None else _too_short(usage)
    row = _row(view, "processors", _cores(limit) if limit else NO_LIMIT, said)
    if most is None or not limit:
        return row
    return _judged(row, most / limit, len(usage), f"{_cores(max(0.1, round(most * _ROOM, 1)))} would do")


def _disk(view: JobView) -> Iterator[Asked]:
    """Yield what a run's folder has held, if there was a limit to it: else nobody has looked."""
    usage = [used for used in view.history.usage if used.disk_limit]
    if not usage:
        return
    limit, most = usage[-1].disk_limit or 0, max((used.disk for used in usage if used.disk is not None), default=None)
    said = f"{words.byte_size(most)} at most" if most is not None else NOT_MEASURED
    row = _row(view, "disk", words.byte_size(limit), said)
    result = view.history.result
    if result and failure_reason(result) == "disk":
        yield row._replace(kind=TOO_LITTLE, verdict="too little: it was ended for that; allow it more")
    elif most is None:
        yield row
    else:
        yield _judged(row, most / limit, len(usage), f"{words.byte_size(_round_size(most * _ROOM))} would do")


def _gpus(view: JobView) -> Iterator[Asked]:
    found = _limits(view).get("DeviceRequests")
    for request in found if isinstance(found, list) else ():
        named = request.get("DeviceIDs") if isinstance(request, Mapping) else None
        if isinstance(named, list):
            yield _row(view, "GPUs", ", ".join(words.plain(str(name), 40) for name in named), NOT_MEASURED)


def _judged(row: Asked, share: float, count: int, enough: str) -> Asked:
    row = row._replace(share=min(100.0, 100 * share), kind=ENOUGH, verdict="about right")
    if share >= TIGHT:
        return row._replace(kind=TOO_LITTLE, verdict=f"hardly enough: {100 * share:.0f} % of it was in use")
    if share < LOOSE and count > _FEW:
        return row._replace(kind=TOO_MUCH, verdict=f"too much: {enough}")
    return row


def _row(view: JobView, resource: str, limit: str, used: str) -> Asked:
    return Asked(view.history.site, resource, limit, used, None, UNKNOWN, "")


def _mean(usage: Sequence[JobUsage]) -> float:
    first, last = usage[0], usage[-1]
    return max(0.0, last.cpu_seconds - first.cpu_seconds) / (last.time - first.time)


def _too_short(usage: Iterable[JobUsage]) -> str:
    return "measured once: it was too short" if usage else NOT_MEASURED


def _cores(count: float | None) -> str:
    return "" if count is None else f"{count:.2g}" if count < 10 else f"{count:,.0f}"


def _round_size(size: float) -> int:
    """Return the next size that people say: a power of two in MiB."""
    rounded = 1 << 20
    while rounded < size:
        rounded *= 2
    return rounded


def _limits(view: JobView) -> Mapping[str, Any]:
    host = (view.history.request or {}).get("HostConfig")
    return host if isinstance(host, Mapping) else {}


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
