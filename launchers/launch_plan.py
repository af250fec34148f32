"""What a launch will do: planned by the site's config and a job's metadata, before anything is touched.

So it can be shown as well as done.
"""

from __future__ import annotations

import inspect
import logging
import shlex
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from flcore.config.problems import Problems
from flcore.config.rules import optional, or_else
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import JobArgs, JobLauncherSpec, LaunchRequest
from flcore.job_meta import rejection
from flcore.plain_text import visible

from .container_spec import (
    LABEL_IMAGE,
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
    LABEL_STUDY,
    THIS_PROCESS,
    ContainerSpec,
    JobNetwork,
    Mount,
)
from .keeping.job_secrets import JobSecrets
from .keeping.site_data import data_sources
from .launch_command import NamedCommand, Words, about, checked_command
from .policy import site_args
from .policy.argv_limits import check_words
from .policy.gpu_ids import ALL_GPUS
from .policy.job_command import CLIENT_ARGS, SERVER_ARGS, credentials, job_command
from .policy.job_network import joined
from .policy.job_policy import JobRequest, SitePolicy, check_needs_no_engine, check_policy, container_name, resolve
from .policy.launch_asks import asks_of, lasting_words, with_image
from .policy.launch_origins import AT_LAUNCH, SiteKeys, masked, origins
from .policy.launch_scope import scope_of
from .policy.request_sizes import with_sizes_in_words
from .policy.resources import Resources
from .policy.studies import Study
from .policy.study_args import studies as studies_rule
from .runtime.base import Runtime, whereabouts_of
from .runtime.engine_traits import UNASKED, EngineTraits
from .settings import ADOPT, ORPHAN_POLICIES, STOP_GRACE, JobSettings

__all__ = ["LaunchPlanner"]

logger = logging.getLogger(__name__)

_KNOWN_AT_LAUNCH = (LABEL_NONCE, LABEL_SITE_ID, LABEL_PARENT, LABEL_STATE_DIR)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What one launch will do."""

    request: JobRequest
    spec: ContainerSpec
    folder: Path | None
    """The job's own folder on this host."""
    engine: EngineTraits = UNASKED
    """What will run it."""
    image_id: str = ""
    """What its image is; empty before the runtime was asked."""
    datasets: Mapping[str, Mount] = field(default_factory=dict)
    """What it sees of its study's data, by their names; their links were followed when it was planned."""
    asks: Mapping[str, Any] = field(default_factory=dict)
    """What the job asks for and gets, but for the image's id: see ``LaunchRequest.asks``."""

    @property
    def gpus(self) -> int:
        """How many GPUs the job gets."""
        return self.request.resources.num_of_gpus or 0

    def tell_passed_over(self) -> None:
        """Log what of the metadata is meant for others: who has meant this launcher can find it."""
        if self.request.passed_over:
            told = "; ".join(visible(f"{path}: {why}") for path, why in self.request.passed_over.items())
            about = {"site": self.spec.labels[LABEL_SITE], "job_id": self.request.job_id}
            logger.info("job %s: passed over: %s", self.request.job_id, told, extra=about)

    def describe(self, runtime: Runtime, secrets: JobSecrets, keys: SiteKeys, image: str = "") -> LaunchRequest:
        """Return what the runtime is asked for, and who has decided it; what only the launch knows stands as such.

        ``image``: what the container is made from; empty: the image's name.
        """
        labels = dict.fromkeys(_KNOWN_AT_LAUNCH, AT_LAUNCH) | {LABEL_IMAGE: self.spec.image}
        spec = replace(
            self.spec,
            image=image or self.spec.image,
            labels=self.spec.labels | labels,
            gpu_ids=(AT_LAUNCH,) * self.gpus,
            hosts=self._hosts_to_tell(),
        )
        spec = masked(secrets.describe(spec, AT_LAUNCH))
        body = runtime.describe(spec)
        decided = origins(body, self.request, keys)
        address, to_read = runtime.address(self.spec.name), with_sizes_in_words(body)
        where = whereabouts_of(runtime).engine
        engine = where.docker_host if where else ""
        scope = scope_of(replace(spec, image=self.spec.image), keys.policy, self.datasets, self._other_mounts())
        return LaunchRequest(
            host=address,
            request=body,
            origins=decided,
            to_read=to_read,
            passed_over=self.request.passed_over,
            engine=engine,
            scope=scope,
            image_id=image or self.image_id,
            asks=with_image(self.asks, image or self.image_id),
        )

    def _other_mounts(self) -> list[Mount]:
        """Return what the job sees of the host that is neither of its study nor in the site's workspace."""
        data, workspace = {dataset.source for dataset in self.datasets.values()}, self.folder and self.folder.parent
        others = [mount for mount in self.spec.mounts if mount.source not in data]
        return [mount for mount in others if not (workspace and Path(mount.source).is_relative_to(workspace))]

    def _hosts_to_tell(self) -> Mapping[str, str]:
        """Return the hosts that the job's container knows; a network of its own gets its addresses as it is made."""
        if not self.spec.own_network:
            return self.spec.hosts
        return {name: AT_LAUNCH if host == THIS_PROCESS else host for name, host in self.spec.hosts.items()}


