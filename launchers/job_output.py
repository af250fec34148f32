"""A job's output: its end as a part of an error, and all of it as it comes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator

from flcore.errors import FLCoreError, RuntimeUnavailableError

from .container_spec import hidden
from .docker_state import DOCKER_STATE, TERMINAL_STATES, effective_state
from .runtime.base import OutputChunk, Runtime
from .tracked_job import TrackedJob

logger = logging.getLogger(__name__)

LAST_LINES = 10
LAST_CHARACTERS = 600
"""How much of a failed job's output stands in its error."""
REOPEN_DELAY = 0.5
"""Seconds before a stream that ended early is opened again."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What makes a terminal show colours."""
_STARTED = frozenset({DOCKER_STATE.RUNNING, *TERMINAL_STATES})


def last_output(runtime: Runtime, container_id: str, secrets: Iterable[str] = ()) -> str:
    """Return the last lines of a container's output as one line that is safe to print and to log; "" without any."""
    try:
        output = b"".join(runtime.logs(container_id, LAST_LINES))
    except FLCoreError as error:
        about = {"container_id": container_id}
        logger.debug("container %s: its last output cannot be read: %s", container_id[:12], error, extra=about)
        return ""
    text = hidden(output.decode(errors="replace"), secrets)  # before a part of one is cut off
    lines = (_printable(line).strip() for line in text.splitlines())
    return " | ".join(line for line in lines if line)[-LAST_CHARACTERS:]


def follow(runtime: Runtime, job: TrackedJob, tail: int | None) -> Iterator[str]:
    """Yield a job's output line by line as it comes, until its end: all of it, or from its last ``tail`` lines on.

    The stream is opened again, without gap or duplicate, if the engine goes away meanwhile. The reader's own thread
    and one connection serve it. Raises RuntimeUnavailableError if the site is closed meanwhile.
    """
    job.begin_following()
    try:
        job.enter_states(_STARTED)
        yield from _lines(_chunks(runtime, job, tail))
    finally:
        job.end_following()


def _chunks(runtime: Runtime, job: TrackedJob, tail: int | None) -> Iterator[bytes]:
    """Yield the output in pieces; over only when a stream has ended that was opened after the container's end."""
    place = _Place()
    over = False
    while not over:
        try:
            over = effective_state(runtime.inspect(job.identity.container_id)) in TERMINAL_STATES
            with runtime.follow(job.identity.container_id, place.position, tail) as chunks:
                yield from place.rest_of(chunks)
        except RuntimeUnavailableError as error:
            logger.debug("%s: its output is followed again: %s", job.identity, error)
            over = job.wait_for_clean_up(REOPEN_DELAY)
        tail = None if place.position else tail


class _Place:
    """Where in the output a reader is: the position of the last piece, and which of that position it was."""

    def __init__(self) -> None:
        self.position = ""
        self._count = 0

    def rest_of(self, chunks: Iterable[OutputChunk]) -> Iterator[bytes]:
        """Yield what comes behind the place. A stream that is opened again begins at its position, or before."""
        skip = self._count
        for chunk in chunks:
            if chunk.position < self.position:
                continue
            if chunk.position > self.position:
                self.position, self._count, skip = chunk.position, 0, 0
            if skip:
                skip -= 1
                continue
            self._count += 1
            yield chunk.data


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield whole lines, without their ends; what is behind the last end, at the end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in _STYLE.sub("", line))
