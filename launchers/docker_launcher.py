"""Launchers that run a job's process in a Docker container."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from flcore.config.problems import Problems
from flcore.config.rules import checks_by_rules, optional, or_else
from flcore.errors import JobLaunchError
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import Check
from flcore.job_meta import JobMeta

from .container_spec import LABEL_SITE, THIS_PROCESS, ContainerSpec, Isolation, JobNetwork, OwnNetwork
from .docker_state import DOCKER_STATE
from .job_handle import DockerJobHandle, Tracking
from .job_launcher import ClientJobLauncher, JobLauncher, ServerJobLauncher
from .keeping.job_folder import JobFolder
from .keeping.own_users import OwnUsers
from .launch_command import NamedCommand
from .launch_plan import LaunchPlan
from .policy import docker_args, job_home, site_args
from .policy.job_network import job_network, joined
from .policy.job_policy import SitePolicy, names_image
from .policy.launch_origins import AT_LAUNCH
from .probe.probe import probed
from .probe.targets import Called
from .runtime.base import Runtime
from .runtime.docker_parent import ALL_USERS
from .runtime.engine_traits import NO_SHIFT, ROOTLESS_USER, TRAITS, EngineTraits
from .settings import PULL_POLICIES, PullSettings

__all__ = [
    "DOCKER_STATE",
    "ClientDockerJobLauncher",
    "DockerJobHandle",
    "DockerJobLauncher",
    "ServerDockerJobLauncher",
]

logger = logging.getLogger(__name__)

DATASETS_PATH = "/data"
NOBODY = 65534
_SIMPLE_OPTIONS = ("read_only", "pids_limit", "privileged", "pid_mode", "ipc_mode", "cgroup_parent")
"""Parts of a container's isolation that a job could name in one word."""
MEMORY_SHARE = 0.75
"""How much of this machine's memory one job may have where the site sets no limit."""


