"""The jobs of one launcher: launched, recorded, cleaned up, and found again after this process's death."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flcore.disk.os_errors import in_words
from flcore.errors import JobLaunchError, NameInUseError
from flcore.event_ids import EventId
from flcore.job_launcher_spec import ImagePullProgress, JobHandleSpec, JobStateChange
from flcore.launch import Launch

from ..container_spec import (
    LABEL_IMAGE,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
    LABEL_STUDY,
    ContainerSpec,
    hidden,
)
from ..docker_state import ContainerState
from ..records.end_marks import EndMarks
from ..records.job_record import JobIdentity, JobRecord, RecordStore
from ..records.known_engines import EngineNote
from ..records.known_job import known_disk
from ..runtime.base import ContainerSummary, FoundImage, Runtime, whereabouts_of
from ..runtime.engine_traits import EngineTraits
from ..settings import JobSettings
from ..tracking.job_disk import JobDisk
from ..tracking.state_tracker import StateTracker
from ..tracking.tracked_job import CleanUpDelayedError, JobHooks, TrackedJob
from .ended_job import keep_output, take_folder_back
from .image_puller import ImagePuller
from .job_quota import end_in_folder, held_to_limit, lift_quota
from .job_recovery import JobRecovery
from .launch_steps import Launchpad, LaunchSteps
from .loans import OWN_NETWORK, Loans
from .user_names import UserNames

logger = logging.getLogger(__name__)

Handle = TypeVar("Handle", bound=JobHandleSpec)

SAME_NAME_TIMEOUT = 10.0
"""Seconds that a launch waits for an ended job of the same name to be out of the way."""


class KeeperListener(Protocol):
    """Whom a keeper tells; it may take its time. Calls come one after the other, but for those of recovered jobs."""

    def job_changed(self, change: JobStateChange) -> None:
        """A job's container has entered another state."""

    def job_recovered(self, job: TrackedJob) -> None:
        """A job of a dead process was found again; nothing else was told of it before."""

    def engine_changed(self, reachable: bool, reason: str) -> None:
        """The engine does not answer any more, or answers again."""

    def pull_went_on(self, progress: ImagePullProgress) -> None:
        """An image is being pulled."""


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
        self._engine_note = EngineNote(self._site, self._store.folder) if self._store else None
        self._names = UserNames(self._store.folder / "images") if self._store else None
        self._loans = loans
        self._listener = listener
        self._end_of = end_of
        self._jobs: dict[str, TrackedJob] = {}
        """By nonce, from the launch until all is cleaned up."""
        self._recovery = self._make_recovery()
        self.tracker = StateTracker(
            runtime,
            listener.engine_changed,
            self._on_unknown,
            settings,
            self._site,
            EndMarks(self._store.folder) if self._store else None,
        )
        # It tells by the tracker's notifier, so that a slow component delays no pull and hears all in one order.
        puller = ImagePuller(runtime, settings.pull, self._tell_of_pull, self._site)
        self.launchpad = Launchpad(runtime, self.tracker, puller, settings)
        self._launching: dict[str, Launch] = {}
        """By job id."""
        self._lock = threading.Lock()

    def launch(
        self,
        launch: Launch,
        spec: ContainerSpec,
        prepare: Callable[[EngineTraits], ContainerSpec],
        tell_plan: Callable[[FoundImage], None],
        confirm: Callable[[str], None],
        make_handle: Callable[[TrackedJob], Handle],
        gpus: int = 0,
    ) -> Handle:
        """Create, track and start a job's container, with so many GPUs of its own, and return its handle.

        ``prepare`` is called first, when nothing of an earlier job is in the way any more, and says what this engine is
        to be asked for; ``tell_plan`` when that and the image are known, and nothing is lent or made yet; ``confirm``
        last before the start, with the job's user on the host; ``make_handle`` after it.
        Raises JobLaunchError; then there is no container, or (OutcomeUnknownError) none that will stay.
        """
        study = spec.labels.get(LABEL_STUDY, "")
        who = JobIdentity(launch.job_id, self._site, spec.name, nonce=secrets.token_hex(8), study=study)
        job = TrackedJob(who, self._hooks(who.job_id, disk=spec.disk))
        with self._under_way(launch, job) as steps:
            self._wait_for_clean_up_of(spec.name)
            engine = steps.ask_what_it_is()
            spec = prepare(engine)
            # On disk before the engine is asked for anything: a kill from here on forgets nothing.
            self._record(job, spec)
            self._jobs[who.nonce] = job
            image = steps.find_image(spec)
            tell_plan(image)
            spec = self._loans.lend(job, self._labelled(spec, who, image), engine, gpus, self.runtime)
            with _hiding(job.hooks.secrets):
                spec = steps.patiently(partial(self._loans.lend_network, job, spec, self.runtime))
                self._create(steps, job, spec)
                job.note(container_id=job.identity.container_id)
                self.tracker.watch_unstarted(job)  # before the start, so that no end is too quick to be seen
                confirm(spec.host_user)
                with held_to_limit(job):
                    steps.start()
                    handle = make_handle(job)
                launch.note_handle(handle)
        return handle

    def _create(self, steps: LaunchSteps, job: TrackedJob, spec: ContainerSpec) -> None:
        """Create a job's container, in which its user has a name."""
        names, record = self._names, job.hooks.record
        steps.create(names.named(spec, record) if names else spec)
        if names and names.lacks(spec, job.identity.container_id, self.runtime):
            steps.create_anew(names.named(spec, record))

    def abort_launch(self, job_id: str, by: str) -> bool:
        """Call a launch back; False if there is none, or it is too late. Then what runs can be ended."""
        with self._lock:
            launch = self._launching.get(job_id)
        return launch is not None and launch.request_end(by)

    def job_ids(self) -> frozenset[str]:
        """Return the jobs that are being launched, or run, or have left something that is still to be cleaned up."""
        kept = [job.identity.job_id for job in list(self._jobs.values())]
        return frozenset((*kept, *list(self._launching)))

    def reserve_gpus(self, job_id: str, count: int) -> None:
        """Keep so many GPUs for a job until it is launched, which takes them, or they are given back.

        Once more for the same job: in place of what was kept for it. They are free as soon as this process is dead.
        Raises NoGpuError if too few are free, JobRejectedError if the site has fewer, or JobLaunchError.
        """
        self._loans.reserve_gpus(JobIdentity(job_id, self._site, "", nonce=secrets.token_hex(8)), count)

    def give_back_gpus(self, job_id: str) -> None:
        """Keep none for a job any more. What it has been launched with is its own. Idempotent."""
        self._loans.give_back_gpus(job_id)

    def count_gpus(self) -> tuple[int, int]:
        """Return how many GPUs the site has, and how many are free. Raises JobLaunchError if it cannot be found out."""
        return self._loans.count_gpus()

    def recover(self) -> None:
        """Take over the jobs of dead processes of this site. Asks no engine before it returns.

        Each is told to the listener first, then followed: its missing state changes come as the engine answers.
        """
        if self._recovery:
            self._recovery.take_over(self.tracker)

    def pull_ahead(self) -> None:
        """Begin to pull what the site wants to have there before any job does. Asks no engine before it returns."""
        self.launchpad.puller.begin(self._settings.pull.ahead)

    def close(self) -> None:
        """Let go of the runtime and of the records; jobs go on. Idempotent."""
        with ExitStack() as stack:  # done from the last to the first, each even if one before it raises
            if self._store:
                stack.callback(self._store.close)
            stack.callback(self._let_go_of_locks)
            stack.callback(self.runtime.close)
            stack.callback(self.tracker.close)
            stack.callback(self.launchpad.puller.close)  # whoever waits for an image gives its launch up, and is done

    def _let_go_of_locks(self) -> None:
        for job in list(self._jobs.values()):
            if job.hooks.lock:  # the job's own process has inherited it, and holds it as long as it lives
                job.hooks.lock.let_go()

    def _make_recovery(self) -> JobRecovery | None:
        if not self._store:
            return None
        on_recovered = self._listener.job_recovered
        return JobRecovery(self._launcher, self._store, self._jobs, self._hooks_of_found, on_recovered, self._settings)

    def _on_unknown(self, summaries: list[ContainerSummary]) -> bool:
        return self._recovery is not None and self._recovery.deal_with(summaries, self.runtime, self.tracker)

    # Launching

    @contextmanager
    def _under_way(self, launch: Launch, job: TrackedJob) -> Iterator[LaunchSteps]:
        """Have a launch be known while it is under way, and leave nothing of it if it fails."""
        steps = LaunchSteps(self.launchpad, launch, job)
        with self._lock:
            if launch.job_id in self._launching:
                raise NameInUseError(f"job {launch.job_id} is being launched already")
            self._launching[launch.job_id] = launch
        try:
            launch.on_end_request(partial(self._call_back, launch, job))  # called at once, if somebody was faster
            yield steps
        except BaseException as error:  # an interrupt, too, must leave nothing behind
            self._give_up(launch, job, steps, error)
            if isinstance(error, OSError):  # no step should let one out; none of them is for who launches to know
                raise JobLaunchError(f"job {launch.job_id}: it cannot be launched: {error}") from error
            raise
        finally:
            with self._lock:
                del self._launching[launch.job_id]

    def _give_up(self, launch: Launch, job: TrackedJob, steps: LaunchSteps, error: BaseException) -> None:
        has_loans, record = not self._loans.take_back(job, self.runtime), job.hooks.record
        if record:  # first: who sees to what is left may be another process, which tells of it, too
            launch.end_id = str(EventId.of_one_event())
            job.note_end_id(launch.end_id)
        if not steps.give_up(error, has_loans):
            return
        self._drop(job)
        if record:
            if steps.may_have_made:
                record.keep()
            if not record.forget():
                steps.note_end(error)

    def _call_back(self, launch: Launch, job: TrackedJob) -> None:
        """Write down who has asked for a launch's end, in case this process does not live to give it up."""
        self.launchpad.puller.wake()
        job.request_end(launch.ended_by, time.time())

    def _wait_for_clean_up_of(self, name: str) -> None:
        """Let an ended job of the same name be cleaned up first: its container and its files are in the way."""
        for job in list(self._jobs.values()):
            if job.identity.container_name == name and job.result:
                job.wait_for_clean_up(SAME_NAME_TIMEOUT)

    def _record(self, job: TrackedJob, spec: ContainerSpec) -> None:
        """Write down what is about to be done."""
        if self._store is None:
            return
        who, engine = job.identity, whereabouts_of(self.runtime).engine
        try:
            self._store.open()
            if engine and self._engine_note:
                self._engine_note.make(engine)
            more: dict[str, Any] = {"engine": engine.as_args()} if engine else {}
            if job.hooks.disk:
                more["disk"] = job.hooks.disk.limit
            more[OWN_NETWORK] = spec.own_network is not None
            record = self._store.add(self._launcher, who, stop_grace=self._settings.stop_grace, **more)
        except OSError as error:
            raise JobLaunchError(
                f"job {who.job_id}: the site cannot write down that it launches it: {in_words(error)}"
            ) from error
        job.hooks = replace(job.hooks, record=record)

    def _labelled(self, spec: ContainerSpec, who: JobIdentity, image: FoundImage) -> ContainerSpec:
        """Return what the engine is asked for: an image by its id, so that it is the one that was looked at."""
        ours = {LABEL_NONCE: who.nonce, LABEL_IMAGE: spec.image}
        return replace(spec, image=image.id, labels=spec.labels | ours | self._labels_of_site())

    def _labels_of_site(self) -> dict[str, str]:
        store = self._store
        site_id, parent_id, folder = (store.site_id, store.parent_id, str(store.folder)) if store else ("", "", "")
        return {LABEL_SITE_ID: site_id, LABEL_PARENT: parent_id, LABEL_STATE_DIR: folder}

    def _tell_of_pull(self, progress: ImagePullProgress) -> None:
        self.tracker.tell(partial(self._listener.pull_went_on, progress))

    # Cleaning up

    def _hooks_of_found(self, job_id: str, record: JobRecord | None, end_unstarted: str) -> JobHooks:
        disk = known_disk(record.fields) if record else None
        return self._hooks(job_id, record, end_unstarted, self._settings.disk if disk is None else disk)

    def _hooks(
        self, job_id: str, record: JobRecord | None = None, end_unstarted: str = "", disk: int | None = None
    ) -> JobHooks:
        log_path = self.log_path(job_id)
        return JobHooks(
            on_change=self._listener.job_changed,
            clean_up=partial(self._clean_up, log_path),
            disk=JobDisk(log_path.parent, disk) if log_path and disk else None,
            record=record,
            has_own_network=record.fields.get(OWN_NETWORK) if record else False,
            settings=self._settings,
            end_unstarted=end_unstarted,
            end_of=partial(end_in_folder, log_path, partial(self._end_of, job_id)),
        )

    def _clean_up(self, log_path: Path | None, job: TrackedJob) -> None:
        """Keep an ended job's output, write its end down, then remove its container. May be done twice."""
        if not self._loans.take_secrets_back(job):
            raise CleanUpDelayedError("its secrets cannot be removed")
        if not self._runs_again(job):
            lift_quota(log_path)  # first: the output is kept there, however full it is
        if job.identity.container_id:
            keep_output(job, self.runtime, log_path)
            if not self._settings.keep:  # last, and only when the rest is on the disk: the engine forgets all of it
                self.runtime.remove(job.identity.container_id)
            take_folder_back(job, self.runtime, self._loans, log_path)  # before its user can become another job's
        self._loans.take_network_back(job, self.runtime)
        if job.hooks.record and (self._settings.keep or not job.identity.container_id):
            job.hooks.record.keep()  # of what was asked for and is not there yet, too: an engine may be very late
        self._drop(job)

    def _runs_again(self, job: TrackedJob) -> bool:
        """Whether there is another run of a job's id, which has its folder now."""
        runs = list(self._jobs.values())
        return any(one is not job and one.identity.job_id == job.identity.job_id for one in runs)

    def _drop(self, job: TrackedJob) -> None:
        self._jobs.pop(job.identity.nonce, None)
        if job.hooks.lock:
            job.hooks.lock.end()


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
