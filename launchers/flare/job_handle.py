"""A job's handle as NVIDIA FLARE uses one, and the ending of jobs for which it has none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from nvflare.apis.job_launcher_spec import JobHandleSpec

from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.job_launcher_spec import JobResult, JobReturnCode
from flcore.threads import OwnThread

from ..job_handle import KEPT_OUTPUT_TIMEOUT, ContainerJobHandle
from .job_failure import return_code_of
from .key_trouble import ERRORS, of_job, perhaps_of_job
from .process import forget_written_code

logger = logging.getLogger(__name__)

_NO_FAILURE = (JobReturnCode.SUCCESS, JobReturnCode.ABORTED)


class NVFlareJobHandle(JobHandleSpec):  # type: ignore[misc]  # its base is of a package without types
    """A job's handle, as NVIDIA FLARE uses one: it waits, and then asks for the return code.

    ``folder`` is the job's own, ``has_key`` whether it sees its site's private key. ``on_failure`` is called once, with
    the result of a job that has failed, and whether nobody else tells of it: for a key that is missing.
    """

    def __init__(
        self, handle: ContainerJobHandle, folder: Path, has_key: bool, on_failure: Callable[[JobResult, bool], None]
    ) -> None:
        self.handle = handle
        """This package's own."""
        self.folder = folder
        self._has_key = has_key
        self._on_failure = on_failure
        self._trouble = ""
        self._failed_by = ""
        """Who has asked for the end that is to be a failure."""

    def wait(self) -> None:
        """Return when the job is complete and its output is kept; or when the site ends."""
        with suppress(RuntimeUnavailableError):  # the site was closed
            self.handle.wait()
            self.handle.wait_for_clean_up(KEPT_OUTPUT_TIMEOUT)  # then its folder may be packed and removed
            # It is in the result, as far as it is believed; NVIDIA FLARE would believe it without a look at the end.
            forget_written_code(self.folder)
            self._note_trouble(self._written_trouble())
            result = self.handle.result
            if result and self.poll() not in _NO_FAILURE and not self._failed_by:
                self._on_failure(result, bool(self._trouble))

    def poll(self) -> int:
        """Return the return code, as NVIDIA FLARE understands it; 127 while the job runs."""
        result = self.handle.result
        if self._failed_by and result and result.ended_by == self._failed_by:
            return int(JobReturnCode.CONFIG_ERROR)  # to NVIDIA FLARE an abort is one by somebody who knows of it
        return return_code_of(result)

    def fail(self, reason: str) -> None:
        """Have a job end as one that fails, for a reason that it cannot know; it is in the log, and in the result.

        Returns at once. Idempotent: the first reason counts.
        """
        if not self.handle.result and self._note_trouble(reason):
            self._failed_by = f"the site: {reason}"
            end_in_background(self.handle, self._failed_by)
            # Now: NVIDIA FLARE tells the server of the end, but not why, and the first that is told counts.
            self._on_failure(JobResult(JobReturnCode.CONFIG_ERROR, error=reason), True)

    def _note_trouble(self, reason: str) -> bool:
        """Take note of a reason, if it is the first, and return whether it is."""
        if not reason or self._trouble:
            return False
        self._trouble = reason
        logger.error("job %s: %s", self.handle.identity.job_id, reason)
        return True

    def _written_trouble(self) -> str:
        """Return what the job has written of a missing key, in its own log or in its output."""
        names = (ERRORS, f"{self.handle.identity.site}.log")
        looks = (of_job,) if self._has_key else (of_job, perhaps_of_job)
        return next(filter(None, (look(self.folder, name) for look in looks for name in names)), "")

    def terminate(self) -> int:
        """End the job, if it has not ended; what goes wrong is logged, and tried again until it is done."""
        _end(self.handle, "NVIDIA FLARE")
        return self.poll()


def end_in_background(handle: ContainerJobHandle, by: str) -> OwnThread:
    """End a job on a thread of its own, and return that; on this one where none can be started."""
    thread = OwnThread("end", partial(_end, handle, by))
    try:
        thread.start()
    except RuntimeUnavailableError as error:
        logger.warning("job %s: it is ended before anything else is done: %s", handle.identity.job_id, error)
        _end(handle, by)
    return thread


def _end(handle: ContainerJobHandle, by: str) -> None:
    try:
        handle.terminate(by=by)
    except FLCoreError as error:
        logger.warning("job %s: its end is not confirmed yet: %s", handle.identity.job_id, error)
