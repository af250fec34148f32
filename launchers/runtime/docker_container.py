"""What takes more than one call of an engine for one container. Each function raises what docker-py raises."""

from __future__ import annotations

import json
import tarfile
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from docker.errors import APIError, NotFound, create_api_error_from_http_exception
from requests import Response
from requests.exceptions import HTTPError

from .docker_api import open_answer
from .docker_dialect import Dialect
from .docker_request import NO_GPUS, VISIBLE_GPUS

LOOKS, LOOK_PAUSE = 50, 0.02
"""How often, and after how many seconds, a container is looked at again that is listed and cannot be inspected."""
_NOT_FOUND = 404
_STAT, _NOTHING_TOLD = "X-Docker-Container-Path-Stat", b64encode(b"{}")
"""The header that tells, as JSON, what there is."""
_TYPES = sum(1 << bit for bit in (31, 27, 26, 25, 24, 21, 19))
"""The bits of a mode, as engines count them, of a folder, link, device, pipe, socket, or whatever is no file."""
_REMOVAL_TIMEOUT = 10.0
"""Seconds that a removal waits for one that is in progress already."""


def inspection_of(api: Any, container_id: str, dialect: Dialect) -> dict[str, Any] | None:
    """Return what the engine says of a container; None if it knows none.

    One that is being made it lists some milliseconds (25, measured) before it can be inspected. Who took that "not
    found" for "gone" would write off a job that is about to start; so only what is not listed either is not there.
    """
    for _ in range(LOOKS):
        try:
            return dict(api.inspect_container(container_id))
        except APIError as error:
            if not isinstance(error, NotFound) and dialect.status(None, error.explanation) != _NOT_FOUND:
                raise
        if not api.containers(all=True, filters={"id": container_id}):
            return None
        time.sleep(LOOK_PAUSE)  # no event tells when it can be; a thread of a pool waits, or a launch's own
    return dict(api.inspect_container(container_id))


def list_of(api: Any, filters: Mapping[str, Any], dialect: Dialect) -> list[dict[str, Any]]:
    """Return what the engine lists. Podman refuses all of a list of which one container is just being removed."""
    for _ in range(LOOKS):
        try:
            return list(api.containers(all=True, filters=filters))
        except APIError as error:
            if not dialect.is_vanishing(error.explanation):
                raise
        time.sleep(LOOK_PAUSE)
    return list(api.containers(all=True, filters=filters))


def remove(api: Any, container_id: str, dialect: Dialect) -> None:
    """Remove a container, its process if it still runs, and its own volumes."""
    if not dialect.removes_at_once:
        with suppress(APIError):  # of what is not there the removal tells
            state = api.inspect_container(container_id).get("State") or {}
            if state.get("Running") and not state.get("Paused"):  # a removal ends a frozen process
                api.kill(container_id, "SIGKILL")
    api.remove_container(container_id, v=True, force=True)


def wait_until_gone(api: Any, container_id: str, dialect: Dialect) -> None:
    """Return when a removal that somebody else has asked for is over, or takes so long that it is his to see to."""
    give_up_at = time.monotonic() + _REMOVAL_TIMEOUT
    while time.monotonic() < give_up_at and inspection_of(api, container_id, dialect) is not None:
        time.sleep(LOOK_PAUSE)  # the event of it is the tracker's, which may be closing


def small_file(api: Any, container_id: str, path: str, most: int) -> bytes | None:
    """Return a plain file of a container; nothing if there is none, None for whatever else is there, or a larger one.

    The engine follows no link that the path ends in, and finds it within the container. An image may have anything
    there: what it is the answer's head says, before anything of it is read.
    """
    with _archived(api, container_id, path) as answer:
        if answer is None:
            return b""
        try:
            return _plain_file(answer, most)
        except (ValueError, tarfile.TarError):  # it is told in a way that nobody knows
            return None


def target_of(api: Any, container_id: str, path: str) -> str | None:
    """Return where a path of a container leads, by all links: itself, if it is none; None if nothing is there."""
    with _archived(api, container_id, path) as answer:
        if answer is None:
            return None
        try:
            return str(_told_of(answer).get("linkTarget") or path)
        except ValueError:
            return path


@contextmanager
def _archived(api: Any, container_id: str, path: str) -> Iterator[Response | None]:
    """Yield the answer in which an engine shows what a container has; None if it has nothing there."""
    url = f"{api.base_url}/v{api.api_version}/containers/{container_id}/archive"
    with open_answer(api, url, {"path": path}) as answer:
        if answer.status_code == _NOT_FOUND:
            yield None
            return
        try:
            answer.raise_for_status()
        except HTTPError as error:
            raise create_api_error_from_http_exception(error) from error
        yield answer


def _told_of(answer: Response) -> dict[str, Any]:
    """Return what an answer's head says of what is there. Raises ValueError."""
    told = json.loads(b64decode(answer.headers.get(_STAT, "") or _NOTHING_TOLD))
    return told if isinstance(told, dict) else {}


def _plain_file(answer: Response, most: int) -> bytes | None:
    told = _told_of(answer)
    if not 0 <= told.get("size", -1) <= most or told.get("mode", _TYPES) & _TYPES:
        return None
    with tarfile.open(fileobj=answer.raw, mode="r|") as archive:
        member = archive.next()
        file = archive.extractfile(member) if member and member.isreg() and member.size <= most else None
        return file.read(most) if file else None


def send_signal(api: Any, container_id: str, signal: str, dialect: Dialect) -> None:
    """Send a signal to a container's process; a paused one goes on to take it."""
    if not dialect.signals_wake:
        with suppress(APIError):  # it is not paused
            api.unpause(container_id)
    try:
        api.kill(container_id, signal)
    except APIError as error:
        if not dialect.was_delivered(error.explanation):
            raise


def lacks_its_gpus(api: Any, container_id: str, dialect: Dialect) -> bool:
    """Whether a container that was made and not started would run without GPUs though it was to have some.

    An engine may drop a request that it does not understand, and say nothing. Podman shows what a container has only
    when it is initialized, which is half of a start. If it refuses that for want of the GPUs, it will refuse the start,
    too, and note the reason in the container.
    """
    inspection = api.inspect_container(container_id)
    if not _is_to_have_gpus(inspection):
        return False
    if dialect.init_path:
        try:
            _initialize(api, dialect.init_path.format(id=container_id))
        except APIError as error:
            if dialect.no_gpus.search(str(error.explanation)):
                return False
            raise
        inspection = api.inspect_container(container_id)
    return not dialect.shows_gpus(inspection)


def _is_to_have_gpus(inspection: Mapping[str, Any]) -> bool:
    environment = (inspection.get("Config") or {}).get("Env") or ()
    values = [value for name, _, value in (entry.partition("=") for entry in environment) if name == VISIBLE_GPUS]
    return values not in ([], [NO_GPUS])


def _initialize(api: Any, path: str) -> None:
    response = api.post(f"{api.base_url}{path}", timeout=api.timeout)
    try:
        response.raise_for_status()
    except HTTPError as error:
        raise create_api_error_from_http_exception(error) from error
