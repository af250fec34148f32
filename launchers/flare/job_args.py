"""What a client's parent of NVIDIA FLARE's would launch a job with: for who must know that ahead of the launch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flcore.fl_constant import FLContextKey
from flcore.fl_constant import JobProcessArgs as Arg
from flcore.job_launcher_spec import JobArgs

CLIENT_MODULE = "nvflare.private.fed.app.client.worker_process"
PRINT_CONF = "print_conf=True"
"""What a parent adds to its own options."""
_FLAGS = {
    Arg.EXE_MODULE: "-m",
    Arg.JOB_ID: "-n",
    Arg.CLIENT_NAME: "-c",
    Arg.AUTH_TOKEN: "-t",
    Arg.TOKEN_SIGNATURE: "-ts",
    Arg.SSID: "-d",
    Arg.WORKSPACE: "-m",
    Arg.STARTUP_DIR: "-w",
    Arg.PARENT_URL: "-p",
    Arg.SCHEME: "-scheme",
    Arg.TARGET: "-g",
    Arg.STARTUP_CONFIG_FILE: "-s",
    Arg.OPTIONS: "--set",
}
_REPEATED = re.compile(rf"(?:\s+{PRINT_CONF})+$")
_SERVER_CONFIG, _SECURITY = "__server_config__", "connection_security"
"""NVIDIA FLARE's keys, in a context and in what a parent says of where it listens."""


def with_flags(values: Mapping[str, Any]) -> JobArgs:
    """Return arguments of a client's job, or those that a server's has in common with it, as NVIDIA FLARE has them."""
    flags = {**_FLAGS, Arg.PARENT_CONN_SEC: _security_flag()}
    return {name: (flags[name], value) for name, value in values.items()}


def args_ahead(fl_ctx: Any, job_id: str) -> JobArgs:
    """Return what a client's parent would pass to a job's process, by a context of the parent that runs."""
    client, workspace = fl_ctx.get_engine().client, fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    args = fl_ctx.get_prop(FLContextKey.ARGS)
    service = _service_in(fl_ctx.get_prop(_SERVER_CONFIG))
    security = (client.cell.get_internal_listener_params() or {}).get(_SECURITY)
    return with_flags(
        {
            Arg.EXE_MODULE: CLIENT_MODULE,
            Arg.JOB_ID: job_id,
            Arg.CLIENT_NAME: client.client_name,
            Arg.AUTH_TOKEN: client.token,
            Arg.TOKEN_SIGNATURE: client.token_signature,
            Arg.SSID: client.ssid,
            Arg.WORKSPACE: args.workspace,
            Arg.STARTUP_DIR: workspace.get_startup_kit_dir(),
            Arg.PARENT_URL: str(client.cell.get_internal_listener_url()),
            Arg.SCHEME: service.get("scheme", "grpc"),
            Arg.TARGET: service.get("target"),
            Arg.STARTUP_CONFIG_FILE: "fed_client.json",
            Arg.OPTIONS: once(" ".join(["", *args.set, PRINT_CONF])),
            **({Arg.PARENT_CONN_SEC: security} if security else {}),
        }
    )


def once(options: str) -> str:
    """Return a parent's options with what it adds there once: up to 2.6 it adds that again with each launch."""
    return _REPEATED.sub(f" {PRINT_CONF}", options)


def _security_flag() -> str:
    """Return by what this NVIDIA FLARE tells a job's process how its parent listens."""
    major, minor = version("nvflare").split(".")[:2]
    return "--parent_conn_sec" if (int(major), int(minor)) >= (2, 8) else "-pcs"


def _service_in(server_config: Any) -> Mapping[str, Any]:
    first = server_config[0] if server_config else {}
    service: Mapping[str, Any] = first.get("service") or {}
    return service
