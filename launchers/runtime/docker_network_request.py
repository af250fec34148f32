"""What an engine is asked for by a job's own network: in which subnet, and with which options. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, ip_network

from flcore.errors import NetworkError

from ..container_spec import OwnNetwork
from .docker_dialect import Dialect

BRIDGES = "flj-"
"""What the names of these networks' interfaces on the host begin with, by which a firewall tells them from others."""
_BRIDGE_LENGTH = 15
"""The kernel's limit."""


def bridge_of(nonce: str) -> str:
    """Return the name of the interface, on the host, of a job's own network."""
    return (BRIDGES + nonce)[:_BRIDGE_LENGTH]


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
