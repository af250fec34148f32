"""What launchers are given to launch. Used in the peers' interpreters too: nothing but the standard library here."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

IMAGE = "flcore-demo:latest"
NETWORK = "flcore-demo"
FOR_EVER = "sleep 3600"
TIMEOUT = 120.0
JOBS = 40
CLEANERS = 4


def network_of(case: str) -> str:
    """Return a network by its kind: ``bridge`` or ``none``."""
    return {"bridge": NETWORK}.get(case, case)


def a_nap(durations: random.Random) -> str:
    return f"sleep {durations.uniform(0.1, 0.5):.3f}"


def by(threads: int, call: Callable[[int], T], jobs: int = JOBS) -> list[T]:
    """Call for each of the jobs, in so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, range(jobs)))
