"""What an engine has told of containers, and may have forgotten when it is asked."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flcore.errors import JobLaunchError, RuntimeUnavailableError

from ..docker_state import DOCKER_STATE, ContainerState
from .docker_answer import ToldEnd, as_it_ended, is_end_disguised, is_unseen, told_end

logger = logging.getLogger(__name__)

SETTLING = 3.0
"""Seconds that an engine may take, once it answers again, to find out how a container has ended meanwhile.

A rootless Docker says 255 of each at first, and the truth half a second later.
"""
_PAUSE = 0.2


class Told:
    """What the events said of ends, and refusals of starts, by container, for as long as the engine lists these.

    For any thread.
    """

    def __init__(self) -> None:
        self._ends: dict[str, ToldEnd] = {}
        self._refused_starts: dict[str, str] = {}
        self._settled_at = -math.inf
        """When the engine will have answered for long enough; infinite where it has just gone."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it a stream of events is open: the engine answers since its beginning, and may be gone at its end."""
        self._settled_at = time.monotonic() + SETTLING
        try:
            yield
        finally:
            self._settled_at = math.inf

    def containers(self) -> set[str]:
        """Return those of which something was told."""
        return {*self._ends, *self._refused_starts}

    def forget(self, containers: Collection[str]) -> None:
        for container_id in containers:
            self._ends.pop(container_id, None)
            self._refused_starts.pop(container_id, None)

    def note_event(self, container_id: str, event: Mapping[str, Any]) -> None:
        if end := told_end(event):
            self._ends[container_id] = end

    @contextmanager
    def start_of(self, container_id: str) -> Iterator[None]:
        """Within it a container is started; why it was not is noted: Docker says that later, too, Podman from 5 on."""
        try:
            yield
        except RuntimeUnavailableError:
            raise
        except JobLaunchError as error:
            self._refused_starts[container_id] = str(error)
            raise

    def once_settled(self, look: Callable[[], ContainerState]) -> ContainerState:
        """Return what is seen of a container; of an engine that has just come back, not the first 255 that it says."""
        latest = time.monotonic() + SETTLING
        while is_unseen(seen := look()) and time.monotonic() < min(latest, self._settled_at):
            time.sleep(_PAUSE)
        return seen

    def completed(self, container_id: str, state: ContainerState, inspection: Mapping[str, Any]) -> ContainerState:
        """Return a state with what the inspection that says it does not tell any more."""
        if state.state is DOCKER_STATE.CREATED and not state.error:
            return replace(state, error=self._refused_starts.get(container_id, ""))
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
