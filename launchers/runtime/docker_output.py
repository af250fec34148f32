"""What a container has written so far, asked of an engine in one call."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from docker.errors import DockerException, create_api_error_from_http_exception
from requests.exceptions import HTTPError

from .docker_api import open_answer

_HEADER = struct.Struct(">BxxxL")
"""What stands before each piece of output: of which stream it is, and its length."""
_OF_THE_JOB = (0, 1, 2)
"""Its streams. Of any other, and without a header (Podman's, in JSON), are an engine's own words: that it broke off."""
_MOST_AT_ONCE = 1 << 16


def output_so_far(api: Any, container_id: str, tail: int | None) -> Iterator[bytes]:
    """Yield a container's output, both streams, or its last ``tail`` lines, in pieces of 64 KiB at most.

    docker-py's own ``logs`` inspects the container first, to see whether it has a terminal, which none of ours has;
    and it lets go of a stream's connection only with its client. This one does when the reader stops, and waits no
    longer for the engine than any call. Raises what docker-py raises.
    """
    url = f"{api.base_url}/v{api.api_version}/containers/{container_id}/logs"
    asked = {"stdout": 1, "stderr": 1, "tail": "all" if tail is None else tail}
    with open_answer(api, url, asked) as response:
        try:
            response.raise_for_status()
        except HTTPError as error:
            raise create_api_error_from_http_exception(error) from error
        while len(header := response.raw.read(_HEADER.size)) == _HEADER.size:
            stream, left = _HEADER.unpack(header)
            if stream not in _OF_THE_JOB:
                return
            while left and (piece := response.raw.read(min(left, _MOST_AT_ONCE))):
                left -= len(piece)
                yield piece


def close(stream: Any) -> None:
    """End a stream from any thread; one that is gone already is as good as closed."""
    with suppress(OSError, DockerException, AttributeError):
        stream.close()
