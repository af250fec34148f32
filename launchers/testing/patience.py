"""No test waits for ever: a call of a runtime that does not return in time fails, and says which it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar, cast

from ..runtime.base import Runtime

T = TypeVar("T")

TIMEOUT = 20.0
"""Seconds after which a test fails instead of waiting on."""
_LITTLE_PATIENCE = 1.0
"""Seconds, where something was too late already."""
_PAUSE = 0.02
"""Seconds between two looks."""


class TooLateError(AssertionError):
    """Something was not done in time."""


def in_background(call: Callable[[], T]) -> Future[T]:
    """Make a call on a thread of its own, for whose end nobody need wait, and return what will come of it."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is handed on
            outcome.set_exception(error)

    threading.Thread(target=run, name="runtime-contract", daemon=True).start()
    return outcome


def in_time(not_done: str, call: Callable[[], T], seconds: float | None = None) -> T:
    """Return what a call returns, or raise what it raises; if it does neither in time, fail with what is not done."""
    __tracebackhide__ = True
    outcome, patience = in_background(call), TIMEOUT if seconds is None else seconds
    if wait([outcome], patience).done and not isinstance(outcome.exception(), TooLateError):
        return outcome.result()
    raise TooLateError(f"{not_done} after {patience:g} s")  # in these words, not in those of a part of the call


def until(look: Callable[[], T], is_so: Callable[[T], bool], must: str) -> T:
    """Look until it is so, and return what is seen then. Fails with what must be so, and what was seen last."""
    __tracebackhide__ = True
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, f"{must}, but it said after {TIMEOUT:g} s: {seen}"
        pause.wait(_PAUSE)
    return seen


class PatientRuntime:
    """In front of a runtime, with all that it has: what does not return in time fails, and says so.

    Once something was too late, there is less patience for the rest: nobody waits for ever, but not forty times either.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.was_late = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._runtime, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        returned = self._in_time(f"{name}() has not returned", partial(method, *args, **kwargs))
        if name in ("open_events", "follow"):
            return self._stream(name, returned)
        return self._items(name, returned) if name in ("logs", "check") else returned

    @contextmanager
    def _stream(self, name: str, stream: AbstractContextManager[Iterable[T]]) -> Iterator[Iterator[T]]:
        opened = self._in_time(f"{name}(): its 'with' has not been entered", stream.__enter__)
        try:
            yield self._items(name, opened)
        finally:
            self._in_time(f"{name}(): its 'with' has not been left", partial(stream.__exit__, None, None, None))

    def _items(self, name: str, items: Iterable[T]) -> Iterator[T]:
        __tracebackhide__ = True
        iterator, end = iter(items), object()
        while True:
            item = self._in_time(f"{name}() has neither gone on nor ended", partial(next, iterator, end))
            if item is end:
                return
            yield cast("T", item)

    def _in_time(self, not_done: str, call: Callable[[], T]) -> T:
        __tracebackhide__ = True
        try:
            return in_time(not_done, call, _LITTLE_PATIENCE if self.was_late else None)
        except TooLateError:
            self.was_late = True
            raise
