"""What a site keeps for jobs of which it was asked whether it has room for them: their places, and their GPUs.

A framework may ask all sites first, and have a job launched later, or not at all. So a reservation ends by itself, in
time; by the launch, which takes what is reserved; or with this process. GPUs are reserved where they are leased, so
nobody else gets them meanwhile: no job, whether it was asked for or not, of no site of the host.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flcore.errors import SiteBusyError
from flcore.threads import no_thread

from .job_keeper import JobKeeper

logger = logging.getLogger(__name__)

_IN_USE = math.inf
"""When a reservation ends whose job is being launched: by that."""


@dataclass(slots=True)
class _Reservation:
    keeper: JobKeeper
    """Who keeps the job's GPUs."""
    nonce: str
    expires_at: float = _IN_USE
    """By the monotonic clock."""
    timer: threading.Timer | None = None

    @property
    def is_in_use(self) -> bool:
        return self.expires_at == _IN_USE

    def end_at(self, when: float) -> None:
        self.expires_at = when
        if self.timer:
            self.timer.cancel()
            self.timer = None


class Reservations:
    """The reservations of one launcher, one for each job. All methods may be called from any thread.

    None can be made before :meth:`open`.
    """

    def __init__(self) -> None:
        self._made: dict[str, _Reservation] = {}
        """By job id."""
        self._is_open = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Let reservations be made: the jobs of dead processes are known."""
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """Give all back, and make none any more. Idempotent."""
        with self._lock:
            self._is_open = False
            for job_id in list(self._made):
                self._end(job_id)

    def make(self, keeper: JobKeeper, job_id: str, gpus: int, most: int | None, seconds: float) -> str:
        """Keep a place and so many GPUs for a job, in place of an earlier reservation, and return the nonce of this.

        ``most``: jobs, with those that are reserved; ``seconds``: until it ends by itself. Raises SiteBusyError if
        there is no place, NoGpuError if too few GPUs are free, JobRejectedError if there are fewer, or JobLaunchError;
        then an earlier reservation of the job is as it was.
        """
        with self._lock:
            self._check_place(keeper, job_id, most)
            keeper.reserve_gpus(job_id, gpus)
            if earlier := self._made.get(job_id):
                earlier.end_at(_IN_USE)
            made = self._made[job_id] = _Reservation(keeper, secrets.token_hex(8))
            self._expire_in(seconds, made)
            return made.nonce

    def renew(self, job_id: str, seconds: float) -> bool:
        """Have a job's reservation end so many seconds from now; False if there is none any more."""
        with self._lock:
            self._drop_expired()
            made = self._made.get(job_id)
            if made and not made.is_in_use:
                self._expire_in(seconds, made)
            return made is not None

    def give_back(self, job_id: str, nonce: str) -> None:
        """End a reservation, if it is the one with this nonce, and no launch is using it. Idempotent."""
        with self._lock:
            made = self._made.get(job_id)
            if made and made.nonce == nonce and not made.is_in_use:
                self._end(job_id)

    @contextmanager
    def used(self, job_id: str) -> Iterator[None]:
        """Have a job's reservation, if there is one, last until its launch is over; what that has not taken is free."""
        with self._lock:
            self._drop_expired()
            if made := self._made.get(job_id):
                made.end_at(_IN_USE)
        try:
            yield
        finally:
            with self._lock:
                if made and self._made.get(job_id) is made:
                    self._end(job_id)

    def job_ids(self) -> Collection[str]:
        """Return the jobs for which something is reserved."""
        with self._lock:
            self._drop_expired()
            return tuple(self._made)

    def _check_place(self, keeper: JobKeeper, job_id: str, most: int | None) -> None:
        if not self._is_open:
            raise SiteBusyError(f"job {job_id}: the site is being started, or ends")
        self._drop_expired()
        made = self._made.get(job_id)
        if made and made.is_in_use:
            raise SiteBusyError(f"job {job_id}: it is being launched")
        others = len({*keeper.job_ids(), *self._made} - {job_id})
        if most is not None and others >= most:
            raise SiteBusyError(f"job {job_id}: {others} of the site's {most} places are taken ('max_jobs')")

    def _expire_in(self, seconds: float, made: _Reservation) -> None:
        made.end_at(time.monotonic() + seconds)
        # Others of the host wait for the GPUs, so this must not wait for the next who asks.
        made.timer = timer = threading.Timer(seconds, self._give_back_expired)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:
            logger.warning(
                "a reservation that is not used ends only when the site is asked again: %s", no_thread(error)
            )

    def _give_back_expired(self) -> None:
        with self._lock:
            self._drop_expired()

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for job_id in [job_id for job_id, made in self._made.items() if made.expires_at <= now]:
            logger.info("job %s: what was reserved for it is free: it was not launched in time", job_id)
            self._end(job_id)

    def _end(self, job_id: str) -> None:
        made = self._made.pop(job_id)
        made.end_at(_IN_USE)
        made.keeper.give_back_gpus(job_id)
