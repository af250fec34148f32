"""To which process something belongs. A child by fork has a copy of it, without the threads that it needs."""

from __future__ import annotations

import logging
import os

from .errors import ForkedError

logger = logging.getLogger(__name__)


class OwnProcess:
    """The process that something, ``what``, belongs to from its first use on.

    What was only made is whoever's uses it first.
    """

    __slots__ = ("_pid", "_what")

    def __init__(self, what: object) -> None:
        self._what = what
        self._pid = 0

    @property
    def is_another(self) -> bool:
        """Whether it belongs to another process, of which this one is a fork."""
        return self._pid not in (0, os.getpid())

    def claim(self) -> None:
        """Have it belong to this process from now on. Raises what :meth:`check` raises."""
        self.check()
        self._pid = os.getpid()

    def check(self) -> None:
        """Raise ForkedError if it belongs to another process. Takes no lock: a thread that is not here may hold it."""
        if self.is_another:
            why = f"belongs to process {self._pid}, of which this one, {os.getpid()}, is a fork"
            raise ForkedError(f"{self._what} {why}; use it there, or make another site in another workspace here")

    def goes_on_elsewhere(self) -> bool:
        """Whether another process goes on with it, so that it is not ours to close; says so in the log."""
        if self.is_another:
            logger.warning("%s is not closed: this process is a fork of its own, in which it goes on", self._what)
        return self.is_another

    def let_go(self) -> None:
        """Have it belong to nobody, as before its first use."""
        if not self.is_another:
            self._pid = 0
