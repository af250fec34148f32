"""Launchers that run a job's process in a Docker container."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from flcore.fl_constant import FLContextKey
from flcore.fl_context import FLContext
from flcore.job_meta import JobMeta

from . import site_args
from .container_spec import LABEL_SITE, ContainerSpec
from .docker_state import DOCKER_STATE
from .job_handle import DockerJobHandle, Tracking
from .job_launcher import ClientJobLauncher, JobLauncher, LaunchPlan, ServerJobLauncher
from .job_policy import names_image
from .runtime.base import Runtime

__all__ = [
    "DOCKER_STATE",
    "ClientDockerJobLauncher",
    "DockerJobHandle",
    "DockerJobLauncher",
    "ServerDockerJobLauncher",
]

DATASETS_PATH = "/data"
NOBODY = 65534


class DockerJobLauncher(JobLauncher):
    """Runs jobs in Docker containers; a subclass needs no more than :meth:`get_command`.

    A container sees the job's own folder at ``<mount_path>/<job id>``, writable, and the site's datasets at
    ``/data/<name>``, read-only; nothing else of the host.

    Args:
        mount_path: where a container sees the site's workspace.
        network: the user-defined network that the containers join.
        user: ``uid:gid`` of the job's process; by default the site's own, or nobody's where that is root.
        init: run an init as PID 1, so that signals arrive and zombies are reaped.
        docker_host: the engine, such as ``unix:///var/run/docker.sock``; by default what Docker's own command uses.
        kwargs: see :class:`JobLauncher`.
    """

    mode = "docker"
    service_host = "0.0.0.0"  # noqa: S104 - of the container, whose network is the site's to choose

    def __init__(
        self,
        mount_path: str = "/workspace",
        network: str = "nvflare-network",
        timeout: float | None = None,
        *,
        user: str | None = None,
        init: bool = True,
        docker_host: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.mount_path = site_args.absolute_path("mount_path", mount_path)
        self.network = site_args.text("network", network)
        self.user = _default_user() if user is None else site_args.user("user", user)
        self.init = site_args.flag("init", init)
        self.docker_host = docker_host

    @abstractmethod
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        """Return the container's name and the launch command, which is split as a shell would; no shell runs it."""

    def can_launch(self, job_meta: JobMeta, fl_ctx: FLContext) -> bool:
        """Whether the job names an image for this site, or the site has one for all jobs."""
        return names_image(job_meta, fl_ctx.get_identity_name(), self.policy, self.mode)

    def make_runtime(self) -> Runtime:
        from .runtime.docker import DockerRuntime  # the first launch needs the Docker SDK, not the constructor

        return DockerRuntime(self.docker_host, watched_label=LABEL_SITE)

    def place(self, path: str, fl_ctx: FLContext) -> str:
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        root = workspace.get_root_dir() if workspace else ""
        if root and Path(path).is_relative_to(root):
            return str(PurePosixPath(self.mount_path, Path(path).relative_to(root)))
        return path

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        return replace(spec, network=self.network, user=self.user, init=self.init)

    def dataset_path(self, name: str) -> str:
        return f"{DATASETS_PATH}/{name}"

    def _prepare(self, plan: LaunchPlan) -> None:
        super()._prepare(plan)
        if plan.folder and os.geteuid() == 0:
            _hand_over(plan.folder, plan.spec.user)

    def make_handle(self, tracking: Tracking, log_path: Path | None) -> DockerJobHandle:
        return DockerJobHandle(None, self.timeout, tracking=tracking, log_path=log_path)


class ClientDockerJobLauncher(ClientJobLauncher, DockerJobLauncher):
    """Runs a client's job process in a container named ``<site>-<job id>``."""


class ServerDockerJobLauncher(ServerJobLauncher, DockerJobLauncher):
    """Runs the server's job process in a container named ``server-<job id>``."""


def _default_user() -> str:
    uid, gid = os.geteuid(), os.getegid()
    return f"{NOBODY}:{NOBODY}" if uid == 0 else f"{uid}:{gid}"


def _hand_over(folder: Path, user: str) -> None:
    """Make the job's user the owner of the job's folder. No link in it is followed."""
    uid, _, gid = user.partition(":")
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), int(uid), int(gid), follow_symlinks=False)
