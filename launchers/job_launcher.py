"""What all launchers do: volunteer, check the job, create, track, start, and tell the other components."""

from __future__ import annotations

import shlex
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flcore.errors import FLCoreError, JobLaunchError, JobStartError, RuntimeUnavailableError
from flcore.event_type import EventType
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import Check, JobArgs, JobLauncherSpec, JobStateChange, add_launcher
from flcore.job_meta import JobMeta, get_job_id
from flcore.workspace import write_new

from . import site_args
from .container_spec import LABEL_JOB_ID, LABEL_LAUNCHER, LABEL_SITE, ContainerSpec, Mount
from .docker_state import DOCKER_STATE
from .job_command import CLIENT_ARGS, SERVER_ARGS, credentials, job_command
from .job_handle import CLEAN_UP_TIMEOUT, STOP_GRACE, ContainerJobHandle, Tracking
from .job_policy import JobRequest, SitePolicy, container_name, resolve
from .runtime.base import Runtime
from .state_tracker import JobIdentity, StateTracker, TrackedJob

LAST_LOOK_TIMEOUT = 2.0
"""Seconds to see how a container ended whose start failed, before it is removed."""
LOG_MODE = 0o640


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What one launch will do."""

    request: JobRequest
    spec: ContainerSpec
    folder: Path | None
    """The job's own folder on this host."""
    log_path: Path | None
    """Where its output is kept after its end."""


