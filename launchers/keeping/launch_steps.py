"""The steps of one launch: its image is there, its container is made once, its process is started once; or nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from flcore.errors import (
    FLCoreError,
    Hold,
    ImageError,
    JobAbortedError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    OutcomeUnknownError,
    RuntimeUnavailableError,
)
from flcore.launch import Launch, launch_aborted

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, GONE, RUN_OR_OVER
from ..runtime.base import FoundImage, Runtime
from ..runtime.engine_traits import EngineTraits
from ..settings import ALWAYS, NEVER, JobSettings
from ..tracking.state_tracker import StateTracker
from ..tracking.tracked_job import TrackedJob
from .image_puller import ImagePuller

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

LAST_LOOK_TIMEOUT = 2.0
"""Seconds to see how a container ended whose start failed, before it is removed."""
PULL_PATIENCE = 600.0
"""Seconds that a launch is put off for an image, which is to be known before it begins; then it is tried."""
_RETRY_INTERVAL = 0.5


@dataclass(slots=True)
class Launchpad:
    """What all launches of one launcher have in common."""

    runtime: Runtime
    tracker: StateTracker
    puller: ImagePuller
    settings: JobSettings
    has_answered: bool = False
    """The engine has made a container before. Only such a one is waited for: one that has never answered is more likely
    not there, or misspelt, than away, and who launches should be told so at once."""

    def give_up_time(self) -> float:
        """Return until when a launch that begins now tries again, by the monotonic clock."""
        return time.monotonic() + self.settings.launch_patience

    def is_worth_waiting(self, give_up_at: float) -> bool:
        """Whether an engine that does not answer may be asked once more."""
        return self.has_answered and time.monotonic() <= give_up_at

    def image_ahead(self, spec: ContainerSpec) -> FoundImage:
        """Return what the image of a launch is that is not to begin yet.

        Raises JobLaunchError where it cannot be had: put off while it is pulled, if the site's config has it be.
        """
        image, puller, policy = spec.image, self.puller, self.settings.pull.policy
        found = self.runtime.find_image(image)
        if policy != NEVER and (found is None or (policy == ALWAYS and not puller.has_pulled(image, PULL_PATIENCE))):
            puller.begin([image])
            error = ImageError(f"image {image} is not there yet")
            why = "waits for its image"
            error.hold = Hold(f"{why} {image}", lambda: not puller.is_pulling(image), PULL_PATIENCE, why)
            raise error
        return usable_image(spec, found)


class LaunchSteps:
    """What one launch does, to be called in order, by one thread.

    Until the start, anybody may ask for the launch's end, by its :class:`flcore.launch.Launch`; then the next step, or
    what this one waits for, raises JobAbortedError.
    """

    def __init__(self, pad: Launchpad, launch: Launch, job: TrackedJob) -> None:
        self._pad = pad
        self._launch = launch
        self._job = job
        self._asked = False
        """The engine was asked to create the container, has not answered, and may have done so, or be about to."""
        self.may_have_made = False
        """Some request for the container was not answered, or with an error of the engine's own: it may lie."""

    def ask_what_it_is(self) -> EngineTraits:
        """Return what the engine is that will be asked for the container."""
        return self.patiently(self._pad.runtime.traits)

    def find_image(self, spec: ContainerSpec) -> FoundImage:
        """Have the image there, if the site's config lets it be pulled, and return which one it is."""
        return usable_image(spec, self.patiently(lambda: self._find_image(spec.image)))

    def _find_image(self, image: str) -> FoundImage | None:
        self._pad.puller.ensure(image, lambda: not self._launch.is_wanted)
        self._launch.raise_if_ended()
        return self._pad.runtime.find_image(image)

    def patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask again, for a while, what may be asked twice, while an engine that answered before does not."""
        give_up_at: float | None = None
        while True:
            try:
                return ask()
            except RuntimeUnavailableError:
                give_up_at = give_up_at or self._pad.give_up_time()  # a pull may take hours: its time does not count
                if not self._pad.is_worth_waiting(give_up_at):
                    raise
                self._launch.wait_for_end_request(_RETRY_INTERVAL)

    def create(self, spec: ContainerSpec) -> None:
        """Create the container, and note its id in the job. One that an unanswered request has made is taken over.

        So there are never two: an engine that did not answer may still be at work on the first request, and it holds
        the name until that is done. The nonce, which only this launch knows, tells its container from anybody else's.
        """
        give_up_at = self._pad.give_up_time()
        while True:
            self._launch.raise_if_ended()
            # A name that is in use now may be held by our own unanswered request, which is still at work.
            passing = (RuntimeUnavailableError, NameInUseError) if self._asked else (RuntimeUnavailableError,)
            try:
                self._job.place(self._create_once(spec))
            except passing as error:
                if not self._pad.is_worth_waiting(give_up_at):
                    raise (self._outcome_unknown(error) if self._asked else error) from error
            else:
                return
            self._launch.wait_for_end_request(_RETRY_INTERVAL)

    def create_anew(self, spec: ContainerSpec) -> None:
        """Create the container in place of the one that was made, and must be another. Once that is gone."""
        self._pad.runtime.remove(self._job.identity.container_id)
        self._job.place("")
        self._asked = False
        self.create(spec)

    def _create_once(self, spec: ContainerSpec) -> str:
        asked_before, self._asked = self._asked, True
        try:
            container_id = self._pad.runtime.create(spec)
        except NameInUseError:
            self._asked = asked_before
            found = self._find_own() if asked_before else None
            if found is None:
                raise
            container_id = found
        except RuntimeUnavailableError as error:
            self.may_have_made = True
            self._asked = asked_before or error.reached
            raise
        except JobLaunchError as error:
            self.may_have_made |= not isinstance(error, ImageError)
            self._asked = asked_before  # this request was answered, and has made nothing
            raise
        self._pad.has_answered = True
        return container_id

    def _find_own(self) -> str | None:
        """Return the container that our unanswered request has made, when all of the engine knows it.

        An engine lists a container some milliseconds before it can be inspected or started.
        """
        who = self._job.identity
        for found in self._pad.runtime.list_containers():
            if found.is_of(who.nonce, who.container_name) and self._pad.runtime.inspect(found.id) != GONE:
                return found.id
        return None

    def start(self) -> None:
        """Start the process, once, and return when it is known to run, or that it ran."""
        self._pass_point_of_no_return()
        job, tracker = self._job, self._pad.tracker
        try:
            self._start_process()
        except RuntimeUnavailableError:
            raise
        except JobLaunchError as error:
            tracker.poke(job)
            with suppress(RuntimeUnavailableError):
                job.wait(LAST_LOOK_TIMEOUT)  # let its end be seen before it is removed: the reason stands only there
            if job.result and job.result.ended_by:  # it did not start, for somebody outside this process has ended it
                raise launch_aborted(job.identity.job_id, job.result.ended_by) from error
            raise
        tracker.poke_unless_told(job)
        timeout = self._pad.settings.start_timeout
        if timeout is not None and not job.enter_states(RUN_OR_OVER, timeout):
            late = f"did not run within {timeout:g} s ('timeout')"
            self._will_remove(f"the launcher: it {late}")
            raise JobStartError(f"{job.identity}: {late}")

    def _pass_point_of_no_return(self) -> None:
        """From here on nobody can call the launch back; what runs can be ended.

        ``flcore stop`` is another process: its wish stands in the record only, so that is looked at as late as can be.
        """
        self._job.heed_noted_end()
        if self._job.end_request:
            self._launch.request_end(self._job.end_request.by)
        self._launch.begin_start()

    def _start_process(self) -> None:
        """Ask the engine to start the process; a request that may have got there is never repeated."""
        give_up_at = self._pad.give_up_time()
        while True:
            try:
                self._pad.runtime.start(self._job.identity.container_id)
            except RuntimeUnavailableError as error:
                if error.reached:
                    self._see_whether_it_started(error)
                elif time.monotonic() < give_up_at:
                    time.sleep(_RETRY_INTERVAL)  # nobody can call the launch back any more
                    continue
                else:
                    raise
            return

    def _see_whether_it_started(self, error: RuntimeUnavailableError) -> None:
        job = self._job
        self._pad.tracker.poke(job)
        if not job.enter_states(RUN_OR_OVER, self._pad.settings.launch_patience):
            raise self._outcome_unknown(error)
        if job.result and DOCKER_STATE.RUNNING not in job.entered:
            raise JobStartError(f"{job.identity}: {job.result.error}")

    def give_up(self, error: BaseException, has_loans: bool) -> bool:
        """Leave nothing of a launch that failed. Returns False if something may be left, or appear, even so.

        Then the job is tracked until that is gone: what cannot be done now is done when the engine answers, or the disk
        does, for a job that still ``has_loans`` which could not be taken back.
        """
        job = self._job
        if not (job.identity.container_id or self._asked or has_loans):
            return True
        self.note_end(error)  # whatever it did, it is not what was asked for
        if not job.identity.container_id:
            follow = self._pad.tracker.expect if self._asked else self._pad.tracker.clean_up
            follow(job)
            return False
        try:
            self._pad.runtime.remove(job.identity.container_id)
            self._pad.tracker.poke(job)
        except FLCoreError as problem:
            logger.warning("%s: will be removed when that is possible: %s", job.identity, problem)
            self._pad.tracker.end(job)
        return False

    def note_end(self, error: BaseException) -> None:
        """Note on whose request the job of a launch that failed ends."""
        self._will_remove(error.by if isinstance(error, JobAbortedError) else f"the launcher, on {error!r}"[:200])

    def _will_remove(self, by: str) -> None:
        """Note on whose request the job ends, whatever its container has done."""
        self._job.request_end(by, time.time(), delivered=True)
        self._job.wish.note_delivery()  # of who has asked before

    def _outcome_unknown(self, error: JobLaunchError) -> OutcomeUnknownError:
        unknown = "whether it runs is unknown; if its container appears, it is removed"
        return OutcomeUnknownError(f"job {self._job.identity.job_id}: {unknown}: {error}")


def usable_image(spec: ContainerSpec, found: FoundImage | None) -> FoundImage:
    """Return what was found of an image. Raises ImageError if that is nothing, or not what the site lets be used."""
    if found is None:
        raise ImageError(f"image {spec.image} is not there; pull or build it first, or set 'pull_policy'")
    if spec.image_digests and found.digests.isdisjoint(spec.image_digests):
        listed = " or ".join(spec.image_digests)
        raise ImageError(f"image {spec.image} is {found.id}, not {listed} as the site's list says ('images')")
    return found
