"""What all launchers do: volunteer, check the job, create, track, start, and tell the other components."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flcore.disk.presence import is_there
from flcore.errors import JobLaunchError, RuntimeUnavailableError
from flcore.event_type import EventType
from flcore.fl_constant import FLContextKey
from flcore.fl_context import FLContext
from flcore.forks import OwnProcess
from flcore.job_launcher_spec import Check, LauncherFigures, LaunchRequest, add_launcher
from flcore.job_meta import JobMeta, get_job_id
from flcore.launch import Launch
from flcore.launcher_choice import tell_plan
from flcore.workspace import STATE_DIR, check_run_dir

from .container_spec import ContainerSpec
from .docker_state import ContainerState
from .job_events import JobEvents
from .job_handle import ContainerJobHandle, Tracking
from .keeping.job_folder import JobFolder
from .keeping.job_keeper import JobKeeper
from .keeping.job_secrets import JobSecrets
from .keeping.loans import Loans
from .keeping.own_users import OwnUsers
from .keeping.site_data import check_data, check_disk
from .keeping.site_engine import checked_engine, checked_images, checked_of_studies
from .keeping.site_gpus import SiteGpus
from .launch_plan import LaunchPlan, LaunchPlanner
from .policy.job_network import name_of_shared
from .policy.launch_origins import SiteKeys
from .records.job_record import RecordStore, check_records
from .runtime.base import FoundImage, Runtime
from .runtime.engine_traits import UNASKED, EngineTraits
from .settings import NEVER
from .tracking.tracked_job import TrackedJob

__all__ = ["ClientJobLauncher", "JobLauncher", "ServerJobLauncher"]


class JobLauncher(LaunchPlanner):
    """Base of all launchers; a subclass says in what runtime, and by
    :meth:`~launchers.launch_plan.LaunchPlanner.get_command` what to run.

    Making a launcher touches no engine, socket or disk. Raises ValueError for wrong arguments, with a line for each.

    Args:
        runtime: where to run, for tests; by default the launcher makes its own.
        kwargs: see :class:`launchers.launch_plan.LaunchPlanner`.
    """

    deploys = True
    tells_plan = True
    require: Collection[str] = ()
    """What the engine must have, of ``launchers.runtime.engine_traits.TRAITS``."""
    own_users: OwnUsers | None = None
    """The users of whom each job has one of its own; None where all have the same."""

    def __init__(self, *, runtime: Runtime | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._runtime = runtime
        self._keeper: JobKeeper | None = None
        self._events = JobEvents(self, self.job_context, self._handle_of)
        self._must_recover = False
        """It could not be done at the start."""
        self._system_has_ended = False
        self._process = OwnProcess(self)  # it gets its name only in its site
        self._lock = threading.Lock()

    # What a subclass may change: hooks.

    @abstractmethod
    def make_runtime(self) -> Runtime:
        """Return the runtime of this launcher's jobs. Called once, when it is first needed."""

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:  # noqa: ARG002 - for subclasses
        """Whether to volunteer for a job. What it asks for is checked later, so that a refusal has its reason."""
        return True

    def note_site(self, fl_ctx: FLContext) -> None:
        """Take note of what only a context of the site tells. Called before each launch and recovery. Idempotent."""

    def make_secrets(self) -> JobSecrets:
        """Return what shows the secrets to jobs."""
        return JobSecrets(self.secrets_dir)

    def check_engine(self, engine: EngineTraits) -> None:
        """Raise JobLaunchError if no job of this site may, or can, run on such an engine. Touches nothing."""
        if missing := engine.missing(self.require):
            way_out = "have its host give it that, name another engine, or insist on less"
            raise JobLaunchError(
                f"{engine} has no {', '.join(missing)}, on which this site insists ('require'): {way_out}"
            )

    def fit(self, plan: LaunchPlan, engine: EngineTraits) -> LaunchPlan:
        """Return a plan with what depends on the engine. Touches nothing."""
        return replace(plan, engine=engine)

    def check_folder(self, job_meta: JobMeta, folder: Path, fl_ctx: FLContext) -> None:  # noqa: ARG002 - for subclasses
        """Raise JobLaunchError if what would be a job's folder is not one: whoever has called the launcher."""
        check_run_dir(job_meta, folder)

    def prepare(self, plan: LaunchPlan, folder: JobFolder) -> None:
        """Make the job's folder, and check the datasets: an engine's own words about them are hard to read.

        Called when nothing of an earlier run is in the way any more, before the engine is asked for anything. Raises
        JobLaunchError.
        """
        if self.own_users:
            self.own_users.check_right(plan.engine)
        for name, dataset in plan.datasets.items():
            if not is_there(Path(dataset.source)):
                missing = f"the dataset {name} is not there: {dataset.source}"
                raise JobLaunchError(f"job {plan.request.job_id}: {missing}")
        folder.make(None if self.own_users else plan.spec.host_user)

    def make_handle(self, tracking: Tracking, log_path: Path | None) -> ContainerJobHandle:
        """Return the handle of a job, new or recovered."""
        return ContainerJobHandle(tracking, self.job_settings.start_timeout, log_path)

    def end_of(self, log_path: Path | None, seen: ContainerState) -> ContainerState:  # noqa: ARG002 - for subclasses
        """Return how an ended job ended, from what the runtime says of that; the output goes to ``log_path``."""
        return seen

    def job_context(self, engine: Any, job_id: str) -> FLContext:
        """Return a fresh context of a job, in which its events are fired."""
        fl_ctx: FLContext = engine.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
        return fl_ctx

    # What a site calls.

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Find earlier jobs again at the system's start, volunteer before a launch, let go at the system's end.

        Logs at the start what the engine lacks on which the site insists; no launch will get further.
        """
        if event_type == EventType.SYSTEM_START:
            self._system_has_ended = False
            self._recover_jobs(fl_ctx)
            if self.job_settings.pull.ahead:
                self.open_keeper(fl_ctx).pull_ahead()
            if self.require:
                self._tell_if_none_can_run(fl_ctx)
        elif event_type == EventType.BEFORE_JOB_LAUNCH:
            if self._must_recover:
                self._recover_jobs(fl_ctx)
            if self.can_launch(fl_ctx.get_prop(FLContextKey.JOB_META), fl_ctx):
                add_launcher(self, fl_ctx)
        elif event_type == EventType.SYSTEM_END:
            self._system_has_ended = True  # first: a launch that comes now begins nothing that nobody would end
            self.close()

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> ContainerJobHandle:
        """Check the job, create its container, track and start it, and return its handle.

        Raises JobLaunchError; then there is no container. Where the engine does not answer, that is an
        OutcomeUnknownError if it may have made one, which is removed as soon as it answers.
        """
        plan = self.plan(job_meta, fl_ctx)  # once, and first: who is refused has touched nothing
        if plan.folder:
            self.check_folder(job_meta, plan.folder, fl_ctx)
        plan.tell_passed_over()
        keeper = self.open_keeper(fl_ctx)
        job_id = plan.request.job_id
        launch = Launch.of(fl_ctx, job_id)
        with JobFolder(job_id, plan.folder) as folder:

            def prepare(engine: EngineTraits) -> ContainerSpec:
                nonlocal plan
                plan = self._fitted(plan, engine)
                self.prepare(plan, folder)
                return plan.spec

            def tell(image: FoundImage) -> None:
                nonlocal plan
                plan = replace(plan, image_id=image.id)
                tell_plan(self, job_id, fl_ctx, partial(self._describe, plan))

            make_handle = partial(_confirmed, folder, partial(self._handle, keeper))
            steps = prepare, tell, partial(_deploy, launch, folder), make_handle
            handle = keeper.launch(launch, plan.spec, *steps, plan.gpus)
        fl_ctx.set_prop(FLContextKey.LAUNCH_REQUEST, partial(self._describe, plan), private=True, sticky=False)
        return handle

    def tell_ahead(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> None:
        """Have all components hear what :meth:`launch_job` would launch. Raises what one has refused it by.

        Or JobLaunchError: put off while the image is pulled, which is to be known. Nothing is launched.
        """
        plan, keeper = self.plan(job_meta, fl_ctx), self.open_keeper(fl_ctx)
        plan = replace(self._fitted(plan, keeper.runtime.traits()), image_id=keeper.launchpad.image_ahead(plan.spec).id)
        tell_plan(self, plan.request.job_id, fl_ctx, partial(self._describe, plan))

    def describe_launch(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchRequest:
        """Return what :meth:`launch_job` would ask the runtime for. Asks the engine what it is, and the image's id."""
        plan, runtime = self.plan(job_meta, fl_ctx), self.get_runtime()
        try:
            engine, found = runtime.traits(), runtime.find_image(plan.spec.image)
        except RuntimeUnavailableError:
            return self._describe(self.fit(plan, UNASKED))
        return self._describe(self._fitted(plan, engine), found.id if found else "")

    def abort_launch(self, job_id: str, by: str) -> bool:
        """Have a launch that is under way raise JobAbortedError; False if it is too late for that, or there is none."""
        self._process.check()
        keeper = self._keeper
        return keeper is not None and keeper.abort_launch(job_id, by)

    def figures(self) -> LauncherFigures | None:
        """Return figures of the launcher's own work; None before its first job, and after the site's end."""
        keeper = self._keeper
        return keeper.tracker.figures() if keeper else None

    def ask_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Have a call made in some seconds, that may wait for a disk; after the site's end it is not.

        Raises RuntimeUnavailableError before the first job, and after the site's end.
        """
        keeper = self._keeper
        if keeper is None:
            raise RuntimeUnavailableError(f"{self}: the site is closed", reached=False)
        keeper.tracker.ask_later(seconds, call)

    def check(self, fl_ctx: FLContext | None = None) -> Iterable[Check]:
        """Say whether the runtime, image, network, datasets and secrets are there, who has which GPU, what is bad."""
        runtime, pulls = self.get_runtime(), self.job_settings.pull
        yield from runtime.check(self.policy.image if pulls.policy == NEVER else None, name_of_shared(self.network))
        engine = UNASKED
        with suppress(RuntimeUnavailableError):  # which has just been told
            engine = runtime.traits()
            if pulls.policy != NEVER:
                images = [self.policy.image, *self.policy.study_images()]
                yield from checked_images(runtime, images, pulls.ahead)
            yield from checked_engine(self.check_engine, engine)
            yield from checked_of_studies(runtime, self.policy, with_images=pulls.policy == NEVER)
        yield from check_data(self.policy, self.make_secrets())
        state_dir = _state_dir(fl_ctx) if fl_ctx else None
        yield from check_disk(self.policy, self.beside_the_folder(), state_dir and state_dir.parent)
        leases = self._gpus().leases(state_dir) if self.gpu_ids else None
        if leases:
            yield leases.check()
        if self.own_users:
            yield self.own_users.check(engine)
        if state_dir:
            yield from check_records(state_dir)

    def _tell_if_none_can_run(self, fl_ctx: FLContext) -> None:
        try:
            self.check_engine(self.get_runtime().traits())
        except RuntimeUnavailableError:
            pass  # which any launch tells
        except JobLaunchError as error:
            self.log_error(fl_ctx, f"{self.name} launches no job: {error}")

    def open_keeper(self, fl_ctx: FLContext) -> JobKeeper:
        """Return the keeper of this launcher's jobs, made for the first context's site. Idempotent, until closed.

        Raises RuntimeUnavailableError between the system's end and its next start.
        """
        self.note_site(fl_ctx)
        runtime = self.get_runtime()
        with self._lock:
            if self._system_has_ended:
                raise RuntimeUnavailableError(f"{self}: the site is closed", reached=False)
            self._events.engine = fl_ctx.get_engine() or self._events.engine  # a site that starts anew may have another
            self._keeper = self._keeper or self._make_keeper(runtime, fl_ctx)
            return self._keeper

    def close(self) -> None:
        """Let go of the runtime; jobs go on. Idempotent. In a fork of the launcher's process, nothing is done."""
        if self._process.is_another:
            return
        with self._lock:
            keeper, self._keeper = self._keeper, None
            runtime = self._runtime
        if keeper:
            keeper.close()
        elif runtime:
            runtime.close()
        self._process.let_go()

    def __str__(self) -> str:
        return f"launcher {self.name}"

    def get_runtime(self) -> Runtime:
        """Return where jobs run, made when it is first needed."""
        self._process.claim()
        with self._lock:
            self._runtime = self._runtime or self.make_runtime()
            return self._runtime

    def _fitted(self, plan: LaunchPlan, engine: EngineTraits) -> LaunchPlan:
        """Return a plan as it is for an engine that has answered. Raises JobLaunchError."""
        try:
            self.check_engine(engine)
        except JobLaunchError as error:
            raise JobLaunchError(f"job {plan.request.job_id}: {error}") from error
        return self.fit(plan, engine)

    def _describe(self, plan: LaunchPlan, image: str = "") -> LaunchRequest:
        keys = SiteKeys(self.given, self.policy.within(plan.request.study), self.env)
        return plan.describe(self.get_runtime(), self.make_secrets(), keys, image)

    def _gpus(self) -> SiteGpus:
        return SiteGpus(self.gpu_ids, self.gpu_lease_dir, self.get_runtime)

    def _make_keeper(self, runtime: Runtime, fl_ctx: FLContext) -> JobKeeper:
        state_dir, log_path = _state_dir(fl_ctx), _log_paths(fl_ctx)
        return JobKeeper(
            (fl_ctx.get_identity_name(), self.name),
            runtime,
            RecordStore(state_dir) if state_dir else None,
            log_path,
            self.job_settings,
            Loans(self.make_secrets(), self._gpus().leases(state_dir), self.own_users),
            self._events,
            end_of=lambda job_id, seen: self.end_of(log_path(job_id), seen),
        )

    def _handle_of(self, job: TrackedJob) -> ContainerJobHandle | None:
        keeper = self._keeper
        return self._handle(keeper, job) if keeper else None

    def _handle(self, keeper: JobKeeper, job: TrackedJob) -> ContainerJobHandle:
        tracking = Tracking(job, keeper.tracker, keeper.runtime)
        return self.make_handle(tracking, keeper.log_path(job.identity.job_id))

    def _recover_jobs(self, fl_ctx: FLContext) -> None:
        """Find again the jobs of an earlier process. A site that has launched none asks no engine for them."""
        state_dir = _state_dir(fl_ctx)
        if state_dir and RecordStore(state_dir).exists:
            try:
                self.open_keeper(fl_ctx).recover()
            except RuntimeUnavailableError as error:
                later = "the jobs of earlier processes are found again before the next launch, or at the next start"
                self.log_error(fl_ctx, f"{later}: {error}")
                self._must_recover = True
            else:
                self._must_recover = False


