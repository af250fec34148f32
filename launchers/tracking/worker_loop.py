"""One thread that does one thing after the other, now or later, and never waits for an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import TypeVar

from flcore.threads import OwnThread, as_exception, bounded, logged

from .lanes import Lanes, Subject
from .worker_pool import WorkerPool

T = TypeVar("T")

_ASKERS = 8
_LIST_ASKERS = 2
_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)


class Timer:
    """A call that is due some time. For the loop that made it only."""

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
    """Runs calls in the order in which they were posted, and timers when they are due, by a monotonic clock.

    What may take long is asked in threads of their own, which end when there is nothing to ask.
    """

    def __init__(self, name: str) -> None:
        self._inbox: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._timers: list[Timer] = []
        self._numbers = count()  # of two timers that are due at once, the first that was set comes first
        self._askers = Lanes("asker", _ASKERS, self.later)
        self._list_askers = WorkerPool("lister", _LIST_ASKERS, self.later)
        """Theirs are the questions about no container of their own: a list always finds somebody who asks for it."""
        self._asking = 0
        self._finishing = False
        self._quiet = threading.Event()
        self._thread = OwnThread(name, self._run)

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeUnavailableError; then it can be started later."""
        self._thread.start()

    def post(self, call: Callable[[], object]) -> None:
        """Have a call run soon, from whatever thread."""
        self._inbox.put(call)

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Have a call run in some seconds. For calls that run in the loop only."""
        timer = Timer(time.monotonic() + seconds, next(self._numbers), call)
        heappush(self._timers, timer)
        return timer

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Have a call run in some seconds, from whatever thread."""
        self.post(partial(self.after, seconds, call))

    def ask(
        self,
        question: Callable[[], T],
        then: Callable[[T], object],
        failed: Callable[[Exception], object],
        about: Subject | None = None,
    ) -> None:
        """Have somebody ask, and the loop go on with the answer or the error. For calls that run in the loop only.

        Exactly one of the two comes, unless the loop is finished before; it comes late where no thread can be started.
        Questions ``about`` a container are asked one by one.
        """
        self._asking += 1

        def ask_and_post() -> None:
            try:
                answer = question()
            except BaseException as error:  # noqa: BLE001 - it is handed on, whatever it is: the thread is ours
                self.post(partial(self._answered, failed, as_exception(error)))
            else:
                self.post(partial(self._answered, then, answer))

        if about:
            self._askers.submit(ask_and_post, about)
        else:
            self._list_askers.submit(ask_and_post)

    def finish(self, timeout: float) -> None:
        """End when no question is left without an answer, ``timeout`` seconds at most. Timers are forgotten."""
        # What goes on with the last answer may ask again: so the loop itself says when it has come to rest. A call that
        # the loop runs cannot wait for that; then all that is posted already is done, and no more.
        if not self._thread.is_this:
            self.post(self._begin_to_finish)
            self._quiet.wait(timeout)
        self._inbox.put(None)
        self._thread.join(timeout)
        self._list_askers.close(timeout)
        self._askers.close(timeout)

    def _answered(self, go_on: Callable[[T], object], answer: T) -> None:
        self._asking -= 1
        try:
            go_on(answer)  # this may ask something new, and only then is it known whether all is quiet
        finally:
            self._note_if_quiet()

    def _begin_to_finish(self) -> None:
        self._finishing = True
        self._note_if_quiet()

    def _note_if_quiet(self) -> None:
        if self._finishing and not self._asking:
            self._quiet.set()

    def _run(self) -> None:
        while call := self._next():
            logged(call)

    def _next(self) -> Callable[[], object] | None:
        while True:
            # A timer that is due comes first, however many calls there are: else a busy loop would never list again.
            patience = self._timers[0].patience() if self._timers else None
            if patience is not None and patience <= 0:
                return heappop(self._timers).call
            try:
                return self._inbox.get(timeout=bounded(patience))
            except Empty:
                continue


def retry_delay(failures: int) -> float:
    """Return in how many seconds to try again what failed now, and so many times in a row before."""
    return _RETRY_DELAYS[min(failures, len(_RETRY_DELAYS) - 1)]


def _nothing() -> None:
    """What a cancelled timer does."""
