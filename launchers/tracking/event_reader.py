"""Reads a runtime's events, and hands on to which containers something has happened."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from flcore.errors import FLCoreError
from flcore.threads import OwnThread

from ..runtime.base import Runtime

logger = logging.getLogger(__name__)

_RECONNECT_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)


def hang_up(runtime: Runtime) -> bool:
    """End a runtime's event streams, so that new ones are opened; False, and a warning, if that fails."""
    try:
        runtime.close_events()
    except Exception as error:  # noqa: BLE001 - whatever a client cannot close, what else is to be done is
        logger.warning("%s: an event stream cannot be closed: %r", runtime.name, error)
        return False
    return True


class EventReader:
    """A thread that reads, and does nothing else: an engine drops the events of who reads slowly.

    Args:
        runtime: whose events.
        on_event: called with a container's id.
        on_gap: called when events may have been missed, or the engine may be away: list.
        about: whose they are, for the log.
    """

    def __init__(
        self, runtime: Runtime, on_event: Callable[[str], None], on_gap: Callable[[], None], about: dict[str, str]
    ) -> None:
        self._runtime = runtime
        self._on_event = on_event
        self._on_gap = on_gap
        self._about = about
        self._closing = threading.Event()
        self._hung_up = True
        self._thread = OwnThread("reader", self._read)
        self.streams = 0
        """How many streams were opened."""

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeUnavailableError; then it can be started later."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. Does not wait; :meth:`join` does."""
        self._closing.set()
        self._hung_up = hang_up(self._runtime)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, ``timeout`` seconds at most."""
        if not self._hung_up:
            hang_up(self._runtime)
        self._thread.join(timeout)

    def _read(self) -> None:
        failures = 0
        while not self._closing.is_set():
            failures = 0 if self._read_one_stream() else failures + 1
            self._closing.wait(_RECONNECT_DELAYS[min(failures, len(_RECONNECT_DELAYS) - 1)])

    def _read_one_stream(self) -> bool:
        """Pass on the events of one connection until it ends; False if there was none."""
        try:
            with self._runtime.open_events() as container_ids:
                self.streams += 1
                if self._closing.is_set():
                    return True  # nobody will close a stream that was opened only now
                self._on_gap()  # subscribe first, then list: nothing falls in between
                for container_id in container_ids:
                    self._on_event(container_id)
        except FLCoreError as error:
            logger.debug("%s: no event stream: %s", self._runtime.name, error, extra=self._about)
            self._on_gap()
            return False
        except BaseException:  # whatever it is, nobody else would read
            logger.exception("%s: the event stream failed; it is opened again", self._runtime.name, extra=self._about)
            return False
        return True
