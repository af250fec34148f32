"""Launchers for the parent process of an NVIDIA FLARE site, 2.6 to 2.9: jobs in containers, by this package's launcher.

A site names one in a component config of its kit that only parents read, ``local/docker__p_resources.json``::

    {"components": [{"id": "docker_launcher",
                     "path": "launchers.nvflare_launcher.ClientDockerJobLauncher",
                     "args": {"image": "my-flare-jobs:1", "network": "flare"}}]}

Everything else is derived from what NVIDIA FLARE hands over, and what it can do is found out by looking, not by its
version. The job's process talks to its parent alone, so no job needs the site's private key, or a way to the server.
What else of flcore's kind the file names hears of all that happens (see :mod:`launchers.flare.kit_site`). Importing
this module and making a launcher need NVIDIA FLARE, but no Docker SDK, engine, socket or disk.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.job_def import RunStatus
from nvflare.apis.job_launcher_spec import JobLauncherSpec, add_launcher
from nvflare.utils.job_launcher_utils import get_client_job_args, get_server_job_args

from flcore.config.problems import Problems
from flcore.disk.safe_files import closing, open_folder, remove
from flcore.errors import FLCoreError, JobRejectedError
from flcore.event_type import EventType
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import JobArgs, JobResult, JobReturnCode
from flcore.job_meta import JobMeta, get_job_id
from flcore.launcher_choice import raise_refusal

from .container_spec import OF_THE_USER, Mount
from .docker_launcher import DockerJobLauncher
from .docker_state import ContainerState
from .flare import process as flare_process
from .flare.job_failure import TELLS_FAILURES, return_code_of, tell_server, tell_server_again
from .flare.job_handle import NVFlareJobHandle, end_in_background
from .flare.kit import KIT_FILES, FlareKit, check_run_folder, is_readable, storage
from .flare.kit_site import KitSite, context_of_job, heard_by_kit
from .flare.process import RETURN_CODE_FILE, value_of
from .job_handle import ContainerJobHandle
from .keeping.job_folder import JobFolder
from .keeping.reservations import Reservations
from .launch_plan import LaunchPlan
from .policy import site_args
from .policy.job_command import CREDENTIAL_VARIABLES
from .policy.job_policy import JobRequest
from .policy.launch_origins import AT_LAUNCH
from .runtime.engine_traits import EngineTraits

__all__ = [
    "ClientDockerJobLauncher",
    "KitLauncher",
    "NVFlareJobHandle",
    "ServerDockerJobLauncher",
    "return_code_of",
]

LAUNCHER_KEY = "__flcore_job_launcher__"
"""In each context of a site: its launcher, for who answers for the site before a job is launched."""
HOST_WORKSPACE = "NVFL_DOCKER_WORKSPACE"
"""NVIDIA FLARE's variable of a parent in a container: where the engine's host has the kit."""

_FOLDER_SIZE = 64 << 20
"""Bytes, in memory, of what a job writes in a folder that is not its own."""
_UNFINISHED = [RunStatus.RUNNING, RunStatus.DISPATCHED]
_SOMEWHERE = "/workspace"


class KitLauncher(DockerJobLauncher):
    """This package's launcher, at a site whose workspace is a kit of NVIDIA FLARE's.

    Args:
        mount_path: where a container sees the site's workspace; by default where the parent does, since a site's config
            may name files in it.
        python: the interpreter in the image.
        private_key: jobs get the site's private key, and connect to the server themselves, too, as NVIDIA FLARE has it:
            only for jobs that send "secure" messages to each other. Without it they get a key that opens nothing.
        kit_files: what of the kit jobs see, read-only: globs below the site's workspace.
        journal: what happens to jobs is written down in the kit's ``.flcore/journal.jsonl``, also where no component of
            the kit does so.
        kwargs: see :class:`launchers.docker_launcher.DockerJobLauncher`.
    """

    side = ""
    """In a container's name, where it is not the site's."""

    def __init__(
        self,
        mount_path: str | None = None,
        *args: Any,
        python: str = "python3",
        private_key: bool = False,
        kit_files: Sequence[str] = KIT_FILES,
        journal: bool = True,
        **kwargs: Any,
    ) -> None:
        problems = Problems()
        checked = problems.attempt
        self._is_moved = mount_path is not None
        checked(super().__init__, _SOMEWHERE if mount_path is None else mount_path, *args, **kwargs)
        self.python = checked(site_args.text, "python", python)
        self.private_key = checked(site_args.flag, "private_key", private_key)
        self.kit_files = checked(site_args.texts, "kit_files", kit_files)
        self.journal = checked(site_args.flag, "journal", journal)
        problems.raise_all(ValueError)

    def argument_names(self) -> Sequence[str]:
        """Return the arguments of a job's process, in their order, as this NVIDIA FLARE passes them on."""
        raise NotImplementedError

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        job_args, names = self.job_args(fl_ctx), self.argument_names()
        command = self.process_command(fl_ctx, job_args, [name for name in names if name not in CREDENTIAL_VARIABLES])
        flags = flare_process.credential_flags(job_args, names)
        site = self.side or fl_ctx.get_identity_name()
        return f"{site}-{get_job_id(job_meta)}", flare_process.with_credentials(command, flags)

    def job_args(self, fl_ctx: FLContext) -> JobArgs:
        job_args = dict(super().job_args(fl_ctx))
        if JobProcessArgs.PARENT_URL in job_args:
            flag, url = job_args[JobProcessArgs.PARENT_URL]
            job_args[JobProcessArgs.PARENT_URL] = (flag, flare_process.reachable(str(url), self.network))
        return job_args

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        plan = super().plan(job_meta, fl_ctx)
        job_args = self.job_args(fl_ctx)
        hosts = flare_process.parent_hosts(job_args)
        if self.private_key:
            hosts |= flare_process.server_hosts(job_args, Path("/etc/hosts").read_text())
        isolation = replace(plan.spec.isolation, tmpfs={**plan.spec.isolation.tmpfs, **self._folders_in_memory(fl_ctx)})
        return replace(plan, spec=replace(plan.spec, hosts=hosts, private_files=self._kit(fl_ctx), isolation=isolation))

    def fit(self, plan: LaunchPlan, engine: EngineTraits) -> LaunchPlan:
        """Return a plan in which a job sees those files of the kit as they are that its user may read."""
        plan = super().fit(plan, engine)
        user = plan.spec.host_user if plan.spec.user != AT_LAUNCH else engine.on_host(self.user)
        kit = plan.spec.private_files
        readable = {there: here for there, here in kit.items() if is_readable(Path(here), user)}
        mounts = (*plan.spec.mounts, *(Mount(here, there) for there, here in readable.items()))
        private = {there: here for there, here in kit.items() if there not in readable}
        return replace(plan, spec=replace(plan.spec, mounts=mounts, private_files=private))

    def place(self, path: str, fl_ctx: FLContext) -> str:
        return super().place(path, fl_ctx) if self._is_moved else path

    def end_of(self, log_path: Path | None, seen: ContainerState) -> ContainerState:
        """Return the end that counts: the job may have written down one, and then been killed, or killed itself."""
        return flare_process.counted_end(seen, flare_process.written_code(log_path.parent)) if log_path else seen

    def _folders_in_memory(self, fl_ctx: FLContext) -> dict[str, str]:
        """Return folders that are the job's user's: the workspace's own, and those in which a server stores all jobs.

        A server's job opens these too, and makes them if need be, but has nothing to find there.
        """
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        config = workspace.get_resources_file_path()
        stored = storage(Path(config)) if config else []
        folders = {self.place(path, fl_ctx) for path in (workspace.get_root_dir(), *stored)}
        return dict.fromkeys(sorted(folders), f"size={_FOLDER_SIZE},mode=755,{OF_THE_USER}")

    def _kit(self, fl_ctx: FLContext) -> dict[str, str]:
        """Return what a job sees of the kit: ``path in the container -> path here``."""
        kit = FlareKit(Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()))
        parent_asks = value_of(self.job_args(fl_ctx), JobProcessArgs.PARENT_CONN_SEC) == "mtls"
        shown = kit.shown(self.kit_files, self.private_key or parent_asks or kit.signs_its_key())
        return {self.place(str(path), fl_ctx): str(file) for path, file in shown.items()}

    def note_site(self, fl_ctx: FLContext) -> None:
        """Take note of where the engine's host has the kit, if the site's parent says so by NVIDIA FLARE's variable."""
        if there := os.environ.get(HOST_WORKSPACE):
            root = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()
            self.host_paths = {root: there, **self.host_paths}

    def job_environment(self, request: JobRequest, fl_ctx: FLContext) -> dict[str, str]:
        variables = super().job_environment(request, fl_ctx)
        custom = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_site_custom_dir()
        if Path(custom).is_dir():
            variables["PYTHONPATH"] += f":{self.place(custom, fl_ctx)}"
        alone = {} if self.private_key else flare_process.PARENT_ALONE
        return {**alone, **variables}

    def job_mounts(self, folder: Path | None, fl_ctx: FLContext) -> tuple[Mount, ...]:
        shared = flare_process.shared_folder(self.job_args(fl_ctx))
        talking = [Mount(shared, shared, read_only=False)] if shared else []
        return (*super().job_mounts(folder, fl_ctx), *talking)

    def check_folder(self, job_meta: JobMeta, folder: Path, fl_ctx: FLContext) -> None:
        """Raise JobRejectedError if it is none that the parent has made for a job: the parent is who makes them."""
        app = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_app_dir(get_job_id(job_meta))
        check_run_folder(get_job_id(job_meta), folder, Path(app).name)

    def prepare(self, plan: LaunchPlan, folder: JobFolder) -> None:
        super().prepare(plan, folder)
        if plan.folder:
            FlareKit(plan.folder.parent).make_decoy()
            with closing(open_folder(plan.folder)) as opened:
                remove(RETURN_CODE_FILE, opened)  # of an earlier run: a launch fails if it cannot go

    def job_context(self, engine: Any, job_id: str) -> FLContext:
        return context_of_job(engine, job_id)


