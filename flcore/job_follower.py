"""Follows each job of a site to its end, which all components are told."""

from __future__ import annotations

import logging
import threading

from .admission import Admission, may_wait
from .job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode
from .job_registry import JobRegistry
from .launch import Launch
from .site_events import SiteEvents

logger = logging.getLogger(__name__)

TELLING_TIMEOUT = 10.0
"""Seconds that a site which closes waits, at most, for ends to be told that have happened."""


class JobFollower:
    """Has the ends of one site's jobs told, each once. All methods may be called from any thread."""

    def __init__(self, site: str, jobs: JobRegistry, admission: Admission, events: SiteEvents) -> None:
        self._site = site
        self._jobs = jobs
        self._admission = admission
        self._events = events
        self._untold: dict[Launch, JobHandleSpec] = {}
        """What was launched or found again, and whose end not all components have heard of."""
        self._told = threading.Condition(threading.Lock())

    def expect(self, launch: Launch, handle: JobHandleSpec) -> None:
        """Note a job whose end is to be told, before anybody hears of the job; :meth:`follow` comes next."""
        with self._told:
            self._untold[launch] = handle

    def follow(self, launch: Launch, handle: JobHandleSpec) -> None:
        """Have the job's end told to all, and make room for another."""

        def on_end(_: JobHandleSpec) -> None:
            self._jobs.ended(launch.job_id, handle)
            self._admission.leave(launch)  # before it is told: a component may launch the next job when it hears of it
            try:
                self._events.tell_of_end(launch.job_id, _final_result(handle), _end_id(handle))
            finally:
                self._note_told(launch)

        handle.add_done_callback(on_end)

    def tell_what_has_ended(self) -> None:
        """Return when the ends that have happened are told, which is some thread's work; what is not is logged.

        Nothing is waited for on a thread that tells of launches or ends itself: it would wait for its own return.
        """
        if not may_wait():
            return
        ended = [launch for launch, handle in self._followed() if self._has_ended(launch, handle)]
        with self._told:
            if self._told.wait_for(lambda: self._untold.keys().isdisjoint(ended), TELLING_TIMEOUT):
                return
            untold = [launch.job_id for launch in ended if self._untold.pop(launch, None)]  # said once, and given up
        words, about = ", ".join(untold), {"site": self._site}
        logger.error("site %s closes, but not all heard of the ends of these jobs: %s", self._site, words, extra=about)

    def _followed(self) -> list[tuple[Launch, JobHandleSpec]]:
        with self._told:
            return list(self._untold.items())

    def _has_ended(self, launch: Launch, handle: JobHandleSpec) -> bool:
        try:
            return handle.poll() != JobReturnCode.UNKNOWN
        except Exception:  # of a third party's handle, which then tells of no end
            about = {"site": self._site, "job_id": launch.job_id}
            logger.exception("job %s: its handle cannot say whether it has ended", launch.job_id, extra=about)
            return False

    def _note_told(self, launch: Launch) -> None:
        with self._told:
            self._untold.pop(launch, None)
            self._told.notify_all()


def _final_result(handle: JobHandleSpec) -> JobResult:
    """Return the result of a job whose handle says that it is complete."""
    lost = "the end of the job was not seen: its handle has no result"
    return handle.result or JobResult(JobReturnCode.INFRASTRUCTURE_ERROR, error=lost)


def _end_id(handle: JobHandleSpec) -> str:
    """Return the id of the end that a handle knows; empty where a third party's knows none, or cannot say."""
    try:
        end_id = handle.end_id
    except Exception:  # the end is told all the same, as one that nobody tells again
        logger.exception("a handle cannot say by what id its job's end is told")
        return ""
    return end_id if isinstance(end_id, str) else ""
