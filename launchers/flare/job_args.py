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
_REPEATED = re.compile(rf"(?:\s+{PRINT_CONF})+$")
_SERVER_CONFIG, _SECURITY = "__server_config__", "connection_security"
"""NVIDIA FLARE's keys, in a context and in what a parent says of where it listens."""


def args_ahead(fl_ctx: Any, job_id: str) -> JobArgs:
    """Return what a client's parent would pass to a job's process, by a context of the parent that runs."""
    client, workspace = fl_ctx.get_engine().client, fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    args = fl_ctx.get_prop(FLContextKey.ARGS)
    service = _service_in(fl_ctx.get_prop(_SERVER_CONFIG))
    known: dict[str, tuple[str, Any]] = {
        Arg.EXE_MODULE: ("-m", CLIENT_MODULE),
        Arg.JOB_ID: ("-n", job_id),
        Arg.CLIENT_NAME: ("-c", client.client_name),
        Arg.AUTH_TOKEN: ("-t", client.token),
        Arg.TOKEN_SIGNATURE: ("-ts", client.token_signature),
        Arg.SSID: ("-d", client.ssid),
        Arg.WORKSPACE: ("-m", args.workspace),
        Arg.STARTUP_DIR: ("-w", workspace.get_startup_kit_dir()),
        Arg.PARENT_URL: ("-p", str(client.cell.get_internal_listener_url())),
        Arg.SCHEME: ("-scheme", service.get("scheme", "grpc")),
        Arg.TARGET: ("-g", service.get("target")),
        Arg.STARTUP_CONFIG_FILE: ("-s", "fed_client.json"),
        Arg.OPTIONS: ("--set", once(" ".join(["", *args.set, PRINT_CONF]))),
    }
    security = (client.cell.get_internal_listener_params() or {}).get(_SECURITY)
    return {**known, Arg.PARENT_CONN_SEC: (security_flag(), security)} if security else known


def once(options: str) -> str:
    """Return a parent's options with what it adds there once: up to 2.6 it adds that again with each launch."""
    return _REPEATED.sub(f" {PRINT_CONF}", options)


def security_flag() -> str:
    """Return by what this NVIDIA FLARE tells a job's process how its parent listens."""
    major, minor = version("nvflare").split(".")[:2]
    return "--parent_conn_sec" if (int(major), int(minor)) >= (2, 8) else "-pcs"


def _service_in(server_config: Any) -> Mapping[str, Any]:
    first = server_config[0] if server_config else {}
    service: Mapping[str, Any] = first.get("service") or {}
    return service
