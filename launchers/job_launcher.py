"""What all launchers do: volunteer, check the job, create, track, start, and tell the other components."""

from __future__ import annotations

import inspect
import shlex
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from flcore.config.problems import Problems
from flcore.errors import JobLaunchError, RuntimeUnavailableError
from flcore.event_type import EventType
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import (
    Check,
    ImagePullProgress,
    JobArgs,
    JobLauncherSpec,
    JobStateChange,
    LauncherFigures,
    LaunchRequest,
    add_launcher,
)
from flcore.job_meta import JobMeta, get_job_id
from flcore.workspace import STATE_DIR

from .container_spec import (
    LABEL_IMAGE,
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
    ContainerSpec,
    Mount,
)
from .docker_state import ContainerState
from .job_handle import ContainerJobHandle, Tracking
from .keeping.job_folder import JobFolder
from .keeping.job_keeper import JobKeeper, KeeperListener, Loans
from .keeping.job_secrets import JobSecrets
from .policy import site_args
from .policy.argv_limits import check_words, split
from .policy.gpu_ids import ALL_GPUS
from .policy.job_command import CLIENT_ARGS, SERVER_ARGS, credentials, job_command
from .policy.job_policy import JobRequest, SitePolicy, check_policy, container_name, resolve
from .policy.launch_origins import AT_LAUNCH, SiteKeys, masked, origins
from .records.gpu_leases import GpuLeases
from .records.job_record import RecordStore
from .runtime.base import Runtime
from .settings import ADOPT, ORPHAN_POLICIES, STOP_GRACE, JobSettings
from .tracking.tracked_job import TrackedJob


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What one launch will do."""

    request: JobRequest
    spec: ContainerSpec
    folder: Path | None
    """The job's own folder on this host."""


