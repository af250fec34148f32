"""Where parents and jobs run, and so by which addresses they find each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from tests.engines.engine import api_of

from .environments import Flare
from .kits import SITES, Addresses, free_ports


class Topology(StrEnum):
    """Where the parents and the job containers of a federation are."""

    HOST = "host"
    """Parents are processes of this machine; job containers have its network."""
    BRIDGE = "bridge"
    """Parents are processes of this machine; job containers are on a bridge, and reach them by its gateway."""
    OWN_NETWORKS = "own networks"
    """Parents are processes of this machine; each job's container has a network of its own, and finds it there."""
    CONTAINERS = "containers"
    """Parents are containers as well, all on one bridge."""


@contextmanager
def network(topology: Topology, engine: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the network of the job containers and this machine's address on it; remove it if it was made for this."""
    if topology is Topology.HOST:
        yield "host", "localhost"
        return
    if topology is Topology.OWN_NETWORKS:
        yield "", "localhost"
        return
    with api_of(engine) as api:
        api.create_network(name, driver="bridge")
    try:
        with api_of(engine) as api:
            gateway = api.inspect_network(name)["IPAM"]["Config"][0]["Gateway"]
        yield name, gateway
    finally:
        with api_of(engine) as api:
            api.remove_network(name)


def addresses(topology: Topology, flare: Flare, gateway: str) -> Addresses:
    """Return the addresses of a federation, on ports that nobody has."""
    port, admin_port, *ports = free_ports(2 + len(SITES))
    internal = {site: _internal(topology, flare, site, gateway, own) for site, own in zip(SITES, ports, strict=True)}
    if topology is Topology.CONTAINERS:
        return Addresses("server", "localhost", port, admin_port, internal)
    return Addresses(gateway, gateway, port, admin_port, internal)


def _internal(topology: Topology, flare: Flare, site: str, gateway: str, port: int) -> Mapping[str, Any]:
    """Return where a parent listens for its jobs: as this version prepares its kits for Docker."""
    if topology is Topology.HOST:
        return {}
    if topology is Topology.OWN_NETWORKS:
        return {"host": "0.0.0.0", "port": port, "connection_security": "clear"}
    if topology is Topology.BRIDGE:
        return {"host": gateway, "port": port, "connection_security": "clear"}
    if flare.release < (2, 8):
        return {"host": site, "port": port, "connection_security": "clear"}
    return {"host": "0.0.0.0", "connection_security": "clear" if flare.release < (2, 9) else "mtls"}
