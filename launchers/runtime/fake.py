"""A runtime in memory, for unit tests of launchers, monitors and workflows: no engine, no process, no waiting.

Its states, events and errors are those that were measured on a Docker Engine. A test plays the outside world::

    runtime = FakeRuntime()
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
    ...
    runtime.exit("site-1-job-1", 3)
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

from flcore.errors import (
    ImageError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
)
from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, GONE, ContainerState
from .base import ContainerSummary, ContainerUsage, FoundImage, OutputChunk, PullStatus
from .engine_traits import TRAITS, EngineTraits, warnings
from .fake_container import FakeContainer
from .fake_networks import FakeJobNetworks
from .fake_pull import FakePull

__all__ = ["FakeContainer", "FakePull", "FakeRuntime"]


class FakeRuntime:
    """Containers in memory: a ``Runtime``. Its attributes are the test's to set, at any time and from any thread.

    Args:
        images: the images that are there; None is all.
        networks: the networks that are there; None is all.
        registry: the images that can be pulled.
    """

    name = "fake runtime"
    command = "docker"
    remembers = True

    def __init__(
        self, images: set[str] | None = None, networks: set[str] | None = None, registry: Iterable[str] = ()
    ) -> None:
        self.images = images
        self.image_ids: dict[str, str] = {}
        """By name, what an image is now, where that is not its name."""
        self.networks = networks
        self.job_networks = FakeJobNetworks(self._answer)
        self.registry = set(registry)
        self.engine = EngineTraits(self.name, has=frozenset(TRAITS) - {"rootless", "userns"})
        """What it says that it is."""
        self.reachable = True
        """False: every call raises RuntimeUnavailableError, and the event streams end."""
        self.drop_events = False
        """True: nothing that happens is told, as when an engine loses events."""
        self.start_error = ""
        """Not empty: the next start fails with it, as for a command that is not there."""
        self.passwd: dict[str, bytes] = {}
        """By image, what its ``/etc/passwd`` says; of others nobody is to care."""
        self.ignores_signals = False
        """True: a signal has no effect, as in an engine that hangs."""
        self.ignores_term = False
        """True: processes go on after a SIGTERM."""
        self.pulls_wait = False
        """True: a pull goes on as a test says by its :class:`FakePull`."""
        self.gpus: list[str] = []
        """The ids of the GPUs that it says it has."""
        self.pulls: list[FakePull] = []
        """All pulls that have begun, ended ones too."""
        self._containers: dict[str, FakeContainer] = {}
        self._ids: dict[str, str] = {}
        """By name."""
        self._streams: set[SimpleQueue[str | None]] = set()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.followers = 0
        """How many follow an output now."""

    def containers(self) -> list[FakeContainer]:
        """Return all containers that were not removed, ended ones too."""
        with self._lock:
            return list(self._containers.values())

    def container(self, name: str) -> FakeContainer:
        """Return a container by its name. Raises KeyError."""
        with self._lock:
            if name in self._ids:
                return self._containers[self._ids[name]]
            raise KeyError(f"no container {name}; there are {list(self._ids)}")

    # What the outside world does

    def exit(self, name: str, exit_code: int = 0, oom_killed: bool = False) -> None:
        """End a container's process."""
        self._end(self.container(name), exit_code, oom_killed)

    def kill(self, name: str) -> None:
        """Do as ``docker kill`` does."""
        self.exit(name, 137)

    def pause(self, name: str) -> None:
        """Do as ``docker pause`` does."""
        self._enter(self.container(name), DOCKER_STATE.PAUSED)

    def unpause(self, name: str) -> None:
        """Do as ``docker unpause`` does."""
        self._enter(self.container(name), DOCKER_STATE.RUNNING)

    def write(self, name: str, output: bytes) -> None:
        """Have a container's process write."""
        container = self.container(name)
        with self._changed:
            container.output += output
            self._changed.notify_all()

    def use(self, name: str, cpu_seconds: float, memory: int) -> None:
        """Have a container's process use the processors for some seconds more, and so many bytes of memory now."""
        container = self.container(name)
        with self._lock:
            container.used = ContainerUsage(container.used.cpu_seconds + cpu_seconds, memory)

    def wait_for_pull(self, number: int = 1, timeout: float = 5.0) -> FakePull:
        """Return the pull that is the first, second, ... to begin, once it has. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.pulls) >= number, timeout):
                raise TimeoutError(f"pull {number} has not begun in {timeout:g} s, but {len(self.pulls)} others")
            return self.pulls[number - 1]

    def set_reachable(self, reachable: bool) -> None:
        """Take the engine away, or bring it back."""
        self.reachable = reachable
        if not reachable:
            self.close_events()
            for pull in list(self.pulls):
                pull.fail(_unavailable(self))
            with self._changed:
                self._changed.notify_all()

    # The Runtime protocol

    def traits(self) -> EngineTraits:
        self._answer()
        return self.engine

    def create(self, spec: ContainerSpec) -> str:
        with self._engine():
            if self.images is not None and spec.image not in {*self.images, *self.image_ids.values()}:
                raise ImageError(f"container {spec.name}: No such image: {spec.image}; pull or build the image first")
            if spec.name in self._ids:
                raise NameInUseError(f"container {spec.name}: the name is in use")
            container_id = uuid.uuid4().hex * 2
            created = ContainerState(DOCKER_STATE.CREATED, exit_code=0, created_at=time.time())
            self._containers[container_id] = FakeContainer(container_id, spec, created)
            self._ids[spec.name] = container_id
            return container_id

    def passwd_of(self, container_id: str) -> bytes | None:
        self._answer()
        return self.passwd.get(self._containers[container_id].spec.image)

    def describe(self, spec: ContainerSpec) -> Mapping[str, Any]:
        return asdict(spec)

    def find_image(self, image: str) -> FoundImage | None:
        with self._engine():
            if self.images is not None and image not in self.images:
                return None
            return FoundImage(found := self.image_ids.get(image, image), frozenset({found}))

    def pull(self, image: str) -> FakePull:
        return FakePull(image, self._begin_pull, self._add_image)

    def start(self, container_id: str) -> None:
        with self._engine():
            container = self._containers.get(container_id)
            if container is None:
                raise RuntimeRefusedError(f"container {container_id[:12]}: there is none")
            if container.has_process:
                return
            if not _has_network_of(self, container.spec):
                self._fail_start(container, NetworkError(f"network {container.spec.network} not found"))
            if self.start_error:
                error, self.start_error = self.start_error, ""
                self._fail_start(container, JobStartError(error))
            container.start()
            self._tell(container_id)

    def inspect(self, container_id: str) -> ContainerState:
        self._answer()
        container = self._containers.get(container_id)
        return container.state if container else GONE

    def list_containers(self) -> list[ContainerSummary]:
        with self._engine():
            return [container.summary for container in self.containers()]

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        stream: SimpleQueue[str | None] = SimpleQueue()
        with self._engine():
            self._streams.add(stream)
        try:
            yield iter(stream.get, None)  # ends at the None
        finally:
            with self._lock:
                self._streams.discard(stream)

    def close_events(self) -> None:
        with self._lock:
            for stream in self._streams:
                stream.put(None)

    def send_signal(self, container_id: str, signal: str) -> bool:
        with self._engine():
            container = self._containers.get(container_id)
            if container is None or not container.has_process:
                return False
            if not self.ignores_signals and not (signal == "SIGTERM" and self.ignores_term):
                self._end(container, 143 if signal == "SIGTERM" else 137)
            return True

    def remove(self, container_id: str) -> None:
        with self._engine():
            if container := self._containers.pop(container_id, None):
                del self._ids[container.spec.name]
                self._tell(container_id)

    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        with self._engine():
            container = self._containers.get(container_id)
        yield from container.last_lines(tail) if container else []

    @contextmanager
    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> Iterator[Iterator[OutputChunk]]:
        with self._engine():
            container = self._containers.get(container_id)
        self.followers += 1
        try:
            yield self._follow(container, position, tail) if container else iter(())
        finally:
            self.followers -= 1

    def last_output_time(self, container_id: str) -> str:
        with self._engine():
            container = self._containers.get(container_id)
        return str(len(container.output)) if container else ""

    def usage(self, container_id: str) -> ContainerUsage | None:
        with self._engine():
            container = self._containers.get(container_id)
            return container.used if container and container.has_process else None

    def address(self, container_name: str) -> str:
        return container_name

    def native(self, container_id: str) -> FakeContainer | None:
        return self._containers.get(container_id)

    def find_gpus(self) -> list[str]:
        return self.gpus

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:
        return _checks(self, image, network)

    def close(self) -> None:
        self.close_events()

    @contextmanager
    def _engine(self) -> Iterator[None]:
        with self._lock:
            self._answer()
            yield

    def _answer(self) -> None:
        if not self.reachable:
            raise _unavailable(self)

    def _begin_pull(self, pull: FakePull) -> None:
        with self._engine():
            self.pulls.append(pull)
            self._changed.notify_all()
            if pull.image not in self.registry:
                raise ImageError(f"image {pull.image} cannot be pulled: manifest unknown")
        if not self.pulls_wait:
            pull.say("layer", PullStatus.DOWNLOADING, 1, 1)
            pull.say("layer", PullStatus.PULL_COMPLETE)
            pull.finish()

    def _add_image(self, image: str) -> None:
        with self._lock:
            if self.images is not None:
                self.images.add(image)

    def _fail_start(self, container: FakeContainer, error: JobStartError | NetworkError) -> None:
        container.fail_to_start(error)
        raise error

    def _end(self, container: FakeContainer, exit_code: int, oom_killed: bool = False) -> None:
        with self._lock:
            if container.end(exit_code, oom_killed):
                self._tell(container.id)

    def _enter(self, container: FakeContainer, state: DOCKER_STATE) -> None:
        with self._lock:
            if container.enter(state):
                self._tell(container.id)

    def _follow(self, container: FakeContainer, position: str, tail: int | None) -> Iterator[OutputChunk]:
        """Yield lines, and where each begins, until the container ends or the engine goes away."""
        begin = int(position) if position else len(container.output) - len(b"".join(container.last_lines(tail)))
        while True:
            with self._changed:
                while len(container.output) == begin and self.reachable and container.has_process:
                    self._changed.wait()
                chunks = container.chunks_from(begin)
            yield from chunks
            begin += sum(len(chunk.data) for chunk in chunks)
            if not chunks:
                return

    def _tell(self, container_id: str) -> None:
        if self.followers:
            with self._changed:
                self._changed.notify_all()
        if not self.drop_events:
            for stream in self._streams:
                stream.put(container_id)


def _unavailable(runtime: FakeRuntime) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"{runtime.name} does not answer")


def _has_network_of(runtime: FakeRuntime, spec: ContainerSpec) -> bool:
    if spec.own_network:
        return spec.network in runtime.job_networks.names()
    return runtime.networks is None or spec.network in runtime.networks


def _checks(runtime: FakeRuntime, image: str | None, network: str | None) -> Iterator[Check]:
    yield Check("engine", runtime.reachable, runtime.name)
    yield from warnings(runtime.engine)
    if network:
        yield Check("network", runtime.networks is None or network in runtime.networks, network)
    if image:
        yield Check("image", runtime.images is None or image in runtime.images, image)
