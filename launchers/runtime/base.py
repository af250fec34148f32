"""What launchers need of a place that runs containers; not all that Docker offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flcore.job_launcher_spec import Check

from ..container_spec import LABEL_NONCE, ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState
from ..settings import EngineAddress
from .engine_traits import EngineTraits

__all__ = [
    "MAX_PASSWD",
    "ContainerSummary",
    "ContainerUsage",
    "EventStream",
    "FoundImage",
    "JobNetworks",
    "NetworkSummary",
    "OutputChunk",
    "OutputStream",
    "PullProgress",
    "PullStatus",
    "PullStream",
    "Runtime",
]

MAX_PASSWD = 256 << 10
"""Bytes of an ``/etc/passwd`` that is looked at."""


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """One line of a list."""

    id: str
    """The runtime's own, which is never given to another container."""
    name: str
    """As it was asked for."""
    state: DOCKER_STATE | None
    """None where the engine's word for it is not known."""
    labels: Mapping[str, str]
    """As they were asked for; an image may have added others."""
    created_at: float | None = None
    """Seconds since the epoch; None where the runtime does not say."""

    @property
    def nonce(self) -> str:
        """What only the site's record of this container says too; empty without one."""
        return self.labels.get(LABEL_NONCE, "")

    def is_of(self, nonce: str, name: str) -> bool:
        """Whether it was made by the request that had this nonce and this name. Labels alone may be copied."""
        return bool(nonce) and (self.nonce, self.name) == (nonce, name)


class ContainerUsage(NamedTuple):
    """What a container has used until one moment."""

    cpu_seconds: float
    """Of all processors, since its start."""
    memory: int
    """Bytes in use, without what is only cached: what ``docker stats`` shows."""


class FoundImage(NamedTuple):
    """An image that is there."""

    id: str
    """What a container is made from."""
    digests: frozenset[str]
    """Its own, and those of the registries that it came from or went to."""


class OutputChunk(NamedTuple):
    """A piece of a container's output."""

    position: str
    """Where in the output it stands: as a text, never less than that of a piece before it."""
    data: bytes
    """What was written: whole lines, or a piece of a long one."""


OutputStream = AbstractContextManager[Iterator[OutputChunk]]
"""Ends when the container has ended, or early when the runtime goes away."""


class PullProgress(NamedTuple):
    """What an engine says of an image that it pulls."""

    layer: str
    """The layer's id; empty for what is said of the whole image."""
    status: str
    """In Docker's words."""
    current: int = 0
    """Bytes so far of what the status says."""
    total: int = 0
    """Bytes in all; 0 where that is not known."""


class PullStatus:
    """Docker's words for what a launcher needs to know of a layer."""

    DOWNLOADING = "Downloading"
    """Its bytes come."""
    DOWNLOAD_COMPLETE = "Download complete"
    """All its bytes have come."""
    PULL_COMPLETE = "Pull complete"
    """It is there."""
    ALREADY_EXISTS = "Already exists"
    """It was there before."""


class PullStream(Protocol):
    """One pull of an image. The engine is asked for it when it is iterated over, by one thread.

    The iteration ends when the image is there or :meth:`close` was called. It raises ImageError in the engine's own
    words, or RuntimeUnavailableError. To be used with ``contextlib.closing``.
    """

    def __iter__(self) -> Iterator[PullProgress]: ...

    def close(self) -> None:
        """End the pull at once, from whatever thread and whatever it waits for. Never blocks. Idempotent."""
        ...


EventStream = AbstractContextManager[Iterator[str]]
"""Iterates over ids of containers to which something happened. Ends when the runtime goes away or it is closed."""


