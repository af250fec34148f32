"""What a job would be launched with at a kit: its launcher is asked as the kit's parent would ask it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from flcore.disk.presence import is_file
from flcore.errors import ConfigError, FLCoreError
from flcore.extras import how_to_install
from flcore.fl_constant import FLContextKey
from flcore.fl_constant import JobProcessArgs as Arg
from flcore.fl_context import FLContext, FLContextManager
from flcore.job_launcher_spec import JobArgs, LaunchRequest
from flcore.job_meta import get_app
from flcore.submitted_job import SubmittedJob

from ..docker_launcher import DockerJobLauncher
from ..flare.job_args import CLIENT_MODULE, PRINT_CONF, with_flags
from ..flare.kit_layout import SERVER, KitLayout
from ..flare.parent_config import ParentConfig, mapping_of
from .launcher_findings import CLASSES

_NVIDIA = "nvflare"
_MODULES = {"client": CLIENT_MODULE, SERVER: "nvflare.private.fed.app.server.runner_process"}
_AT_THE_START = "known-at-the-start"
"""A port, where the parent takes any that is free."""
_GIVEN = "given-at-launch"
"""A credential, which nobody is shown."""
_OPTIONS = re.compile(r"--set((?:\s+\w+=[^\s&|;>]+)+)")


def check_can_tell(layout: KitLayout) -> None:
    """Raise ConfigError where the launcher of kits cannot be made."""
    if find_spec(_NVIDIA) is None:
        way_out = f"call the flcore of the site's environment, or: {how_to_install('nvflare')}"
        raise ConfigError(f"{layout.root}: --job: NVIDIA FLARE says how a kit's jobs are started: {way_out}")


def launch_of(
    launcher: DockerJobLauncher, config: ParentConfig, job: SubmittedJob
) -> LaunchRequest | FLCoreError | str:
    """Return what a job would be launched with, why it would be refused, or why it is not launched there.

    Closes the launcher.
    """
    layout = config.layout
    if not get_app(job.meta, layout.site):
        return f"the deploy_map of {job.meta_file} names no app for {layout.site}"
    job_id, launcher.name = job.new_job_id(), CLASSES[layout.role]
    with closing(launcher):
        try:
            return launcher.describe_launch({**job.meta, "job_id": job_id}, _context(config, job_id))
        except FLCoreError as error:
            return error


def _context(config: ParentConfig, job_id: str) -> FLContext:
    """Return a context as the parent's is at a launch."""
    from nvflare.apis.workspace import Workspace

    layout = config.layout
    workspace = Workspace(str(layout.root.absolute()), layout.site)
    fl_ctx = FLContextManager(None, layout.site, job_id).new_context()
    known = {
        FLContextKey.WORKSPACE_OBJECT: workspace,
        FLContextKey.JOB_PROCESS_ARGS: job_args(config, workspace, job_id),
    }
    for key, value in known.items():
        fl_ctx.set_prop(key, value, private=True, sticky=False)
    return fl_ctx


def job_args(config: ParentConfig, workspace: Any, job_id: str) -> JobArgs:
    """Return what NVIDIA FLARE would pass to a job's process; what it learns only then stands as such."""
    layout, listener = config.layout, config.listener
    parent = f"{listener.scheme}://{listener.host}:{listener.port or _AT_THE_START}"
    common = with_flags(
        {
            Arg.EXE_MODULE: _MODULES[layout.role],
            Arg.JOB_ID: job_id,
            Arg.WORKSPACE: workspace.get_root_dir(),
            Arg.AUTH_TOKEN: _GIVEN,
            Arg.TOKEN_SIGNATURE: _GIVEN,
            Arg.STARTUP_CONFIG_FILE: f"fed_{layout.role}.json",
            Arg.PARENT_URL: parent,
            Arg.PARENT_CONN_SEC: listener.security,
            Arg.OPTIONS: f"{_options(layout)} {PRINT_CONF}",
        }
    )
    of_role = _of_server if layout.role == SERVER else _of_client
    return {**common, **of_role(config, workspace, job_id)}


def _of_client(config: ParentConfig, workspace: Any, _: str) -> JobArgs:
    service = _service(config.layout)
    return with_flags(
        {
            Arg.CLIENT_NAME: config.layout.site,
            Arg.SSID: _GIVEN,
            Arg.STARTUP_DIR: workspace.get_startup_kit_dir(),
            Arg.TARGET: service.get("target"),
            Arg.SCHEME: service.get("scheme", "grpc"),
        }
    )


def _of_server(config: ParentConfig, workspace: Any, job_id: str) -> JobArgs:
    service = _service(config.layout)
    scheme, target = service.get("scheme", "grpc"), str(service.get("target", ""))
    host, _, port = target.rpartition(":")
    return {
        Arg.APP_ROOT: ("-r", workspace.get_app_dir(job_id)),
        Arg.ROOT_URL: ("-u", f"{scheme}://{target}"),
        Arg.SERVICE_HOST: ("--host", host),
        Arg.SERVICE_PORT: ("--port", port),
        Arg.SSID: ("--ssid", _GIVEN),
    }


def _service(layout: KitLayout) -> Mapping[str, Any]:
    """Return what a kit says of where the server is; nothing if it says nothing that is clear."""
    servers = mapping_of(layout.root / f"startup/fed_{layout.role}.json").get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {}
    service = first.get("service") if isinstance(first, Mapping) else None
    return service if isinstance(service, Mapping) else {}


def _options(layout: KitLayout) -> str:
    """Return those with which its start script starts the parent, which passes them on."""
    script = layout.root / "startup/sub_start.sh"
    found = _OPTIONS.search(script.read_text(errors="replace")) if is_file(script) else None
    return " ".join(found[1].split()) if found else ""
