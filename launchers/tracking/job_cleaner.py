"""Has ended jobs cleaned up, and tries again what cannot be done now."""

from __future__ import annotations

import logging
from functools import partial

from flcore.errors import FLCoreError

from .tracked_job import CleanUpDelayedError, TrackedJob
from .worker_loop import WorkerLoop, retry_delay
from .worker_pool import WorkerPool

logger = logging.getLogger(__name__)

_CLEANERS = 4


class JobCleaner:
    """Cleans up in a pool of its own: a clean-up waits for who still reads the output, for disks, and for engines.

    In the pool that asks engines, a few slow ones would hold up every inspection, so the ends of all other jobs. One
    that fails is tried again for as long as this process lives: nobody else would keep the output and remove the
    container before the site's next start.
    """

    def __init__(self, loop: WorkerLoop) -> None:
        self._loop = loop
        self._pool = WorkerPool("cleaner", _CLEANERS)
        self._left: dict[TrackedJob, int] = {}
        """Jobs whose clean-up is tried again later, and how often it was tried. Who takes one out tries it."""

    def clean_up(self, job: TrackedJob) -> None:
        """Have a job cleaned up soon, and again later if that cannot be done now. Never blocks."""
        self._submit(job, 0)

    def retry_all(self) -> None:
        """Try all that could not be done, now: the engine answers again."""
        for job in list(self._left):
            self._retry(job)

    def close(self, timeout: float) -> None:
        """Take no more jobs; wait ``timeout`` seconds at most for the clean-ups that are under way."""
        self._pool.close(timeout)

    def try_for_the_last_time(self) -> None:
        """In the closing thread, after :meth:`close`: what is left even then is the next process's to find."""
        for job in list(self._left):
            self._try(job, self._left.pop(job))

    def _submit(self, job: TrackedJob, attempt: int) -> None:
        self._pool.submit(partial(self._try, job, attempt))

    def _retry(self, job: TrackedJob) -> None:
        # It may be gone: its timer and an engine that answers again both come here.
        attempt = self._left.pop(job, None)
        if attempt is not None:
            self._submit(job, attempt)

    def _try(self, job: TrackedJob, attempt: int) -> None:
        """In a cleaner's thread."""
        try:
            job.be_cleaned_up()
        except (FLCoreError, CleanUpDelayedError) as error:
            delay = retry_delay(attempt)
            level = logging.DEBUG if attempt else logging.WARNING
            logger.log(level, "%s: cannot be cleaned up, will be in %g s: %s", job.identity, delay, error)
            # Noted by this thread, not by the loop: at the closing the loop has ended already, and no timer comes.
            self._left[job] = attempt + 1
            self._loop.post(partial(self._loop.after, delay, partial(self._retry, job)))
