"""Launchers for the parent process of an NVIDIA FLARE site, 2.6 to 2.9: jobs in containers, by this package's launcher.

A site names one in a component config of its kit that only parents read, ``local/docker__p_resources.json``::

    {"components": [{"id": "docker_launcher",
                     "path": "launchers.nvflare_launcher.ClientDockerJobLauncher",
                     "args": {"image": "my-flare-jobs:1", "network": "flare"}}]}

Everything else is derived from what NVIDIA FLARE hands over, and what it can do is found out by looking, not by its
version. The job's process talks to its parent alone, so no job needs the site's private key, or a way to the server.
What else of flcore's kind the file names, a journal say, hears of all that happens as it would in a site of flcore's.
Importing this module and making a launcher need NVIDIA FLARE, but no Docker SDK, engine, socket or disk.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import SystemComponents
from nvflare.apis.job_def import RunStatus
from nvflare.apis.job_launcher_spec import JobLauncherSpec, add_launcher
from nvflare.private.fed.utils.fed_utils import get_job_launcher

from flcore.errors import ConfigError, FLCoreError, JobLaunchError, JobRejectedError
from flcore.event_type import EventType
from flcore.fl_constant import FLContextKey
from flcore.job_launcher_spec import JobResult, JobReturnCode
from flcore.job_meta import get_job_id
from flcore.launcher_choice import raise_refusal

from .flare.held_jobs import HeldJobs
from .flare.job_args import args_ahead
from .flare.job_failure import return_code_of, tell_of_failure, tell_server
from .flare.job_handle import NVFlareJobHandle, end_in_background
from .flare.key_watch import KeyWatch
from .flare.kit import check_run_folder, deployed_meta, remove_deployed
from .flare.kit_launcher import ClientKitLauncher, KitLauncher, ServerKitLauncher
from .flare.kit_site import KitSite, heard_by_kit
from .job_handle import ContainerJobHandle
from .keeping.reservations import Reservations

__all__ = [
    "ClientDockerJobLauncher",
    "KitLauncher",
    "NVFlareJobHandle",
    "ServerDockerJobLauncher",
    "return_code_of",
]

LAUNCHER_KEY = "__flcore_job_launcher__"
"""In each context of a site: its launcher, for who answers for the site before a job is launched."""
_KEY_GIVEN = "__flcore_key_given__"
"""In the context of a launch: whether the job sees the site's private key."""
_COULD_NOT_WAIT = (
    "it could not wait in the server's queue, for its app was not here before it was scheduled: have the server's kit "
    "name launchers.nvflare_early_deployment.FlareEarlyDeployment, and this one flcore's resource_manager"
)
_UNFINISHED = [RunStatus.RUNNING, RunStatus.DISPATCHED]


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
        self._keys = KeyWatch()
        self._launching: list[str] = []
        """Jobs that are being launched, by id."""
        self._held: HeldJobs | None = None
        """Jobs that the kit's components were asked about before NVIDIA FLARE schedules them."""
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
            self._tell_of_wrong_studies(fl_ctx)
            self._keys.listen()
            try:
                self.launcher.handle_event(event_type, fl_ctx)
            finally:
                self.reservations.open()
        elif event_type == EventType.JOB_RECOVERED:
            self._end_recovered(fl_ctx.get_prop(FLContextKey.JOB_HANDLE), fl_ctx.get_engine())
        elif event_type == EventType.SYSTEM_END:
            self.reservations.close()
            if self._held:
                self._held.close()
            self._end_all()
            self._keys.stop()
            self.launcher.handle_event(event_type, fl_ctx)

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: Any) -> NVFlareJobHandle:
        """Launch a job in a container. Raises JobLaunchError; then nothing of it runs.

        A component may have refused it at BEFORE_JOB_LAUNCH. NVIDIA FLARE itself heeds that at earlier events only.
        """
        job_id = get_job_id(job_meta)
        folder = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_run_dir(job_id))
        with self._lock:
            self._launching.append(job_id)
        was_asked_about = self._held.taken(job_id) if self._held else False
        try:
            launch = partial(self.kit_site.launch, self._launch) if self.kit_site else self._launch
            with self.reservations.used(job_id):
                handle = launch(job_meta, fl_ctx)
        except FLCoreError as error:  # NVIDIA FLARE tells the server, but not the site's own log
            self.logger.warning("job %s: not launched: %s", job_id, error)
            could_wait = self.kind is ClientKitLauncher and isinstance(error, JobLaunchError) and error.hold
            if could_wait and not was_asked_about:
                self.logger.warning("job %s: %s", job_id, _COULD_NOT_WAIT)
            raise
        finally:
            with self._lock:
                self._launching.remove(job_id)
        has_key = fl_ctx.get_prop(_KEY_GIVEN)
        job = NVFlareJobHandle(handle, folder, has_key, partial(self.job_failed, fl_ctx.get_engine(), job_id))
        self._keys.follow(job, self.launcher.ask_later)
        return job

    def why_not_yet(self, job_id: str, fl_ctx: Any) -> str:
        """Return what a job waits for that NVIDIA FLARE is about to schedule; empty where it may go on, or be refused.

        The kit's components are asked about what would be launched, where one may put that off (``puts_off``), and the
        job's app is here already (see :mod:`launchers.nvflare_early_deployment`).
        """
        site = self.kit_site
        with self._lock:
            if not site or not site.puts_off or job_id in self._handles or job_id in self._launching:
                return ""
            forget = partial(remove_deployed, fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT))
            self._held = held = self._held or HeldJobs(site.events, self.launcher.ask_later, forget)
        return held.why_not_yet(job_id, partial(self._hear_ahead, site, job_id, fl_ctx))

    def _hear_ahead(self, site: KitSite, job_id: str, fl_ctx: Any) -> bool:
        """Have all hear of a launch as if it began; False if there is nothing to look at, or it is another launcher's.

        NVIDIA FLARE's own, too, of which one changes the app.
        """
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        job_meta = deployed_meta(workspace, job_id)
        if job_meta is None:
            return False
        try:
            is_ours = get_job_launcher(job_meta, fl_ctx) is self
        except RuntimeError as error:
            self.logger.debug("%s", error)
            is_ours = False
        if not is_ours:
            remove_deployed(workspace, job_id)
            return False
        self.launcher.open_keeper(fl_ctx)  # which has it given up in time, if nobody asks again
        self._raise_refusal(job_id)
        fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, args_ahead(fl_ctx, job_id), private=True, sticky=False)
        site.hear_ahead(self.launcher.tell_ahead, job_meta, fl_ctx)
        return True

    def _launch(self, job_meta: dict[str, Any], fl_ctx: Any) -> ContainerJobHandle:
        job_id, workspace = get_job_id(job_meta), fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        self._raise_refusal(job_id)
        check_run_folder(job_id, Path(workspace.get_run_dir(job_id)), Path(workspace.get_app_dir(job_id)).name)
        if earlier := self._handles.get(job_id):  # of a parent that was killed
            self._forgotten.discard(job_id)
            earlier.terminate(by="NVIDIA FLARE, which launches it again")
        key = self.launcher.key_given(job_meta, fl_ctx)
        fl_ctx.set_prop(_KEY_GIVEN, bool(key), private=True, sticky=False)
        if key:
            self.logger.info("job %s: sees the site's private key: %s", job_id, key)
        handle = self.launcher.launch_job(job_meta, fl_ctx)
        self._keep(handle)
        return handle

    def job_failed(self, engine: Any, job_id: str, result: JobResult, by_nobody_else: bool) -> None:
        """Do what is to be done for a job that has failed, beside returning the code, which may be told by others."""

    def job_forgotten(self, engine: Any, job_id: str, result: JobResult) -> None:
        """Do what is to be done for an ended job that NVIDIA FLARE does not know any more."""

    def _tell_of_wrong_studies(self, fl_ctx: Any) -> None:
        """Log at the start what is wrong with the kit's file of studies: every launch will be refused for that."""
        try:
            self.launcher.read_studies(fl_ctx)
        except ConfigError as error:
            for line in str(error).splitlines():
                self.logger.error("no job can be launched: %s", line)  # noqa: TRY400 - it is one line

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

    def job_failed(self, engine: Any, job_id: str, result: JobResult, by_nobody_else: bool) -> None:
        tell_of_failure(engine, job_id, result, by_nobody_else)

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
