"""What a runtime without images, networks, GPUs and events of its own has in common with all such: a base for them."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO, Self

from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState
from ..output_lines import chunks_of, seek_last_lines
from .base import ContainerSummary, ContainerUsage, FoundImage, OutputChunk, PullProgress, PullStream
from .engine_traits import EngineTraits

__all__ = ["PlainRuntime"]

LOOK_INTERVAL = 0.2
"""Seconds between two looks: at all containers, while somebody wants to know what happens to them, and at an output
that somebody follows."""
_HAS_A_PROCESS = (DOCKER_STATE.RUNNING, DOCKER_STATE.PAUSED, DOCKER_STATE.RESTARTING)


class PlainRuntime(ABC):
    """Base of a runtime that says how to create, start, inspect, list, signal, remove and read; the rest is here.

    Whatever is here may be said better by a subclass: one whose engine tells what happens, say, is not asked for a list
    all the time. What each method must do, and may raise, is written in :class:`launchers.runtime.base.Runtime`, and
    tested by :class:`launchers.testing.runtime_contract.RuntimeContract`.
    """

    name = "plain runtime"
    """For logs."""
    command = ""
    """What an operator types to deal with its containers; there is nothing."""
    remembers = False
    """Its containers cannot be found again by another process."""

    _open_streams: set[threading.Event]
    """Of who wants to know what happens; each is set when that is to end."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Make it ready, so that a subclass's constructor need not call this one's."""
        runtime = super().__new__(cls)
        runtime._open_streams = set()
        return runtime

    # What a subclass says

    @abstractmethod
    def create(self, spec: ContainerSpec) -> str:
        """Note what is to run, and return an id of its own. Raises NameInUseError while there is one of this name."""

    @abstractmethod
    def start(self, container_id: str) -> None:
        """Start it, and return as soon as it runs; one that runs already goes on as it is.

        Raises JobStartError for a command that cannot be started, and another JobLaunchError for an unknown id.
        """

    @abstractmethod
    def inspect(self, container_id: str) -> ContainerState:
        """Return its state, the same each time after its end; ``GONE`` for an unknown id."""

    @abstractmethod
    def list_containers(self) -> list[ContainerSummary]:
        """Return all that were created and not removed, whatever their state."""

    @abstractmethod
    def send_signal(self, container_id: str, signal: str) -> bool:
        """Send a signal, such as ``SIGTERM``; False if there is no process (any more)."""

    @abstractmethod
    def remove(self, container_id: str) -> None:
        """End it, if it runs, and forget it. Nothing happens if it is not there."""

    @abstractmethod
    def open_output(self, container_id: str) -> BinaryIO | None:
        """Open what it writes, standard output and error together, as a file in which more comes; None without one."""

    # What can be had without

    def traits(self) -> EngineTraits:
        """Return its name: it holds jobs to nothing."""
        return EngineTraits(self.name)

    def describe(self, spec: ContainerSpec) -> Mapping[str, Any]:
        """Return what is run; what nothing here can be held to is not in it."""
        environment = [f"{name}={value}" for name, value in spec.environment.items()]
        return {"name": spec.name, "argv": list(spec.command), "Env": environment, "cwd": spec.working_dir}

    def find_image(self, image: str) -> FoundImage | None:
        """Return the name itself: there are no images."""
        return FoundImage(image, frozenset())

    def pull(self, image: str) -> PullStream:  # noqa: ARG002 - there are no images
        """Return a pull of nothing."""
        return _NothingToPull()

    def passwd_of(self, container_id: str) -> bytes | None:  # noqa: ARG002 - for subclasses
        """Return nothing: who runs a site has a name, or does without."""
        return None

    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        """Yield what is in the output's file, or its last lines."""
        with self.open_output(container_id) or nullcontext() as file:
            if file is None:
                return
            if tail is not None:
                seek_last_lines(file, tail)
            yield from chunks_of(file)

    @contextmanager
    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> Iterator[Iterator[OutputChunk]]:
        """Read the output's file, again and again until the process has ended."""
        with self.open_output(container_id) or nullcontext() as file:
            yield iter(()) if file is None else _follow(self, container_id, file, position, tail)

    def last_output_time(self, container_id: str) -> str:
        """Return how long the output's file is."""
        with self.open_output(container_id) or nullcontext() as file:
            return "" if file is None else str(file.seek(0, os.SEEK_END))

    def usage(self, container_id: str) -> ContainerUsage | None:  # noqa: ARG002 - for subclasses
        """Return nothing: nobody measures."""
        return None

    def address(self, container_name: str) -> str:  # noqa: ARG002 - all are on this host
        """Return this host's own address."""
        return "127.0.0.1"

    def native(self, container_id: str) -> Any:
        """Return the id: nothing else is known."""
        return container_id

    def find_gpus(self) -> list[str]:
        """Return none."""
        return []

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:  # noqa: ARG002 - needs neither
        """Say that it is there: it needs nothing."""
        yield Check("runtime", True, self.name)

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        """Look at the list every now and then, and tell what is new, gone, or in another state."""
        ends = threading.Event()
        self._open_streams.add(ends)
        try:
            yield _changes(self, _states(self), ends)
        finally:
            self._open_streams.discard(ends)

    def close_events(self) -> None:
        """End all streams."""
        for ends in tuple(self._open_streams):
            ends.set()

    def close(self) -> None:
        """End all streams; there is nothing else to let go of."""
        self.close_events()

    def wait_for_end(self, container_id: str, timeout: float) -> None:  # noqa: ARG002 - for subclasses
        """Return after that time, or as soon as the container's process has ended, where that can be known."""
        threading.Event().wait(timeout)


def _states(runtime: PlainRuntime) -> dict[str, DOCKER_STATE | None]:
    return {summary.id: summary.state for summary in runtime.list_containers()}


def _changes(runtime: PlainRuntime, before: dict[str, DOCKER_STATE | None], ends: threading.Event) -> Iterator[str]:
    """Yield whose state differs from look to look: what is new, gone, or goes on."""
    while not ends.wait(LOOK_INTERVAL):
        now = _states(runtime)
        yield from (one for one in {**before, **now} if before.get(one, "") != now.get(one, ""))
        before = now


def _follow(
    runtime: PlainRuntime, container_id: str, file: BinaryIO, position: str, tail: int | None
) -> Iterator[OutputChunk]:
    """Yield what is written, and where it begins in the file, until the end."""
    begin = int(position or 0)
    if tail is not None and not position:
        begin = seek_last_lines(file, tail)
    file.seek(begin)
    while True:
        goes_on = runtime.inspect(container_id).state in _HAS_A_PROCESS  # first: what was written last is read, too
        for data in chunks_of(file):
            yield OutputChunk(f"{begin:020d}", data)
            begin += len(data)
        if not goes_on:
            return
        runtime.wait_for_end(container_id, LOOK_INTERVAL)


class _NothingToPull:
    """The pull of an image where there are none."""

    def __iter__(self) -> Iterator[PullProgress]:
        return iter(())

    def close(self) -> None:
        """End all streams; there is nothing else to let go of."""
        """There is nothing to end."""
