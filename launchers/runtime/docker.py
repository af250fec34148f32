"""Docker Engine as a runtime: asks by the Docker SDK. ``docker_answer`` says what comes back means."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound, NullResource
from docker.models.containers import Container

from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
)
from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import GONE, ContainerState
from ..settings import EngineTls
from .base import MAX_PASSWD, ContainerSummary, ContainerUsage, FoundImage, OutputChunk, PullStream, Whereabouts
from .docker_answer import (
    IN_PROGRESS,
    OF_A_CHECK,
    OF_A_CREATE,
    OF_A_NAME_OF_AN_IMAGE,
    OF_A_REMOVAL,
    OF_A_START,
    OF_WHAT_NEEDS_A_CONTAINER,
    NothingToDoError,
    Refusals,
    cdi_gpus,
    found_image,
    inspected_state,
    listed_container,
    may_have_arrived,
    measured_usage,
    no_answer,
    refusal,
    told_address,
    told_container,
)
from .docker_check import network_checks, there
from .docker_clients import DockerClients, ask_what_it_is, default_address
from .docker_container import inspection_of, lacks_its_gpus, list_of, remove, send_signal, small_file, wait_until_gone
from .docker_images import DockerImages
from .docker_job_networks import DockerJobNetworks
from .docker_labels import ImageLabels
from .docker_networks import DockerNetworks
from .docker_output import output_as_it_comes, output_so_far, time_of_last_output
from .docker_parent import Parent, as_parent, own_container_id
from .docker_pull import DockerPull, Entry, Hangup, pull_error
from .docker_request import create_request
from .docker_settling import Settling
from .docker_ssh import SSH_ERRORS
from .docker_told import Told
from .engine_traits import EngineTraits, name_leak, warnings
from .nvidia import query_gpus

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REPLAY = 2.0
"""Seconds of the past asked for with each subscription."""
_LOCAL = "http+docker://localhost"
"""What docker-py calls an engine behind a socket of this host."""
_NO_ANSWER: tuple[type[Exception], ...] = (
    DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
    *SSH_ERRORS,
)


class DockerRuntime:
    """One Docker Engine.

    Args:
        docker_host: its address; by default what Docker's own command uses (DOCKER_HOST, the current context).
        watched_label: lists and events hold only containers with this label; None is all.
        client: use this ``DockerClient`` for everything, and leave it open at the end.
        tls: the files by which it is asked by TLS; by default what Docker's own command uses (DOCKER_TLS_VERIFY,
            DOCKER_CERT_PATH).
        host_paths: where the engine's host has what this process sees, ``path here -> path there``. Where this process
            is in a container of that engine, it is asked for the rest.
    """

    def __init__(
        self,
        docker_host: str | None = None,
        watched_label: str | None = None,
        client: Any = None,
        host_paths: Mapping[str, str] | None = None,
        tls: EngineTls | None = None,
    ) -> None:
        self._told_address = told_address(docker_host or "")
        self._address = "" if client else docker_host or None
        self.remembers = True
        self._host_paths = host_paths or {}
        self._watched_label = watched_label
        self._filters: dict[str, Any] = {"label": [watched_label]} if watched_label else {}
        self._clients = DockerClients(docker_host, tls, client)
        self._labels = ImageLabels(self._image_labels)
        self.networks = DockerNetworks(self._clients, self._errors)
        self.job_networks = DockerJobNetworks(self._clients, self._errors, self._parent)
        self.images = DockerImages(self._clients, self._errors)
        self._gives_gpus = False
        """Whether it was asked to: then each container is looked at before its start."""
        self._streams: set[Any] = set()
        self._traits: EngineTraits | None = None
        """What it said that it is, to be believed as long as a stream of its events goes on."""
        self._warned: set[str] = set()
        self._told = Told()
        self._settling = Settling()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What has answered, by its own word; Docker Engine as long as nothing has."""
        return f"{self._clients.dialect.name} {self._told_address}".rstrip()

    @property
    def command(self) -> str:
        return self._clients.dialect.command

    @property
    def whereabouts(self) -> Whereabouts:
        return self._clients.whereabouts

    def traits(self) -> EngineTraits:
        known = self._traits
        if known is None or not self._streams:  # it may have become another, and nobody would have been told
            with self._errors("what it is"):
                self._traits = known = ask_what_it_is(self._clients.looks.api)
        return known

    def create(self, spec: ContainerSpec) -> str:
        located = self._parent().located(spec)
        self._gives_gpus |= bool(spec.gpu_ids)
        with self._errors(f"container {spec.name}", OF_A_CREATE, ImageError):
            api = self._clients.calls.api
            created = api.create_container_from_config(create_request(located, self._clients.dialect), spec.name)
        for words in set(created.get("Warnings") or ()) - self._warned:
            self._warned.add(words)
            logger.warning("%s warns of the jobs that it is asked for: %s", self.name, words)
        return str(created["Id"])

    def passwd_of(self, container_id: str) -> bytes | None:
        with self._errors(f"/etc/passwd of container {container_id[:12]}"):
            return small_file(self._clients.looks.api, container_id, "/etc/passwd", MAX_PASSWD)

    def describe(self, spec: ContainerSpec) -> Mapping[str, Any]:
        if spec.gpu_ids:  # engines are asked for them in words of their own; one that is away, in Docker's
            with suppress(RuntimeUnavailableError), self._errors("its version"):
                self._clients.looks.api.version()
        return {"name": spec.name, **create_request(self._parent().located(spec), self._clients.dialect)}

    def _parent(self) -> Parent:
        """Return where this process runs. Asks the engine only if that is a container: its networks may change."""
        if self._own_id:
            with self._errors("the site's own container"), suppress(NotFound):  # it may be another engine's
                return as_parent(self._clients.looks.api.inspect_container(self._own_id), self._host_paths)
        return Parent(paths=self._host_paths)

    @cached_property
    def _own_id(self) -> str:
        return own_container_id(Path("/proc/self/mountinfo").read_text())  # a process stays where it is

    def find_image(self, image: str) -> FoundImage | None:
        with self._errors(f"image {image}", OF_A_NAME_OF_AN_IMAGE):
            try:
                found = self._clients.looks.api.inspect_image(image)
            except (NotFound, NullResource):
                return None
            return found_image(image, found)

    def pull(self, image: str) -> PullStream:
        """Return a pull that has not begun.

        Over ``ssh://``, or the ``client`` of somebody else, closing it takes effect with what the engine says next.
        """
        return DockerPull(image, partial(self._ask_for_pull, image), lambda: self._clients.dialect.command)

    def _ask_for_pull(self, image: str, tell: Callable[[Any], None]) -> Generator[Entry]:
        with self._errors(f"the pull of image {image}"), self._clients.private(tell) as client:
            try:
                entries = client.api.pull(image, stream=True, decode=True)
            except APIError as error:
                raise pull_error(image, error.explanation or error, self._clients.dialect.command) from error
            except DockerException as error:  # the name is malformed, or the store of the site's logins fails
                command = self._clients.dialect.command
                raise ImageError(f"image {image} cannot be pulled: {error}; try: {command} pull {image}") from error
            yield from entries

    def start(self, container_id: str) -> None:
        what = f"container {container_id[:12]}"
        with self._told.start_of(container_id), self._errors(what, OF_A_START):
            api, dialect = self._clients.calls.api, self._clients.dialect
            if self._gives_gpus and lacks_its_gpus(api, container_id, dialect):
                raise JobStartError(f"{what}: the engine drops requests for GPUs; {dialect.dropped_gpus_way_out}")
            api.start(container_id)

    def inspect(self, container_id: str) -> ContainerState:
        return self._settling.once_settled(partial(self._look_at, container_id))

    def _look_at(self, container_id: str) -> ContainerState:
        with self._errors(f"container {container_id[:12]}"):
            inspection = inspection_of(self._clients.looks.api, container_id, self._clients.dialect)
        if inspection is None:
            return GONE
        return self._told.completed(container_id, inspected_state(inspection, self._clients.dialect), inspection)

    def list_containers(self) -> list[ContainerSummary]:
        told = self._told.containers()  # of what is made from now on, this list says nothing
        with self._errors("the list of containers"):
            listed = list_of(self._clients.looks.api, self._filters, self._clients.dialect)
            ours = self._labels.without_inherited(listed)
        self._told.forget(told - {entry["Id"] for entry in listed})
        return [listed_container(entry, self._clients.dialect) for entry in ours]

    def _image_labels(self, image: str) -> Mapping[str, str] | None:
        try:
            return (self._clients.looks.api.inspect_image(image).get("Config") or {}).get("Labels") or {}
        except APIError as error:
            logger.debug("%s: whose labels a container has cannot be told: image %s: %s", self.name, image, error)
            return None

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        with (
            self._closable(Hangup()) as hangup,  # some engines answer only with the first event: no stream, till then
            self._errors("the event stream"),
            self._clients.private(hangup.use) as client,
        ):
            filters = self._clients.dialect.event_filters(self._watched_label)
            # The engine answers a little before it subscribes: what happens in between is told only by a replay of the
            # past. What comes twice by that does no harm, for an event is a hint.
            events = client.api.events(since=int(time.time() - _REPLAY), filters=filters, decode=True)
            with self._closable(events) as stream, self._settling.listening():
                try:
                    yield self._ids(stream)
                finally:
                    self._traits = None

    @contextmanager
    def _closable(self, stream: T) -> Iterator[T]:
        with self._lock:
            self._streams.add(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams.discard(stream)
            _close(stream)

    def _ids(self, stream: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        dialect = self._clients.dialect
        for event in stream:
            if (container_id := told_container(event)) and dialect.is_asked_for(event, self._watched_label):
                self._told.note_event(container_id, event)
                yield container_id

    def close_events(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            _close(stream)

    def send_signal(self, container_id: str, signal: str) -> bool:
        with self._if_it_is_there(f"container {container_id[:12]}"):
            send_signal(self._clients.calls.api, container_id, signal, self._clients.dialect)
            return True
        return False

    def remove(self, container_id: str) -> None:
        with suppress(NothingToDoError), self._errors(f"container {container_id[:12]}", OF_A_REMOVAL):
            try:
                remove(self._clients.calls.api, container_id, self._clients.dialect)
            except APIError as error:
                if error.status_code != IN_PROGRESS:
                    raise
                # Until it is over the name is in use: a next run of the job would be refused for it.
                wait_until_gone(self._clients.looks.api, container_id, self._clients.dialect)

    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        with self._if_it_is_there(f"the logs of container {container_id[:12]}"):
            yield from output_so_far(self._clients.looks.api, container_id, tail)

    @contextmanager
    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> Iterator[Iterator[OutputChunk]]:
        sockets: list[Any] = []
        with self._errors("the logs"), self._clients.private(sockets.append) as client:
            yield self._follow(container_id, client.api, sockets, position, tail)

    def _follow(self, container_id: str, *how: Any) -> Iterator[OutputChunk]:
        with self._if_it_is_there(f"the logs of container {container_id[:12]}"):
            yield from output_as_it_comes(container_id, *how)

    def last_output_time(self, container_id: str) -> str:
        with self._if_it_is_there(f"the logs of container {container_id[:12]}"):
            return time_of_last_output(self._clients.looks.api, container_id)
        return ""

    def usage(self, container_id: str) -> ContainerUsage | None:
        with self._if_it_is_there(f"the usage of container {container_id[:12]}"):
            # Without one_shot an engine looks twice, a second apart. Before 25 it waits for its next look even so.
            try:
                stats = self._clients.looks.api.stats(container_id, stream=False, one_shot=True)
            except requests.exceptions.JSONDecodeError as error:
                if error.doc:
                    raise
                return None  # Podman answers nothing at all of one whose end it has not seen
            return measured_usage(stats)
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
            of_engine = cdi_gpus(api.info())
        return (query_gpus() if api.base_url == _LOCAL else []) or of_engine

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:
        try:
            traits = self.traits()
        except RuntimeUnavailableError as error:
            yield Check("engine", False, str(error))
            return
        yield from (Check("engine", True, traits.title()), *warnings(traits))
        command, api = self._clients.dialect.command, self._clients.looks.api
        errors = partial(self._errors, refusals=OF_A_CHECK, no_image=ImageError)
        if network:
            yield from network_checks(api, network, errors, command, name_leak(traits))
        if image:
            yield there("image", image, api.inspect_image, errors, f"{command} pull {image}")

    def close(self) -> None:
        self.close_events()
        self._clients.close()

    @contextmanager
    def _if_it_is_there(self, what: str) -> Iterator[None]:
        """Skip the rest of what is asked of a container that is gone, has ended or is being removed."""
        with suppress(NothingToDoError), self._errors(what, OF_WHAT_NEEDS_A_CONTAINER):
            yield

    @contextmanager
    def _errors(
        self,
        what: str,
        refusals: Refusals = MappingProxyType({}),
        no_image: type[JobLaunchError] = RuntimeRefusedError,
    ) -> Iterator[None]:
        """Turn the SDK's errors into ours."""
        try:
            yield
        except ImageNotFound as error:
            raise no_image(f"{what}: {error.explanation}; pull or build the image first") from error
        except APIError as error:
            said = error.explanation or error
            raise refusal(what, error.status_code, said, refusals, self._clients.dialect) from error
        except _NO_ANSWER as error:
            address = told_address(default_address() if self._address is None else self._address)
            # What the name tells already is not told again; a client that was given has an address of its own.
            told = no_answer(error, address, is_told=self._address is not None)
            message = f"{self.name} does not answer ({what}): {told}"
            raise RuntimeUnavailableError(message, reached=may_have_arrived(error)) from error


def _close(stream: Any) -> None:
    """End a stream from any thread; one that is gone already is as good as closed."""
    with suppress(OSError, DockerException, AttributeError):
        stream.close()
