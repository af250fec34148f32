"""What a container writes, asked of an engine: what there is so far, the last of it, or all as it comes.

docker-py's own ``logs`` takes whatever an engine says for the job's output; inspects the container first, to see
whether it has a terminal, which none of ours has; and lets go of a stream's connection only with its client. These let
go when the reader stops. Each raises what docker-py raises.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Collection, Generator
from contextlib import closing
from typing import Any

from docker.errors import create_api_error_from_http_exception
from requests import Response
from requests.exceptions import HTTPError

from .base import OutputChunk
from .docker_answer import epoch_seconds, output_chunk
from .docker_api import open_answer

_HEADER = struct.Struct(">BxxxL")
"""What stands before each piece of output: of which stream it is, and its length."""
_OF_THE_JOB = (0, 1, 2)
"""Its streams. Of any other, and without a header (Podman's, in JSON), are an engine's own words: that it broke off."""
_MOST_AT_ONCE = 1 << 16
_BOTH = {"stdout": 1, "stderr": 1}


def output_so_far(api: Any, container_id: str, tail: int | None, *, timestamps: bool = False) -> Generator[bytes]:
    """Yield a container's output, both streams, or its last ``tail`` lines, in pieces of 64 KiB at most.

    Waits no longer for the engine than any call.
    """
    asked = {**_BOTH, "tail": "all" if tail is None else tail, "timestamps": int(timestamps)}
    with open_answer(api, _url(api, container_id), asked) as response:
        _raise_refusal(response)
        yield from _pieces(response, _MOST_AT_ONCE)


def time_of_last_output(api: Any, container_id: str) -> str:
    """Return when a container has written last, in the engine's words; empty if it never has."""
    with closing(output_so_far(api, container_id, 1, timestamps=True)) as last:
        return output_chunk(next(last, b"")).position


def output_as_it_comes(
    container_id: str, api: Any, sockets: Collection[Any], position: str, tail: int | None
) -> Generator[OutputChunk]:
    """Yield a container's output until it ends: from a position on (or from before it), or the last ``tail`` lines on.

    Once the engine has answered, a job may be silent for as long as it likes where the ``sockets`` are those by which
    it is asked.
    """
    asked = {**_BOTH, "tail": "all" if tail is None else tail, "timestamps": 1, "follow": 1}
    if position:  # whole seconds, so that nothing is left out; what comes twice the reader knows by its position
        asked["since"] = math.floor(epoch_seconds(position) or 0)
    with closing(api.get(_url(api, container_id), params=asked, timeout=api.timeout, stream=True)) as response:
        _raise_refusal(response)
        for used in sockets:
            used.settimeout(None)
        yield from map(output_chunk, _pieces(response, sys.maxsize))


def _url(api: Any, container_id: str) -> str:
    return f"{api.base_url}/v{api.api_version}/containers/{container_id}/logs"


def _raise_refusal(response: Response) -> None:
    try:
        response.raise_for_status()
    except HTTPError as error:
        raise create_api_error_from_http_exception(error) from error


def _pieces(response: Response, most: int) -> Generator[bytes]:
    """Yield what a job has written, in pieces as the engine cuts it; none longer than ``most``."""
    while len(header := response.raw.read(_HEADER.size)) == _HEADER.size:
        stream, left = _HEADER.unpack(header)
        if stream not in _OF_THE_JOB:
            return
        while left and (piece := response.raw.read(min(left, most))):
            left -= len(piece)
            yield piece
