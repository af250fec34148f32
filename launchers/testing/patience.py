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


def in_time(not_done: str, call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises; if it does neither in time, fail with what is not done."""
    __tracebackhide__ = True
    outcome = in_background(call)
    if wait([outcome], TIMEOUT).done and not isinstance(outcome.exception(), TooLateError):
        return outcome.result()
    raise TooLateError(f"{not_done} after {TIMEOUT:g} s")  # in these words, not in those of a part of the call


def until(look: Callable[[], T], is_so: Callable[[T], bool], must: str) -> T:
    """Look until it is so, and return what is seen then. Fails with what must be so, and what was seen last."""
    __tracebackhide__ = True
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, f"{must}, but it said after {TIMEOUT:g} s: {seen}"
        pause.wait(_PAUSE)
    return seen


def patient(runtime: Runtime) -> Runtime:
    """Return a runtime in front of another: what does not return in time fails there."""
    return cast("Runtime", _Patient(runtime))


class _Patient:
    """In front of a runtime, with all that it has."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._runtime, name)
        return partial(_call, name, found) if callable(found) else found


def _call(name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    returned = in_time(f"{name}() has not returned", partial(method, *args, **kwargs))
    if name in ("open_events", "follow"):
        return _stream(name, returned)
    return _items(name, returned) if name in ("logs", "check") else returned


@contextmanager
def _stream(name: str, stream: AbstractContextManager[Iterable[T]]) -> Iterator[Iterator[T]]:
    opened = in_time(f"{name}(): its 'with' has not been entered", stream.__enter__)
    try:
        yield _items(name, opened)
    finally:
        in_time(f"{name}(): its 'with' has not been left", partial(stream.__exit__, None, None, None))


def _items(name: str, items: Iterable[T]) -> Iterator[T]:
    __tracebackhide__ = True
    iterator, end = iter(items), object()
    while True:
        item = in_time(f"{name}() has neither gone on nor ended", partial(next, iterator, end))
        if item is end:
            return
        yield cast("T", item)
