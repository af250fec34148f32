"""The networks of jobs' own: made before their containers, found again by their labels, removed after them."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from typing import Any

from flcore.errors import JobLaunchError, NameInUseError, NetworkError, RuntimeRefusedError

from ..container_spec import LABEL_NONCE, THIS_PROCESS, ContainerSpec, OwnNetwork
from .base import NetworkSummary
from .docker_answer import OF_A_REMOVAL, NothingToDoError, epoch_seconds
from .docker_clients import DockerClients
from .docker_dialect import Dialect, bridge_of
from .docker_networks import as_network
from .docker_parent import Parent

_ATTEMPTS = 20
"""How many subnets are tried that somebody else has taken meanwhile."""
_IN_USE: Mapping[int, type[JobLaunchError]] = {409: NameInUseError}
_OVERLAPS = re.compile(r"overlap|is already used on the host or by another config")
_EXHAUSTED = re.compile(
    r"could not find an available, non-overlapping IPv4 address pool|predefined address pools have been fully subnetted"
    r"|could not find free subnet from subnet pools"
)
_HAS_MEMBERS = re.compile(r"has active endpoints|has associated containers|network is being used")


class DockerJobNetworks:
    """Those of one engine. Safe to use from several threads.

    Args:
        clients: to ask it by.
        errors: turns what its SDK raises, of what it is told, into ours.
        parent: returns where this process runs, as the engine sees it.
    """

    def __init__(
        self,
        clients: DockerClients,
        errors: Callable[..., AbstractContextManager[None]],
        parent: Callable[[], Parent],
    ) -> None:
        self._clients, self._errors, self._parent = clients, errors, parent
        self._lock = threading.Lock()

    def make(self, spec: ContainerSpec) -> ContainerSpec:
        """Have a job's own network be there, and return the spec with its parent's address in it.

        One that an unanswered request has made is taken over. Raises JobLaunchError.
        """
        how, nonce = spec.own_network or OwnNetwork(), spec.labels[LABEL_NONCE]
        calls_parent = THIS_PROCESS in spec.hosts.values()
        if calls_parent:
            self._check_parent(spec, how)
        found = next(self._of(nonce, spec.network), None)
        network_id = str(found["Id"]) if found else self._make(spec, how)
        if not calls_parent:
            return spec
        with self._errors(f"network {spec.network}"):
            gateway = as_network(self._clients.looks.api.inspect_network(network_id)).gateways[0]
        hosts = {name: gateway if host == THIS_PROCESS else host for name, host in spec.hosts.items()}
        return replace(spec, hosts=hosts)

    def remove(self, nonce: str, name: str) -> None:
        """Remove a job's network, if it is there; whoever is still in it, is put out of it. Raises JobLaunchError."""
        for found in list(self._of(nonce, name)):
            self._remove(str(found["Id"]), name)

    def all_of(self, label: str) -> list[NetworkSummary]:
        """Return those that have a label. Raises JobLaunchError."""
        with self._errors("the list of networks"):
            found = self._clients.looks.api.networks(filters={"label": [label]})
        return [
            NetworkSummary(entry["Name"], entry.get("Labels") or {}, epoch_seconds(entry.get("Created")))
            for entry in found
        ]

    def _check_parent(self, spec: ContainerSpec, how: OwnNetwork) -> None:
        if not how.reaches_host:
            raise NetworkError(f"network {spec.network}: the job has a parent to reach, and 'network.parent' is 'none'")
        if self._parent().in_container:
            way_out = "run it on the host itself, or name a network of both in 'network'"
            raise NetworkError(
                f"network {spec.network}: the site is itself in a container, where its jobs' own networks "
                f"('network.per_job') do not lead: {way_out}"
            )

    def _of(self, nonce: str, name: str) -> Iterator[Mapping[str, Any]]:
        """Yield what is a job's own by its label, and is called so: labels alone may be copied."""
        with self._errors(f"network {name}"):
            found = self._clients.looks.api.networks(filters={"label": [f"{LABEL_NONCE}={nonce}"]})
        return (entry for entry in found if entry["Name"] == name)

    def _make(self, spec: ContainerSpec, how: OwnNetwork) -> str:
        tried: list[str] = []
        while True:
            with self._lock:  # else two launches of this process would choose the same subnet
                subnet = self._free_subnet(spec.network, how, tried) if how.pools else None
                try:
                    return self._create(spec, how, subnet)
                except NameInUseError as error:
                    raise NameInUseError(f"{error}; what a job has left goes with: flcore gc") from error
                except RuntimeRefusedError as error:
                    said = str(error)
                    if subnet and _OVERLAPS.search(said) and len(tried) < _ATTEMPTS:
                        tried.append(subnet)  # somebody else was faster
                        continue
                    if not _EXHAUSTED.search(said):
                        raise
                    way_out = 'name more, as "pools": ["10.210.0.0/16"] of \'network\', or in its daemon.json'
                    raise NetworkError(f"{said}; the engine has no subnet left of its own pools: {way_out}") from error

    def _create(self, spec: ContainerSpec, how: OwnNetwork, subnet: str | None) -> str:
        ipam = {"Driver": "default", "Config": [{"Subnet": subnet}]} if subnet else None
        with self._errors(f"network {spec.network}", _IN_USE):
            api = self._clients.calls.api  # which finds out how the engine speaks
            options = own_network_options(self._clients.dialect, how, spec.labels[LABEL_NONCE])
            made = api.create_network(
                spec.network,
                driver="bridge",
                options=options,
                ipam=ipam,
                internal=True,
                check_duplicate=True,
                labels=dict(spec.labels),
            )
        return str(made["Id"])

    def _free_subnet(self, name: str, how: OwnNetwork, tried: Iterable[str]) -> str:
        with self._errors("the list of networks"):
            networks = self._clients.looks.api.networks()
        taken = [subnet for entry in networks for subnet in as_network(entry).subnets]
        free = free_subnet(how, [*taken, *tried], secrets.randbelow)
        if free is None:
            pools = ", ".join(how.pools)
            way_out = "name more in 'network.pools', or have fewer jobs run at a time ('admission')"
            raise NetworkError(f"network {name}: no /{how.subnet_size} of {pools} is free on this engine: {way_out}")
        return free

    def _remove(self, network_id: str, name: str) -> None:
        with suppress(NothingToDoError, NetworkError):  # it is gone
            try:
                self._ask_for_removal(network_id, name)
            except JobLaunchError as error:
                if not _HAS_MEMBERS.search(str(error)):
                    raise
                self._empty(network_id, name)
                self._ask_for_removal(network_id, name)

    def _ask_for_removal(self, network_id: str, name: str) -> None:
        with self._errors(f"network {name}", OF_A_REMOVAL):
            self._clients.calls.api.remove_network(network_id)

    def _empty(self, network_id: str, name: str) -> None:
        """Put out of a network whoever is in it: an engine that was killed may count what is gone."""
        with self._errors(f"network {name}", OF_A_REMOVAL):
            api = self._clients.calls.api
            members = api.inspect_network(network_id).get("Containers") or {}
            for container_id, member in members.items():
                named = member.get("Name") or container_id
                with suppress(JobLaunchError), self._errors(f"container {named} in network {name}"):
                    api.disconnect_container_from_network(named, network_id, force=True)


