"""Calls listeners, in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from flcore.threads import OwnThread, logged


class Notifier:
    """Makes calls one after the other, in the order in which they were given.

    What is called may be slow, wait for a job, or raise whatever it likes: it delays nobody but who is told after it,
    and loses nothing.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        """None is the end."""
        self._gives_up = False
        self._thread = OwnThread("notifier", self._run)

    @property
    def untold(self) -> int:
        """How many calls are still to be made."""
        return self._calls.qsize()

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeUnavailableError; then it can be started later."""
        self._thread.start()

    def tell(self, call: Callable[[], object]) -> None:
        """Have a call made, behind all that were given already. Never blocks."""
        self._calls.put(call)

    def finish(self, timeout: float) -> None:
        """End when all calls are made, or after ``timeout`` seconds. One of the calls may be this one.

        Then no other call is made: whoever they tell has been told the end of all by now.
        """
        self._calls.put(None)
        self._thread.join(timeout)
        self._gives_up = True

    def _run(self) -> None:
        while (call := self._calls.get()) is not None and not self._gives_up:
            logged(call)
