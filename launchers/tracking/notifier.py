"""Calls listeners, in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from .worker_pool import logged


class Notifier:
    """Makes calls one after the other, in the order in which they were given.

    What is called may be slow, wait for a job, or raise: it delays nobody but who is told after it, and loses nothing.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        """None is the end."""
        self._thread = threading.Thread(target=self._run, name="flcore-notifier", daemon=True)

    @property
    def untold(self) -> int:
        """How many calls are still to be made."""
        return self._calls.qsize()

    def start(self) -> None:
        self._thread.start()

    def tell(self, call: Callable[[], object]) -> None:
        """Have a call made, behind all that were given already. Never blocks."""
        self._calls.put(call)

    def finish(self, timeout: float) -> None:
        """End when all calls are made; wait ``timeout`` seconds for that. One of the calls may be this one."""
        self._calls.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            logged(call)
