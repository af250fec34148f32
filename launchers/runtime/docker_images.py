"""The images of an engine: what it says of them, how one is made, named and tried, and what is in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from docker.errors import BuildError

from flcore.errors import FLCoreError, ImageError

from ..container_spec import ContainerSpec
from .docker_clients import DockerClients
from .docker_container import remove, small_file, target_of
from .docker_request import create_request


class ImageFacts(NamedTuple):
    """What an engine says of an image."""

    size: int
    """Bytes."""
    environment: Mapping[str, str]
    command: tuple[str, ...]
    """What a container of it runs that is not told what to run."""


class ImageFiles:
    """What is in one image. What an engine refuses is raised as its SDK raises it."""

    def __init__(self, api: Any, container_id: str, environment: Mapping[str, str]) -> None:
        self._api, self._container_id = api, container_id
        self.environment = environment
        """What its containers find in theirs, if nobody says otherwise."""

    def target(self, path: str) -> str | None:
        """Return where a path leads, by all links: itself, if it is none; None if nothing is there."""
        return target_of(self._api, self._container_id, path)

    def read(self, path: str, most: int) -> bytes:
        """Return what a small file says; nothing if there is none, it is a link, or a larger one."""
        return small_file(self._api, self._container_id, path, most) or b""


class DockerImages:
    """Those of one engine. ``errors`` turns what its SDK raises, of what it is told, into ours."""

    def __init__(self, clients: DockerClients, errors: Callable[..., AbstractContextManager[None]]) -> None:
        self._clients, self._errors = clients, errors

    def platform(self) -> tuple[str, str]:
        """Return the operating system and the machine for which they are, in Docker's words. Raises JobLaunchError."""
        with self._errors("its version"):
            version = self._clients.looks.api.version()
        return str(version.get("Os")), str(version.get("Arch"))

    def names(self) -> list[str]:
        """Return the names of all images, with their tags. Raises JobLaunchError."""
        with self._errors("the list of images"):
            listed = self._clients.looks.api.images()
        return [name for image in listed for name in image.get("RepoTags") or () if "<none>" not in name]

    def find(self, name: str) -> ImageFacts | None:
        """Return what is known of an image; None if it is not there. Raises JobLaunchError."""
        with suppress(ImageError), self._errors(f"image {name}", no_image=ImageError):
            return as_facts(self._clients.looks.api.inspect_image(name))
        return None

    def import_tar(self, tar: Path, name: str, changes: Sequence[str]) -> None:
        """Make an image of a whole file system. Raises JobLaunchError."""
        repository, _, tag = name.partition(":")
        with self._errors(f"the import of image {name}"):
            api = self._clients.calls.api
            answer = api.import_image_from_file(str(tar), repository, tag, changes=list(changes))
            made = re.search(r"sha256:[0-9a-f]{64}", answer)
            if '"error"' in answer or not made:
                raise ImageError(f"image {name} cannot be made: the engine says: {' '.join(answer.split())}")
            api.tag(made[0], repository, tag)  # Podman 4 has overheard it, and said 'latest'

    def build(self, folder: Path, name: str) -> None:
        """Build an image from a folder's Dockerfile. Raises JobLaunchError."""
        with self._errors(f"the build of image {name}"):
            try:
                self._clients.calls.images.build(path=str(folder), tag=name, rm=True)
            except BuildError as error:
                raise ImageError(f"image {name} cannot be built: {' '.join(str(error).split())}") from error

    def tag(self, name: str, another: str) -> None:
        """Give an image another name, too. Raises JobLaunchError."""
        repository, _, tag = another.partition(":")
        with self._errors(f"image {name}", no_image=ImageError):
            self._clients.calls.api.tag(name, repository, tag or "latest")

    def remove_older(self, name: str, tags: re.Pattern[str]) -> None:
        """Remove the images of the same repository that have such tags, but this one, and what a container uses."""
        repository, _, _ = name.partition(":")
        for other in self.names():
            beginning, _, tag = other.rpartition(":")
            if other != name and beginning == repository and tags.fullmatch(tag):
                with suppress(FLCoreError), self._errors(f"image {other}"):
                    self._clients.calls.api.remove_image(other)

    def output_of(self, name: str, *command: str) -> str:
        """Return what a program of an image writes, in a container as shut in as a job's, which is removed again.

        Raises JobLaunchError if it fails, or is not there.
        """
        spec = ContainerSpec(name="", image=name, command=command)
        with self._errors(f"{command[0]} in image {name}", no_image=ImageError):
            api = self._clients.calls.api
            container = api.create_container_from_config(create_request(spec, self._clients.dialect))["Id"]
            try:
                api.start(container)
                if code := api.wait(container)["StatusCode"]:
                    raise ImageError(f"{command[0]} in image {name} fails: exit code {code}")
                return bytes(api.logs(container)).decode(errors="replace")
            finally:
                api.remove_container(container, force=True)

    @contextmanager
    def opened(self, name: str) -> Iterator[ImageFiles]:
        """Show what is in an image, by a container that is never started, and removed again. Raises JobLaunchError."""
        with self._errors(f"a look into the image {name}", no_image=ImageError):
            api = self._clients.calls.api
            facts = as_facts(api.inspect_image(name))
            asked = {"Image": name, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
            container_id = str(api.create_container_from_config(asked)["Id"])
            try:
                yield ImageFiles(api, container_id, facts.environment)
            finally:
                remove(api, container_id, self._clients.dialect)


def as_facts(inspection: Mapping[str, Any]) -> ImageFacts:
    """Return what an engine's answer says of an image."""
    config = inspection.get("Config") or {}
    variables = (variable.partition("=") for variable in config.get("Env") or ())
    return ImageFacts(
        int(inspection.get("Size") or 0),
        {name: value for name, _, value in variables},
        tuple(config.get("Cmd") or ()),
    )
