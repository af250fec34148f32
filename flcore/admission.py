"""Back-pressure: how many jobs a site launches and runs at the same time, and how many launches wait for their turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self

from .config.component_config import check_keys
from .config.rules import Schema
from .config.strict_json import shown
from .errors import ConfigError, SiteBusyError
from .launch import Launch

__all__ = ["Load"]

logger = logging.getLogger(__name__)

QUEUED = 100
"""How many launches may wait where a site does not say: a burst waits for its turn, a flood is refused."""

_LEAST = {"launching": 1, "running": 1, "queued": 0}
"""The limits, and the least that each may be."""
_TOLD = {
    "launching": "Launches that may be under way at the same time.",
    "running": "Jobs that may run at the same time, those included that were found again.",
    "queued": f"Launches that may wait because one of the other two is reached; {QUEUED} if it is not said.",
}

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
        check_keys(value, _LEAST, where)
        for key, number in value.items():
            least = _LEAST[key]
            if type(number) is not int or number < least:
                raise ConfigError(f"{where}.{key}: must be a number of jobs, {least} at least, got {shown(number)}")
        return cls(**value)

    @classmethod
    def schema(cls) -> Schema:
        """Return what :meth:`read` takes, as a JSON Schema."""
        numbers = {
            key: {"type": "integer", "minimum": least, "description": _TOLD[key]} for key, least in _LEAST.items()
        }
        return {"type": "object", "properties": numbers, "additionalProperties": False}


class Load(NamedTuple):
    """What a site is at."""

    running: int
    """Jobs from their launch to their end."""
    launching: int
    """How many of them are being launched."""
    waiting: int
    """Launches that wait for their turn."""


class Admission:
    """Lets a site's launches in, first come, first served. All methods may be called from any thread.

    Nobody polls: who leaves lets in who waits.
    """

    # A launch has a lock of its own, which is taken under this one's, never the reverse: that is why nobody is asked to
    # end, and no callback is left, while the lock is held.

    def __init__(self, site: str, limits: AdmissionLimits) -> None:
        self._site = site
        self._limits = limits
        self._launching: set[Launch] = set()
        self._running: set[Launch] = set()
        self._queue: dict[Launch, None] = {}
        self._closed_by = ""
        self._lock = threading.Lock()

    @property
    def load(self) -> Load:
        # without the lock: each length is right by itself, and who looks from outside cannot tell the difference
        return Load(len(self._running), len(self._launching), len(self._queue))

    def enter(self, launch: Launch) -> None:
        """Return when the launch may go on. In any case it must :meth:`leave` in the end.

        Raises SiteBusyError if there is no room, be it to wait; JobAbortedError if somebody asks for its end while it
        waits, or did before.
        """
        launch.raise_if_ended()
        with self._lock:
            closed_by = self._closed_by
            obstacle = "" if closed_by else self._line_up(launch)
        if closed_by:
            launch.request_end(closed_by)
        if obstacle:
            about = {"site": self._site, "job_id": launch.job_id}
            logger.info("job %s waits: %s", launch.job_id, obstacle, extra=about)
            launch.on_end_request(partial(self._leave_queue, launch))
            launch.wait_for_turn()
        launch.raise_if_ended()

    def enter_regardless(self, launch: Launch) -> None:
        """Count a job that runs already, whatever the limits."""
        with self._lock:
            self._running.add(launch)

    def launched(self, launch: Launch) -> None:
        """Note that the launch is over. Its job runs until it leaves."""
        with self._lock:
            self._launching.discard(launch)
            self._admit_waiting()

    def leave(self, launch: Launch) -> None:
        """Make room for others. Idempotent."""
        with self._lock:
            self._queue.pop(launch, None)
            self._launching.discard(launch)
            self._running.discard(launch)
            self._admit_waiting()

    def close(self, by: str) -> None:
        """Ask for the end of all that wait, and of whoever comes, on the request of ``by``."""
        with self._lock:
            self._closed_by = by
            waiting, self._queue = self._queue, {}  # nobody lets one of them in meanwhile
        for launch in waiting:
            launch.request_end(by)

    def reopen(self) -> None:
        """Let launches in again; jobs that were let in before the closing count no more."""
        with self._lock:
            self._closed_by = ""
            self._launching.clear()
            self._running.clear()

    def _line_up(self, launch: Launch) -> str:
        """Let the launch in, or put it at the queue's end; return why it must wait, if it must."""
        if not self._limit_reached():  # then nobody waits
            self._admit(launch)
            return ""
        # a handler is waited for, maybe by what would tell of the very end that lets its launch in
        busy, harmful = self._busy(), _waiting_is_harmful.get()
        if harmful or len(self._queue) >= self._limits.queued:
            raise SiteBusyError(f"job {launch.job_id}: {busy}; {self._way_out(harmful)}")
        self._queue[launch] = None
        return busy

    def _admit_waiting(self) -> None:
        while self._queue and not self._limit_reached():
            launch = next(iter(self._queue))
            del self._queue[launch]
            self._admit(launch)

    def _admit(self, launch: Launch) -> None:
        if launch.admit():  # else somebody has asked for its end just now: it raises, and takes no place
            self._launching.add(launch)
            self._running.add(launch)

    def _leave_queue(self, launch: Launch) -> None:
        """Make room to wait. Who asked for the launch's end does this: its own thread may take a while to wake."""
        with self._lock:
            self._queue.pop(launch, None)

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


@contextmanager
def no_waiting() -> Iterator[None]:
    """Have launches on this thread, meanwhile, be refused rather than wait."""
    token = _waiting_is_harmful.set(True)
    try:
        yield
    finally:
        _waiting_is_harmful.reset(token)


def may_wait() -> bool:
    """Whether nobody waits for this thread: false within :func:`no_waiting`."""
    return not _waiting_is_harmful.get()