@checks_by_rules
class DockerJobLauncher(JobLauncher):
    """Runs jobs in Docker containers; a subclass needs no more than :meth:`get_command`.

    A container sees the job's own folder at ``<mount_path>/<job id>``, writable, and the site's datasets at
    ``/data/<name>`` and its secrets at ``/run/secrets/<name>``, read-only; nothing else of the host.

    Args:
        mount_path: where a container sees the site's workspace.
        network: the user-defined network that the containers join, or how each job gets one of its own, which goes with
            it: ``{"per_job": true}``, perhaps with ``pools``, a list of subnets of which networks are cut, their
            ``subnet_size`` (28), and ``parent``: ``"host"``, or ``"none"`` for jobs that call nobody: then the host has
            no address in them. No way leads out of such a network but to the host, by its gateway.
        timeout: seconds a container may take to run; None is for ever.
        user: ``uid:gid`` of the job's process; by default the site's own, or nobody's where that is root. Only root can
            run jobs as another one: it gives them their files. On a rootless engine it is always the engine's user 0,
            who is the site's own on the host.
        user_range: in place of ``user`` a first and a last uid, as ``"200000-265535"``, which nobody else of the host
            has. Each job gets one of them, and the gid of the same number, for as long as it lives; then its folder is
            the site's again. For sites that are root.
        user_lease_dir: a folder that all sites of this host share whose ranges overlap: who has which user.
        init: run an init as PID 1, so that signals arrive and zombies are reaped.
        entrypoint: words before every job's command, such as a program of the image that sets things up.
        read_only: no job can write to the image's files.
        tmpfs: ``path -> size`` of folders in memory, as ``{"/tmp": "1Gi"}``; ``"1Gi,exec"`` lets programs run from it.
        home: where a job finds its home (HOME): an absolute path in its container that it can write to (of ``tmpfs``,
            below one of ``mounts``, or any where not ``read_only``), or ``"."``, its own folder, which is on the site's
            disk, and stays there when the job has ended. By default ``/tmp``, if that is in memory, else ``"."``.
            ``HOME``, ``USER`` and ``LOGNAME`` of the site's ``env`` come before it, an image's own do not count.
        mounts: more of the host for every job: ``[{"source", "target", "read_only"}]``; for data, take ``datasets``.
        pids_limit: how many processes and threads a job may have.
        cap_add: capabilities, without ``CAP_``; a job has none else.
        security_opt: Docker's, as the Engine API takes them, beside ``no-new-privileges``.
        privileged: jobs may do to the host what root may: insecure.
        pid_mode: ``"host"`` has jobs see the host's processes: insecure.
        ipc_mode: ``"host"`` has jobs see the memory that the host's processes share: insecure.
        cgroup_parent: the control group that jobs' containers are in; so they leave the limits that the engine has:
            insecure.
        allow_insecure: the keys whose insecure values are meant: an image list of ``*``, a user 0, a network, namespace
            or path of the host, capabilities beyond Docker's own, protection turned off, and the four above. What is
            insecure is refused if its key is not here; if it is, it is logged whenever a job is launched.
        require: what the engine must have, or no job is launched: some of ``memory_limit``, ``pids_limit``,
            ``cpu_limit``, ``swap_limit``, ``seccomp``, ``apparmor``, ``selinux``, ``rootless``, ``userns`` (users are
            shifted). It is asked at the site's start, and again when it may have become another.
        pull_policy: whether an image is pulled first: ``never`` (one that is missing is an error), ``if-missing``, or
            ``always``. Jobs that wait for the same image share one pull. Logins are those of ``docker login``.
        prepull: at the site's start, do so with ``image``, and with those of ``images`` that name one image (a tag or a
            digest, no globs), one after the other. No start and no other job waits for that; a job that wants such an
            image meanwhile shares its pull. An image that cannot be had is a line in the log.
        registries: globs of the registries from which images are pulled; None is any.
        pull_timeout: seconds a pull may take in all; None is for ever.
        pull_stall_timeout: seconds a pull may make no progress (none while a large layer is written, either); None is
            for ever.
        secrets_dir: a folder of this host that is in memory (tmpfs), and that the engine sees at the same path: for the
            jobs' ``secrets``. To be changed only while no job runs.
        host_paths: where the engine's host has what this process sees, ``path here -> path there``; for an engine of
            another host. Of a site in a container of the engine, what is mounted into that is found out.
        docker_host: the engine, such as ``unix:///var/run/docker.sock``, or, with the extra ``[ssh]``,
            ``ssh://user@host`` where ``ssh user@host docker version`` answers and asks nothing; by default what
            Docker's own command uses.
        docker_tls: ``{"ca", "cert", "key"}``, for a docker_host of ``tcp://``: the files of the engine's authority, of
            this side's certificate, and of its key; by default DOCKER_TLS_VERIFY and DOCKER_CERT_PATH count.
        kwargs: see :class:`launchers.launch_plan.LaunchPlanner`. Where ``limits`` names no memory, it is three quarters
            of this machine's.
    """

    mode = "docker"
    service_host = "0.0.0.0"  # noqa: S104 - of the container, whose network is the site's to choose

    def __init__(
        self,
        mount_path: str = "/workspace",
        network: str | Mapping[str, Any] = "nvflare-network",
        timeout: float | None = None,
        *,
        user: str | None = None,
        user_range: str | None = None,
        user_lease_dir: str | None = None,
        init: bool = True,
        entrypoint: Sequence[str] = (),
        read_only: bool = True,
        tmpfs: Mapping[str, str] | None = None,
        home: str | None = None,
        mounts: Sequence[Mapping[str, Any]] = (),
        pids_limit: int = 1024,
        cap_add: Sequence[str] = (),
        security_opt: Sequence[str] = (),
        privileged: bool = False,
        pid_mode: str = "",
        ipc_mode: str = "",
        cgroup_parent: str = "",
        allow_insecure: Sequence[str] = (),
        require: Sequence[str] = (),
        pull_policy: str = "never",
        prepull: bool = False,
        registries: Sequence[str] | None = None,
        pull_timeout: float | None = None,
        pull_stall_timeout: float | None = 300.0,
        secrets_dir: str = JobLauncher.secrets_dir,
        host_paths: Mapping[str, str] | None = None,
        docker_host: str | None = None,
        docker_tls: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        problems = Problems()
        checked = problems.attempt
        checked(super().__init__, timeout=timeout, **kwargs)
        self.mount_path = checked(site_args.absolute_path, "mount_path", mount_path)
        self.network = checked(job_network, "network", network) or ""
        self.user = checked(optional(docker_args.user), "user", user) or _default_user()
        self.own_users = checked(_own_users, user_range, user_lease_dir, user)
        if self.own_users:  # any of them, for what must be known before it is known which
            self.user = "{0}:{0}".format(self.own_users.uids[0])
        self.init = checked(site_args.flag, "init", init)
        self.entrypoint = checked(site_args.texts, "entrypoint", entrypoint)
        self.mounts = checked(docker_args.mounts, "mounts", mounts)
        in_memory = checked(optional(docker_args.tmpfs), "tmpfs", tmpfs)
        self.isolation = Isolation(
            read_only=checked(site_args.flag, "read_only", read_only),
            tmpfs=Isolation().tmpfs if in_memory is None else in_memory,
            pids_limit=checked(site_args.count, "pids_limit", pids_limit),
            cap_add=checked(docker_args.capabilities, "cap_add", cap_add),
            security_opt=checked(docker_args.security_options, "security_opt", security_opt),
            privileged=checked(site_args.flag, "privileged", privileged),
            pid_mode=checked(docker_args.name_space, "pid_mode", pid_mode),
            ipc_mode=checked(docker_args.name_space, "ipc_mode", ipc_mode),
            cgroup_parent=checked(docker_args.optional_text, "cgroup_parent", cgroup_parent),
        )
        pull = PullSettings(
            policy=checked(site_args.one_of, "pull_policy", pull_policy, PULL_POLICIES),
            registries=checked(optional(site_args.texts), "registries", registries),
            timeout=checked(site_args.optional_seconds, "pull_timeout", pull_timeout),
            stall_timeout=checked(site_args.optional_seconds, "pull_stall_timeout", pull_stall_timeout),
        )
        self.job_settings = replace(self.job_settings, pull=pull)  # which are there even if another argument is wrong
        self.secrets_dir = checked(site_args.host_path, "secrets_dir", secrets_dir)
        self.host_paths = checked(or_else(docker_args.host_paths, dict), "host_paths", host_paths)
        self.docker_host = checked(optional(site_args.text), "docker_host", docker_host)
        self.docker_tls = checked(docker_args.engine_tls, "docker_tls", docker_tls, docker_host)
        self.allow_insecure = checked(docker_args.insecure_keys, "allow_insecure", allow_insecure)
        self.require = checked(site_args.some_of, "require", require, TRAITS)
        checked(site_args.flag, "prepull", prepull)
        problems.raise_all(ValueError)
        if prepull:
            ahead = docker_args.pulled_ahead(pull.policy, self.policy.image, kwargs.get("images", ()))
            self.job_settings = replace(self.job_settings, pull=replace(pull, ahead=ahead))
        self.policy = replace(self.policy, entrypoint=self.entrypoint, options=self._options())
        self.home = job_home.home("home", home, self.env, self.isolation, self.mounts)
        self.policy = _with_memory_limit(self.policy)
        self.insecure = self.find_insecure()

    @abstractmethod
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> NamedCommand:
        """Return the container's name and the launch command: words, or a text that is split as a shell would.

        Called once for each launch, and for each description of one. No shell runs either.
        """

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:
        """Whether the job names an image for this site, or the site has one for all jobs."""
        return names_image(job_meta, fl_ctx.get_identity_name(), self.policy, self.mode)

    def make_runtime(self) -> Runtime:
        from .runtime.docker import DockerRuntime  # the first launch needs the Docker SDK, not the constructor

        return DockerRuntime(
            self.docker_host, watched_label=LABEL_SITE, host_paths=self.host_paths, tls=self.docker_tls
        )

    def place(self, path: str, fl_ctx: FLContext) -> str:
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        root = workspace.get_root_dir() if workspace else ""
        try:
            return str(PurePosixPath(self.mount_path, PurePosixPath(path).relative_to(root))) if root else path
        except ValueError:  # it is elsewhere
            return path

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        return replace(
            joined(spec, self.network),
            command=(*self.entrypoint, *spec.command),
            user=AT_LAUNCH if self.own_users else self.user,
            init=self.init,
            isolation=self.isolation,
            mounts=(*spec.mounts, *self.mounts),
        )

    def beside_the_folder(self) -> Iterable[str]:
        if not self.isolation.read_only:
            yield "the files of its image ('read_only')"
        yield from (f"{mount.target} ('mounts')" for mount in self.mounts if not mount.read_only)

    def dataset_path(self, name: str, source: Path) -> str:  # noqa: ARG002 - each has its place
        return f"{DATASETS_PATH}/{name}"

    def _options(self) -> dict[str, Any]:
        """Return what every job has of the options that only a site may set."""
        isolation = {name: getattr(self.isolation, name) for name in _SIMPLE_OPTIONS}
        return {"network": str(self.network), "init": self.init, **isolation}

    def find_insecure(self) -> dict[str, str]:
        """Return what of the config is insecure, and allowed: its keys, and why. Raises ValueError for the rest."""
        studies = self.policy.all_studies()
        data = [path for study in studies for path in study.datasets.values()]
        paths = {"datasets": data, "mounts": [mount.source for mount in self.mounts]}
        networks = map(str, [self.network, *(study.network for study in studies)])
        found = docker_args.find_insecure(self.isolation, self.user, networks, self.policy.images or (), paths)
        docker_args.check_allowed(found, self.allow_insecure)
        return found

    def check_engine(self, engine: EngineTraits) -> None:
        super().check_engine(engine)
        if engine.is_rootless:
            self._check_is_its_user(engine)
        elif engine.shift is None:
            raise JobLaunchError(f"{engine} shifts users, and does not say by how much: no job can be given its files")
        elif engine.shift != NO_SHIFT and os.geteuid() != 0:
            way_out = "run the site as root, or let it ask an engine that shifts none"
            raise JobLaunchError(f"{engine} shifts users: only root can give files to those of jobs; {way_out}")

    def _check_is_its_user(self, engine: EngineTraits) -> None:
        """Raise JobLaunchError if the site, or its jobs' users, are others than who runs a rootless engine."""
        if os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ALL_USERS:
            way_out = "run the site as the user who runs the engine"
            raise JobLaunchError(f"{engine} is rootless, and can give its jobs nothing that is root's: {way_out}")
        key = "user_range" if self.own_users else "user" if "user" in self.given and self.user != ROOTLESS_USER else ""
        if key:
            why = "no user but its 0, who is the site's own on the host, can have the site's files"
            raise JobLaunchError(f"'{key}' cannot be had of {engine}, which is rootless: {why}; leave '{key}' out")

    def fit(self, plan: LaunchPlan, engine: EngineTraits) -> LaunchPlan:
        plan = super().fit(plan, engine)
        spec = plan.spec
        if engine.is_rootless and spec.own_network and THIS_PROCESS in spec.hosts.values():
            where = "the gateway of a network is none of its host's addresses, at which jobs would find their parent"
            raise JobLaunchError(f"'network.per_job' cannot be had of {engine}, which is rootless: there {where}")
        if not self.own_users:
            user = ROOTLESS_USER if engine.is_rootless else self.user
            spec = replace(spec, user=user, host_user=engine.on_host(user))
        told = job_home.variables(spec.user, self.home, spec.working_dir)
        return replace(plan, spec=replace(spec, environment={**told, **spec.environment}))

    def prepare(self, plan: LaunchPlan, folder: JobFolder) -> None:
        self._check_sources(plan)
        super().prepare(plan, folder)
        about = {"site": plan.spec.labels[LABEL_SITE], "job_id": plan.request.job_id}
        for key, why in self.insecure.items():
            if key == "user" and plan.engine.is_rootless:
                continue  # it is the site's own on the host
            logger.warning("job %s: %s is insecure, and allowed: %s", plan.request.job_id, key, why, extra=about)

    def _check_sources(self, plan: LaunchPlan) -> None:
        """Raise JobLaunchError if what a job is to see leads, by links, to what its site may not show it."""
        sources = [("datasets", path) for path in plan.request.study.datasets.values()]
        sources += [("mounts", mount.source) for mount in self.mounts]
        for key, source in sources:
            place = Path(source).resolve()
            why = docker_args.why_not_shown(place, plan.folder)
            if why and key not in self.allow_insecure:
                meant = f"if that is meant, add '{key}' to 'allow_insecure'"
                raise JobLaunchError(f"job {plan.request.job_id}: {key}: {source} leads to {place}, {why}; {meant}")

    def check_reach(self, fl_ctx: FLContext | None = None, called: Called | None = None) -> Iterator[Check]:
        """Say what jobs reach by each network that they may join; ``called``: whom they are to reach.

        Tried by containers like theirs, of which nothing stays.
        """
        labels = {LABEL_SITE: fl_ctx.get_identity_name() if fl_ctx else ""}
        job = self.complete(ContainerSpec("probe", self.policy.image or "", (), user=self.user, labels=labels))
        networks = [self.network, *self.policy.study_networks()]
        return probed(self.get_runtime(), replace(job, user=self.user), networks, self.python, called)

    def make_handle(self, tracking: Tracking, log_path: Path | None) -> DockerJobHandle:
        return DockerJobHandle(None, self.job_settings.start_timeout, tracking=tracking, log_path=log_path)


class ClientDockerJobLauncher(ClientJobLauncher, DockerJobLauncher):
    """Runs a client's job process in a container named ``<site>-<job id>``."""

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        """Return what a launch would do. Raises JobLaunchError for a network in which a job would find nobody."""
        plan = super().plan(job_meta, fl_ctx)
        server = self.job_args(fl_ctx).get(JobProcessArgs.TARGET)
        if plan.spec.own_network and server:
            way_out = "name a network that the jobs of both join in 'network', or in that of the study"
            where = f"the server's job at {server[1]}, where no network of a job's own ('network.per_job') leads"
            raise JobLaunchError(f"job {plan.request.job_id}: it is to call {where}: {way_out}")
        return plan

    def check(self, fl_ctx: FLContext | None = None) -> Iterator[Check]:
        yield from super().check(fl_ctx)
        yield from _alone(self.network)


class ServerDockerJobLauncher(ServerJobLauncher, DockerJobLauncher):
    """Runs the server's job process in a container named ``server-<job id>``."""

    def check(self, fl_ctx: FLContext | None = None) -> Iterator[Check]:
        yield from super().check(fl_ctx)
        yield from _alone(self.network)


def _alone(network: JobNetwork) -> Iterator[Check]:
    """Say what jobs cannot do each of which has a network of its own."""
    if isinstance(network, OwnNetwork):
        who = "a server's job and its clients' (flcore run) do not find each other; for those, name one that they share"
        yield Check("network", True, f"{network}: {who}", warning=True)


def _own_users(user_range: Any, lease_dir: Any, user: Any) -> OwnUsers | None:
    """Return the users that jobs have each for itself; None where the site does not want that."""
    uids = optional(docker_args.user_range)("user_range", user_range)
    folder = optional(site_args.host_path)("user_lease_dir", lease_dir)
    if uids is None:
        if folder is not None:
            raise ValueError("user_lease_dir is for the users of 'user_range', which is not set")
        return None
    if user is not None:
        raise ValueError("user_range: 'user' is set, too; leave one of them out")
    if folder is None:
        shared = "that all sites of this host share whose ranges overlap, as in '/var/lib/flcore/users'"
        raise ValueError(f"user_range needs 'user_lease_dir': a folder {shared}")
    return OwnUsers(uids, Path(folder))


def _default_user() -> str:
    uid, gid = os.geteuid(), os.getegid()
    return f"{NOBODY}:{NOBODY}" if uid == 0 else f"{uid}:{gid}"


def _with_memory_limit(policy: SitePolicy) -> SitePolicy:
    """Return a policy that limits the memory of each job, for to Docker no limit is all that the machine has."""
    if policy.limits.memory is not None:
        return policy
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = max(int(machine * MEMORY_SHARE) >> 20 << 20, policy.defaults.memory or 0)
    return replace(policy, limits=replace(policy.limits, memory=most))
