"""GPUs that a host does not have: the engine gets each request but for the devices in it.

Imports nothing of ours, so that a parent can load it from its kit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker


class PretendedGpus:
    """A component that has its process pretend. In a kit of NVIDIA FLARE's, for its parent."""

    def __init__(self, requests: str) -> None:
        pretend(Path(requests))


def pretend(requests: Path) -> None:
    """Have requests for devices written to a file in place of being sent to the engine, and shown as taken."""
    create: Any = docker.APIClient.create_container_from_config
    inspect: Any = docker.APIClient.inspect_container
    asked: dict[str, Any] = {}

    def create_without(self: Any, config: Any, name: Any = None, platform: Any = None) -> Any:
        devices = config["HostConfig"].pop("DeviceRequests", None)
        if devices:
            with requests.open("a") as file:
                file.write(json.dumps({"name": name, "devices": devices}) + "\n")
        created = create(self, config, name, platform)
        asked[created["Id"]] = devices
        return created

    def inspect_with(self: Any, container: str) -> Any:
        inspection = inspect(self, container)
        if devices := asked.get(container):
            inspection["HostConfig"] |= {"DeviceRequests": devices, "Devices": devices}
        return inspection

    docker.APIClient.inspect_container = inspect_with  # type: ignore[assignment, method-assign]
    docker.APIClient.create_container_from_config = create_without  # type: ignore[method-assign]
