"""Ordered, isolated dispatch of events. The only importer of blinker.

blinker alone keeps its receivers in a set, stops at the first that raises, and races when one thread connects while
another sends. Here receivers are called in the order of their connection, from a snapshot, each by itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection
from contextvars import ContextVar
from itertools import chain, count
from typing import Any, cast

import blinker

from .errors import EventError, FLCoreError, JobLaunchError
from .event_type import EventType
from .fl_constant import FLContextKey
from .fl_context import FLContext, Prop, log_fields
from .threads import as_exception, on_own_thread

logger = logging.getLogger(__name__)

MAX_EVENT_DEPTH = 20
"""How many events may be nested (a handler fires an event whose handler fires an event …).

So few that an EventError, which unwinds them all, comes long before Python's RecursionError, which would be taken for
the failure of one handler.
"""

_MAY_REFUSE = (EventType.BEFORE_JOB_LAUNCH, EventType.JOB_LAUNCH_PLANNED)
"""The events at which a component may refuse a job."""

_depth: ContextVar[int] = ContextVar("depth of nested events", default=0)
"""Each thread has its own: events that several threads fire at the same time are not nested."""

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
    """One connected handler. What it raises is logged and kept in the context; it stops nobody else.

    SYSTEM_END is the last that it hears until the next SYSTEM_BOOTSTRAP, whoever fires what, and however late.
    """

    def __init__(self, name: str, handler: EventHandler) -> None:
        self.name = name
        self._handler = handler
        self._is_over = False

    def hears(self, event_type: str) -> bool:
        """Whether it is to get an event that comes now."""
        if event_type == EventType.SYSTEM_BOOTSTRAP:
            self._is_over = False
        was_over = self._is_over
        self._is_over = was_over or event_type == EventType.SYSTEM_END
        return not was_over

    def __call__(self, event_type: str, fl_ctx: FLContext) -> BaseException | None:
        """Call it. Returns what is more than an ``Exception`` and the caller's to heed, when all were called."""
        try:
            self._handler(event_type, fl_ctx)
        except EventError:
            raise  # events without an end: unwind all of them, or each level would start anew
        except Exception as error:  # noqa: BLE001 - it is logged, and kept for whoever fires the event
            self._failed(error, event_type, fl_ctx)
        except BaseException as error:  # noqa: BLE001 - it is returned, or there is nobody to heed it
            if not on_own_thread():
                return error
            self._failed(as_exception(error), event_type, fl_ctx)
        return None

    def _failed(self, error: Exception, event_type: str, fl_ctx: FLContext) -> None:
        _log(error, self.name, event_type, fl_ctx)
        _keep_exception(fl_ctx, self.name, error)


class EventBus:
    """Calls every connected handler for every event, on the caller's thread. Safe to use from several threads."""

    def __init__(self) -> None:
        self._signal = _OrderedSignal()
        self._lock = threading.Lock()
        self._receivers: tuple[_Receiver, ...] = ()  # a snapshot of the signal's, taken at each change

    def connect(self, name: str, handler: EventHandler) -> Callable[[], None]:
        """Add a handler behind all others, held by a strong reference.

        ``name`` stands in logs and in ``FLContextKey.EXCEPTIONS``. Returns a function that removes the handler.
        """
        receiver = _Receiver(name, handler)
        with self._lock:
            self._signal.connect(receiver, weak=False)
            self._take_snapshot()
        return lambda: self._disconnect(receiver)

    def fire(self, event_type: str, fl_ctx: FLContext, to: Collection[str] | None = None) -> None:
        """Call all handlers in order, or those of some names; return when the last is done.

        Who has heard SYSTEM_END is not called before the next SYSTEM_BOOTSTRAP.

        What a handler raises is in ``FLContextKey.EXCEPTIONS`` afterwards. Of what is more than an ``Exception``, such
        as an interrupt, the first propagates when all were called; on a thread of this package's own, where nobody
        would heed it, it counts as any other.
        Raises EventError if events are nested more than ``MAX_EVENT_DEPTH`` deep.
        """
        depth = _depth.get()
        if depth >= MAX_EVENT_DEPTH:
            raise EventError(f"event {event_type}: more than {MAX_EVENT_DEPTH} events fire one another")
        outer = _depth.set(depth + 1)
        raised: list[BaseException] = []
        try:
            event = _event_props(fl_ctx)
            for receiver in self._receivers:  # who comes or goes meanwhile does so from the next event on
                if (to is None or receiver.name in to) and receiver.hears(event_type):
                    fl_ctx.put_all(event)  # again for each: a nested event may have changed them
                    if error := receiver(event_type, fl_ctx):
                        raised.append(error)
        finally:
            _depth.reset(outer)
        if raised:
            raise raised[0]

    def _disconnect(self, receiver: _Receiver) -> None:
        with self._lock:
            self._signal.disconnect(receiver)
            self._take_snapshot()

    def _take_snapshot(self) -> None:
        self._receivers = tuple(cast("_Receiver", each) for each in self._signal.receivers_for(blinker.ANY))


def _event_props(fl_ctx: FLContext) -> dict[str, Prop]:
    """Return what each handler finds in the context, whatever those before it did."""
    private = (True, False)
    return {
        FLContextKey.EVENT_ID: (os.urandom(16).hex(), private),  # as unique as a UUID, in a fifth of its time
        FLContextKey.EVENT_DATA: (fl_ctx.get_prop(FLContextKey.EVENT_DATA), private),
        FLContextKey.EVENT_ORIGIN: (fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN), private),
        FLContextKey.EVENT_SCOPE: (fl_ctx.get_prop(FLContextKey.EVENT_SCOPE), private),
    }


def _log(error: Exception, name: str, event_type: str, fl_ctx: FLContext) -> None:
    about = log_fields(fl_ctx)
    if isinstance(error, JobLaunchError) and event_type in _MAY_REFUSE:
        # A refusal: whoever launches the job tells of it. At any other event it has no effect on the job.
        logger.info("%s refuses a job at the event %s: %s", name, event_type, error, extra=about)
        return
    failed = "%s failed to handle the event %s; the others go on"
    if isinstance(error, FLCoreError):  # its message says it all
        logger.error(f"{failed}: %s", name, event_type, error, extra=about)
    else:
        logger.error(failed, name, event_type, exc_info=error, extra=about)


def _keep_exception(fl_ctx: FLContext, name: str, error: Exception) -> None:
    """Add to the context's exceptions: ``{handler's name: error}``, a second one of a name as ``name#2``."""
    exceptions = dict(fl_ctx.get_prop(FLContextKey.EXCEPTIONS, {}))
    keys = chain([name], (f"{name}#{number}" for number in count(2)))
    exceptions[next(key for key in keys if key not in exceptions)] = error
    fl_ctx.put(FLContextKey.EXCEPTIONS, exceptions, private=True, sticky=False)