class Runtime(Protocol):
    """Runs containers. Safe to use from several threads; making one touches nothing.

    Every method may raise RuntimeUnavailableError if the engine does not answer in time: whether it did what it was
    asked for is unknown then, unless the error says that it was not ``reached``.
    """

    remembers: bool
    """Whether its containers can be found again, with their results, by another process after this one's death."""

    @property
    def name(self) -> str:
        """For logs: what it is and where, without credentials. It may change when the engine is first asked."""
        ...

    @property
    def command(self) -> str:
        """What an operator types to deal with its containers; empty if there is nothing."""
        ...

    def traits(self) -> EngineTraits:
        """Return what the engine is. It is asked once for each stream of its events, or each time without one."""
        ...

    def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id.

        Raises ImageError, NameInUseError or RuntimeRefusedError; then there is no container.
        """
        ...

    def describe(self, spec: ContainerSpec) -> Mapping[str, Any]:
        """Return what :meth:`create` would ask the engine for, in its own words, as JSON values. Starts nothing."""
        ...

    def find_image(self, image: str) -> FoundImage | None:
        """Return what an image's name means now; None if it is not there. Raises ImageError for what is no name.

        Where there are no images, every name means itself.
        """
        ...

    def pull(self, image: str) -> PullStream:
        """Return a pull that has not begun; see :class:`PullStream`. There is nothing to pull without images."""
        ...

    def passwd_of(self, container_id: str) -> bytes | None:
        """Return what ``/etc/passwd`` says in a container that was made and not started; nothing if it has none.

        None where nobody is to complete it: users are named without it, or it is no plain file, or too large.
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

    def send_signal(self, container_id: str, signal: str) -> bool:
        """Send a signal, such as ``SIGTERM``, to a container's process; a paused one goes on to take it.

        Returns False if there is no process (any more), or no container.
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

    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> OutputStream:
        """Read a container's output as it comes: from a position on (or from before it), or the last ``tail`` lines on.

        There is nothing to read if the container is not there.
        """
        ...

    def last_output_time(self, container_id: str) -> str:
        """Return something that differs whenever the container has written since; empty if it never has."""
        ...

    def usage(self, container_id: str) -> ContainerUsage | None:
        """Return what a container has used until now.

        None if it does not run, be it not yet or not any more, or where the engine cannot measure a container alone.
        """
        ...

    def address(self, container_name: str) -> str:
        """Return the host name by which other containers of this runtime reach one."""
        ...

    def native(self, container_id: str) -> Any:
        """Return the engine's own object for a container, such as docker-py's ``Container``, without asking it."""
        ...

    def find_gpus(self) -> Sequence[str]:
        """Return the ids of the GPUs that its containers can have, UUIDs if it knows them; none if it cannot tell."""
        ...

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:
        """Say whether the engine, the image and the network are there."""
        ...

    def close(self) -> None:
        """Let go of all connections and threads; containers go on. Idempotent."""
        ...


class NetworkSummary(NamedTuple):
    """One line of a list of networks."""

    name: str
    labels: Mapping[str, str]
    created_at: float | None = None
    """Seconds since the epoch; None where the runtime does not say."""


class JobNetworks(Protocol):
    """The networks of jobs' own: what not every runtime has an answer to. Every method may raise JobLaunchError."""

    def make(self, spec: ContainerSpec) -> ContainerSpec:
        """Have the network be there that a spec wants for its container alone; return it with its parent's address.

        Idempotent, by the nonce in the spec's labels, which are the network's, too.
        """
        ...

    def remove(self, nonce: str, name: str) -> None:
        """Remove the network of this name that was made for the job with this nonce. Idempotent.

        Whoever is still in it is put out of it.
        """
        ...

    def all_of(self, label: str) -> Sequence[NetworkSummary]:
        """Return the networks that have a label."""
        ...


def job_networks_of(runtime: Runtime) -> JobNetworks | None:
    """Return what makes networks of jobs' own in a runtime: its ``job_networks``, if it has such."""
    return getattr(runtime, "job_networks", None)


class Whereabouts(NamedTuple):
    """Where an engine is: what not every runtime has an answer to."""

    engine: EngineAddress | None = None
    """By this another process finds it; None where none can."""
    is_guessed: bool = False
    """Nobody has named it: it is asked where one is by default."""


def whereabouts_of(runtime: Runtime) -> Whereabouts:
    """Return where the engine of a runtime is: its ``whereabouts``, if it has such."""
    return getattr(runtime, "whereabouts", Whereabouts())


def engine_in_words(runtime: Runtime) -> str:
    """Return what a runtime is, and where its engine is."""
    engine = whereabouts_of(runtime).engine
    address = engine.docker_host if engine else ""
    return runtime.name if address in runtime.name else f"{runtime.name} at {address}"