class LaunchPlanner(JobLauncherSpec):
    """Says what each launch will do, by the site's config and a job's metadata. Planning touches nothing.

    Everything here comes from the site's config, which is trusted. Making a launcher touches no engine, socket or
    disk. Raises ValueError for wrong arguments, with a line for each.

    Args:
        timeout: seconds a container may take to run; None is for ever. Also ``enter_states``'s own default.
        image: for jobs that name none.
        images: the images that a job may name: names whose parts may be globs, as in ``registry.example.com/team/*``.
            One without a tag allows every tag and digest, one with a tag no digest, which Docker would heed in its
            place; one with a digest holds what it covers to that digest.
        python_paths: the interpreters that a job may name (``python_path``), beside the one that it would get.
        entrypoints: what a job may want to run before its command (``entrypoint``): each a list of words, or a text.
        env: variables for every job.
        job_env_prefixes: what the variables that a job asks for may begin with.
        datasets: ``name -> absolute path`` of the site's data; a job sees each read-only, at the path in its variable
            ``FLCORE_DATASET_<NAME>``.
        secrets: ``name -> {"file": path}`` or ``{"env": variable of the site's process}``; each job can read each as a
            file in memory, at the path in its variable ``FLCORE_SECRET_<NAME>``. With ``"to_env": variable`` also that
            variable holds it, which whoever may use the engine can see.
        studies: what the jobs of a study see and get, by the study's name, as ``{"cardio": {"datasets", "secrets",
            "env", "image", "images", "limits", "network"}}``. A job that names one (``study`` in its metadata) sees the
            datasets and secrets of that study and no others, has its variables beside ``env``, may name images that
            both lists have, and is held to both limits. One that names a study which is not here is refused. A job
            of no study sees ``datasets`` and ``secrets``. Without this key a study is only a word.
        study_required: a job that names no study is refused.
        limits: the most a job may ask for: ``{"num_of_cpus", "memory", "shm_size", "num_of_gpus", "disk"}``. The last
            is what its own folder may hold: it is looked at now and then, and a job that exceeds it is ended.
        defaults: what a job gets that does not ask; the limits where they do not say either, and no GPU.
        gpu_ids: the GPUs that jobs may have: a list of UUIDs (``"GPU-…"``, as ``nvidia-smi -L`` says; better, as an
            index may change) or of indices, or ``"all"`` that can be found, which are no MIG devices. Each is leased to
            one job at a time.
        gpu_memory: what each of them has, as ``"80Gi"``: a job that asks for more (``mem_per_gpu_in_GiB``) is refused.
        gpu_lease_dir: a folder that all sites of this host share which have the same GPUs; by default ``.flcore/gpus``
            in the site's workspace, for a site that shares them with none.
        stop_grace: seconds from the request to end to the kill.
        run_timeout: seconds a job may run before the site ends it; None is for ever.
        idle_timeout: seconds a job may write nothing before the site ends it; None is for ever.
        log_max_size: how much output the runtime keeps in one file, as ``"10Mi"``, before it begins the next. A
            process's output is never cut.
        log_max_files: how many files of output the runtime keeps; what is older is lost.
        orphans: what to do with a container that this site made and whose record is lost: ``adopt`` it (track it, and
            clean up after it), ``stop`` it, or ``ignore`` it.
        keep: leave ended containers where they are.
    """

    given: frozenset[str]
    """The arguments that it was made with."""
    mode = ""
    """The key of this kind of launcher in a job's ``launcher_spec``."""
    uses_images = True
    """Whether jobs run in images; where not, an image that a job names is meant for other sites."""
    service_host = "127.0.0.1"
    """The address on which a server's job listens if its arguments do not say."""
    network: JobNetwork = ""
    """The network that jobs join; none where a runtime has no networks."""
    python = "python3"
    """The interpreter of a job's process."""
    mounts: tuple[Mount, ...] = ()
    """More of the host for every job."""
    secrets_dir = "/dev/shm"  # noqa: S108 - nothing is made there by a name that can be guessed
    """Where the secrets of jobs' containers are made."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # which arguments are given, to tell apart what a site has set and what is a default
        launcher = super().__new__(cls)
        named = _signature_of(cls).bind_partial(launcher, *args, **kwargs).arguments
        launcher.given = frozenset({*named, *kwargs})
        return launcher

    def __init__(
        self,
        *,
        timeout: float | None = None,
        image: str | None = None,
        images: Sequence[str] = (),
        python_paths: Sequence[str] = (),
        entrypoints: Sequence[Sequence[str] | str] = (),
        env: Mapping[str, str] | None = None,
        job_env_prefixes: Sequence[str] = (),
        datasets: Mapping[str, str] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        studies: Mapping[str, Mapping[str, Any]] | None = None,
        study_required: bool = False,
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
    ) -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self.gpu_ids = checked(site_args.gpu_ids, "gpu_ids", gpu_ids) or ()
        rules = checked(site_args.image_rules, "images", images)
        self.env = checked(or_else(site_args.text_map, dict), "env", env)
        own = Study(
            datasets=checked(or_else(site_args.datasets, dict), "datasets", datasets),
            secrets=checked(or_else(site_args.secrets, tuple), "secrets", secrets, self.env),
        )
        self.policy = SitePolicy(
            image=checked(optional(site_args.text), "image", image),
            images=rules if self.uses_images else None,
            job_env_prefixes=checked(site_args.texts, "job_env_prefixes", job_env_prefixes),
            limits=checked(or_else(site_args.resources, Resources), "limits", limits),
            defaults=checked(or_else(site_args.resources, Resources), "defaults", defaults),
            gpus=None if self.gpu_ids == ALL_GPUS else len(self.gpu_ids),
            python_paths=checked(site_args.texts, "python_paths", python_paths),
            entrypoints=checked(site_args.commands, "entrypoints", entrypoints),
            gpu_memory=checked(optional(site_args.size), "gpu_memory", gpu_memory),
            study=own,
            studies=checked(optional(studies_rule), "studies", studies, self.env),
            study_required=checked(site_args.flag, "study_required", study_required),
        )
        self.gpu_lease_dir = checked(optional(site_args.host_path), "gpu_lease_dir", gpu_lease_dir)
        self.job_settings = JobSettings(
            start_timeout=checked(optional(site_args.seconds), "timeout", timeout),
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
        self.job_settings = replace(self.job_settings, disk=self.policy.limits.disk)
        if not self.uses_images:
            check_needs_no_engine(self.policy)

    def known_studies(self) -> Collection[str] | None:
        return self.policy.studies and tuple(self.policy.studies)

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        """Return what :meth:`launch_job` would do. Touches nothing. Raises JobRejectedError or JobLaunchError."""
        site = fl_ctx.get_identity_name()
        request = resolve(job_meta, site, replace(self.policy, python=self.python), self.mode)
        name, command = checked_command(request.job_id, type(self), self.get_command(job_meta, fl_ctx))
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        folder = Path(workspace.get_run_dir(request.job_id)) if workspace else None
        study, datasets = request.study, self._datasets_of(request.study)
        of_study = {LABEL_STUDY: request.study_named} if request.study_named else {}
        spec = ContainerSpec(
            name=container_name(name),
            image=request.image or "",
            image_digests=request.image_digests,
            command=(*request.entrypoint, *self._with_python(job_meta, request, command)),
            environment=self.job_environment(request, datasets, fl_ctx),
            secret_variables=frozenset(credentials(self.job_args(fl_ctx))),
            working_dir=self.place(str(folder), fl_ctx) if folder else "/",
            mounts=self.job_mounts(folder, datasets, fl_ctx),
            secrets=study.secrets,
            labels={LABEL_SITE: site, LABEL_JOB_ID: request.job_id, LABEL_LAUNCHER: self.name, **of_study},
            cpus=request.resources.num_of_cpus,
            memory=request.resources.memory,
            shm_size=request.resources.shm_size,
            disk=request.resources.disk,
            log_max_size=self.log_max_size,
            log_max_files=self.log_max_files,
        )
        spec = self.complete(spec)
        spec = joined(spec, study.network) if study.network else spec
        words = lasting_words(spec.command, self.job_args(fl_ctx), request.job_id, name)
        asks = asks_of(request, spec, words, datasets, self.mounts)
        return LaunchPlan(request, spec, folder, datasets=datasets, asks=asks)

    # What a subclass says: hooks, called with a context that has what NVIDIA FLARE's contexts have at that moment.

    @abstractmethod
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> NamedCommand:
        """Return the container's name and the launch command: its words, or a text.

        A text is split as a shell would split it, and run without a shell. Called once for each launch, and for each
        description of one.
        """

    def _with_python(self, job_meta: dict[str, Any], request: JobRequest, command: Words) -> Words:
        """Return the command with the interpreter that the job has named."""
        if request.python and command[0] != self.python:
            why = f"{type(self).__qualname__} runs {command[0]!r}, so that no interpreter can be had"
            raise rejection(job_meta, request.origins["python_path"], why, request.python)
        return (request.python, *command[1:]) if request.python else command

    @abstractmethod
    def place(self, path: str, fl_ctx: FLContext) -> str:
        """Return where a job sees a path of the site's workspace."""

    def job_args(self, fl_ctx: FLContext) -> JobArgs:
        """Return the arguments of the job's process: the context's JOB_PROCESS_ARGS."""
        job_args: JobArgs = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
        return job_args

    def client_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a client's job process, by the context's JOB_PROCESS_ARGS."""
        return self.process_command(fl_ctx, self.job_args(fl_ctx), CLIENT_ARGS)

    def server_command(self, fl_ctx: FLContext) -> str:
        """Return the command of a server's job process, by the context's JOB_PROCESS_ARGS."""
        listen = {JobProcessArgs.SERVICE_HOST: ("--host", self.service_host)}
        return self.process_command(fl_ctx, listen | dict(self.job_args(fl_ctx)), SERVER_ARGS)

    def process_command(self, fl_ctx: FLContext, job_args: JobArgs, names: Sequence[str]) -> str:
        """Return the command of a job's process with those of its arguments that have these names, in their order."""
        with about(fl_ctx.get_job_id()):
            return shlex.join(job_command(self.python, job_args, tuple(names), lambda path: self.place(path, fl_ctx)))

    def job_environment(self, request: JobRequest, datasets: Mapping[str, Mount], fl_ctx: FLContext) -> dict[str, str]:
        """Return the job's variables: its own first, then the site's, then ours, so that ours win."""
        ours = {site_args.dataset_variable(name): dataset.target for name, dataset in datasets.items()}
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if workspace:
            ours["PYTHONPATH"] = self.place(workspace.get_app_custom_dir(request.job_id), fl_ctx)
        with about(request.job_id):
            variables = {**request.env, **self.env, **request.study.env, **ours, **credentials(self.job_args(fl_ctx))}
            check_words(f"{name}={value}" for name, value in variables.items())
        return variables

    def job_mounts(self, folder: Path | None, datasets: Mapping[str, Mount], fl_ctx: FLContext) -> tuple[Mount, ...]:
        """Return what of this host a job sees: its own folder, and the data of its study."""
        own = [Mount(str(folder), self.place(str(folder), fl_ctx), read_only=False)] if folder else []
        return (*own, *datasets.values())

    def _datasets_of(self, study: Study) -> dict[str, Mount]:
        """Return the datasets of a study as its jobs see them, by their names."""
        sources = data_sources(study)
        return {name: Mount(str(path), self.dataset_path(study.folder + name, path)) for name, path in sources.items()}

    def dataset_path(self, name: str, source: Path) -> str:  # noqa: ARG002 - for subclasses
        """Return where a job sees a dataset, of which the ``source`` is on this host."""
        return str(source)

    def beside_the_folder(self) -> Iterable[str]:
        """Return where a job can write beside its folder, without any limit of ``disk``."""
        return ()

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        """Return the spec with what only this kind of launcher knows."""
        return spec


@cache
def _signature_of(cls: type[LaunchPlanner]) -> inspect.Signature:
    return inspect.signature(cls.__init__)
