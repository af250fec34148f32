"""The states of jobs whose launchers know no more of them than whether they have ended. The words are Docker's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

CREATED = "created"
RUNNING = "running"
EXITED = "exited"
DEAD = "dead"
FINAL = (EXITED, DEAD)
"""In which a job has ended: by itself, or without its end having been seen."""

LOOK_INTERVAL = 0.1
"""Seconds between two looks at a job."""


def way_to(state: str) -> tuple[str, ...]:
    """Return the states through which a job has got to one, and that one, whoever has missed the others."""
    return {CREATED: (CREATED,), EXITED: (CREATED, RUNNING, EXITED)}.get(state, (CREATED, state))


def wait_to_enter(
    states: str | Iterable[str], look: Callable[[], tuple[bool, str | None]], timeout: float | None
) -> bool:
    """Look until a job has entered one of some states; False after ``timeout`` seconds (None: never) or its end.

    ``look`` returns whether it has ended, and the state in which it is, if that is known.
    """
    wanted = {states} if isinstance(states, str) else set(states)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        ended, state = look()
        entered = state is not None and not wanted.isdisjoint(way_to(state))
        left = deadline - time.monotonic()
        if entered or ended or left <= 0:
            return entered
        time.sleep(min(LOOK_INTERVAL, left))
