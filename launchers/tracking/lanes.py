"""Calls about containers, of which some may hang: each holds up its own container, and no other for long."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from .worker_pool import HANGS_AFTER, Later, WorkerPool

MOST_THREADS = 64
"""How many calls may hang at the same time that have never hung before, until the next must wait for one of them."""
SLOW_THREADS = 16
"""How many threads serve what has hung before."""


class Subject:
    """What calls are about that hang together: one container. For its lanes only."""

    __slots__ = ("busy", "hangs", "waiting")

    def __init__(self) -> None:
        self.busy = False
        """A call about it was submitted, and is not over."""
        self.waiting: deque[Callable[[], object]] = deque()
        """The next, in order."""
        self.hangs = False
        """The last call took so long that the next might, too."""


class Lanes:
    """Two pools: one for everybody, and one for what has hung before. The calls about one subject come one by one.

    So whoever hangs takes one thread at most, among all others only once, and then among its like. All methods may be
    called from any thread.
    """

    def __init__(self, name: str, size: int, later: Later) -> None:
        self._all = WorkerPool(name, size, later, MOST_THREADS)
        self._slow = WorkerPool(f"slow-{name}", SLOW_THREADS, later)
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], object], about: Subject) -> None:
        """Have a call run soon, behind those about the same subject. Never blocks. Nothing happens after the end."""
        with self._lock:
            if about.busy:
                about.waiting.append(call)
                return
            about.busy = True
        self._begin(call, about)

    def close(self, timeout: float) -> bool:
        """Take no more calls; wait ``timeout`` seconds at most for each lane. Returns whether all calls were made."""
        return all([self._all.close(timeout), self._slow.close(timeout)])

    def _begin(self, call: Callable[[], object], about: Subject) -> None:
        lane = self._slow if about.hangs else self._all
        lane.submit(partial(self._make, call, about))

    def _make(self, call: Callable[[], object], about: Subject) -> None:
        began = time.monotonic()
        try:
            call()
        finally:
            about.hangs = time.monotonic() - began >= HANGS_AFTER
            with self._lock:
                following = about.waiting.popleft() if about.waiting else None
                about.busy = following is not None
            if following:
                self._begin(following, about)
