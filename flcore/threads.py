"""The threads that this package starts itself, and how long a thread may wait.

What fails on one of them, be it by ``sys.exit()``, is logged and stops nobody else: there is no caller whom it could
reach. And that no thread can be started now is nobody's end: what needs one says so, and is as it was before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from .errors import FLCoreError, RuntimeUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT = min(threading.TIMEOUT_MAX, 1e9)
"""Seconds, some thirty years: a wait that is to be longer would raise OverflowError."""


def bounded(seconds: float | None) -> float | None:
    """Return how long to wait for who wants to wait so long: any number works, infinity too. None is for ever."""
    return None if seconds is None else min(seconds, LONGEST_WAIT)


class _Thread(threading.Thread):
    """So that a thread of ours can be told from a caller's."""


class OwnThread:
    """A thread of this package's: a daemon, which runs once. All methods may be called from any thread."""

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self._name = f"flcore-{name}"
        self._run = run
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def is_this(self) -> bool:
        """Whether who asks is this thread."""
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Start it, unless it was started. Raises RuntimeUnavailableError; then it can be started later."""
        with self._lock:
            if self._thread:
                return
            # A new one each time: Python's own may be half started when that fails.
            thread = self._thread = _Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._thread = None
                raise no_thread(error) from error

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, ``timeout`` seconds at most. Not for one that was never started, nor for this one."""
        if self._thread and not self.is_this:
            self._thread.join(bounded(timeout))


def on_own_thread() -> bool:
    """Whether this thread is one of this package's, so that nobody would hear of what is raised on it."""
    return isinstance(threading.current_thread(), _Thread)


def logged(call: Callable[[], object]) -> None:
    """Call, and log what it raises, whatever that is: the thread goes on. For threads of our own."""
    try:
        call()
    except BaseException:
        logger.exception("an error in a listener or a clean-up; the others go on")


def as_exception(error: BaseException) -> Exception:
    """Return what may be raised in another thread: what would end a thread, or a process, ends none but its own."""
    return error if isinstance(error, Exception) else FLCoreError(f"{error!r} was raised")


def make_all(
    name: str, most: int, calls: Sequence[Callable[[], T]], interrupted: Callable[[], object] = lambda: None
) -> list[T]:
    """Make all calls, each once, at most so many at the same time; return what they return, in order.

    Where no thread can be started, this one makes them. What the first that failed has raised is raised when all were
    made. ``interrupted`` is called if this thread is, and should have the calls return.
    """
    tasks = [_Task(call) for call in calls]
    with ThreadPoolExecutor(max(1, min(most, len(tasks))), thread_name_prefix=f"flcore-{name}") as pool:
        try:
            alone = [task for task in tasks if not _is_taken(task, pool)]
            for task in alone:
                task()  # nothing, where a thread that there is has taken it even so
            return [task.outcome.result() for task in tasks]
        except (KeyboardInterrupt, SystemExit):  # which signals raise in the main thread
            interrupted()
            raise


def _is_taken(task: _Task[T], pool: ThreadPoolExecutor) -> bool:
    try:
        pool.submit(task)
    except RuntimeError as error:
        logger.warning("%s; one thing is done after the other", no_thread(error))
        return False
    return True


class _Task(Generic[T]):
    """A call that is made once, by whoever is the first to try."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._first = threading.Lock()
        self.outcome: Future[T] = Future()

    def __call__(self) -> None:
        if not self._first.acquire(blocking=False):
            return
        try:
            self.outcome.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - it is handed on, once all others were made
            self.outcome.set_exception(error)


def no_thread(error: RuntimeError) -> RuntimeUnavailableError:
    """Return the error of a thread that Python could not start."""
    limits = "raise the limit of the site's user ('ulimit -u') or container ('--pids-limit'), or run less beside it"
    return RuntimeUnavailableError(f"no thread can be started now ({error}): {limits}", reached=False)