class ClientKitLauncher(KitLauncher):
    """Of a client."""

    def argument_names(self) -> Sequence[str]:
        names: Sequence[str] = get_client_job_args()
        return names


class ServerKitLauncher(KitLauncher):
    """Of the server."""

    side = "server"

    def job_args(self, fl_ctx: FLContext) -> JobArgs:
        """Return them without the token, which is the job's id: no process takes it, and it is no secret."""
        job_args = super().job_args(fl_ctx)
        return {name: pair for name, pair in job_args.items() if name != JobProcessArgs.AUTH_TOKEN}

    def argument_names(self) -> Sequence[str]:
        names: Sequence[str] = get_server_job_args()
        return names


class _NVFlareJobLauncher(JobLauncherSpec):  # type: ignore[misc]  # its base is of a package without types
    """What NVIDIA FLARE sees: hands over to the launcher of this package.

    Args:
        args: see :class:`KitLauncher`.
    """

    kind: type[KitLauncher]

    def __init__(self, mount_path: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.launcher = self.kind(mount_path, *args, **kwargs)
        self.launcher.name = type(self).__name__
        self.reservations = Reservations()
        """For jobs of which the site was asked whether it has room for them."""
        self.journal = self.launcher.journal
        self._handles: dict[str, ContainerJobHandle] = {}
        """Of the jobs that run, by id."""
        self.kit_site: KitSite | None = None
        """Of the kit's components of flcore's kind, once the parent has started."""
        self._forgotten: set[str] = set()
        """Those of a dead parent, which NVIDIA FLARE has not taken up again."""
        self._lock = threading.Lock()
        self._asked = threading.local()
        """The job and the context of this thread's last BEFORE_JOB_LAUNCH, which is not the one of the launch."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Volunteer before a launch; find, and end, what a dead parent has left; end all at the site's end.

        And have the kit's components of flcore's kind hear of all: of an end behind all jobs, of all else first.
        """
        with heard_by_kit(self, event_type, fl_ctx):
            self._react(event_type, fl_ctx)

    def _react(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            self._volunteer(fl_ctx)
        elif event_type == EventType.SYSTEM_BOOTSTRAP:
            fl_ctx.set_prop(LAUNCHER_KEY, self, private=True, sticky=True)
        elif event_type == EventType.SYSTEM_START:
            try:
                self.launcher.handle_event(event_type, fl_ctx)
            finally:
                self.reservations.open()
        elif event_type == EventType.JOB_RECOVERED:
            self._end_recovered(fl_ctx.get_prop(FLContextKey.JOB_HANDLE), fl_ctx.get_engine())
        elif event_type == EventType.SYSTEM_END:
            self.reservations.close()
            self._end_all()
            self.launcher.handle_event(event_type, fl_ctx)

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: Any) -> NVFlareJobHandle:
        """Launch a job in a container. Raises JobLaunchError; then nothing of it runs.

        A component may have refused it at BEFORE_JOB_LAUNCH. NVIDIA FLARE itself heeds that at earlier events only.
        """
        job_id = get_job_id(job_meta)
        folder = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_run_dir(job_id))
        try:
            launch = partial(self.kit_site.launch, self._launch) if self.kit_site else self._launch
            with self.reservations.used(job_id):
                handle = launch(job_meta, fl_ctx)
        except FLCoreError as error:  # NVIDIA FLARE tells the server, but not the site's own log
            self.logger.warning("job %s: not launched: %s", job_id, error)
            raise
        return NVFlareJobHandle(handle, folder, partial(self.job_failed, fl_ctx.get_engine(), job_id))

    def _launch(self, job_meta: dict[str, Any], fl_ctx: Any) -> ContainerJobHandle:
        job_id, workspace = get_job_id(job_meta), fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        self._raise_refusal(job_id)
        check_run_folder(job_id, Path(workspace.get_run_dir(job_id)), Path(workspace.get_app_dir(job_id)).name)
        if earlier := self._handles.get(job_id):  # of a parent that was killed
            self._forgotten.discard(job_id)
            earlier.terminate(by="NVIDIA FLARE, which launches it again")
        handle = self.launcher.launch_job(job_meta, fl_ctx)
        self._keep(handle)
        return handle

    def job_failed(self, engine: Any, job_id: str, result: JobResult) -> None:
        """Do what is to be done for a job that has failed, beside returning the reason."""

    def job_forgotten(self, engine: Any, job_id: str, result: JobResult) -> None:
        """Do what is to be done for an ended job that NVIDIA FLARE does not know any more."""

    def _volunteer(self, fl_ctx: Any) -> None:
        job_meta = fl_ctx.get_prop(FLContextKey.JOB_META)
        self._asked.job = job_meta.get("job_id"), fl_ctx
        try:
            can = self.launcher.can_launch(job_meta, fl_ctx)
        except JobRejectedError:
            can = True  # the launch says why it is refused
        if can:
            add_launcher(self, fl_ctx)
        else:
            self.logger.warning("job %s names no image, and 'image' names none for all jobs", job_meta.get("job_id"))

    def _raise_refusal(self, job_id: str) -> None:
        """Look for refusals where all components have heard of the launch, those behind this one, too."""
        asked_for, fl_ctx = getattr(self._asked, "job", (None, None))
        self._asked.job = None, None
        if fl_ctx is not None and asked_for == job_id:
            raise_refusal(job_id, fl_ctx, {})

    def _keep(self, handle: ContainerJobHandle) -> None:
        job_id = handle.identity.job_id
        with self._lock:
            self._handles[job_id] = handle
        handle.add_done_callback(lambda _: self._forget(job_id, handle))

    def _forget(self, job_id: str, handle: ContainerJobHandle) -> None:
        with self._lock:
            if self._handles.get(job_id) is handle:
                del self._handles[job_id]

    def _end_recovered(self, handle: ContainerJobHandle, engine: Any) -> None:
        job_id = handle.identity.job_id
        self._keep(handle)
        self._forgotten.add(job_id)
        self.logger.warning(
            "job %s: found again; NVIDIA FLARE does not take it up, so its container is ended, and its output kept",
            job_id,
        )
        handle.add_done_callback(partial(self._has_ended, engine))
        end_in_background(handle, "the site, which was started anew")

    def _has_ended(self, engine: Any, handle: Any) -> None:
        job_id = handle.identity.job_id
        if job_id in self._forgotten:
            self._forgotten.discard(job_id)
            self.job_forgotten(engine, job_id, handle.result)

    def _end_all(self) -> None:
        with self._lock:
            handles = list(self._handles.values())
        for thread in [end_in_background(handle, "the site, which ends") for handle in handles]:
            thread.join()


