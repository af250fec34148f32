"""Where this process runs, as the engine of its host sees it: of use where that is a container itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from flcore.errors import JobLaunchError

from ..container_spec import THIS_PROCESS, ContainerSpec

HOST_GATEWAY = "host-gateway"
"""The engine's word for its own host, among the hosts of a container."""

_OWN_FILE = re.compile(r"[/-]containers/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) ")
"""What an engine mounts into each container, from a folder that has the container's id."""


ALL_USERS = ["0", "0", str(2**32 - 1)]
"""The map of users of a process whose users are the host's."""


@dataclass(frozen=True, slots=True)
class Parent:
    """This process, as the engine sees it.

    ``in_container``: its own container is one of that engine's; else the engine sees the same files as it.
    """

    in_container: bool = False
    paths: Mapping[str, str] = field(default_factory=dict)
    """Where the engine's host has what this process sees: ``path here -> path there``."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Of its container, by network."""

    def located(self, spec: ContainerSpec) -> ContainerSpec:
        """Return a spec with its sources where the engine has them, and this process's address for its name.

        Raises JobLaunchError.
        """
        mounts = tuple(replace(mount, source=self._path(mount.source)) for mount in spec.mounts)
        hosts = {
            name: self._address(spec.network) if address == THIS_PROCESS else address
            for name, address in spec.hosts.items()
        }
        return replace(spec, mounts=mounts, hosts=hosts)

    def _path(self, path: str) -> str:
        for here in sorted(self.paths, key=len, reverse=True):
            if PurePosixPath(path).is_relative_to(here):
                return str(PurePosixPath(self.paths[here], PurePosixPath(path).relative_to(here)))
        if not self.in_container:
            return path
        raise JobLaunchError(
            f"{path} is in the container of the site itself, where the engine cannot find it: mount it from the host, "
            "or say in 'host_paths' where the host has it"
        )

    def _address(self, network: str) -> str:
        if not self.in_container:
            return HOST_GATEWAY
        if network not in self.addresses:
            joined = ", ".join(self.addresses) or "none"
            raise JobLaunchError(
                f"the site's own container is not in the network {network} of its jobs, but in {joined}: "
                "have it join that one, or name another in 'network'"
            )
        return self.addresses[network]


def own_container_id(mountinfo: str) -> str:
    """Return the id of the container in which a process runs, by its ``/proc/self/mountinfo``; empty if in none."""
    match = _OWN_FILE.search(mountinfo)
    return match[1] if match else ""


def shares_users(mountinfo: str, uid_map: str) -> bool:
    """Whether a process counts users as an engine's containers do: it is in one, and the host's users are others."""
    return bool(own_container_id(mountinfo)) and uid_map.split() != ALL_USERS


def as_parent(inspection: Mapping[str, Any], host_paths: Mapping[str, str]) -> Parent:
    """Return what the engine says of this process's own container; ``host_paths`` have the last word."""
    mounted = {mount["Destination"]: mount["Source"] for mount in inspection["Mounts"] if mount.get("Source")}
    networks = inspection["NetworkSettings"]["Networks"] or {}
    addresses = {name: network["IPAddress"] for name, network in networks.items() if network.get("IPAddress")}
    return Parent(True, {**mounted, **host_paths}, addresses)
