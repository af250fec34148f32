"""Threads for calls that may take long: as many as there is work for, up to a limit, and none when there is none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

logger = logging.getLogger(__name__)

IDLE_TIMEOUT = 1.0
"""Seconds after which a thread without work ends."""


class WorkerPool:
    """Runs calls, each once, begun in the order of submission. What they raise is logged and stops nobody else."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        """None is the end."""
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False
        self._changed = threading.Condition()

    def submit(self, call: Callable[[], object]) -> None:
        """Have a call run soon. Never blocks. Nothing happens after :meth:`close`."""
        if self._closed:
            return
        self._calls.put(call)
        # Without the lock: a thread that is about to end is not idle any more before it looks at the calls once more.
        if self._calls.qsize() > self._idle and len(self._threads) < self._size:
            self._add_thread()

    def close(self, timeout: float) -> None:
        """Take no more calls; wait ``timeout`` seconds at most for those that were submitted."""
        with self._changed:
            self._closed = True
            self._calls.put(None)
            # One of the calls may be this one: a thread cannot wait for its own end.
            self._changed.wait_for(lambda: not self._threads - {threading.current_thread()}, timeout)

    def _add_thread(self) -> None:
        with self._changed:
            if len(self._threads) < self._size:
                thread = threading.Thread(target=self._run, name=f"flcore-{self._name}", daemon=True)
                self._threads.add(thread)
                thread.start()

    def _run(self) -> None:
        while (call := self._next()) or not self._may_end():
            if call:  # None is a rest without work, or the end, and this thread may still be needed
                logged(call)

    def _next(self) -> Callable[[], object] | None:
        """Return the next call; None after a while without any."""
        with suppress(Empty):
            return self._calls.get_nowait()  # who has work at hand is never counted as idle, nor takes the lock
        with self._changed:
            self._idle += 1
        try:
            return self._calls.get(timeout=IDLE_TIMEOUT)
        except Empty:
            return None
        finally:
            with self._changed:
                self._idle -= 1

    def _may_end(self) -> bool:
        with self._changed:
            if self._closed:
                self._calls.put(None)  # the end is for all threads, and this one has taken it
            elif not self._calls.empty():
                return False  # it was submitted while this thread still counted as idle, so that no other was made
            self._threads.discard(threading.current_thread())
            self._changed.notify_all()  # who closes waits for this
            return True


def logged(call: Callable[[], object]) -> None:
    """Call, and log what it raises: the thread goes on."""
    try:
        call()
    except Exception:
        logger.exception("an error in a listener or a clean-up; the others go on")
