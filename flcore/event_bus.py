"""Ordered, isolated dispatch of events. The only importer of blinker.

blinker alone keeps its receivers in a set, stops at the first that raises, and races when one thread connects while
another sends. Here receivers are called in the order of their connection, from a snapshot, each by itself.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, count
from typing import Any, cast

import blinker

from .errors import EventError
from .fl_constant import FLContextKey
from .fl_context import FLContext

logger = logging.getLogger(__name__)

MAX_DEPTH = 20
"""How many events may be nested (a handler fires an event whose handler fires an event …)."""

_depth: ContextVar[int] = ContextVar("depth of nested events", default=0)

EventHandler = Callable[[str, FLContext], None]


class _OrderedSet(dict[Any, None]):
    """What blinker asks of ``set_class``, in the order of insertion (``copy`` and ``|`` are a dict's)."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class _OrderedSignal(blinker.Signal):
    set_class = cast("type[set[Any]]", _OrderedSet)


class _Receiver:
    """One connected handler. Its ``Exception`` is logged and kept in the context; it stops nobody else."""

    def __init__(self, name: str, handler: EventHandler) -> None:
        self._name = name
        self._handler = handler

    def __call__(self, event_type: str, fl_ctx: FLContext) -> None:
        try:
            self._handler(event_type, fl_ctx)
        except EventError:
            raise  # events without an end: unwind all of them, or each level would start anew
        except Exception as error:
            logger.exception("%s failed to handle the event %s; the others go on", self._name, event_type)
            _keep_exception(fl_ctx, self._name, error)


class EventBus:
    """Calls every connected handler for every event, on the caller's thread. Safe to use from several threads."""

    def __init__(self) -> None:
        self._signal = _OrderedSignal()
        self._lock = threading.Lock()

    def connect(self, name: str, handler: EventHandler) -> Callable[[], None]:
        """Add a handler behind all others, held by a strong reference.

        ``name`` stands in logs and in ``FLContextKey.EXCEPTIONS``. Returns a function that removes the handler.
        """
        receiver = _Receiver(name, handler)
        with self._lock:
            self._signal.connect(receiver, weak=False)
        return lambda: self._disconnect(receiver)

    def fire(self, event_type: str, fl_ctx: FLContext) -> None:
        """Call all handlers in order; return when the last is done.

        What a handler raises is in ``FLContextKey.EXCEPTIONS`` afterwards (a ``BaseException`` propagates).
        Raises EventError if events are nested more than ``MAX_DEPTH`` deep.
        """
        with _one_level_deeper(event_type):
            event = _event_props(fl_ctx)
            for receiver in self._snapshot():
                for key, value in event.items():  # again for each: a nested event may have changed them
                    fl_ctx.put(key, value, private=True, sticky=False)
                receiver(event_type, fl_ctx)

    def _snapshot(self) -> list[_Receiver]:
        with self._lock:
            return cast("list[_Receiver]", list(self._signal.receivers_for(blinker.ANY)))

    def _disconnect(self, receiver: _Receiver) -> None:
        with self._lock:
            self._signal.disconnect(receiver)


@contextmanager
def _one_level_deeper(event_type: str) -> Iterator[None]:
    depth = _depth.get() + 1
    if depth > MAX_DEPTH:
        raise EventError(f"event {event_type}: more than {MAX_DEPTH} events fire one another")
    token = _depth.set(depth)
    try:
        yield
    finally:
        _depth.reset(token)


def _event_props(fl_ctx: FLContext) -> dict[str, Any]:
    kept = (FLContextKey.EVENT_DATA, FLContextKey.EVENT_ORIGIN, FLContextKey.EVENT_SCOPE)
    return {FLContextKey.EVENT_ID: str(uuid.uuid4())} | {key: fl_ctx.get_prop(key) for key in kept}


def _keep_exception(fl_ctx: FLContext, name: str, error: Exception) -> None:
    """Add to the context's exceptions: ``{handler's name: error}``, a second one of a name as ``name#2``."""
    exceptions = dict(fl_ctx.get_prop(FLContextKey.EXCEPTIONS, {}))
    keys = chain([name], (f"{name}#{number}" for number in count(2)))
    exceptions[next(key for key in keys if key not in exceptions)] = error
    fl_ctx.put(FLContextKey.EXCEPTIONS, exceptions, private=True, sticky=False)
