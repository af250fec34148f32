"""Startup kits as they are provisioned, for tests without NVIDIA FLARE: what a parent reads, and how it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.small_engine import SmallEngine

PROCESS_LAUNCHER = {
    "client": "nvflare.app_common.job_launcher.client_process_launcher.ClientProcessJobLauncher",
    "server": "nvflare.app_common.job_launcher.server_process_launcher.ServerProcessJobLauncher",
}
_RESOURCES = """{
  "format_version": 2,
  "allow_log_streaming": true,
  "components": [
    {
      "id": "resource_manager",
      "path": "nvflare.app_common.resource_managers.gpu_resource_manager.GPUResourceManager",
      "args": {"num_of_gpus": 0, "mem_per_gpu_in_GiB": 0}
    },
    {
      "id": "process_launcher",
      "path": "%s",
      "args": {}
    },
    {
        "id": "error_log_sender",
        "path": "nvflare.app_common.logging.log_sender.ErrorLogSender"
    }
  ]
}
"""
_SUB_START = (
    "python3 -u -m nvflare.private.fed.app.client.client_train -m $DIR/.. --set secure_train=true uid=%s org=o\n"
)
_SERVER = {"service": {"target": "server:8002", "scheme": "grpc"}, "admin_server": "server", "admin_port": 8003}


def make_kit(folder: Path, role: str = "client", extra: dict[str, Any] | None = None) -> Path:
    """Make one in a folder of its own, and return that; ``extra`` are more files, by their paths in it."""
    files: dict[str, Any] = {
        f"startup/fed_{role}.json": {"format_version": 2, "servers": [_SERVER if role == "server" else {}]},
        "startup/start.sh": "#!/usr/bin/env bash\n",
        "startup/sub_start.sh": _SUB_START % folder.name,
        f"startup/{role}.key": "the key\n",
        "startup/rootCA.pem": "a certificate\n",
        "local/resources.json.default": _RESOURCES % PROCESS_LAUNCHER[role],
        "local/privacy.json.sample": "{}",
        **(extra or {}),
    }
    for name, content in files.items():
        write(folder / name, content)
    return folder


def write(path: Path, content: Any) -> None:
    """Write a text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return all files below a folder: what is in them, and their modes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}


def give_network(engine: SmallEngine, name: str = "flare", subnet: str = "127.30.0.0/24") -> None:
    """Have an engine have a network, whose gateway is an address of this host, as that of any of 127.0.0.0/8 is.

    Where no subnet is named, it has none of that name.
    """
    missing = (404, {"message": f"network {name} not found"})
    there = {"Name": name, "IPAM": {"Config": [{"Subnet": subnet}]}}
    engine.answers[f"GET /networks/{name}"] = (200, there) if subnet else missing
