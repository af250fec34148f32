"""A job's output: its end as a part of an error, and all of it as it comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.plain_text import harmless

from ..container_spec import hidden
from ..docker_state import RUN_OR_OVER, TERMINAL_STATES, effective_state
from ..output_lines import LINE_BREAK, last_bytes, lines_of
from ..runtime.base import OutputChunk, Runtime
from .tracked_job import TrackedJob

logger = logging.getLogger(__name__)

LAST_LINES = 10
LAST_CHARACTERS = 600
"""How much of a failed job's output stands in its error."""
LAST_BYTES = 1 << 16
"""How much of it is looked at for that."""
REOPEN_DELAY = 0.5
"""Seconds before a stream that ended early is opened again."""


def last_output(runtime: Runtime, container_id: str, secrets: Iterable[str] = ()) -> str:
    """Return the last lines of a container's output as one line that is safe to print and to log; "" without any."""
    try:
        output = last_bytes(runtime.logs(container_id, LAST_LINES), LAST_BYTES)
    except FLCoreError as error:
        about = {"container_id": container_id}
        logger.debug("container %s: its last output cannot be read: %s", container_id[:12], error, extra=about)
        return ""
    text = hidden(output.decode(errors="replace"), secrets := tuple(secrets))  # before a part of one is cut off
    if len(output) == LAST_BYTES:  # which one may have been
        text = text[max(map(len, secrets), default=0) :]
    lines = (harmless(line).strip() for line in text.splitlines())
    # once more, for what had a terminal's sequences in it
    return _end_of(hidden(LINE_BREAK.join(line for line in lines if line), secrets))


def _end_of(text: str) -> str:
    """Return the last whole lines of a text, or the end of its last one."""
    if len(text) <= LAST_CHARACTERS:
        return text
    cut = text[-LAST_CHARACTERS:]
    return cut.partition(LINE_BREAK)[2] or cut


def follow(runtime: Runtime, job: TrackedJob, tail: int | None) -> Iterator[str]:
    """Yield a job's output line by line as it comes, until its end: all of it, or from its last ``tail`` lines on.

    A line that is longer than ``LONGEST_LINE`` comes in pieces of that size.

    The stream is opened again, without gap or duplicate, if the engine goes away meanwhile. The reader's own thread
    and one connection serve it. Raises RuntimeUnavailableError if the site is closed meanwhile.
    """

    def wait(seconds: float, error: RuntimeUnavailableError) -> bool:
        logger.debug("%s: its output is followed again: %s", job.identity, error)
        return job.wait_for_clean_up(seconds)

    job.begin_following()  # first: a job that ends now keeps its container a little for this reader
    try:
        job.enter_states(RUN_OR_OVER)
        for line in lines_of(follow_chunks(runtime, job.identity.container_id, tail, wait)):
            yield line.decode(errors="replace")
    finally:
        job.end_following()


def follow_chunks(
    runtime: Runtime, container_id: str, tail: int | None, wait: Callable[[float, RuntimeUnavailableError], bool]
) -> Iterator[bytes]:
    """Yield a container's output in pieces; over only when a stream has ended that was opened after its end.

    ``wait`` is called, with how many seconds to wait, and why, while the engine does not answer; it returns whether
    that is the end.
    """
    place = _Place()
    over = False
    while not over:
        try:
            # Before the stream is opened: only one that was opened after the end is sure to bring all, for an engine
            # that goes away ends a stream in just the same way as a job does.
            over = effective_state(runtime.inspect(container_id)) in TERMINAL_STATES
            with runtime.follow(container_id, place.position, tail) as chunks:
                yield from place.rest_of(chunks)
        except RuntimeUnavailableError as error:
            over = wait(REOPEN_DELAY, error)
        tail = None if place.position else tail  # the last lines are others by now, and the place says where to go on


class _Place:
    """Where in the output a reader is: the position of the last piece, and which of that position it was."""

    def __init__(self) -> None:
        self.position = ""
        self._count = 0

    def rest_of(self, chunks: Iterable[OutputChunk]) -> Iterator[bytes]:
        """Yield what comes behind the place. A stream that is opened again begins at its position, or before."""
        skip = self._count  # several pieces may have one position, so it alone does not say which were read
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
