"""What an engine has told of the ends of containers, beside what it says of them when it is asked."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..docker_state import ContainerState
from .docker_answer import ToldEnd, as_it_ended, is_end_disguised, is_unseen, told_end

logger = logging.getLogger(__name__)

SETTLING = 3.0
"""Seconds that an engine may take, once it answers again, to find out how a container has ended meanwhile.

A rootless Docker says 255 of each at first, and the truth half a second later.
"""
_PAUSE = 0.2


class ToldEnds:
    """Remembers, by container, what events have told, for as long as the engine lists it. For any thread."""

    def __init__(self) -> None:
        self._ends: dict[str, ToldEnd] = {}
        self._settled_at = -math.inf
        """When the engine will answer since long enough: infinite where it has just gone."""
        self._woken = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it a stream of events is open: the engine answers since its beginning, and may be gone at its end."""
        self._settled_at = time.monotonic() + SETTLING
        try:
            yield
        finally:
            self._settled_at = math.inf

    def hear(self, container_id: str, event: Mapping[str, Any]) -> None:
        if end := told_end(event):
            self._ends[container_id] = end

    def forget_all_but(self, listed: Collection[str]) -> None:
        for gone in set(self._ends) - set(listed):
            self._ends.pop(gone, None)

    def once_settled(self, look: Callable[[], ContainerState]) -> ContainerState:
        """Return what is seen of a container; of an engine that has just come back, not the first 255 that it says."""
        latest = time.monotonic() + SETTLING
        while is_unseen(seen := look()) and time.monotonic() < min(latest, self._settled_at):
            self._woken.wait(_PAUSE)
        return seen

    def as_told(self, container_id: str, state: ContainerState, inspection: Mapping[str, Any]) -> ContainerState:
        """Return a state with the end that was told, where the engine has forgotten it since."""
        told = self._ends.get(container_id)
        if told is None or is_end_disguised(inspection):
            return state
        as_told = as_it_ended(state, told)
        if as_told is not state:
            logger.warning(
                "container %s: the engine told of the exit code %d, and says %s now: it was killed meanwhile",
                *(container_id[:12], told.exit_code, state.exit_code),
                extra={"container_id": container_id},
            )
        return as_told