class ClientDockerJobLauncher(_NVFlareJobLauncher):
    """Runs the jobs of a client in containers named ``<site>-<job id>``."""

    kind = ClientKitLauncher

    def job_failed(self, engine: Any, job_id: str, result: JobResult) -> None:
        """Tell the server up to 2.7, where NVIDIA FLARE tells it of nothing but of code that it does not trust."""
        if not TELLS_FAILURES:
            tell_server_again(engine, job_id, result)

    def job_forgotten(self, engine: Any, job_id: str, result: JobResult) -> None:
        """Tell the server, which would wait for the job for ever."""
        if result.return_code is not JobReturnCode.SUCCESS:
            tell_server(engine, job_id, result)


class ServerDockerJobLauncher(_NVFlareJobLauncher):
    """Runs the jobs of the server in containers named ``server-<job id>``."""

    kind = ServerKitLauncher

    def job_forgotten(self, engine: Any, job_id: str, result: JobResult) -> None:  # noqa: ARG002 - however it ended
        """Give the job up: from 2.8 on a server that is started anew leaves it "running" for ever."""
        fl_ctx = engine.new_context()
        jobs = engine.get_component(SystemComponents.JOB_MANAGER)
        if any(job.job_id == job_id for job in jobs.get_jobs_by_status(_UNFINISHED, fl_ctx)):
            jobs.set_status(job_id, RunStatus.ABANDONED, fl_ctx)
