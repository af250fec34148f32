"""How the jobs of a site are ended, whatever they are at: waiting for their turn, being launched, or running."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from .errors import FLCoreError
from .job_launcher_spec import JobHandleSpec, JobReturnCode
from .launch import Launch
from .threads import make_all

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 64
"""How many jobs are ended at the same time, at most, when a site closes: each waits in a thread."""


class JobEndings:
    """Ends the jobs of one site. All methods may be called from any thread."""

    def __init__(self, site: str) -> None:
        self._site = site

    def end(self, job: Launch | JobHandleSpec, by: str) -> JobReturnCode:
        """End a job, and return its return code when that is over.

        UNKNOWN to who is called by the very launch, which goes on, to its end, only when this returns. Raises what the
        handle's ``terminate`` raises.
        """
        if isinstance(job, Launch):
            self._call_back(job, by)
            if job.is_of_this_thread:
                return JobReturnCode.UNKNOWN
            launched = job.wait()
            if not isinstance(launched, JobHandleSpec):
                return launched
            job = launched
        return job.terminate(by=by)

    def end_launched(self, job_id: str, handle: JobHandleSpec, by: str) -> None:
        """End what has just been launched. What cannot be ended is logged: the launch has its own outcome."""
        try:
            handle.terminate(by=by)
        except Exception:  # a third party's handle may raise anything
            about = {"site": self._site, "job_id": job_id}
            logger.exception("job %s: could not be ended after its launch", job_id, extra=about)

    def end_all(self, jobs: Sequence[Launch | JobHandleSpec], by: str) -> None:
        """End all of them at the same time; return when they have ended. What cannot be ended is logged."""
        others = []
        for job in jobs:
            if isinstance(job, Launch) and job.is_of_this_thread:
                self._call_back(job, by)  # another thread would wait for it, and it for this one
            else:
                others.append(partial(self._end_or_log, job, by))
        make_all("end", MOST_AT_ONCE, others)

    def call_back_all(self, launches: Sequence[Launch], by: str) -> None:
        """Have launches raise of which nothing runs yet, where their launchers can; the others go on. Does not wait."""
        for launch in launches:
            if launch.launcher is None:
                launch.request_end(by)
            else:
                self._ask_launcher(launch, by)

    def _end_or_log(self, job: Launch | JobHandleSpec, by: str) -> None:
        about = {"site": self._site}
        try:
            self.end(job, by)
        except FLCoreError as error:
            logger.error("site %s closes, but %s", self._site, error, extra=about)  # noqa: TRY400 - the message says it all
        except Exception:  # whatever a third party's handle raises, the site closes
            logger.exception("site %s closes, but a job could not be ended", self._site, extra=about)

    def _call_back(self, launch: Launch, by: str) -> None:
        """Have a launch raise, if it is not too late; else the site ends what it has launched."""
        launch.request_end(by)
        self._ask_launcher(launch, by)

    def _ask_launcher(self, launch: Launch, by: str) -> None:
        launcher = launch.launcher
        if launcher is None:
            return
        try:  # be it too late or not: a launcher that tries once more has begun anew, and alone knows of that
            launcher.abort_launch(launch.job_id, by)
        except Exception:  # the launch goes on, and who asked is known to it
            what, about = "cannot call the job back; it is ended later", {"site": self._site, "job_id": launch.job_id}
            logger.exception("job %s: the launcher %s %s", launch.job_id, launcher.name, what, extra=about)
