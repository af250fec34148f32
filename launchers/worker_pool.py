"""Threads for calls that may take long: as many as there is work for, up to a limit, and none when there is none."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

IDLE_TIMEOUT = 1.0
"""Seconds after which a thread without work ends."""


class WorkerPool:
    """Runs calls, each once, in the order of their submission. What they raise is logged and stops nobody else."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: deque[Callable[[], object]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False
        self._changed = threading.Condition()

    def submit(self, call: Callable[[], object]) -> None:
        """Have a call run soon. Never blocks. Nothing happens after :meth:`close`."""
        with self._changed:
            if self._closed:
                return
            self._calls.append(call)
            if len(self._calls) > self._idle and len(self._threads) < self._size:
                thread = threading.Thread(target=self._run, name=f"flcore-{self._name}", daemon=True)
                self._threads.add(thread)
                thread.start()
            else:
                self._changed.notify()

    def close(self, timeout: float) -> None:
        """Take no more calls; wait ``timeout`` seconds at most for those that were submitted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._threads - {threading.current_thread()}, timeout)

    def _run(self) -> None:
        while call := self._next():
            logged(call)

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._calls or self._closed, IDLE_TIMEOUT)
            self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._threads.discard(threading.current_thread())
            self._changed.notify_all()  # who closes waits for this
            return None


def logged(call: Callable[[], object]) -> None:
    """Call, and log what it raises: the thread goes on."""
    try:
        call()
    except Exception:
        logger.exception("an error in a listener or a clean-up; the others go on")
