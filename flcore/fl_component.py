"""What every component of a site is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .fl_constant import EventScope, FLContextKey, ReservedKey
from .fl_context import FLContext, log_fields


class FLComponent:
    """Gets every event of its site by :meth:`handle_event`, and fires events by :meth:`fire_event`.

    Handlers run on the thread that fires: a slow one delays the components behind it in the configuration, never a
    job's ``wait()``. What a handler raises is logged and stops nobody else.
    """

    puts_off = False
    """Whether it may put a launch off (``JobLaunchError.hold``): where a framework asks before it schedules a job, this
    is asked then."""

    def __init__(self) -> None:
        self.name = type(self).__name__
        """Stands in logs and as an event's origin; in a site it is the component's id."""
        self.logger = logging.getLogger(f"{type(self).__module__}.{type(self).__qualname__}")
        self._event_handlers: dict[str, list[tuple[Callable[..., None], dict[str, Any]]]] = {}

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """React to an event. Does nothing unless a subclass says otherwise."""

    def register_event_handler(
        self, event_types: str | list[str] | tuple[str, ...], handler: Callable[..., None], **kwargs: Any
    ) -> None:
        """Have ``handler(event_type, fl_ctx, **kwargs)`` called for these events, in place of ``handle_event``.

        Several handlers of one event are called in the order of registration; the same one is registered once.
        """
        if not callable(handler):
            raise TypeError(f"the handler must be callable, not {type(handler).__name__}")
        listed = event_types if isinstance(event_types, list | tuple) else [event_types]
        for event_type in listed:
            _check_event_type(event_type)
        for event_type in listed:
            registered = self._event_handlers.setdefault(event_type, [])
            if (handler, kwargs) not in registered:
                registered.append((handler, kwargs))

    def dispatch_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Hand an event to the handlers registered for it, else to ``handle_event``. Called by the site."""
        registered = self._event_handlers.get(event_type)
        if not registered:
            self.handle_event(event_type, fl_ctx)
            return
        for handler, kwargs in tuple(registered):  # a handler may register another one
            handler(event_type, fl_ctx, **kwargs)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Have all components of the site handle an event, and return when they have.

        Logs an error, and fires nothing, if the context has no engine.
        Raises TypeError or ValueError if the event type or the context is none.
        """
        _check_event_type(event_type)
        if not callable(getattr(fl_ctx, "get_engine", None)):
            raise TypeError(f"fl_ctx must be an FLContext, not {type(fl_ctx).__name__}")
        engine = fl_ctx.get_engine()
        if engine is None:
            self.log_error(fl_ctx, f"no engine in the context: the event {event_type} was not fired")
            return
        fl_ctx.set_prop(FLContextKey.EVENT_ORIGIN, self.name, private=True, sticky=False)
        fl_ctx.set_prop(FLContextKey.EVENT_SCOPE, EventScope.LOCAL, private=True, sticky=False)
        engine.fire_event(event_type, fl_ctx)

    def fire_event_with_data(self, event_type: str, fl_ctx: FLContext, data_key: str, data: Any) -> None:
        """Set a private property of this context only, then fire the event."""
        fl_ctx.set_prop(data_key, data, private=True, sticky=False)
        self.fire_event(event_type, fl_ctx)

    def log_debug(self, fl_ctx: FLContext, msg: str) -> None:
        """Log at the level DEBUG, with the context's site and job in front."""
        self._log(logging.DEBUG, fl_ctx, msg)

    def log_info(self, fl_ctx: FLContext, msg: str) -> None:
        """Log at the level INFO, in the same way."""
        self._log(logging.INFO, fl_ctx, msg)

    def log_warning(self, fl_ctx: FLContext, msg: str) -> None:
        """Log at the level WARNING, in the same way."""
        self._log(logging.WARNING, fl_ctx, msg)

    def log_error(self, fl_ctx: FLContext, msg: str) -> None:
        """Log at the level ERROR, in the same way."""
        self._log(logging.ERROR, fl_ctx, msg)

    def log_exception(self, fl_ctx: FLContext, msg: str) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._log(logging.ERROR, fl_ctx, msg, exc_info=True)

    def _log(self, level: int, fl_ctx: FLContext, msg: str, exc_info: bool = False) -> None:
        if self.logger.isEnabledFor(level):
            self.logger.log(level, "%s: %s", _log_prefix(fl_ctx), msg, exc_info=exc_info, extra=log_fields(fl_ctx))


def _check_event_type(event_type: Any) -> None:
    if not isinstance(event_type, str):
        raise TypeError(f"an event type must be a str, not {type(event_type).__name__}")
    if not event_type:
        raise ValueError("an event type must not be empty")


def _log_prefix(fl_ctx: FLContext) -> str:
    """Return ``[identity=…, run=…]`` with what else the context knows (``run=?`` without a job)."""
    peer = fl_ctx.get_prop(ReservedKey.PEER_CTX)
    known = {
        "identity": fl_ctx.get_identity_name(),
        "run": fl_ctx.get_job_id() or "?",
        "wf": fl_ctx.get_prop(FLContextKey.WORKFLOW),
        "peer": peer.get_identity_name() if peer else None,
        "task_name": fl_ctx.get_prop(FLContextKey.TASK_NAME),
        "task_id": fl_ctx.get_prop(FLContextKey.TASK_ID),
    }
    return f"[{', '.join(f'{label}={value}' for label, value in known.items() if value is not None)}]"
