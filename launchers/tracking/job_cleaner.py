"""Has ended jobs cleaned up, and tries again what cannot be done now."""

from __future__ import annotations

import logging
import time
from functools import partial

from flcore.errors import FLCoreError

from .lanes import Lanes, Subject
from .tracked_job import CleanUpDelayedError, TrackedJob
from .worker_loop import WorkerLoop, retry_delay

logger = logging.getLogger(__name__)

_CLEANERS = 4


class _CleanUp:
    """What is to be done for one job, until it is done."""

    __slots__ = ("attempts", "job", "subject")

    def __init__(self, job: TrackedJob) -> None:
        self.job = job
        self.attempts = 0
        """How often it was tried, and failed."""
        self.subject = Subject()


class JobCleaner:
    """Cleans up in threads of its own: a clean-up waits for who still reads the output, for disks, and for engines.

    In those that ask engines, a few slow ones would hold up every inspection, so the ends of all other jobs. One
    that fails is tried again for as long as this process lives: nobody else would keep the output and remove the
    container before the site's next start.
    """

    def __init__(self, loop: WorkerLoop) -> None:
        self._loop = loop
        self._lanes = Lanes("cleaner", _CLEANERS, loop.later)
        self._left: dict[_CleanUp, None] = {}
        """What nobody is at: it is tried soon, or later. Who takes one out tries it."""

    def clean_up(self, job: TrackedJob) -> None:
        """Have a job cleaned up soon, and again later if that cannot be done now. Never blocks."""
        left = _CleanUp(job)
        self._left[left] = None
        self._submit(left)

    def retry_all(self) -> None:
        """Try all that could not be done, now: the engine answers again."""
        for left in list(self._left):
            self._submit(left)

    def close(self, timeout: float) -> None:
        """Take no more jobs; wait ``timeout`` seconds at most for the clean-ups that are under way."""
        self._lanes.close(timeout)

    def try_for_the_last_time(self, timeout: float) -> None:
        """In the closing thread, after :meth:`close`: what is left even then is the next process's to find.

        After ``timeout`` seconds no more is begun.
        """
        give_up_at = time.monotonic() + timeout
        for left in list(self._left):
            if time.monotonic() < give_up_at and self._take(left):
                self._try(left)

    def _submit(self, left: _CleanUp) -> None:
        self._lanes.submit(partial(self._take_and_try, left), left.subject)

    def _retry(self, left: _CleanUp, attempts: int) -> None:
        # It may be gone, or have been tried meanwhile: its timer and an engine that answers again both come here, and
        # each would leave a timer of its own.
        if left in self._left and left.attempts == attempts:
            self._submit(left)

    def _take(self, left: _CleanUp) -> bool:
        try:
            del self._left[left]
        except KeyError:
            return False
        return True

    def _take_and_try(self, left: _CleanUp) -> None:
        """In a cleaner's thread."""
        if not self._take(left):
            return
        try:
            self._try(left)
        except BaseException as error:  # noqa: BLE001 - it is logged; whatever it is, the job is not given up
            self._try_later(left, error)

    def _try(self, left: _CleanUp) -> None:
        try:
            left.job.be_cleaned_up()
        except (FLCoreError, CleanUpDelayedError) as error:
            self._try_later(left, error)

    def _try_later(self, left: _CleanUp, error: BaseException) -> None:
        delay = retry_delay(left.attempts)
        level = logging.DEBUG if left.attempts else logging.WARNING
        logger.log(level, "%s: cannot be cleaned up, will be in %g s: %s", left.job.identity, delay, _words(error))
        left.attempts += 1
        # Noted by this thread, not by the loop: at the closing the loop has ended already, and no timer comes.
        self._left[left] = None
        self._loop.later(delay, partial(self._retry, left, left.attempts))


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, Exception) else repr(error)
