"""Looks whether jobs show, while they run, that they need a private key which is not there: then they would hang."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from flcore.errors import RuntimeUnavailableError

from .job_handle import NVFlareJobHandle
from .key_trouble import ERRORS, of_job, of_parent

LOOK_INTERVAL = 3.0
"""Seconds between two looks at what a job has logged as errors: a small file, read from the disk, if it is there."""
_SHORTEST_END = 7
"""Characters of a job's id, by which NVIDIA FLARE's logs know one."""

Later = Callable[[float, Callable[[], object]], None]
"""Has a call made in some seconds."""


class KeyWatch(logging.Handler):
    """Fails jobs that miss a key: by what they log, and by what their parent does while :meth:`listen` counts.

    No thread of its own, and no engine is asked.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._jobs: dict[str, tuple[NVFlareJobHandle, Later]] = {}

    def listen(self) -> None:
        """Hear what this process logs, from now on."""
        logging.getLogger().addHandler(self)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self)

    def follow(self, job: NVFlareJobHandle, later: Later) -> None:
        """Look after a job until it has ended."""
        job_id = job.handle.identity.job_id
        self._jobs[job_id] = job, later
        job.handle.add_done_callback(lambda _: self._forget(job_id, job))
        self._look_later(job, later)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # what cannot be told is no affair of who logs
            if trouble := of_parent(record.getMessage()):
                for job_id, (job, later) in list(self._jobs.items()):
                    if _is_end(trouble.job_id_end, job_id):
                        later(0, partial(job.fail, trouble.reason))  # it tells the server: nothing for who logs

    def _forget(self, job_id: str, job: NVFlareJobHandle) -> None:
        if self._jobs.get(job_id, (None,))[0] is job:
            del self._jobs[job_id]

    def _look_later(self, job: NVFlareJobHandle, later: Later) -> None:
        with suppress(RuntimeUnavailableError):  # the site was closed
            later(LOOK_INTERVAL, partial(self._look, job, later))

    def _look(self, job: NVFlareJobHandle, later: Later) -> None:
        if job.handle.result:
            return
        if reason := of_job(job.folder, ERRORS):
            job.fail(reason)
        else:
            self._look_later(job, later)


def _is_end(end: str, job_id: str) -> bool:
    return end == job_id or (len(end) >= _SHORTEST_END and job_id.endswith(end))
