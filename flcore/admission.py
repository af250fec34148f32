"""Back-pressure: how many jobs a site launches and runs at the same time, and how many launches wait for their turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from .config.component_config import check_keys
from .config.strict_json import shown
from .errors import ConfigError, JobAbortedError, SiteBusyError

logger = logging.getLogger(__name__)

QUEUED = 100
"""How many launches may wait where a site does not say: a burst waits for its turn, a flood is refused."""

_LONGEST_WAIT = 1.0
"""Seconds. Python notices a signal that comes just before it begins to wait only when the wait ends."""

_waiting_is_harmful: ContextVar[bool] = ContextVar("whether others wait for this thread", default=False)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What a site can take. None is no limit.

    ``launching``: launches under way; ``running``: jobs from their launch to their end, those included that were found
    again; ``queued``: launches that wait because one of the other two is reached.
    """

    launching: int | None = None
    running: int | None = None
    queued: int = QUEUED

    @classmethod
    def read(cls, value: Any, where: str) -> Self:
        """Return the limits that an object such as ``{"running": 4}`` sets.

        Raises ConfigError, naming ``where`` the object stands, and the key.
        """
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: must be an object, got {shown(value)}")
        check_keys(value, [field.name for field in fields(cls)], where)
        for key, number in value.items():
            least = 0 if key == "queued" else 1
            if type(number) is not int or number < least:
                raise ConfigError(f"{where}.{key}: must be a number of jobs, {least} at least, got {shown(number)}")
        return cls(**value)


class Load(NamedTuple):
    """What a site is at."""

    running: int
    """Jobs from their launch to their end."""
    launching: int
    """How many of them are being launched."""
    waiting: int
    """Launches that wait for their turn."""


class Slot:
    """One job's place: in the queue, or among those that are launched and run."""

    __slots__ = ("_admitted", "_decided", "_refused_by", "job_id")

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._admitted = False
        self._refused_by = ""
        self._decided: threading.Event | None = None
        """Set when the waiting is over; there is one only if the launch has to wait."""


class Admission:
    """Lets a site's launches in, first come, first served. All methods may be called from any thread.

    Nobody polls: who leaves lets in who waits.
    """

    def __init__(self, site: str, limits: AdmissionLimits) -> None:
        self._site = site
        self._limits = limits
        self._launching: set[Slot] = set()
        self._running: set[Slot] = set()
        self._queue: dict[Slot, None] = {}
        self._closed_by = ""
        self._lock = threading.Lock()

    @property
    def load(self) -> Load:
        return Load(len(self._running), len(self._launching), len(self._queue))

    def enter(self, slot: Slot) -> None:
        """Return when the launch may begin. In any case the slot must :meth:`leave` in the end.

        Raises SiteBusyError if there is no room, be it to wait; JobAbortedError if the launch is refused while it
        waits, or was before.
        """
        with self._lock:
            obstacle = self._line_up(slot)
        if slot._decided:
            about = {"site": self._site, "job_id": slot.job_id}
            logger.info("job %s waits: %s", slot.job_id, obstacle, extra=about)
            while not slot._decided.wait(_LONGEST_WAIT):
                pass
        if not slot._admitted:
            raise launch_aborted(slot.job_id, slot._refused_by)

    def enter_regardless(self, slot: Slot) -> None:
        """Count a job that runs already, whatever the limits."""
        with self._lock:
            slot._admitted = True
            self._running.add(slot)

    def launched(self, slot: Slot) -> None:
        """Note that the job's launch is over. It runs until it leaves."""
        with self._lock:
            self._launching.discard(slot)
            self._admit_waiting()

    def leave(self, slot: Slot) -> None:
        """Make room for others. Idempotent."""
        with self._lock:
            self._queue.pop(slot, None)
            self._launching.discard(slot)
            self._running.discard(slot)
            self._admit_waiting()

    def refuse(self, slot: Slot, by: str) -> bool:
        """Have a launch that waits, or is about to, raise JobAbortedError at once; False if it was let in before."""
        with self._lock:
            if slot._admitted:
                return False
            self._refuse(slot, by)
            return True

    def close(self, by: str) -> None:
        """Refuse all that wait, and whoever comes, on the request of ``by``."""
        with self._lock:
            self._closed_by = by
            for slot in list(self._queue):
                self._refuse(slot, by)

    def reopen(self) -> None:
        """Let launches in again; jobs that were let in before the closing count no more."""
        with self._lock:
            self._closed_by = ""
            self._launching.clear()
            self._running.clear()

    def _line_up(self, slot: Slot) -> str:
        """Let the launch in, refuse it, or put it at the queue's end; return why it must wait, if it must."""
        if self._closed_by:
            self._refuse(slot, self._closed_by)
        if slot._refused_by:
            return ""
        if not self._limit_reached():  # then nobody waits
            self._admit(slot)
            return ""
        busy, harmful = self._busy(), _waiting_is_harmful.get()
        if harmful or len(self._queue) >= self._limits.queued:
            raise SiteBusyError(f"job {slot.job_id}: {busy}; {self._way_out(harmful)}")
        self._queue[slot] = None
        slot._decided = threading.Event()
        return busy

    def _admit_waiting(self) -> None:
        while self._queue and not self._limit_reached():
            slot = next(iter(self._queue))
            del self._queue[slot]
            self._admit(slot)

    def _admit(self, slot: Slot) -> None:
        slot._admitted = True
        self._launching.add(slot)
        self._running.add(slot)
        if slot._decided:
            slot._decided.set()

    def _refuse(self, slot: Slot, by: str) -> None:
        self._queue.pop(slot, None)
        slot._refused_by = slot._refused_by or by
        if slot._decided:
            slot._decided.set()

    def _limit_reached(self) -> str:
        """Return the key of the limit that keeps the next launch out; empty if there is room."""
        for key in ("running", "launching"):
            limit = getattr(self._limits, key)
            if limit is not None and getattr(self.load, key) >= limit:
                return key
        return ""

    def _busy(self) -> str:
        running, launching, waiting = self.load
        return f"site {self._site} is busy (running: {running}, being launched: {launching}, waiting: {waiting})"

    def _way_out(self, harmful: bool) -> str:
        key = self._limit_reached()
        raise_limit = f"raise admission.{key} ({getattr(self._limits, key)})"
        if harmful:
            return f"no launch waits in an event's handler: launch from a thread of your own, or {raise_limit}"
        return f"{raise_limit} or admission.queued ({self._limits.queued}) to let more in"


def launch_aborted(job_id: str, by: str) -> JobAbortedError:
    """Return the error of a launch that somebody ended."""
    return JobAbortedError(f"job {job_id}: its launch was ended on the request of {by}", by)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Have launches on this thread, meanwhile, be refused rather than wait."""
    token = _waiting_is_harmful.set(True)
    try:
        yield
    finally:
        _waiting_is_harmful.reset(token)