def own_network_options(dialect: Dialect, how: OwnNetwork, nonce: str) -> dict[str, str]:
    """Return what an engine is asked for beside that a network is internal."""
    options = {name: value.format(bridge=bridge_of(nonce)) for name, value in dialect.own_network.items()}
    if how.reaches_host:
        return options
    if dialect.without_host is None:
        why = f"{dialect.name} makes no network without an address of its host's: leave 'network.parent' out"
        raise NetworkError(f"{why}, and close that by a firewall: flcore check --network says how")
    return options | dict(dialect.without_host)


def free_subnet(how: OwnNetwork, taken: Iterable[str], below: Callable[[int], int]) -> str | None:
    """Return a subnet of the pools that overlaps with none that is taken; None if there is none.

    ``below`` chooses where the search begins, so that sites of one engine hardly ever choose the same at a time.
    """
    used = [network for text in taken if isinstance(network := ip_network(text, strict=False), IPv4Network)]
    for pool in map(IPv4Network, how.pools):
        count, step = 1 << (how.subnet_size - pool.prefixlen), 1 << (32 - how.subnet_size)
        blocked = _numbers_in(pool, step, count, used)
        first = below(count)
        number = next((n for n in (*range(first, count), *range(first)) if n not in blocked), None)
        if number is not None:
            return str(IPv4Network((int(pool.network_address) + number * step, how.subnet_size)))
    return None


def _numbers_in(pool: IPv4Network, step: int, count: int, used: Iterable[IPv4Network]) -> set[int]:
    """Return which of a pool's subnets are used, by their numbers."""
    base = int(pool.network_address)
    blocked: set[int] = set()
    for network in used:
        if network.overlaps(pool):
            first = max(0, (int(network.network_address) - base) // step)
            last = min(count - 1, (int(network.broadcast_address) - base) // step)
            blocked.update(range(first, last + 1))
    return blocked
