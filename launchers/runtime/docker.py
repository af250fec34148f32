"""Docker Engine as a runtime. The only importer of the Docker SDK."""

from __future__ import annotations

import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound, NullResource
from docker.models.containers import Container

from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
)
from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, GONE, ContainerState
from .base import ContainerSummary, ContainerUsage, FoundImage, OutputChunk, PullStream
from .docker_parent import Parent, as_parent, own_container_id
from .docker_pull import DockerPull, Entry, pull_error, tell_of_sockets
from .docker_request import create_request
from .nvidia import query_gpus

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 60
"""Seconds for a call that changes something. A create of a loaded engine takes many."""
LOOK_TIMEOUT = 10
"""Seconds for a call that only looks: an engine that takes longer counts as unreachable."""

_STATE_EVENTS = ["start", "die", "stop", "restart", "pause", "unpause", "destroy"]
_REPLAY = 2.0
"""Seconds of the past asked for with each subscription: the engine answers a little before it subscribes."""
_NO_GPU_DRIVER = re.compile(r"could not select device driver|failed to discover GPU vendor from CDI")
"""Engines until 28, and from 29 on."""
_LOCAL = "http+docker://localhost"
"""What docker-py calls an engine behind a socket of this host."""
_CDI_GPU = "nvidia.com/gpu="
_EXIT_CODE = "exitCode"
"""Of an event's attributes; a label of this name, be it the image's, takes its place."""
_UNKNOWN = 255
"""The exit code of an end that the engine has not seen."""
_NO_NETWORK = re.compile(r"network (\S+) not found")
_STALE_ENDPOINT = re.compile(r"endpoint with name (\S+) already exists in network (\S+)")
"""What an engine that was killed may leave in a network, in the name of a container that is gone."""

_NO_ANSWER = (
    DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
)
_LOOKS, _LOOK_PAUSE = 50, 0.02
"""How often, and after how many seconds, a container is looked at again that is listed and cannot be inspected."""
_REMOVAL_TIMEOUT = 10.0
"""Seconds that a removal waits for one that is in progress already."""
_IN_PROGRESS = 409
_NOT_REACHED = (ConnectionRefusedError, FileNotFoundError, PermissionError, socket.gaierror)


