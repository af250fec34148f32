"""The network of a site's jobs: one that is there, by its name, or one of each job's own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from flcore.config.problems import Problems, did_you_mean
from flcore.config.rules import Schema, rule
from flcore.config.strict_json import shown

from ..container_spec import ContainerSpec, JobNetwork, OwnNetwork
from . import docker_args, site_args

HOST, NONE = "host", "none"
"""Where the parent is that a job reaches in a network of its own: on the engine's host, or there is none to be reached.
"""
_SUFFIX = ".net"
"""Behind the name of a job's container, in which there is no dot: so no two jobs' networks have one name."""
_WIDEST, _NARROWEST = 8, 30
"""Lengths of a prefix. The narrowest has an address for the gateway and one for the job."""
_KEYS: dict[str, Schema] = {
    "per_job": {"const": True},
    "pools": {"type": "array", "items": {"type": "string", "pattern": "^[0-9.]+/[0-9]+$"}},
    "subnet_size": {"type": "integer", "minimum": _WIDEST, "maximum": _NARROWEST},
    "parent": {"enum": [HOST, NONE]},
}
_OWN: Schema = {"properties": _KEYS, "required": ["per_job"], "additionalProperties": False}


@rule({**docker_args.network.schema(), **_OWN, "type": ["string", "object"]})
def job_network(key: str, value: Any) -> JobNetwork:
    """Return the network of a site's, or a study's, jobs. Raises ValueError, a line for each thing that is wrong."""
    if not isinstance(value, Mapping):
        return docker_args.network(key, value)
    problems = Problems()
    problems.lines += [
        f"{key}: unknown key {one!r}{did_you_mean(one, _KEYS)}; known are {', '.join(_KEYS)}"
        for one in value
        if one not in _KEYS
    ]
    if value.get("per_job") is not True:
        said = shown(value.get("per_job"))
        problems.lines.append(f"{key}.per_job must be true, got {said}; of a network that is there, say its name alone")
    size = problems.attempt(_subnet_size, f"{key}.subnet_size", value.get("subnet_size", OwnNetwork().subnet_size))
    pools = problems.attempt(_pools, f"{key}.pools", value.get("pools", ()), size or _NARROWEST)
    if "subnet_size" in value and not value.get("pools"):
        problems.lines.append(f"{key}.subnet_size is of what is cut from 'pools', and there are none")
    parent = problems.attempt(site_args.one_of, f"{key}.parent", value.get("parent", HOST), (HOST, NONE))
    problems.raise_all(ValueError)
    return OwnNetwork(pools, size, parent == HOST)


def joined(spec: ContainerSpec, network: JobNetwork) -> ContainerSpec:
    """Return a spec whose container joins a network, made for it where that is to be."""
    if isinstance(network, OwnNetwork):
        return replace(spec, network=own_network_name(spec.name), own_network=network)
    return replace(spec, network=network, own_network=None)


def name_of_shared(network: JobNetwork) -> str | None:
    """Return the name of a network that is there before any job; None if there is none."""
    return network if isinstance(network, str) else None


def own_network_name(container: str) -> str:
    """Return the name of a job's own network, by that of its container."""
    return container + _SUFFIX


def _subnet_size(key: str, value: Any) -> int:
    if type(value) is not int or not _WIDEST <= value <= _NARROWEST:
        raise ValueError(f"{key} must be the length of a prefix, {_WIDEST} to {_NARROWEST}, got {shown(value)}")
    return value


def _pools(key: str, value: Any, size: int) -> tuple[str, ...]:
    found = [_pool(f"{key}[{index}]", text, size) for index, text in enumerate(site_args.texts(key, value))]
    for index, pool in enumerate(found):
        if other := next(filter(pool.overlaps, found[:index]), None):
            raise ValueError(f"{key}[{index}] overlaps with another one: {pool} and {other}")
    return tuple(map(str, found))


def _pool(key: str, text: str, size: int) -> IPv4Network:
    try:
        pool = IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"{key} must be a subnet of IPv4, as '10.210.0.0/16', got {shown(text)}: {error}") from error
    if pool.prefixlen > size:
        raise ValueError(f"{key} is smaller than the networks that are cut from it ('subnet_size', /{size}): {pool}")
    return pool
