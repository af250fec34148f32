"""Follows each job of a site to its end, which all components are told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from .admission import Admission, may_wait
from .errors import Hold
from .handle_watch import HandleWatch
from .job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode
from .job_registry import JobRegistry
from .launch import Launch
from .site_events import SiteEvents

logger = logging.getLogger(__name__)

TELLING_TIMEOUT = 10.0
"""Seconds that a site which closes waits, at most, for launches and ends to be told that have happened."""


class JobFollower:
    """Has the ends of one site's jobs told, each once. All methods may be called from any thread.

    Nothing is told behind the site's own end. Of what ends then, a launcher that finds its jobs again tells in its next
    life, be it another process's; the rest is told when this site starts again.
    """

    def __init__(self, site: str, jobs: JobRegistry, admission: Admission, events: SiteEvents) -> None:
        self._site = site
        self._jobs = jobs
        self._admission = admission
        self._events = events
        self._watch = HandleWatch(site, events)
        self._untold: dict[Launch, JobHandleSpec] = {}
        """What was launched or found again, and whose end not all components have heard of."""
        self._begun: dict[Launch, None] = {}
        """What is launched, or was found again, and all have not heard of that yet."""
        self._tells = True
        self._later: list[Callable[[], None]] = []
        """Tell of ends that nobody may hear of before the site starts again."""
        self._told = threading.Condition(threading.Lock())

    def begin(self, launch: Launch) -> None:
        """Note that a job is launched, or was found again, before anybody hears of it.

        :meth:`follow` comes next, or :meth:`launch_failed`.
        """
        with self._told:
            self._begun[launch] = None

    def follow(self, launch: Launch, handle: JobHandleSpec) -> None:
        """Have the changes and the end of a job, of whose launch all have heard, told to all; make room for another."""
        self._watch.watch(launch, handle)
        self._follow(launch, handle)

    @contextmanager
    def taking_over(self, job_id: str, handle: Any) -> Iterator[None]:
        """Take a job in that was found again, before the components hear of it; its end is told after that."""
        launch = self._jobs.recovered(job_id, handle)
        if launch:
            self.begin(launch)
            self._admission.enter_regardless(launch)
        try:
            yield
        finally:
            if launch:
                self._follow(launch, handle)

    def launch_put_off(self, launch: Launch, hold: Hold) -> None:
        """Make room for others, and have it be told why a launch waits that begins anew later."""
        self._admission.leave(launch)
        self._events.tell_of_hold(launch.job_id, hold.reason)

    def launch_failed(self, launch: Launch, error: BaseException) -> None:
        """Have a launch be told of that has failed."""
        try:
            self._jobs.failed(launch, error)
        finally:  # a second interrupt, too, lets others in
            self._admission.leave(launch)
        try:
            if isinstance(error, Exception):  # an interrupt is about the process, not about the job
                self._events.tell_of_failed_launch(launch.job_id, error, launch.end_id)
        finally:
            self._end(launch)

    def tell_what_has_happened(self) -> None:
        """Return when the launches under way and the ends that have happened are told, which is other threads' work.

        What is not in time is logged. Nothing is waited for on a thread that tells of launches or ends itself: it would
        wait for its own return.
        """
        if not may_wait():
            return
        give_up_at = time.monotonic() + TELLING_TIMEOUT
        with self._told:
            launching = [launch for launch in self._begun if not launch.is_of_this_thread]
            self._wait_until_none_is_in(self._begun, launching, "these launches are still under way", give_up_at)
            followed = list(self._untold.items())
        ended = [launch for launch, handle in followed if self._has_ended(launch, handle)]
        with self._told:
            self._wait_until_none_is_in(self._untold, ended, "not all heard of the ends of these jobs", give_up_at)
            for launch in ended:  # said once, and given up
                self._untold.pop(launch, None)

    def tell_no_more(self) -> None:
        """Tell nothing from now on: the site has ended."""
        with self._told:
            self._tells = False
        self._watch.stop()

    def begin_to_tell(self) -> None:
        """Tell all that comes: the site starts."""
        with self._told:
            self._tells = True

    def tell_what_came_late(self) -> None:
        """Tell what has ended between the site's end and its start."""
        with self._told:
            calls, self._later = self._later, []
        for call in calls:
            call()
        self._watch.go_on()

    def _follow(self, launch: Launch, handle: JobHandleSpec) -> None:
        def on_end(_: JobHandleSpec) -> None:
            self._jobs.ended(launch.job_id, handle)
            self._admission.leave(launch)  # before it is told: a component may launch the next job when it hears of it
            try:
                self._tell_of_end(launch, _final_result(handle), _end_id(handle))
            except BaseException:
                self._end(launch)
                raise

        with self._told:
            self._untold[launch] = handle
            self._begun.pop(launch, None)
            self._told.notify_all()
        handle.add_done_callback(on_end)

    def _tell_of_end(self, launch: Launch, result: JobResult, known_id: str) -> None:
        """Have the end be told behind the last of the job's changes, now or when the site starts again.

        ``known_id``: the one by which its launcher, or the next process, tells it again.
        """

        def tell(event_id: str) -> None:
            try:
                self._events.tell_of_end(launch.job_id, result, known_id or event_id)
            finally:
                self._end(launch)

        tell_in_order = partial(self._watch.tell_end, launch, result, tell)
        if self._is_to_be_told_now(launch, tell_in_order, is_told_again=bool(known_id)):
            tell_in_order()
        else:
            self._end(launch)

    def _end(self, launch: Launch) -> None:
        with self._told:
            self._begun.pop(launch, None)
            self._untold.pop(launch, None)
            self._told.notify_all()

    def _wait_until_none_is_in(
        self, kept: Mapping[Launch, object], launches: Collection[Launch], why: str, give_up_at: float
    ) -> None:
        """With the condition's lock."""
        patience = max(0.0, give_up_at - time.monotonic())
        if not self._told.wait_for(lambda: kept.keys().isdisjoint(launches), patience):
            words, about = ", ".join(launch.job_id for launch in launches if launch in kept), {"site": self._site}
            logger.error("site %s closes, but %s: %s", self._site, why, words, extra=about)

    def _is_to_be_told_now(self, launch: Launch, tell: Callable[[], None], *, is_told_again: bool) -> bool:
        with self._told:
            if not (self._tells or is_told_again):
                self._later.append(tell)
            tells = self._tells
        if not tells:
            about = {"site": self._site, "job_id": launch.job_id}
            logger.info(
                "job %s ended after its site, which tells of that when it starts again", launch.job_id, extra=about
            )
        return tells

    def _has_ended(self, launch: Launch, handle: JobHandleSpec) -> bool:
        try:
            return handle.poll() != JobReturnCode.UNKNOWN
        except Exception:  # of a third party's handle, which then tells of no end
            about = {"site": self._site, "job_id": launch.job_id}
            logger.exception("job %s: its handle cannot say whether it has ended", launch.job_id, extra=about)
            return False


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