class ClientJobLauncher(JobLauncher):
    """What every client's launcher runs. To be inherited before the launcher of a runtime."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        """Return ``<site>-<job id>`` and the command of a client's job process."""
        return f"{fl_ctx.get_identity_name()}-{get_job_id(job_meta)}", self.client_command(fl_ctx)


class ServerJobLauncher(JobLauncher):
    """What every server's launcher runs. To be inherited before the launcher of a runtime."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        """Return ``server-<job id>`` and the command of the server's job process."""
        return f"server-{get_job_id(job_meta)}", self.server_command(fl_ctx)


def _deploy(launch: Launch, folder: JobFolder, user: str) -> None:
    """Put a job's files into its folder, as late as can be: nothing but the start may fail any more."""
    folder.confirm()
    folder.lift_quota()
    if launch.deploy() or folder.must_be_given:
        folder.give(user)
        folder.confirm()


def _confirmed(
    folder: JobFolder, make_handle: Callable[[TrackedJob], ContainerJobHandle], job: TrackedJob
) -> ContainerJobHandle:
    """Return the handle of what was started. Raises JobLaunchError if it may see another folder than was looked at."""
    folder.confirm()
    return make_handle(job)


def _state_dir(fl_ctx: FLContext) -> Path | None:
    """Return where the site remembers its jobs; None for a context without a workspace."""
    workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    return Path(workspace.get_root_dir(), STATE_DIR) if workspace else None


def _log_paths(fl_ctx: FLContext) -> Callable[[str], Path | None]:
    """Return where a job's output is kept, as a function of its id."""
    workspace, site = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT), fl_ctx.get_identity_name()
    return lambda job_id: Path(workspace.get_run_dir(job_id), f"{site}.log") if workspace else None
