"""Threads for calls that may take long: as many as there is work for, up to a limit, and none when there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from flcore.errors import RuntimeUnavailableError
from flcore.threads import OwnThread, logged

logger = logging.getLogger(__name__)

IDLE_TIMEOUT = 1.0
"""Seconds after which a thread without work ends."""
HANGS_AFTER = 0.5
"""Seconds after which a call is taken for one that hangs."""
THREAD_RETRY = 0.5
"""Seconds after which a thread is tried again that could not be started."""

Later = Callable[[float, Callable[[], object]], object]
"""Has a call made in some seconds, on whatever thread."""


class WorkerPool:
    """Runs calls, each once, begun in the order of submission. What they raise is logged and stops nobody else.

    Args:
        name: of its threads.
        size: how many calls run at the same time, without those that hang.
        later: called when a call must wait, to look again whether it still must: for a thread that cannot be started
            now, or for one in which a call hangs.
        most: how many threads there may be if calls hang; by default no more than ``size``.
    """

    def __init__(self, name: str, size: int, later: Later, most: int = 0) -> None:
        self._name = name
        self._size = size
        self._most = max(size, most)
        self._later = later
        self._calls: deque[Callable[[], object]] = deque()
        self._threads: set[OwnThread] = set()
        self._began: dict[OwnThread, float] = {}
        """Since when a thread has been at its call. Who is at none is about to take one, or waits for one."""
        self._looks_again = False
        self._starves = False
        """The last thread that was to be started could not be."""
        self._closed = False
        lock = threading.Lock()
        self._submitted = threading.Condition(lock)
        self._ended = threading.Condition(lock)

    def submit(self, call: Callable[[], object]) -> None:
        """Have a call run soon. Never blocks. Nothing happens after :meth:`close`."""
        with self._submitted:
            if not self._closed:
                self._calls.append(call)
                self._submitted.notify()
                self._have_threads()

    def close(self, timeout: float) -> bool:
        """Take no more calls; wait ``timeout`` seconds at most for those that were submitted.

        Returns whether all were made: they may hang, or there is no thread to be had for them.
        """
        with self._submitted:
            self._closed = True
            self._have_threads()
            self._submitted.notify_all()
            # One of the calls may be this one: a thread cannot wait for its own end.
            self._ended.wait_for(lambda: all(thread.is_this for thread in self._threads), timeout)
            return not self._calls and all(thread.is_this for thread in self._threads)

    # With the lock

    def _have_threads(self) -> None:
        """Have a thread for each call that waits, as far as that may be, and else look again in a while."""
        while len(self._calls) > len(self._threads) - len(self._began):
            if len(self._threads) >= self._limit():
                self._look_again_in(HANGS_AFTER)
                return
            thread = self._new_thread()
            try:
                thread.start()
            except RuntimeUnavailableError as error:
                self._threads.discard(thread)
                logger.log(logging.DEBUG if self._starves else logging.WARNING, "a call waits: %s", error)
                self._starves = True
                self._look_again_in(THREAD_RETRY)
                return
            self._starves = False

    def _new_thread(self) -> OwnThread:
        thread = OwnThread(self._name, lambda: self._run(thread))
        self._threads.add(thread)
        return thread

    def _limit(self) -> int:
        """Return how many threads there may be: those that hang are replaced. Where all do, who waits must not."""
        now = time.monotonic()
        hanging = sum(now - began >= HANGS_AFTER for began in self._began.values())
        return self._most if hanging >= self._size else min(self._most, self._size + hanging)

    def _look_again_in(self, seconds: float) -> None:
        if not (self._looks_again or self._closed):
            self._looks_again = True
            self._later(seconds, self._look_again)

    def _look_again(self) -> None:
        with self._submitted:
            self._looks_again = False
            self._have_threads()

    # The threads

    def _run(self, thread: OwnThread) -> None:
        while call := self._next(thread):
            logged(call)

    def _next(self, thread: OwnThread) -> Callable[[], object] | None:
        """Return the next call; None after a while without any, or at the end."""
        with self._submitted:
            self._began.pop(thread, None)
            self._submitted.wait_for(lambda: self._calls or self._closed, IDLE_TIMEOUT)
            if self._calls:
                self._began[thread] = time.monotonic()
                return self._calls.popleft()
            self._threads.discard(thread)
            self._ended.notify_all()  # who closes waits for this
            return None
