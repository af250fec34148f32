"""What a probe tries to reach. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Address = tuple[str, int]
"""A host and a port."""

INTERNET: tuple[Address, ...] = (("1.1.1.1", 443), ("8.8.8.8", 443), ("9.9.9.9", 443))
INTERNET_V6: tuple[Address, ...] = (("2606:4700:4700::1111", 443), ("2001:4860:4860::8888", 443))
METADATA: tuple[Address, ...] = (("169.254.169.254", 80), ("fd00:ec2::254", 80))
"""Where clouds tell their machines what they are, and who."""
NAMES = ("example.com",)
ENGINE_PORTS = (2375, 2376)
USUAL_PORTS = (22, 80, 443)
"""Tried on a host where nobody of ours listens: that one answers at all is enough."""
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock")


class Called(NamedTuple):
    """Whom a site's jobs call."""

    parent: Address | None = None
    """Where their parent is, in their words; None: they call none."""
    hosts: Mapping[str, str] = {}
    """Names that resolve in their containers, as in :class:`~launchers.container_spec.ContainerSpec`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one probe tries."""

    host: tuple[Address, ...]
    """Of this host: all its addresses, where somebody of ours listens."""
    loopback: Address
    """Of this host, the same."""
    gateway_ports: tuple[int, ...] = ()
    """Of the gateway of the container's network, whoever's that is."""
    sockets: tuple[str, ...] = SOCKETS
    others: tuple[Address, ...] = ()
    """Another job's."""
    parent: Address | None = None
    name_servers: tuple[Address, ...] = (("1.1.1.1", 53), ("8.8.8.8", 53))

    @property
    def engine(self) -> tuple[Address, ...]:
        """Where an engine may listen on this host."""
        return tuple((host, port) for host in dict.fromkeys(host for host, _ in self.host) for port in ENGINE_PORTS)

    def as_json(self) -> dict[str, Any]:
        """Return what the program inside is told."""
        parent = [self.parent] if self.parent else []
        tcp = [*INTERNET, *INTERNET_V6, *METADATA, *self.host, self.loopback, *self.engine, *self.others, *parent]
        tcp = [*dict.fromkeys([*tcp, *self.name_servers])]
        return {"tcp": tcp, "files": [*self.sockets], "names": [*NAMES], "gateway_ports": [*self.gateway_ports]}


def outside() -> dict[str, Any]:
    """Return what this host tries itself, for comparison."""
    return {"tcp": [*INTERNET, *INTERNET_V6], "files": [], "names": [*NAMES]}


def told(address: Address) -> str:
    """Return how the program inside calls an address."""
    return f"{address[0]} {address[1]}"
