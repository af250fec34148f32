"""The networks of an engine: what it says of one, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from flcore.errors import NetworkError

from .docker_answer import OF_A_CHECK
from .docker_clients import DockerClients


@dataclass(frozen=True, slots=True)
class Network:
    """One that containers can join."""

    name: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    """The addresses, in its subnets, by which its containers reach the engine's host; those of IPv4 first."""

    def has(self, address: str) -> bool:
        """Whether an address is one of its subnets'."""
        return any(ip_address(address) in ip_network(subnet, strict=False) for subnet in self.subnets)


class DockerNetworks:
    """Those of one engine. ``errors`` turns what its SDK raises, of what it is told, into ours."""

    def __init__(self, clients: DockerClients, errors: Callable[..., AbstractContextManager[None]]) -> None:
        self._clients, self._errors = clients, errors

    def find(self, name: str) -> Network | None:
        """Return a network; None if it is not there. Raises JobLaunchError."""
        with suppress(NetworkError), self._errors(f"network {name}", OF_A_CHECK):
            return as_network(self._clients.looks.api.inspect_network(name))
        return None

    def make(self, name: str, subnet: str | None) -> None:
        """Make a bridge, in a subnet of the engine's choice if none is named. Raises JobLaunchError."""
        ipam = _pool(subnet) if subnet else None
        with self._errors(f"network {name}"):
            self._clients.calls.api.create_network(name, driver="bridge", ipam=ipam, check_duplicate=True)


def as_network(inspection: Mapping[str, Any]) -> Network:
    """Return what an engine says of a network."""
    configs = (inspection.get("IPAM") or {}).get("Config") or []
    subnets = tuple(config["Subnet"] for config in configs if config.get("Subnet"))
    gateways = [_gateway(config) for config in configs if config.get("Gateway") or config.get("Subnet")]
    return Network(
        str(inspection.get("Name", "")), subnets, tuple(sorted(gateways, key=lambda gateway: ":" in gateway))
    )


def planned(name: str, subnet: str) -> Network:
    """Return a network as it would be made."""
    return as_network({"Name": name, "IPAM": _pool(subnet)})


def _pool(subnet: str) -> dict[str, Any]:
    return {"Config": [{"Subnet": subnet, "Gateway": _gateway({"Subnet": subnet})}]}


def _gateway(config: Mapping[str, str]) -> str:
    """Return the address of the host in a subnet: the first one, where the engine was told, and tells, of no other."""
    named = config.get("Gateway", "").partition("/")[0]
    return named or str(next(iter(ip_network(config["Subnet"], strict=False).hosts())))
