"""The jobs of one launcher: launched, recorded, cleaned up, and found again after this process's death."""

from __future__ import annotations

import errno
import logging
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from flcore.disk.safe_files import closing, open_private, write_new
from flcore.errors import (
    FLCoreError,
    ImageError,
    JobAbortedError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    OutcomeUnknownError,
    RuntimeUnavailableError,
)
from flcore.job_launcher_spec import ImagePullProgress, JobStateChange

from ..container_spec import (
    LABEL_IMAGE,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
    ContainerSpec,
    hidden,
)
from ..docker_state import DOCKER_STATE, GONE, TERMINAL_STATES, ContainerState
from ..records.gpu_leases import GpuLeases
from ..records.job_record import JobIdentity, JobRecord, RecordStore
from ..runtime.base import ContainerSummary, FoundImage, Runtime
from ..settings import JobSettings
from ..tracking.state_tracker import StateTracker
from ..tracking.tracked_job import CleanUpDelayedError, JobHooks, TrackedJob
from .image_puller import ImagePuller
from .job_recovery import JobRecovery
from .job_secrets import JobSecrets

logger = logging.getLogger(__name__)

LOG_MODE = 0o640
CLEAN_UP_TIMEOUT = 10.0
"""Seconds that a launch waits for an ended job of the same name to be out of the way."""
FOLLOWER_PATIENCE = 5.0
"""Seconds that an ended container stays for who follows its output."""
LAST_LOOK_TIMEOUT = 2.0
"""Seconds to see how a container ended whose start failed, before it is removed."""
_RETRY_INTERVAL = 0.5
_STARTED = frozenset({DOCKER_STATE.RUNNING, *TERMINAL_STATES})
_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk that are nobody's fault, and may pass."""


@dataclass(frozen=True, slots=True)
class Loans:
    """Where a job gets what it must give back."""

    gpus: GpuLeases | None = None
    """None: jobs get none."""
    secrets: JobSecrets | None = None


@dataclass(frozen=True, slots=True)
class KeeperListener:
    """Whom a keeper tells."""

    on_change: Callable[[JobStateChange], None]
    on_engine: Callable[[bool, str], None]
    on_recovered: Callable[[TrackedJob], None]
    on_pull: Callable[[ImagePullProgress], None]


@dataclass(slots=True)
class _Launch:
    """A launch that is under way."""

    job: TrackedJob
    asked: bool = False
    """The engine was asked to create the container, and may have done so."""
    starting: bool = False
    """Nobody can call it back any more; what runs can be ended."""


