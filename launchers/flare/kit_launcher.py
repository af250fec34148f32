"""This package's launcher of containers at a site whose workspace is a kit of NVIDIA FLARE's: what a job of it gets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvflare.utils.job_launcher_utils import get_client_job_args, get_server_job_args

from flcore.config.problems import Problems
from flcore.disk.presence import is_folder
from flcore.disk.safe_files import closing, open_folder, remove
from flcore.errors import ConfigError, JobLaunchError
from flcore.fl_constant import FLContextKey, JobProcessArgs
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import JobArgs, LaunchRequest
from flcore.job_meta import JobMeta, get_job_id

from ..container_spec import OF_THE_USER, Mount
from ..docker_launcher import DockerJobLauncher
from ..docker_state import ContainerState
from ..keeping.job_folder import JobFolder
from ..launch_plan import LaunchPlan
from ..policy import site_args
from ..policy.job_command import CREDENTIAL_VARIABLES
from ..policy.job_policy import JobRequest
from ..policy.launch_origins import AT_LAUNCH
from ..runtime.engine_traits import EngineTraits
from . import process as flare_process
from .job_args import once
from .key_trouble import explained
from .kit import KIT_FILES, FlareKit, check_run_folder, folders_of_user, is_readable
from .kit_site import context_of_job
from .private_key import parse_private_key
from .process import RETURN_CODE_FILE, value_of
from .study_file import take_in_studies

HOST_WORKSPACE = "NVFL_DOCKER_WORKSPACE"
"""NVIDIA FLARE's variable of a parent in a container: where the engine's host has the kit."""

_FOLDER_SIZE = 64 << 20
"""Bytes, in memory, of what a job writes in a folder that is not its own."""
_SOMEWHERE = "/workspace"
_NETWORK = "__flcore_network__"
"""In the context of a launch: the network of its job."""


class KitLauncher(DockerJobLauncher):
    """This package's launcher, at a site whose workspace is a kit of NVIDIA FLARE's.

    Args:
        mount_path: where a container sees the site's workspace; by default where the parent does, since a site's config
            may name files in it.
        python: the interpreter in the image.
        private_key: which jobs get the site's private key, and connect to the server themselves, too, as NVIDIA FLARE
            has it: those that send "secure" messages to each other. True is all; else a list of objects, as
            ``[{"study": "brain", "submitter": "*@hospital.org"}]``: jobs that fulfil all that one of them says of
            ``study``, ``submitter`` or ``name``, each by a glob or a list of globs. Of these the server says who the
            submitter is and (from 2.8 on) the study; the name is what the job's author calls it. All other jobs get a
            key that opens nothing.
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
        private_key: bool | Sequence[Mapping[str, Any]] = False,
        kit_files: Sequence[str] = KIT_FILES,
        journal: bool = True,
        **kwargs: Any,
    ) -> None:
        problems = Problems()
        checked = problems.attempt
        self._is_moved = mount_path is not None
        self._has_read_studies = False
        checked(super().__init__, _SOMEWHERE if mount_path is None else mount_path, *args, **kwargs)
        self.python = checked(site_args.text, "python", python)
        self.private_key = checked(parse_private_key, "private_key", private_key)
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
            network = fl_ctx.get_prop(_NETWORK) or self.network
            job_args[JobProcessArgs.PARENT_URL] = (flag, flare_process.reachable(str(url), str(network)))
        if JobProcessArgs.OPTIONS in job_args:
            flag, options = job_args[JobProcessArgs.OPTIONS]
            job_args[JobProcessArgs.OPTIONS] = (flag, once(str(options)))
        return job_args

    def read_studies(self, fl_ctx: FLContext) -> None:
        """Take in what the kit's own file says of studies. Idempotent.

        Raises ConfigError, each time, with a line for each thing that is wrong with it, or cannot be had here.
        """
        if self._has_read_studies:
            return
        take_in_studies(self, Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()))
        self._has_read_studies = True

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:
        """Whether there is an image for the job; also where the launch will say that no job can be launched."""
        try:
            self.read_studies(fl_ctx)
        except ConfigError:
            return True
        return super().can_launch(job_meta, fl_ctx)

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        try:
            self.read_studies(fl_ctx)
        except ConfigError as error:
            raise JobLaunchError(f"job {get_job_id(job_meta)}: {error}") from error
        network = self.policy.study_in(job_meta).network or self.network
        fl_ctx.set_prop(_NETWORK, network, private=True, sticky=False)
        plan = super().plan(job_meta, fl_ctx)
        job_args = self.job_args(fl_ctx)
        hosts, environment = flare_process.parent_hosts(job_args), plan.spec.environment
        alone = not self.private_key.why(job_meta)
        if plan.spec.own_network:
            flare_process.check_leads_to_parent(plan.request.job_id, job_args, plan.spec.own_network, alone=alone)
        if alone:
            environment = {**flare_process.PARENT_ALONE, **environment}
        else:
            hosts |= flare_process.server_hosts(job_args, Path("/etc/hosts").read_text())
        isolation = replace(plan.spec.isolation, tmpfs={**plan.spec.isolation.tmpfs, **self._folders_in_memory(fl_ctx)})
        sees_key = bool(self.key_given(job_meta, fl_ctx))
        kit = self._kit(fl_ctx, sees_key, alone)
        spec = replace(plan.spec, hosts=hosts, environment=environment, private_files=kit, isolation=isolation)
        return replace(plan, spec=spec, asks={**plan.asks, "private_key": sees_key})

    def describe_launch(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchRequest:
        request = super().describe_launch(job_meta, fl_ctx)
        return replace(request, notes=(*request.notes, self._key_in_words(self.key_given(job_meta, fl_ctx))))

    def _key_in_words(self, why: str) -> str:
        if why:
            return f"it sees the site's private key: {why}"
        told = "it sees a decoy in place of the site's private key"
        may_be = "'private_key' may give it the key for its study or submitter, of whom the server tells at the launch"
        return f"{told}; {may_be}" if self.private_key.entries else told

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
        if log_path is None:
            return seen
        return explained(flare_process.counted_end(seen, flare_process.written_code(log_path.parent)), log_path.parent)

    def _folders_in_memory(self, fl_ctx: FLContext) -> dict[str, str]:
        """Return folders that are the job's user's own."""
        found = folders_of_user(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT))
        return {self.place(path, fl_ctx): f"size={_FOLDER_SIZE},mode=755,{OF_THE_USER}" for path in found}

    def key_given(self, job_meta: JobMeta, fl_ctx: FLContext) -> str:
        """Return why a job sees the site's private key: the site says so, or its process would not start without.

        Empty if it does not.
        """
        if why := self.private_key.why(job_meta):
            return why
        if value_of(self.job_args(fl_ctx), JobProcessArgs.PARENT_CONN_SEC) == "mtls":
            return "its parent listens with mutual TLS"
        return "its kit is signed" if self._kit_of(fl_ctx).signs_its_key() else ""

    def _kit(self, fl_ctx: FLContext, with_key: bool, alone: bool) -> dict[str, str]:
        """Return what a job sees of the kit: ``path in the container -> path here``."""
        shown = self._kit_of(fl_ctx).shown(self.kit_files, with_key, alone)
        return {self.place(str(path), fl_ctx): str(file) for path, file in shown.items()}

    def _kit_of(self, fl_ctx: FLContext) -> FlareKit:
        return FlareKit(Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()))

    def note_site(self, fl_ctx: FLContext) -> None:
        """Take note of where the engine's host has the kit, if the site's parent says so by NVIDIA FLARE's variable."""
        if there := os.environ.get(HOST_WORKSPACE):
            root = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()
            self.host_paths = {root: there, **self.host_paths}

    def job_environment(self, request: JobRequest, datasets: Mapping[str, Mount], fl_ctx: FLContext) -> dict[str, str]:
        variables = super().job_environment(request, datasets, fl_ctx)
        custom = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_site_custom_dir()
        if is_folder(Path(custom)):
            variables["PYTHONPATH"] += f":{self.place(custom, fl_ctx)}"
        return variables

    def job_mounts(self, folder: Path | None, datasets: Mapping[str, Mount], fl_ctx: FLContext) -> tuple[Mount, ...]:
        shared = flare_process.shared_folder(self.job_args(fl_ctx))
        talking = [Mount(shared, shared, read_only=False)] if shared else []
        return (*super().job_mounts(folder, datasets, fl_ctx), *talking)

    def check_folder(self, job_meta: JobMeta, folder: Path, fl_ctx: FLContext) -> None:
        """Raise JobRejectedError if it is none that the parent has made for a job: the parent is who makes them."""
        app = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_app_dir(get_job_id(job_meta))
        check_run_folder(get_job_id(job_meta), folder, Path(app).name)

    def prepare(self, plan: LaunchPlan, folder: JobFolder) -> None:
        super().prepare(plan, folder)
        if plan.folder:
            kit = FlareKit(plan.folder.parent)
            kit.make_decoy()
            kit.make_comm_config()
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