class DockerRuntime:
    """One Docker Engine.

    Args:
        docker_host: its address; by default what Docker's own command uses (DOCKER_HOST, the current context).
        watched_label: lists and events hold only containers with this label; None is all.
        client: use this ``DockerClient`` for everything, and leave it open at the end.
        host_paths: where the engine's host has what this process sees, ``path here -> path there``. Where this process
            is in a container of that engine, it is asked for the rest.
    """

    def __init__(
        self,
        docker_host: str | None = None,
        watched_label: str | None = None,
        client: Any = None,
        host_paths: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"Docker Engine {docker_host or ''}".rstrip()
        self.remembers = True
        self._docker_host = docker_host
        self._host_paths = host_paths or {}
        self._filters: dict[str, Any] = {"label": [watched_label]} if watched_label else {}
        self._clients = _Clients(docker_host, client)
        self._streams: set[Any] = set()
        self._ends: dict[str, _End] = {}
        """What the events said of ends, by container, for as long as the engine lists these."""
        self._lock = threading.Lock()

    def create(self, spec: ContainerSpec) -> str:
        request = create_request(self._parent().located(spec))
        with self._errors(f"container {spec.name}", {409: NameInUseError}, ImageError):
            created = self._clients.calls.api.create_container_from_config(request, spec.name)
        return str(created["Id"])

    def describe(self, spec: ContainerSpec) -> Mapping[str, Any]:
        return {"name": spec.name, **create_request(self._parent().located(spec))}

    def _parent(self) -> Parent:
        """Return where this process runs. Asks the engine only if that is a container: its networks may change."""
        own_id = own_container_id(Path("/proc/self/mountinfo").read_text())
        if own_id:
            with self._errors("the site's own container"), suppress(NotFound):  # it may be another engine's
                return as_parent(self._clients.looks.api.inspect_container(own_id), self._host_paths)
        return Parent(paths=self._host_paths)

    def find_image(self, image: str) -> FoundImage | None:
        with self._errors(f"image {image}", {400: ImageError}):
            try:
                found = self._clients.looks.api.inspect_image(image)
            except (NotFound, NullResource):
                return None
            named = (name.partition("@")[2] for name in found.get("RepoDigests") or ())
            return FoundImage(found["Id"], frozenset({found["Id"], *named}))

    def pull(self, image: str) -> PullStream:
        """Return a pull that has not begun.

        Over ``ssh://``, or the ``client`` of somebody else, closing it takes effect only when the engine says the
        next thing.
        """
        return DockerPull(image, partial(self._ask_for_pull, image))

    def _ask_for_pull(self, image: str, tell: Callable[[Any], None]) -> Generator[Entry]:
        with self._errors(f"the pull of image {image}"), self._clients.private(tell) as client:
            try:
                entries = client.api.pull(image, stream=True, decode=True)
            except APIError as error:
                raise pull_error(image, error.explanation or error) from error
            except DockerException as error:  # the name is malformed, or the store of the site's logins fails
                raise ImageError(f"image {image} cannot be pulled: {error}; try: docker pull {image}") from error
            yield from entries

    def start(self, container_id: str) -> None:
        kinds = dict.fromkeys((400, 404, 500), JobStartError)
        with self._errors(f"container {container_id[:12]}", kinds):
            self._clients.calls.api.start(container_id)

    def inspect(self, container_id: str) -> ContainerState:
        with self._errors(f"container {container_id[:12]}"):
            inspection = self._inspection(container_id)
        if inspection is None:
            return GONE
        state = _container_state(inspection)
        told = None if _is_disguised(inspection) else self._ends.get(container_id)
        return state if told is None else _as_it_ended(container_id, state, told)

    def _inspection(self, container_id: str) -> dict[str, Any] | None:
        """Return what the engine says of a container; None if it knows none.

        One that is being made it lists some milliseconds (25, measured) before it can be inspected, so that only what
        is not listed either is not there.
        """
        api = self._clients.looks.api
        for _ in range(_LOOKS):
            with suppress(NotFound):
                return dict(api.inspect_container(container_id))
            if not api.containers(all=True, filters={"id": container_id}):
                return None
            time.sleep(_LOOK_PAUSE)  # no event tells when it can be; a thread of a pool waits, or a launch's own
        return dict(api.inspect_container(container_id))

    def _note_end(self, event: Mapping[str, Any]) -> None:
        with suppress(KeyError, ValueError):  # of an event that is not as it should be
            if event["Action"] == "die":
                self._ends[event["id"]] = _End(event["timeNano"] / 1e9, int(event["Actor"]["Attributes"][_EXIT_CODE]))

    def list_containers(self) -> list[ContainerSummary]:
        with self._errors("the list of containers"):
            listed = self._clients.looks.api.containers(all=True, filters=self._filters)
        for gone in set(self._ends) - {entry["Id"] for entry in listed}:
            self._ends.pop(gone, None)
        return [_summary(entry) for entry in listed]

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        filters = {"type": ["container"], "event": _STATE_EVENTS, **self._filters}
        with self._errors("the event stream"), self._clients.private() as client:
            since = int(time.time() - _REPLAY)
            stream = client.api.events(since=since, filters=filters, decode=True)
            with self._lock:
                self._streams.add(stream)
            try:
                yield self._ids(stream)
            finally:
                with self._lock:
                    self._streams.discard(stream)
                _close(stream)

    def _ids(self, stream: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        for event in stream:
            if "id" in event:
                self._note_end(event)
                yield event["id"]

    def close_events(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            _close(stream)

    def send_signal(self, container_id: str, signal: str) -> bool:
        gone = dict.fromkeys((404, 409), _NothingToDoError)
        with suppress(_NothingToDoError), self._errors(f"container {container_id[:12]}", gone):
            self._clients.calls.api.kill(container_id, signal)
            return True
        return False

    def remove(self, container_id: str) -> None:
        with suppress(_NothingToDoError), self._errors(f"container {container_id[:12]}", {404: _NothingToDoError}):
            try:
                self._clients.calls.api.remove_container(container_id, v=True, force=True)
            except APIError as error:
                if error.status_code != _IN_PROGRESS:
                    raise
                self._wait_until_gone(container_id)

    def _wait_until_gone(self, container_id: str) -> None:
        """Return when a removal that somebody else has asked for is over, or takes so long that it is his to see to."""
        give_up_at = time.monotonic() + _REMOVAL_TIMEOUT
        while time.monotonic() < give_up_at and self._inspection(container_id) is not None:
            time.sleep(_LOOK_PAUSE)  # the event of it is the tracker's, which may be closing

    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        with self._reading_logs(container_id):
            if tail is not None:
                yield self._clients.looks.api.logs(container_id, tail=tail)
                return
            with self._clients.private() as client:  # docker-py lets go of a stream's connection only with its client
                yield from client.api.logs(container_id, stream=True, follow=False)

    @contextmanager
    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> Iterator[Iterator[OutputChunk]]:
        with self._errors("the logs"), self._clients.private() as client:
            yield self._follow(client, container_id, position, tail)

    def _follow(self, client: Any, container_id: str, position: str, tail: int | None) -> Iterator[OutputChunk]:
        since = {"since": math.floor(_seconds(position) or 0)} if position else {}
        lines = "all" if tail is None else tail
        with self._reading_logs(container_id):
            stream = client.api.logs(container_id, stream=True, follow=True, timestamps=True, tail=lines, **since)
            yield from (OutputChunk(*_split_time(chunk)) for chunk in stream)

    def last_output_time(self, container_id: str) -> str:
        with self._reading_logs(container_id):
            return _split_time(self._clients.looks.api.logs(container_id, tail=1, timestamps=True))[0]
        return ""

    @contextmanager
    def _reading_logs(self, container_id: str) -> Iterator[None]:
        gone = dict.fromkeys((404, 409), _NothingToDoError)
        with suppress(_NothingToDoError), self._errors(f"the logs of container {container_id[:12]}", gone):
            yield

    def usage(self, container_id: str) -> ContainerUsage | None:
        gone = dict.fromkeys((404, 409), _NothingToDoError)
        with suppress(_NothingToDoError), self._errors(f"the usage of container {container_id[:12]}", gone):
            # Without one_shot an engine looks twice, a second apart. Before 25 it waits for its next look even so.
            return _usage(self._clients.looks.api.stats(container_id, stream=False, one_shot=True))
        return None

    def address(self, container_name: str) -> str:
        """Return the container's name: an engine's DNS resolves it on a user-defined network."""
        return container_name

    def native(self, container_id: str) -> Container:
        return Container(attrs={"Id": container_id}, client=self._clients.calls)

    def find_gpus(self) -> list[str]:
        """Return what nvidia-smi says where the engine is on this host, else the engine's CDI devices."""
        with self._errors("its devices"):
            api = self._clients.looks.api
            of_engine = _cdi_gpus(api.info())
        return (query_gpus() if api.base_url == _LOCAL else []) or of_engine

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:
        try:
            with self._errors("its version"):
                version = self._clients.looks.api.version()
        except RuntimeUnavailableError as error:
            yield Check("engine", False, str(error))
            return
        yield Check("engine", True, f"Docker Engine {version['Version']}, API {version['ApiVersion']}")
        api = self._clients.looks.api
        if network:
            yield self._there("network", network, api.inspect_network, f"docker network create {network}")
        if image:
            yield self._there("image", image, api.inspect_image, f"docker pull {image}")

    def close(self) -> None:
        self.close_events()
        self._clients.close()

    def _there(self, kind: str, name: str, inspect: Callable[[str], Any], way_out: str) -> Check:
        try:
            with self._errors(f"{kind} {name}", {404: NetworkError}, ImageError):
                inspect(name)
        except (NetworkError, ImageError):
            return Check(kind, False, f"{name} is not there; make it with: {way_out}")
        return Check(kind, True, name)

    @contextmanager
    def _errors(
        self,
        what: str,
        by_status: Mapping[int, type[JobLaunchError]] | None = None,
        no_image: type[JobLaunchError] = RuntimeRefusedError,
    ) -> Iterator[None]:
        """Turn the SDK's errors into ours."""
        try:
            yield
        except ImageNotFound as error:
            raise no_image(f"{what}: {error.explanation}; pull or build the image first") from error
        except APIError as error:
            kind = (by_status or {}).get(error.status_code or 0, RuntimeRefusedError)
            said = _explanation(error)
            if kind is JobStartError and (match := _NO_NETWORK.fullmatch(said)):
                kind = NetworkError
                said += f"; make it with: docker network create {match[1]}"
            elif match := _STALE_ENDPOINT.search(said):
                kind = NetworkError
                said += f"; an earlier one has left it, end it with: docker network disconnect -f {match[2]} {match[1]}"
            elif _NO_GPU_DRIVER.search(said):
                said += "; install the NVIDIA Container Toolkit on its host, or take 'gpu_ids' out of the site's config"
            raise kind(f"{what}: the engine says: {said}") from error
        except _NO_ANSWER as error:
            why = f"{_root_cause(error)}; does it run, and is DOCKER_HOST or docker_host right?"
            raise RuntimeUnavailableError(f"{self.name} does not answer ({what}): {why}", _reached(error)) from error


class _End(NamedTuple):
    """What an event said of a container's end."""

    time: float
    """Seconds since the epoch."""
    exit_code: int


class _NothingToDoError(JobLaunchError):
    """It is gone, ended or being removed by somebody else: as good as done."""


class _Clients:
    """The connections to one engine, made when they are first needed: the first asks the engine for its version."""

    def __init__(self, docker_host: str | None, given: Any) -> None:
        self._docker_host = docker_host
        self._given = given
        self._made: dict[int, Any] = {}
        self._version: str | None = None
        """The API's, once an engine was asked for it."""
        self._lock = threading.Lock()

    @property
    def calls(self) -> Any:
        return self._shared(CALL_TIMEOUT)

    @property
    def looks(self) -> Any:
        return self._shared(LOOK_TIMEOUT)

    @contextmanager
    def private(self, tell: Callable[[Any], None] | None = None) -> Iterator[Any]:
        """A client for one stream: closing it must not disturb a call. ``tell`` is called with each of its sockets."""
        client = self._connect(LOOK_TIMEOUT)
        if tell and client is not self._given:
            tell_of_sockets(client, tell)
        try:
            yield client
        finally:
            self._disconnect(client)

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, {}
        for client in made.values():
            self._disconnect(client)

    def _shared(self, timeout: int) -> Any:
        known = self._made.get(timeout)
        if known:
            return known
        client = self._connect(timeout)  # not under the lock: an engine that hangs must hold up nobody else
        with self._lock:
            kept = self._made.setdefault(timeout, client)
        if kept is not client:  # another thread was faster
            self._disconnect(client)
        return kept

    def _connect(self, timeout: int) -> Any:
        if self._given:
            return self._given
        if self._docker_host:
            client = docker.DockerClient(base_url=self._docker_host, version=self._version, timeout=timeout)
        else:
            client = docker.from_env(version=self._version, timeout=timeout)
        self._version = client.api.api_version
        if client.api.base_url.startswith("http+docker://"):
            # docker-py would keep a connection of a local socket for each of the last 25 URLs, and use none again.
            client.api.headers["Connection"] = "close"
            client.api.close()  # the one on which it asked for the version; it makes others when it needs them
        return client

    def _disconnect(self, client: Any) -> None:
        if client is not self._given:
            client.close()


def _cdi_gpus(info: Mapping[str, Any]) -> list[str]:
    """Return the GPUs among an engine's devices, which it says from 28.2 on: by UUID, else by index."""
    devices = (device.get("ID", "") for device in info.get("DiscoveredDevices") or ())
    names = [device.removeprefix(_CDI_GPU) for device in devices if device.startswith(_CDI_GPU)]
    return [name for name in names if name.startswith("GPU-")] or [name for name in names if name.isdigit()]


def _is_disguised(inspection: Mapping[str, Any]) -> bool:
    """Whether an image's label stands in place of the exit code in what the events say of a container."""
    return _EXIT_CODE in (inspection["Config"]["Labels"] or {})


def _as_it_ended(container_id: str, state: ContainerState, told: _End) -> ContainerState:
    """Return a state with the end that the engine has told, where it has forgotten it since.

    An engine that is killed between its event and its writing that down says at its next start that the end was
    then, with the code 0 or 255. Its event may say 255, too, of an end that it has not seen: that tells nothing.
    """
    forgotten = (
        state.state is DOCKER_STATE.EXITED
        and state.exit_code in (0, _UNKNOWN)
        and told.exit_code not in (state.exit_code, _UNKNOWN)
        and told.time >= (state.started_at or 0)
    )
    if not forgotten:
        return state
    logger.warning(
        "container %s: the engine told of the exit code %d, and says %s now: it was killed meanwhile",
        *(container_id[:12], told.exit_code, state.exit_code),
        extra={"container_id": container_id},
    )
    return replace(state, exit_code=told.exit_code, finished_at=told.time)


def _container_state(inspection: dict[str, Any]) -> ContainerState:
    state = inspection["State"]
    started_at, finished_at = _seconds(state["StartedAt"]), _seconds(state["FinishedAt"])
    if started_at and finished_at and not state["Running"]:
        finished_at = max(started_at, finished_at)  # of a very short life, the engine may note the end first
    return ContainerState(
        state=DOCKER_STATE(state["Status"]),
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        error=" ".join(state["Error"].split()),
        created_at=_seconds(inspection["Created"]),
        started_at=started_at,
        finished_at=finished_at,
    )


def _usage(stats: Mapping[str, Any]) -> ContainerUsage | None:
    """Return an engine's statistics of a container as usage; None if it does not run, for then they are empty."""
    memory, cpu = stats.get("memory_stats") or {}, stats.get("cpu_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2
    in_use = memory["usage"] - (cached if cached < memory["usage"] else 0)
    return ContainerUsage(cpu["cpu_usage"]["total_usage"] / 1e9, in_use)


def _summary(entry: dict[str, Any]) -> ContainerSummary:
    name = (entry["Names"] or [""])[0].lstrip("/")
    return ContainerSummary(entry["Id"], name, DOCKER_STATE(entry["State"]), entry["Labels"] or {}, entry["Created"])


def _seconds(text: str) -> float | None:
    """Return the engine's RFC 3339 time as seconds since the epoch; None for its "never", the year 1."""
    time = datetime.fromisoformat(text)
    return None if time.year == 1 else time.timestamp()


def _close(stream: Any) -> None:
    """End a stream from any thread; one that is gone already is as good as closed."""
    with suppress(OSError, DockerException, AttributeError):
        stream.close()


def _explanation(error: APIError) -> str:
    return " ".join(str(error.explanation or error).split())


def _split_time(chunk: bytes) -> tuple[str, bytes]:
    """Split what the engine writes with its time in front; the times are all of one length, so they sort as texts."""
    time, _, data = chunk.partition(b" ")
    return time.decode(errors="replace"), data


def _root_cause(error: BaseException) -> str:
    root = list(_causes(error))[-1]
    return " ".join(f"{type(root).__name__}: {root}".split())


def _reached(error: BaseException) -> bool:
    """Whether a request may have got to the engine, though no answer came."""
    return not any(isinstance(cause, _NOT_REACHED) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the root last."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
