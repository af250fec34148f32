"""What launchers need of a place that runs containers; not all that Docker offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """One line of a list."""

    id: str
    name: str
    state: DOCKER_STATE
    labels: Mapping[str, str]


EventStream = AbstractContextManager[Iterator[str]]
"""Iterates over ids of containers to which something happened. Ends when the runtime goes away or it is closed."""


class Runtime(Protocol):
    """Runs containers. Safe to use from several threads; making one touches nothing.

    Every method may raise RuntimeUnavailableError if the engine does not answer in time: the outcome is unknown then.
    """

    name: str
    """For logs: what it is and where, without credentials."""

    def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id.

        Raises ImageError, NameInUseError or RuntimeRefusedError; then there is no container.
        """
        ...

    def start(self, container_id: str) -> None:
        """Start a created container. Raises JobStartError, NetworkError or RuntimeRefusedError."""
        ...

    def inspect(self, container_id: str) -> ContainerState:
        """Return a container's state; ``GONE`` if the engine does not know it."""
        ...

    def list_containers(self) -> list[ContainerSummary]:
        """Return the containers that this runtime watches over, of whatever state, in one call."""
        ...

    def open_events(self) -> EventStream:
        """Subscribe: whatever happens to a watched container after this returns is in the stream.

        The events are hints only: some may be lost, some told twice.
        """
        ...

    def close_events(self) -> None:
        """End all streams, from whatever thread. Idempotent."""
        ...

    def stop(self, container_id: str, grace: float) -> None:
        """Ask a container's process to end, and kill it after ``grace`` seconds. Returns when it has ended.

        Nothing happens if it has ended already, or is not there.
        """
        ...

    def remove(self, container_id: str) -> None:
        """Remove a container, its process if it still runs, and its own volumes. Nothing happens if it is not there."""
        ...

    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        """Yield a container's output so far in chunks, standard output and error together; or its last ``tail`` lines.

        Yields nothing if the container is not there.
        """
        ...

    def address(self, container_name: str) -> str:
        """Return the host name by which other containers of this runtime reach one."""
        ...

    def native(self, container_id: str) -> Any:
        """Return the engine's own object for a container, such as docker-py's ``Container``, without asking it."""
        ...

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:
        """Say whether the engine, the image and the network are there."""
        ...

    def close(self) -> None:
        """Let go of all connections and threads; containers go on. Idempotent."""
        ...
