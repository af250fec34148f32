"""Events: what a component pays to tell all others something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory

import blinker

from flcore import FLComponent, FLContext, Site

from .framework import Contest, at_most, bench
from .timing import per_call

_MICROSECONDS = {1: 4, 100: 40}


@bench(cases=(0, 1, 10, 100))
def fire_event(components: int) -> Iterator[Contest]:
    """An event that so many components handle, fired by a component of a site."""
    handlers = [FLComponent() for _ in range(components)]
    signal = blinker.Signal()
    for handler in handlers:
        signal.connect(handler.handle_event)
    with TemporaryDirectory() as workspace:
        site = Site("site-1", {f"component-{i}": handler for i, handler in enumerate(handlers)}, workspace)
        fl_ctx = site.new_context()
        yield Contest(
            {
                "flcore": per_call(FLComponent().fire_event, "event", fl_ctx),
                "blinker.Signal.send": per_call(signal.send, "event", fl_ctx=fl_ctx),
                "a plain loop of calls": per_call(_call, handlers, "event", fl_ctx),
            },
            floor="a plain loop of calls",
            targets={"µs": at_most(_MICROSECONDS[components])} if components in _MICROSECONDS else {},
        )


def _call(handlers: Sequence[FLComponent], event_type: str, fl_ctx: FLContext) -> None:
    for handler in handlers:
        handler.handle_event(event_type, fl_ctx)
