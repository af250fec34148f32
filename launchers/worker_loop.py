"""One thread that does one thing after the other, now or later, and never waits for an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue

from .worker_pool import logged


class Timer:
    """A call that is due some time."""

    __slots__ = ("_due", "_number", "call")

    def __init__(self, due: float, number: int, call: Callable[[], object]) -> None:
        self._due = due
        self._number = number
        self.call = call

    def __lt__(self, other: Timer) -> bool:
        return (self._due, self._number) < (other._due, other._number)

    def patience(self) -> float:
        """Seconds until it is due."""
        return self._due - time.monotonic()

    def cancel(self) -> None:
        """Have it do nothing, and hold on to nothing."""
        self.call = _nothing


class WorkerLoop:
    """Runs calls in the order in which they were posted, and timers when they are due, by a monotonic clock."""

    def __init__(self, name: str) -> None:
        self._inbox: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._timers: list[Timer] = []
        self._numbers = count()  # of two timers that are due at once, the first that was set comes first
        self.thread = threading.Thread(target=self._run, name=f"flcore-{name}", daemon=True)

    def post(self, call: Callable[[], object]) -> None:
        """Have a call run soon, from whatever thread."""
        self._inbox.put(call)

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Have a call run in some seconds. For calls that run in the loop only."""
        timer = Timer(time.monotonic() + seconds, next(self._numbers), call)
        heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """End after what was posted; timers are forgotten."""
        self._inbox.put(None)

    def _run(self) -> None:
        while call := self._next():
            logged(call)

    def _next(self) -> Callable[[], object] | None:
        while True:
            patience = self._timers[0].patience() if self._timers else None
            if patience is not None and patience <= 0:
                return heappop(self._timers).call
            try:
                return self._inbox.get(timeout=patience)
            except Empty:
                continue


def _nothing() -> None:
    """What a cancelled timer does."""
