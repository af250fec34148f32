"""A launch that a component puts off: it waits, takes no place meanwhile, and is tried again from the beginning."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .admission import may_wait
from .errors import Hold, JobLaunchError
from .launch import Launch

T = TypeVar("T")

LOOK_EVERY = 1.0
"""Seconds between two looks whether a launch may go on."""


def launched_when_let(launch: Launch, attempt: Callable[[], T], put_off: Callable[[Launch, Hold], None]) -> T:
    """Return what an attempt returns, as soon as no component puts the launch off.

    ``put_off`` is called whenever one does, before the waiting begins, and makes room for others. Raises what an
    attempt raises, that which put it off when its patience is over, or the caller cannot wait; and JobAbortedError as
    soon as somebody asks for the launch's end.
    """
    waited = 0.0
    while True:
        try:
            return attempt()
        except JobLaunchError as error:
            hold = error.hold
            if hold is None or not may_wait() or waited >= hold.patience:
                raise
        launch.put_off()
        put_off(launch, hold)
        waited += _waited_for(launch, hold, hold.patience - waited)


def _waited_for(launch: Launch, hold: Hold, patience: float) -> float:
    """Return for how many seconds a launch has waited until it may go on, or there is no patience left."""
    began = time.monotonic()
    while not hold.may_go_on():
        left = patience - (time.monotonic() - began)
        if left <= 0 or launch.wait_for_end_request(min(left, LOOK_EVERY)):
            break
    launch.raise_if_ended()
    return time.monotonic() - began
