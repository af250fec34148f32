"""What an image has, as a container of it shows that is never started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .docker_clients import DockerClients
from .docker_container import remove, small_file, target_of


class ImageFiles:
    """Those of one image. What an engine refuses is raised as its SDK raises it."""

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

    @contextmanager
    def opened(self, image: str) -> Iterator[ImageFiles]:
        """Show what an image has; nothing of it runs, and nothing stays. Raises JobLaunchError."""
        with self._errors(f"a look into the image {image}"):
            api = self._clients.calls.api
            environment = (api.inspect_image(image).get("Config") or {}).get("Env") or []
            asked = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
            container_id = str(api.create_container_from_config(asked)["Id"])
            try:
                yield ImageFiles(api, container_id, dict(one.split("=", 1) for one in environment if "=" in one))
            finally:
                remove(api, container_id, self._clients.dialect)