class JobLauncher(JobLauncherSpec):
    """Base of all launchers; a subclass says in what runtime, and by :meth:`get_command` what to run.

    Everything here comes from the site's config, which is trusted. Making a launcher touches no engine, socket or
    disk. Raises ValueError for wrong arguments, with a line for each.

    Args:
        timeout: seconds a container may take to run; None is for ever. Also ``enter_states``'s own default.
        image: for jobs that name none.
        images: the images that a job may name: names whose parts may be globs, as in ``registry.example.com/team/*``.
            One without a tag allows every tag; one with a digest holds what it covers to that digest.
        env: variables for every job.
        job_env_prefixes: what the variables that a job asks for may begin with.
        datasets: ``name -> path`` of the site's data; a job sees each read-only, at the path in its variable
            ``FLCORE_DATASET_<NAME>``.
        secrets: ``name -> {"file": path}`` or ``{"env": variable of the site's process}``; each job can read each as a
            file in memory, at the path in its variable ``FLCORE_SECRET_<NAME>``. With ``"to_env": variable`` also that
            variable holds it, which whoever may use the engine can see.
        limits: the most a job may ask for: ``{"num_of_cpus", "memory", "shm_size",
            "num_of_gpus"}``.
        defaults: what a job gets that does not ask; the limits where they do not say either, and no GPU.
        gpu_ids: the GPUs that jobs may have: a list of UUIDs (``"GPU-…"``, as ``nvidia-smi -L`` says; better, as an
            index may change) or of indices, or ``"all"`` that can be found, which are no MIG devices. Each is leased to
            one job at a time.
        gpu_memory: what each of them has, as ``"80Gi"``: a job that asks for more (``mem_per_gpu_in_GiB``) is refused.
        gpu_lease_dir: a folder that all sites of this host share which have the same GPUs; by default ``.flcore/gpus``
            in the site's workspace, for a site that shares them with none.
        stop_grace: seconds from the request to end to the kill.
        run_timeout: seconds a job may run, and
        idle_timeout: seconds it may write nothing, before the site ends it; None is for ever.
        log_max_size: how much output the runtime keeps in one file, as ``"10Mi"``, before it begins the next, and
        log_max_files: how many of them; what is older is lost. A process's output is never cut.
        orphans: what to do with a container of this site that it has no record of: ``adopt`` it (track it and clean
            up after it), ``stop`` it, or ``ignore`` it.
        keep: leave ended containers where they are.
        runtime: where to run, for tests; by default the launcher makes its own.
    """

    given: frozenset[str]
    """The arguments that it was made with."""
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
    secrets_dir = "/dev/shm"  # noqa: S108 - nothing is made there by a name that can be guessed
    """Where the secrets of jobs' containers are made."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note which arguments are given, to tell apart what a site has set and what is a default."""
        launcher = super().__new__(cls)
        named = inspect.signature(cls.__init__).bind_partial(launcher, *args, **kwargs).arguments
        launcher.given = frozenset({*named, *kwargs})
        return launcher

    def __init__(
        self,
        *,
        timeout: float | None = None,
        image: str | None = None,
        images: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        job_env_prefixes: Sequence[str] = (),
        datasets: Mapping[str, str] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        limits: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        gpu_ids: Sequence[str] = (),
        gpu_memory: int | str | None = None,
        gpu_lease_dir: str | None = None,
        stop_grace: float = STOP_GRACE,
        run_timeout: float | None = None,
        idle_timeout: float | None = None,
        log_max_size: int | str = "10Mi",
        log_max_files: int = 3,
        orphans: str = ADOPT,
        keep: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self.gpu_ids = checked(site_args.gpu_ids, "gpu_ids", gpu_ids) or ()
        self.policy = SitePolicy(
            image=None if image is None else checked(site_args.text, "image", image),
            images=checked(site_args.image_rules, "images", images) if self.uses_images else None,
            job_env_prefixes=checked(site_args.texts, "job_env_prefixes", job_env_prefixes),
            limits=checked(site_args.resources, "limits", limits or {}),
            defaults=checked(site_args.resources, "defaults", defaults or {}),
            gpus=None if self.gpu_ids == ALL_GPUS else len(self.gpu_ids),
            gpu_memory=None if gpu_memory is None else checked(site_args.size, "gpu_memory", gpu_memory),
        )
        self.gpu_lease_dir = gpu_lease_dir and checked(site_args.absolute_path, "gpu_lease_dir", gpu_lease_dir)
        self.env = checked(site_args.text_map, "env", env or {})
        self.datasets = checked(site_args.datasets, "datasets", datasets or {})
        self.secrets = checked(site_args.secrets, "secrets", {} if secrets is None else secrets, self.env)
        self.settings = JobSettings(
            start_timeout=None if timeout is None else checked(site_args.seconds, "timeout", timeout),
            run_timeout=checked(site_args.optional_seconds, "run_timeout", run_timeout),
            idle_timeout=checked(site_args.optional_seconds, "idle_timeout", idle_timeout),
            stop_grace=checked(site_args.seconds, "stop_grace", stop_grace),
            keep=checked(site_args.flag, "keep", keep),
            orphans=checked(site_args.one_of, "orphans", orphans, ORPHAN_POLICIES),
        )
        self.log_max_size = checked(site_args.size, "log_max_size", log_max_size)
        self.log_max_files = checked(site_args.count, "log_max_files", log_max_files)
        problems.raise_all(ValueError)
        check_policy(self.policy)
        self._runtime = runtime
        self._keeper: JobKeeper | None = None
        self._engine: Any = None
        self._lock = threading.Lock()

    @abstractmethod
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        """Return the container's name and the launch command.

        The command is split as a shell would split it, and run without a shell.
        """

    @abstractmethod
    def make_runtime(self) -> Runtime:
        """Return the runtime of this launcher's jobs. Called once, at the first launch."""

    def make_secrets(self) -> JobSecrets:
        """Return what shows the secrets to jobs."""
        return JobSecrets(self.secrets, self.secrets_dir)

    @abstractmethod
    def place(self, path: str, fl_ctx: FLContext) -> str:
        """Return where a job sees a path of the site's workspace."""

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:  # noqa: ARG002 - for subclasses
        """Whether to volunteer for a job. What it asks for is checked later, so that a refusal has its reason."""
        return True

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Find earlier jobs again at the system's start, volunteer before a launch, let go at the system's end."""
        if event_type == EventType.SYSTEM_START:
            self._recover_jobs(fl_ctx)
        elif event_type == EventType.BEFORE_JOB_LAUNCH:
            if self.can_launch(fl_ctx.get_prop(FLContextKey.JOB_META), fl_ctx):
                add_launcher(self, fl_ctx)
        elif event_type == EventType.SYSTEM_END:
            self.close()

    def check_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> None:
        """Raise what :meth:`plan` raises."""
        self.plan(job_meta, fl_ctx)

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> ContainerJobHandle:
        """Check the job, create its container, track and start it, and return its handle.

        Raises JobLaunchError; then there is no container. Where the engine does not answer, that is an
        OutcomeUnknownError if it may have made one, which is removed as soon as it answers.
        """
        plan = self.plan(job_meta, fl_ctx)
        keeper = self._open(fl_ctx)
        request = plan.request
        gpus = request.resources.num_of_gpus or 0
        with closing(JobFolder(request.job_id, plan.folder, plan.spec.user)) as folder:
            steps = partial(self._prepare, plan, folder), folder.confirm
            job = keeper.launch(request.job_id, plan.spec, *steps, gpus)
        asked = partial(self._launch_request, plan, plan.spec.image)
        fl_ctx.set_prop(FLContextKey.LAUNCH_REQUEST, asked, private=True, sticky=False)
        return self._handle(keeper, job)

    def describe_launch(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchRequest:
        """Return what :meth:`launch_job` would ask the runtime for. Asks the engine only for the image's id."""
        plan = self.plan(job_meta, fl_ctx)
        found = None
        with suppress(RuntimeUnavailableError):
            found = self._get_runtime().find_image(plan.spec.image)
        return self._launch_request(plan, found.id if found else plan.spec.image)

    def abort_launch(self, job_id: str, by: str) -> bool:
        """Have a launch that is under way raise JobAbortedError; False if it is too late for that, or there is none."""
        keeper = self._keeper
        return keeper is not None and keeper.abort_launch(job_id, by)

    def figures(self) -> LauncherFigures | None:
        """Return figures of the launcher's own work; None before its first job, and after the site's end."""
        keeper = self._keeper
        return keeper.tracker.figures() if keeper else None

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
            image_digests=request.image_digests,
            command=_split(request.job_id, command),
            environment=self._environment(request, fl_ctx),
            secret_variables=frozenset(credentials(self.job_args(fl_ctx))),
            working_dir=self.place(str(folder), fl_ctx) if folder else "/",
            mounts=self._mounts(folder, fl_ctx),
            labels={LABEL_SITE: site, LABEL_JOB_ID: request.job_id, LABEL_LAUNCHER: self.name},
            cpus=request.resources.num_of_cpus,
            memory=request.resources.memory,
            shm_size=request.resources.shm_size,
            log_max_size=self.log_max_size,
            log_max_files=self.log_max_files,
        )
        return LaunchPlan(request, self.complete(spec), folder)

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        """Return the spec with what only this kind of launcher knows."""
        return spec

    def end_of(self, log_path: Path | None, seen: ContainerState) -> ContainerState:  # noqa: ARG002 - for subclasses
        """Return how an ended job ended, from what the runtime says of that; the output goes to ``log_path``."""
        return seen

    def check(self, fl_ctx: FLContext | None = None) -> Iterable[Check]:
        """Say whether the runtime, image, network, datasets and secrets are there, and who has which GPU."""
        yield from self._get_runtime().check(self.policy.image, self.network)
        sources = ((name, self._dataset_source(name)) for name in self.datasets)
        yield from (Check(f"dataset {name}", source.exists(), str(source)) for name, source in sources)
        yield from self.make_secrets().check()
        leases = self._gpu_leases(_state_dir(fl_ctx) if fl_ctx else None) if self.gpu_ids else None
        if leases:
            yield leases.check()

    def close(self) -> None:
        """Let go of the runtime; jobs go on. Idempotent."""
        with self._lock:
            keeper, self._keeper = self._keeper, None
            runtime = self._runtime
        if keeper:
            keeper.close()
        elif runtime:
            runtime.close()

    def client_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a client's job process, by the context's JOB_PROCESS_ARGS."""
        return self._command(fl_ctx, self.job_args(fl_ctx), CLIENT_ARGS)

    def server_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a server's job process, by the context's JOB_PROCESS_ARGS."""
        listen = {JobProcessArgs.SERVICE_HOST: ("--host", self.service_host)}
        return self._command(fl_ctx, listen | dict(self.job_args(fl_ctx)), SERVER_ARGS)

    def job_args(self, fl_ctx: FLContext) -> JobArgs:
        """Return the arguments of the job's process: the context's JOB_PROCESS_ARGS."""
        job_args: JobArgs = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
        return job_args

    def dataset_path(self, name: str) -> str:
        """Return where a job sees a dataset."""
        return str(self._dataset_source(name))

    def _dataset_source(self, name: str) -> Path:
        return Path(self.datasets[name]).resolve()

    def _command(self, fl_ctx: FLContext, job_args: JobArgs, names: tuple[str, ...]) -> str:
        with _about(fl_ctx.get_job_id()):
            return shlex.join(job_command(self.python, job_args, names, lambda path: self.place(path, fl_ctx)))

    def _environment(self, request: JobRequest, fl_ctx: FLContext) -> dict[str, str]:
        """Return the job's variables: its own first, then the site's, then ours, so that ours win."""
        ours = {site_args.dataset_variable(name): self.dataset_path(name) for name in self.datasets}
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if workspace:
            ours["PYTHONPATH"] = self.place(workspace.get_app_custom_dir(request.job_id), fl_ctx)
        with _about(request.job_id):
            variables = {**request.env, **self.env, **ours, **credentials(self.job_args(fl_ctx))}
            check_words(f"{name}={value}" for name, value in variables.items())
        return variables

    def _mounts(self, folder: Path | None, fl_ctx: FLContext) -> tuple[Mount, ...]:
        own = [Mount(str(folder), self.place(str(folder), fl_ctx), read_only=False)] if folder else []
        data = [Mount(str(self._dataset_source(name)), self.dataset_path(name)) for name in self.datasets]
        return (*own, *data)

    def _prepare(self, plan: LaunchPlan, folder: JobFolder) -> None:
        """Make the job's folder, and check the datasets: an engine's own words about them are hard to read."""
        for name in self.datasets:
            if not self._dataset_source(name).exists():
                missing = f"the dataset {name} is not there: {self._dataset_source(name)}"
                raise JobLaunchError(f"job {plan.request.job_id}: {missing}")
        folder.make()

    def _launch_request(self, plan: LaunchPlan, image: str) -> LaunchRequest:
        """Return what the runtime is asked for; ``image`` is what it makes the container from."""
        runtime = self._get_runtime()
        labels = dict.fromkeys((LABEL_NONCE, LABEL_SITE_ID, LABEL_PARENT, LABEL_STATE_DIR), AT_LAUNCH)
        labels = plan.spec.labels | labels | {LABEL_IMAGE: plan.spec.image}
        spec = replace(plan.spec, image=image, labels=labels)
        spec = replace(spec, gpu_ids=(AT_LAUNCH,) * (plan.request.resources.num_of_gpus or 0))
        spec = self.make_secrets().describe(spec, AT_LAUNCH)
        body = runtime.describe(masked(spec))
        keys = SiteKeys(self.given, self.policy, self.env, self.secrets)
        return LaunchRequest(runtime.address(plan.spec.name), body, origins(body, plan.request, keys))

    def _get_runtime(self) -> Runtime:
        with self._lock:
            self._runtime = self._runtime or self.make_runtime()
            return self._runtime

    def _gpu_leases(self, state_dir: Path | None) -> GpuLeases | None:
        """Return where GPUs are leased: None for a context without a workspace, unless the site's config says where."""
        folder = Path(self.gpu_lease_dir) if self.gpu_lease_dir else state_dir and state_dir / "gpus"
        return GpuLeases(folder, self._find_gpus) if folder else None

    def _find_gpus(self) -> Sequence[str]:
        if self.gpu_ids != ALL_GPUS:
            return self.gpu_ids
        runtime = self._get_runtime()
        found = runtime.find_gpus()
        if not found:
            raise JobLaunchError(f"neither nvidia-smi nor {runtime.name} names any GPU; list them in 'gpu_ids'")
        return found

    def _open(self, fl_ctx: FLContext) -> JobKeeper:
        """Return the keeper of this launcher's jobs, made for the first context's site."""
        runtime = self._get_runtime()
        with self._lock:
            self._engine = fl_ctx.get_engine() or self._engine
            self._keeper = self._keeper or self._make_keeper(runtime, fl_ctx)
            return self._keeper

    def _make_keeper(self, runtime: Runtime, fl_ctx: FLContext) -> JobKeeper:
        site, state_dir = fl_ctx.get_identity_name(), _state_dir(fl_ctx)
        log_path = _log_paths(fl_ctx)
        listener = KeeperListener(
            self._fire_state_change, self._fire_engine_event, self._fire_recovered, self._fire_pull_progress
        )
        store = RecordStore(state_dir) if state_dir else None
        return JobKeeper(
            (site, self.name),
            runtime,
            store,
            log_path,
            self.settings,
            Loans(self._gpu_leases(state_dir), self.make_secrets()),
            listener,
            end_of=lambda job_id, seen: self.end_of(log_path(job_id), seen),
        )

    def _recover_jobs(self, fl_ctx: FLContext) -> None:
        """Find again the jobs of an earlier process. A site that has launched none asks no engine for them."""
        state_dir = _state_dir(fl_ctx)
        if state_dir and RecordStore(state_dir).exists:
            self._open(fl_ctx).recover()

    def _handle(self, keeper: JobKeeper, job: TrackedJob) -> ContainerJobHandle:
        tracking = Tracking(job, keeper.tracker, keeper.runtime)
        return self.make_handle(tracking, keeper.log_path(job.identity.job_id))

    def make_handle(self, tracking: Tracking, log_path: Path | None) -> ContainerJobHandle:
        """Return the handle of a job, new or recovered."""
        return ContainerJobHandle(tracking, self.settings.start_timeout, log_path)

    def _fire_recovered(self, job: TrackedJob) -> None:
        keeper = self._keeper
        if self._engine is not None and keeper:
            fl_ctx = self._context_of(job.identity.job_id)
            handle = self._handle(keeper, job)
            self.fire_event_with_data(EventType.JOB_RECOVERED, fl_ctx, FLContextKey.JOB_HANDLE, handle)

    def _fire_state_change(self, change: JobStateChange) -> None:
        if self._engine is not None:
            fl_ctx = self._context_of(change.job_id)
            self.fire_event_with_data(EventType.JOB_STATE_CHANGED, fl_ctx, FLContextKey.JOB_STATE_CHANGE, change)

    def _fire_engine_event(self, reachable: bool, reason: str) -> None:
        event_type = EventType.ENGINE_REACHABLE if reachable else EventType.ENGINE_UNREACHABLE
        if self._engine is not None:
            self.fire_event_with_data(event_type, self._engine.new_context(), FLContextKey.EVENT_DATA, reason)

    def _fire_pull_progress(self, progress: ImagePullProgress) -> None:
        if self._engine is not None:
            event_type, key = EventType.IMAGE_PULL_PROGRESS, FLContextKey.IMAGE_PULL_PROGRESS
            self.fire_event_with_data(event_type, self._engine.new_context(), key, progress)

    def _context_of(self, job_id: str) -> FLContext:
        fl_ctx: FLContext = self._engine.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
        return fl_ctx


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


def _split(job_id: str, command: str) -> tuple[str, ...]:
    with _about(f"{job_id}: its launch command"):
        words = tuple(split(command))
        check_words(words)
    if not words:
        raise JobLaunchError(f"job {job_id}: its launch command is empty")
    return words


@contextmanager
def _about(job: str) -> Iterator[None]:
    """Have a ValueError become the error of a launch that names the job."""
    try:
        yield
    except ValueError as error:
        raise JobLaunchError(f"job {job}: {error}") from error


def _state_dir(fl_ctx: FLContext) -> Path | None:
    """Return where the site remembers its jobs; None for a context without a workspace."""
    workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    return Path(workspace.get_root_dir(), STATE_DIR) if workspace else None


def _log_paths(fl_ctx: FLContext) -> Callable[[str], Path | None]:
    """Return where a job's output is kept, as a function of its id."""
    workspace, site = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT), fl_ctx.get_identity_name()
    return lambda job_id: Path(workspace.get_run_dir(job_id), f"{site}.log") if workspace else None
