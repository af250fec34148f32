"""A pull in memory, which goes on as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

from flcore.errors import JobLaunchError

from .base import PullProgress


class FakePull:
    """One pull. Where the runtime's ``pulls_wait`` is set, it goes on as a test says; else it ends at once.

    Args:
        begin: called with it when it is iterated over; may raise.
        have_image: called with the image's name when it is there.
    """

    def __init__(self, image: str, begin: Callable[[FakePull], None], have_image: Callable[[str], None]) -> None:
        self.image = image
        self.closed = False
        self._begin = begin
        self._have_image = have_image
        self._said: SimpleQueue[PullProgress | JobLaunchError | None] = SimpleQueue()

    # What the outside world does

    def say(self, layer: str, status: str, current: int = 0, total: int = 0) -> None:
        """Say what an engine says of a layer."""
        self._said.put(PullProgress(layer, status, current, total))

    def finish(self) -> None:
        """Have the image."""
        self._have_image(self.image)
        self._said.put(None)

    def fail(self, error: JobLaunchError) -> None:
        """Fail, after all that was said."""
        self._said.put(error)

    # The PullStream protocol

    def __iter__(self) -> Iterator[PullProgress]:
        if not self.closed:
            self._begin(self)
        while (said := self._said.get()) is not None and not self.closed:
            if isinstance(said, JobLaunchError):
                raise said
            yield said

    def close(self) -> None:
        self.closed = True
        self._said.put(None)
