"""Whether an engine that has just come back has had the time to find out how its containers have ended meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..docker_state import ContainerState
from .docker_answer import is_unseen

SETTLING = 3.0
"""Seconds that an engine may take, once it answers again, to find out how a container has ended meanwhile.

A rootless Docker says 255 of each at first, and the truth half a second later.
"""
_PAUSE = 0.2


class Settling:
    """Knows since when an engine answers. For any thread."""

    def __init__(self) -> None:
        self._settled_at = -math.inf
        """When the engine will have answered for long enough: infinite where it has just gone."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it a stream of events is open: the engine answers since its beginning, and may be gone at its end."""
        self._settled_at = time.monotonic() + SETTLING
        try:
            yield
        finally:
            self._settled_at = math.inf

    def once_settled(self, look: Callable[[], ContainerState]) -> ContainerState:
        """Return what is seen of a container; of an engine that has just come back, not the first 255 that it says."""
        latest = time.monotonic() + SETTLING
        while is_unseen(seen := look()) and time.monotonic() < min(latest, self._settled_at):
            time.sleep(_PAUSE)
        return seen