class JobLauncher(JobLauncherSpec):
    """Base of all launchers; a subclass says in what runtime, and by :meth:`get_command` what to run.

    Everything here comes from the site's config, which is trusted. Making a launcher touches no engine, socket or
    disk. Raises ValueError for a wrong argument.

    Args:
        timeout: seconds a container may take to run; None is for ever. Also ``enter_states``'s own default.
        image: for jobs that name none.
        images: globs of the images that a job may name.
        env: variables for every job.
        job_env_prefixes: what the variables that a job asks for may begin with.
        datasets: ``name -> path`` of the site's data; a job sees each read-only, at the path in its variable
            ``FLCORE_DATASET_<NAME>``.
        limits: the most a job may ask for: ``{"num_of_cpus", "memory", "shm_size"}``.
        defaults: what a job gets that does not ask; the limits where they do not say either.
        stop_grace: seconds from the request to end to the kill.
        keep: leave ended containers where they are.
        runtime: where to run, for tests; by default the launcher makes its own.
    """

    mode = ""
    """The key of this kind of launcher in a job's ``launcher_spec``."""
    uses_images = True
    """Whether jobs run in images; where not, an image that a job names is meant for other sites."""
    service_host = "127.0.0.1"
    """The address on which a server's job listens if its arguments do not say."""
    network = ""
    """The network that jobs join; none where a runtime has no networks."""
    python = "python3"
    """The interpreter of a job's process."""

    def __init__(
        self,
        *,
        timeout: float | None = None,
        image: str | None = None,
        images: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        job_env_prefixes: Sequence[str] = (),
        datasets: Mapping[str, str] | None = None,
        limits: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        stop_grace: float = STOP_GRACE,
        keep: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__()
        self.timeout = None if timeout is None else site_args.seconds("timeout", timeout)
        self.policy = SitePolicy(
            image=None if image is None else site_args.text("image", image),
            images=site_args.texts("images", images) if self.uses_images else None,
            job_env_prefixes=site_args.texts("job_env_prefixes", job_env_prefixes),
            limits=site_args.resources("limits", limits or {}),
            defaults=site_args.resources("defaults", defaults or {}),
        )
        self.env = site_args.text_map("env", env or {})
        self.datasets = site_args.datasets("datasets", datasets or {})
        self.stop_grace = site_args.seconds("stop_grace", stop_grace)
        self.keep = site_args.flag("keep", keep)
        self._runtime = runtime
        self._tracker: StateTracker | None = None
        self._engine: Any = None
        self._jobs: dict[str, TrackedJob] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        """Return the container's name and the launch command.

        The command is split as a shell would split it, and run without a shell.
        """

    @abstractmethod
    def make_runtime(self) -> Runtime:
        """Return the runtime of this launcher's jobs. Called once, at the first launch."""

    @abstractmethod
    def place(self, path: str, fl_ctx: FLContext) -> str:
        """Return where a job sees a path of the site's workspace."""

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:  # noqa: ARG002 - for subclasses
        """Whether to volunteer for a job. What it asks for is checked later, so that a refusal has its reason."""
        return True

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Volunteer before a launch; let go of the runtime at the system's end."""
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            if self.can_launch(fl_ctx.get_prop(FLContextKey.JOB_META), fl_ctx):
                add_launcher(self, fl_ctx)
        elif event_type == EventType.SYSTEM_END:
            self.close()

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> ContainerJobHandle:
        """Check the job, create its container, track and start it, and return its handle.

        Raises JobLaunchError; then there is no container.
        """
        plan = self.plan(job_meta, fl_ctx)
        engine = fl_ctx.get_engine()
        runtime, tracker = self._open(engine)
        self._wait_for_clean_up_of(plan.spec.name)
        self._prepare(plan)
        container_id = runtime.create(plan.spec)
        who = JobIdentity(plan.request.job_id, fl_ctx.get_identity_name(), plan.spec.name, container_id)
        clean_up = partial(self._clean_up, runtime, plan.log_path)
        job = self._jobs[plan.spec.name] = TrackedJob(who, partial(self._fire_state_change, engine), clean_up)
        try:
            tracker.watch(job)
            self._start(runtime, tracker, job)
            return self._handle(Tracking(job, tracker, runtime), plan)
        except BaseException as error:
            job.request_end(f"the launcher, on {type(error).__name__}", time.time())
            self._give_up(runtime, tracker, job)
            raise

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        """Return what :meth:`launch_job` would do. Touches nothing. Raises JobRejectedError or JobLaunchError."""
        site = fl_ctx.get_identity_name()
        request = resolve(job_meta, site, self.policy, self.mode)
        name, command = self.get_command(job_meta, fl_ctx)
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        folder = Path(workspace.get_run_dir(request.job_id)) if workspace else None
        spec = ContainerSpec(
            name=container_name(name),
            image=request.image or "",
            command=_split(request.job_id, command),
            environment=self._environment(request, fl_ctx),
            working_dir=self.place(str(folder), fl_ctx) if folder else "/",
            mounts=self._mounts(folder, fl_ctx),
            labels={LABEL_SITE: site, LABEL_JOB_ID: request.job_id, LABEL_LAUNCHER: self.name},
            cpus=request.resources.num_of_cpus,
            memory=request.resources.memory,
            shm_size=request.resources.shm_size,
        )
        return LaunchPlan(request, self.complete(spec), folder, folder and folder / f"{site}.log")

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        """Return the spec with what only this kind of launcher knows."""
        return spec

    def check(self) -> Iterable[Check]:
        """Say whether the runtime, the image, the network and the datasets are there."""
        yield from self._open(None)[0].check(self.policy.image, self.network)
        sources = ((name, self._dataset_source(name)) for name in self.datasets)
        yield from (Check(f"dataset {name}", source.exists(), str(source)) for name, source in sources)

    def close(self) -> None:
        """Let go of the runtime; jobs go on. Idempotent."""
        with self._lock:
            tracker, self._tracker = self._tracker, None
        if tracker and self._runtime:
            tracker.close()
            self._runtime.close()

    def client_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a client's job process, by the context's JOB_PROCESS_ARGS."""
        return self._command(fl_ctx, _job_args(fl_ctx), CLIENT_ARGS)

    def server_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a server's job process, by the context's JOB_PROCESS_ARGS."""
        listen = {JobProcessArgs.SERVICE_HOST: ("--host", self.service_host)}
        return self._command(fl_ctx, listen | dict(_job_args(fl_ctx)), SERVER_ARGS)

    def dataset_path(self, name: str) -> str:
        """Return where a job sees a dataset."""
        return str(self._dataset_source(name))

    def _dataset_source(self, name: str) -> Path:
        return Path(self.datasets[name]).resolve()

    def _command(self, fl_ctx: FLContext, job_args: JobArgs, names: tuple[str, ...]) -> str:
        return shlex.join(job_command(self.python, job_args, names, lambda path: self.place(path, fl_ctx)))

    def _environment(self, request: JobRequest, fl_ctx: FLContext) -> dict[str, str]:
        """Return the job's variables: its own first, then the site's, then ours, so that ours win."""
        ours = {site_args.dataset_variable(name): self.dataset_path(name) for name in self.datasets}
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if workspace:
            ours["PYTHONPATH"] = self.place(workspace.get_app_custom_dir(request.job_id), fl_ctx)
        return {**request.env, **self.env, **ours, **credentials(_job_args(fl_ctx))}

    def _mounts(self, folder: Path | None, fl_ctx: FLContext) -> tuple[Mount, ...]:
        own = [Mount(str(folder), self.place(str(folder), fl_ctx), read_only=False)] if folder else []
        data = [Mount(str(self._dataset_source(name)), self.dataset_path(name)) for name in self.datasets]
        return (*own, *data)

    def _wait_for_clean_up_of(self, name: str) -> None:
        """Let an ended job of the same name be cleaned up first: its container and its files are in the way."""
        job = self._jobs.get(name)
        if job and job.result:
            job.wait_for_clean_up(CLEAN_UP_TIMEOUT)

    def _prepare(self, plan: LaunchPlan) -> None:
        """Make the job's folder, and check the datasets: an engine's own words about them are hard to read."""
        for name in self.datasets:
            if not self._dataset_source(name).exists():
                missing = f"the dataset {name} is not there: {self._dataset_source(name)}"
                raise JobLaunchError(f"job {plan.request.job_id}: {missing}")
        if plan.folder:
            try:
                plan.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JobLaunchError(f"job {plan.request.job_id}: its folder cannot be made: {error}") from error

    def _open(self, engine: Any) -> tuple[Runtime, StateTracker]:
        with self._lock:
            self._engine = engine or self._engine
            if self._runtime is None:
                self._runtime = self.make_runtime()
            if self._tracker is None:
                self._tracker = StateTracker(self._runtime, self._fire_engine_event)
            return self._runtime, self._tracker

    def _start(self, runtime: Runtime, tracker: StateTracker, job: TrackedJob) -> None:
        try:
            runtime.start(job.identity.container_id)
        except RuntimeUnavailableError:
            raise
        except JobLaunchError:
            tracker.poke(job)
            with suppress(RuntimeUnavailableError):
                job.wait(LAST_LOOK_TIMEOUT)  # let its end be seen before it is removed
            raise
        tracker.poke(job)
        if self.timeout is not None and not job.enter_states({DOCKER_STATE.RUNNING}, self.timeout):
            late = f"did not run within {self.timeout:g} s"
            job.request_end(f"the launcher: it {late}", time.time())
            raise JobStartError(f"{job.identity}: {late}")

    def _give_up(self, runtime: Runtime, tracker: StateTracker, job: TrackedJob) -> None:
        """Leave nothing of a launch that failed."""
        try:
            runtime.remove(job.identity.container_id)
            tracker.poke(job)
        except FLCoreError as error:
            self.logger.warning("%s: could not be removed after its start had failed: %s", job.identity, error)

    def _clean_up(self, runtime: Runtime, log_path: Path | None, job: TrackedJob) -> None:
        """Keep an ended job's output, then remove its container."""
        try:
            if log_path:
                write_new(log_path, runtime.logs(job.identity.container_id), LOG_MODE)
        except OSError as error:  # the job may have done it: it must not keep its container by that
            self.logger.warning("%s: its output cannot be kept: %s", job.identity, error)
        if not self.keep:
            runtime.remove(job.identity.container_id)
        if self._jobs.get(job.identity.container_name) is job:
            del self._jobs[job.identity.container_name]

    def _handle(self, tracking: Tracking, plan: LaunchPlan) -> ContainerJobHandle:
        return ContainerJobHandle(tracking, self.timeout, self.stop_grace, plan.log_path)

    def _fire_state_change(self, engine: Any, change: JobStateChange) -> None:
        if engine is None:
            return
        fl_ctx = engine.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_RUN, change.job_id, private=False, sticky=False)
        self.fire_event_with_data(EventType.JOB_STATE_CHANGED, fl_ctx, FLContextKey.JOB_STATE_CHANGE, change)

    def _fire_engine_event(self, reachable: bool, reason: str) -> None:
        event_type = EventType.ENGINE_REACHABLE if reachable else EventType.ENGINE_UNREACHABLE
        if self._engine is not None:
            self.fire_event_with_data(event_type, self._engine.new_context(), FLContextKey.EVENT_DATA, reason)


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


def _job_args(fl_ctx: FLContext) -> JobArgs:
    job_args: JobArgs = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
    return job_args


def _split(job_id: str, command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise JobLaunchError(f"job {job_id}: its launch command cannot be split into words: {error}") from error
    if not words:
        raise JobLaunchError(f"job {job_id}: its launch command is empty")
    return words
