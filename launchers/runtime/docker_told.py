"""What an engine has told of containers, and may have forgotten when it is asked."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flcore.errors import JobLaunchError, RuntimeUnavailableError

from ..docker_state import DOCKER_STATE, ContainerState
from .docker_answer import ToldEnd, as_it_ended, is_end_disguised, told_end

logger = logging.getLogger(__name__)


class Told:
    """What the events said of ends, and refusals of starts, by container, for as long as the engine lists these.

    For any thread.
    """

    def __init__(self) -> None:
        self._ends: dict[str, ToldEnd] = {}
        self._refused_starts: dict[str, str] = {}

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