class JobKeeper:
    """Launches and keeps the jobs of one launcher. All methods may be called from any thread.

    Args:
        who: the site's and the launcher's name.
        runtime: where jobs run.
        store: the site's records; None where jobs need not be found again.
        log_path: returns where the output of a job is kept, None for nowhere.
        settings: how the site wants its jobs kept.
        loans: where jobs get GPUs and secrets.
        listener: whom the keeper tells.
        end_of: returns how an ended job ended, by its id, from what the runtime says of that.
    """

    def __init__(
        self,
        who: tuple[str, str],
        runtime: Runtime,
        store: RecordStore | None,
        log_path: Callable[[str], Path | None],
        settings: JobSettings,
        loans: Loans,
        listener: KeeperListener,
        end_of: Callable[[str, ContainerState], ContainerState],
    ) -> None:
        self._site, self._launcher = who
        self.runtime = runtime
        self._store = store if store and runtime.remembers else None
        self.log_path = log_path
        self._settings = settings
        self._loans = loans
        self._listener = listener
        self._end_of = end_of
        self._jobs: dict[str, TrackedJob] = {}
        """By nonce, from the launch until all is cleaned up."""
        self._recovery = self._make_recovery()
        self.tracker = StateTracker(
            runtime,
            listener.on_engine,
            self._on_unknown,
            settings,
            self._site,
        )
        self._puller = ImagePuller(runtime, settings.pull, self._tell_of_pull, self._site)
        self._launching: dict[str, _Launch] = {}
        self._has_answered = False
        self._lock = threading.Lock()

    def launch(
        self,
        job_id: str,
        spec: ContainerSpec,
        prepare: Callable[[], None],
        confirm: Callable[[], None],
        gpus: int = 0,
    ) -> TrackedJob:
        """Create, track and start a job's container, with so many GPUs of its own.

        ``prepare`` is called first, when nothing of an earlier job is in the way any more; ``confirm`` last, before the
        start. Raises JobLaunchError; then there is no container, or (OutcomeUnknownError) none that will stay.
        """
        who = JobIdentity(job_id, self._site, spec.name, nonce=secrets.token_hex(8))
        job = TrackedJob(who, self._hooks(job_id))
        with self._launch_of(job) as launch:
            self._wait_for_clean_up_of(spec.name)
            prepare()
            self._record(job)
            self._jobs[who.nonce] = job
            image = self._image(job, spec)
            spec = self._with_secrets(job, self._with_gpus(job, spec, gpus))
            with _hiding(job.hooks.secrets):
                job.place(self._create(launch, self._labelled(spec, who, image)))
                self._note(job, container_id=job.identity.container_id)
                self.tracker.watch(job)
                confirm()
                self._begin_start(launch)
                self._start(job)
        return job

    def abort_launch(self, job_id: str, by: str) -> bool:
        """Call a launch back; False if there is none, or it is too late. Then what runs can be ended."""
        with self._lock:
            launch = self._launching.get(job_id)
            if launch is None or launch.starting:
                return False
            launch.job.request_end(by, time.time())
        self._puller.wake()
        return True

    def recover(self) -> None:
        """Take over the jobs of dead processes of this site. Asks no engine before it returns.

        Each is told to the listener first, then followed: its missing state changes come as the engine answers.
        """
        if self._recovery:
            self._recovery.take_over(self.tracker)

    def close(self) -> None:
        """Let go of the runtime and of the records; jobs go on. Idempotent."""
        self._puller.close()
        self.tracker.close()
        self.runtime.close()
        for job in list(self._jobs.values()):
            if job.hooks.lock:
                job.hooks.lock.let_go()
        if self._store:
            self._store.close()

    def _make_recovery(self) -> JobRecovery | None:
        if not self._store:
            return None
        on_recovered = self._listener.on_recovered
        return JobRecovery(self._launcher, self._store, self._jobs, self._hooks, on_recovered, self._settings)

    def _on_unknown(self, summaries: list[ContainerSummary]) -> None:
        if self._recovery:
            self._recovery.deal_with(summaries, self.runtime, self.tracker)

    # Launching

    @contextmanager
    def _launch_of(self, job: TrackedJob) -> Iterator[_Launch]:
        launch = _Launch(job)
        with self._lock:
            if self._launching.setdefault(job.identity.job_id, launch) is not launch:
                raise NameInUseError(f"job {job.identity.job_id} is being launched already")
        try:
            yield launch
        except BaseException as error:
            self._give_up(launch, error)
            raise
        finally:
            with self._lock:
                del self._launching[job.identity.job_id]

    def _wait_for_clean_up_of(self, name: str) -> None:
        """Let an ended job of the same name be cleaned up first: its container and its files are in the way."""
        for job in list(self._jobs.values()):
            if job.identity.container_name == name and job.result:
                job.wait_for_clean_up(CLEAN_UP_TIMEOUT)

    def _record(self, job: TrackedJob) -> None:
        """Write down what is about to be done."""
        if self._store is None:
            return
        who = job.identity
        try:
            self._store.open()
            record = self._store.add(self._launcher, who, stop_grace=self._settings.stop_grace)
        except OSError as error:
            raise JobLaunchError(
                f"job {who.job_id}: the site cannot write down that it launches it: {error}"
            ) from error
        job.hooks = replace(job.hooks, record=record)

    def _with_gpus(self, job: TrackedJob, spec: ContainerSpec, count: int) -> ContainerSpec:
        """Lease GPUs to a job: as long as there is its record, or until it is dropped where it has none."""
        if not count:
            return spec
        record = job.hooks.record
        if self._loans.gpus is None or (self.runtime.remembers and not record):
            raise JobLaunchError(f"job {job.identity.job_id}: a site without a workspace cannot lease GPUs")
        lease = self._loans.gpus.take(count, job.identity, record.path if record else None)
        job.hooks = replace(job.hooks, lock=lease.lock)
        inherited = (lease.lock.descriptor,) if lease.lock else ()
        return replace(spec, gpu_ids=lease.gpu_ids, inherited=inherited)

    def _with_secrets(self, job: TrackedJob, spec: ContainerSpec) -> ContainerSpec:
        """Make the files of a job's secrets. Its record is there, so that whatever happens they are found again."""
        if self._loans.secrets:
            try:
                spec = self._loans.secrets.give(spec, job.identity.nonce)
            except JobLaunchError as error:
                raise JobLaunchError(f"job {job.identity.job_id}: {error}") from error
        job.hooks = replace(job.hooks, secrets=spec.secret_values())
        return spec

    def _take_secrets_back(self, job: TrackedJob) -> None:
        if self._loans.secrets:
            self._loans.secrets.take_back(job.identity.nonce)

    def _labelled(self, spec: ContainerSpec, who: JobIdentity, image: FoundImage) -> ContainerSpec:
        """Return what the engine is asked for: an image by its id, so that it is the one that was looked at."""
        ours = {LABEL_NONCE: who.nonce, LABEL_IMAGE: spec.image}
        return replace(spec, image=image.id, labels=spec.labels | ours | self._labels_of_site())

    def _labels_of_site(self) -> dict[str, str]:
        store = self._store
        site_id, parent_id, folder = (store.site_id, store.parent_id, str(store.folder)) if store else ("", "", "")
        return {LABEL_SITE_ID: site_id, LABEL_PARENT: parent_id, LABEL_STATE_DIR: folder}

    def _image(self, job: TrackedJob, spec: ContainerSpec) -> FoundImage:
        """Have the image there, if the site's config lets it be pulled, and return which one it is."""
        found = self._found_image(job, spec.image)
        if found is None:
            raise ImageError(f"image {spec.image} is not there; pull or build it first, or set 'pull_policy'")
        if spec.image_digests and found.digests.isdisjoint(spec.image_digests):
            listed = " or ".join(spec.image_digests)
            raise ImageError(f"image {spec.image} is {found.id}, not {listed} as the site's list says ('images')")
        return found

    def _found_image(self, job: TrackedJob, image: str) -> FoundImage | None:
        give_up_at: float | None = None
        while True:
            try:
                self._puller.ensure(image, lambda: job.end_request is not None)
                _raise_if_aborted(job)
                return self.runtime.find_image(image)
            except RuntimeUnavailableError:
                give_up_at = give_up_at or time.monotonic() + self._settings.launch_patience
                if not self._has_answered or time.monotonic() > give_up_at:
                    raise
                job.wait_for_end_request(_RETRY_INTERVAL)

    def _tell_of_pull(self, progress: ImagePullProgress) -> None:
        self.tracker.tell(partial(self._listener.on_pull, progress))

    def _create(self, launch: _Launch, spec: ContainerSpec) -> str:
        """Create the container and return its id. One that an unanswered request has made is found by its nonce."""
        give_up_at = time.monotonic() + self._settings.launch_patience
        while True:
            _raise_if_aborted(launch.job)
            # a name that is in use now may be held by the unanswered request, which is still at work
            passing = (RuntimeUnavailableError, NameInUseError) if launch.asked else (RuntimeUnavailableError,)
            try:
                return self._create_once(launch, spec)
            except passing as error:
                if not self._has_answered or time.monotonic() > give_up_at:
                    raise (_outcome_unknown(launch.job, error) if launch.asked else error) from error
            launch.job.wait_for_end_request(_RETRY_INTERVAL)

    def _create_once(self, launch: _Launch, spec: ContainerSpec) -> str:
        asked_before, launch.asked = launch.asked, True
        try:
            container_id = self.runtime.create(spec)
        except NameInUseError:
            found = self._find(launch.job.identity.nonce) if asked_before else None
            if found is None:
                raise
            container_id = found
        except RuntimeUnavailableError as error:
            launch.asked = asked_before or error.reached
            raise
        self._has_answered = True
        return container_id

    def _find(self, nonce: str) -> str | None:
        """Return the container that an unanswered request has made, when all of the engine knows it."""
        for found in self.runtime.list_containers():
            if found.nonce == nonce and self.runtime.inspect(found.id) != GONE:
                return found.id
        return None

    def _begin_start(self, launch: _Launch) -> None:
        launch.job.heed_noted_end()
        with self._lock:
            _raise_if_aborted(launch.job)
            launch.starting = True

    def _start(self, job: TrackedJob) -> None:
        try:
            self._start_process(job)
        except RuntimeUnavailableError:
            raise
        except JobLaunchError:
            self.tracker.poke(job)
            with suppress(RuntimeUnavailableError):
                job.wait(LAST_LOOK_TIMEOUT)  # let its end be seen before it is removed
            _raise_if_aborted(job)
            raise
        self.tracker.poke(job)
        timeout = self._settings.start_timeout
        if timeout is not None and not job.enter_states(_STARTED, timeout):
            late = f"did not run within {timeout:g} s ('timeout')"
            job.request_end(f"the launcher: it {late}", time.time(), delivered=True)  # for it is removed now
            raise JobStartError(f"{job.identity}: {late}")

    def _start_process(self, job: TrackedJob) -> None:
        """Start the process, once: a request that may have got to the engine is never repeated."""
        give_up_at = time.monotonic() + self._settings.launch_patience
        while True:
            try:
                self.runtime.start(job.identity.container_id)
            except RuntimeUnavailableError as error:
                if error.reached:
                    self._see_whether_it_started(job, error)
                elif time.monotonic() < give_up_at and not job.wait_for_end_request(_RETRY_INTERVAL):
                    continue
                else:
                    raise
            return

    def _see_whether_it_started(self, job: TrackedJob, error: RuntimeUnavailableError) -> None:
        self.tracker.poke(job)
        if not job.enter_states(_STARTED, self._settings.launch_patience):
            raise _outcome_unknown(job, error)
        if job.result and DOCKER_STATE.RUNNING not in job.entered:
            raise JobStartError(f"{job.identity}: {job.result.error}")

    def _give_up(self, launch: _Launch, error: BaseException) -> None:
        """Leave nothing of a launch that failed; what cannot be done now is done when the engine answers."""
        job = launch.job
        self._take_secrets_back(job)
        refused = isinstance(error, JobLaunchError) and not isinstance(error, OutcomeUnknownError)
        if not job.identity.container_id and (refused or not launch.asked):
            self._drop(job)
            if job.hooks.record:
                job.hooks.record.forget()
            return
        by = error.by if isinstance(error, JobAbortedError) else f"the launcher, on {error!r}"[:200]
        job.request_end(by, time.time(), delivered=True)  # whatever it did, it is not what was asked for
        if not job.identity.container_id:
            self.tracker.expect(job)
            return
        try:
            self.runtime.remove(job.identity.container_id)
            self.tracker.poke(job)
        except FLCoreError as problem:
            logger.warning("%s: will be removed when that is possible: %s", job.identity, problem)
            self.tracker.end(job)

    # Cleaning up

    def _hooks(self, job_id: str, record: JobRecord | None = None, end_unstarted: str = "") -> JobHooks:
        return JobHooks(
            on_change=self._listener.on_change,
            clean_up=partial(self._clean_up, self.log_path(job_id)),
            record=record,
            settings=self._settings,
            end_unstarted=end_unstarted,
            end_of=partial(self._end_of, job_id),
        )

    def _clean_up(self, log_path: Path | None, job: TrackedJob) -> None:
        """Keep an ended job's output, write its end down, then remove its container. May be done twice."""
        self._take_secrets_back(job)
        if job.identity.container_id:
            if not job.output_is_kept:
                self._keep_output(log_path, job)
            if not self._settings.keep:
                self.runtime.remove(job.identity.container_id)
        self._drop(job)

    def _drop(self, job: TrackedJob) -> None:
        self._jobs.pop(job.identity.nonce, None)
        if job.hooks.lock:
            job.hooks.lock.end()

    def _keep_output(self, log_path: Path | None, job: TrackedJob) -> None:
        job.wait_for_followers(FOLLOWER_PATIENCE)
        try:
            if log_path:
                with closing(open_private(log_path.parent)) as folder:
                    write_new(log_path.name, folder, self.runtime.logs(job.identity.container_id), LOG_MODE)
        except OSError as error:
            if error.errno in _PASSING:
                raise CleanUpDelayedError(f"its output cannot be kept: {error}") from error
            # the job may have done it: it must not keep its container by that
            logger.warning("%s: its output cannot be kept: %s", job.identity, error)
        if job.hooks.record:
            try:
                job.hooks.record.note(durable=True, kept=True, **job.final_fields())
            except OSError as error:
                raise CleanUpDelayedError(f"its result cannot be written down: {error}") from error
        job.output_is_kept = True

    def _note(self, job: TrackedJob, **fields: Any) -> None:
        """Write down what it is good to know, though all could be found out without it."""
        if job.hooks.record:
            try:
                job.hooks.record.note(**fields)
            except OSError as error:
                logger.warning("%s: its record cannot be written: %s", job.identity, error)


@contextmanager
def _hiding(secrets: tuple[str, ...]) -> Iterator[None]:
    """Have no error show a secret, be it in an engine's own words, or in what led to it."""
    try:
        yield
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        if hidden(told, secrets) == told:
            raise
        error.args = tuple(hidden(arg, secrets) if isinstance(arg, str) else arg for arg in error.args)
        error.__context__ = None
        raise error from None


def _raise_if_aborted(job: TrackedJob) -> None:
    if job.end_request:
        by = job.end_request.by
        raise JobAbortedError(f"job {job.identity.job_id}: its launch was ended on the request of {by}", by)


def _outcome_unknown(job: TrackedJob, error: JobLaunchError) -> OutcomeUnknownError:
    unknown = "whether it runs is unknown; if its container appears, it is removed"
    return OutcomeUnknownError(f"job {job.identity.job_id}: {unknown}: {error}")
