"""What a probe's answers mean: a line each, with what closes what is open. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address
from typing import Any

from flcore.job_launcher_spec import Check

from ..container_spec import JobNetwork, OwnNetwork
from ..runtime.docker_dialect import BRIDGES, PODMAN
from ..runtime.engine_traits import EngineTraits, name_leak
from .inside import ANSWERED, REACHED, REFUSED, SILENT
from .targets import ENGINE_PORTS, INTERNET, INTERNET_V6, METADATA, NAMES, Address, Asked, told

WHAT = "reach"
ANY = (REACHED, ANSWERED, REFUSED)
"""Somebody has answered, if only that there is nobody."""
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of what was asked, by the word of the program inside."""

    tcp: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    subnet: str = ""
    """The container's own."""
    gateway: str = ""
    """The address by which it would reach the engine's host."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Answers:
        subnet = str(IPv4Network(said["subnet"], strict=False)) if said.get("subnet") else ""
        return cls(said.get("tcp", {}), said.get("files", {}), said.get("names", {}), subnet, said.get("gateway", ""))

    def which(self, addresses: Collection[Address], *words: str) -> list[Address]:
        """Return those of the addresses of which one of these words was said."""
        return [address for address in addresses if self.tcp.get(told(address)) in words]


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried, in which network, and what came of it."""

    asked: Asked
    answers: Answers
    network: JobNetwork
    engine: EngineTraits
    is_of_this_host: bool = True
    """Whether the engine's host is this one, so that who was reached there has said so."""
    of_host: Answers = Answers()
    """What came of the same on this host, where it is a question of the world outside."""

    @property
    def source(self) -> str:
        """How a rule of iptables names what comes from the jobs of this network."""
        if isinstance(self.network, OwnNetwork):
            return f"-i {BRIDGES}+"
        return f"-s {self.answers.subnet or 'SUBNET'}"

    @property
    def at_gateway(self) -> list[Address]:
        """What was tried of the gateway."""
        return [(self.answers.gateway, port) for port in self.asked.gateway_ports] if self.answers.gateway else []


def findings(tried: Tried) -> Iterator[Check]:
    """Yield what jobs reach, and do not reach."""
    yield from _parent(tried)
    yield _outside(tried, "the internet", INTERNET)
    yield _outside(tried, "the internet by IPv6", INTERNET_V6)
    yield _metadata(tried)
    yield from _host(tried)
    yield _engine_socket(tried)
    yield _other_jobs(tried)
    yield _names(tried)


def _parent(tried: Tried) -> Iterator[Check]:
    parent = tried.asked.parent
    if not parent:
        return
    said = tried.answers.tcp.get(told(parent), SILENT)
    where = f"their parent at {_shown([parent])}"
    if said in (REACHED, ANSWERED):
        yield Check(WHAT, True, f"jobs reach {where}")
    elif said == REFUSED:
        yield Check(WHAT, True, f"jobs reach where {where} would be; nobody listens there now")
    else:
        open_it = f"iptables -I INPUT {tried.source} -p tcp --dport {parent[1]} -j ACCEPT"
        yield Check(WHAT, False, f"jobs do not reach {where} ({said}); if a firewall is in the way: {open_it}")


def _outside(tried: Tried, what: str, addresses: Collection[Address]) -> Check:
    reached = tried.answers.which(addresses, *ANY)
    if reached:
        way_out = 'make the network internal, or give each job one of its own ("network": {"per_job": true})'
        rule = f"iptables -I DOCKER-USER {tried.source} ! -d {tried.answers.subnet or 'SUBNET'} -j DROP"
        return _open(f"jobs reach {what} ({_shown(reached)}): {way_out}; or: {rule}")
    if not tried.of_host.which(addresses, *ANY):
        return _closed(f"jobs do not reach {what}; nor does this host, so that says little")
    return _closed(f"jobs do not reach {what}")


def _metadata(tried: Tried) -> Check:
    reached = tried.answers.which(METADATA, *ANY)
    if not reached:
        return _closed("jobs do not reach the metadata of a cloud (169.254.169.254)")
    rule = f"iptables -I DOCKER-USER {tried.source} -d 169.254.169.254 -j DROP"
    return _open(f"jobs reach the metadata of a cloud ({_shown(reached)}), which may hold credentials: {rule}")


def _host(tried: Tried) -> Iterator[Check]:
    """Say which of the host's addresses, and whether its loopback, are reached."""
    asked, answers = tried.asked, tried.answers
    if answers.which([asked.loopback], REACHED):
        yield _open(
            "jobs reach what listens on this host's loopback: they share its network; name another in 'network'"
        )
    here = tried.is_of_this_host
    reached = answers.which(asked.host, REACHED) + answers.which(tried.at_gateway, *((REACHED,) if here else ANY))
    where = "this host" if here else "the engine's host"
    if not reached:
        yield _closed(f"jobs do not reach {where} ({_count(tried)})")
        return
    hosts = list(dict.fromkeys(host for host, _ in reached))
    yield _open(
        f"jobs reach what listens on all addresses of {where}, by {_listed(hosts)}{_why(tried)}: {_rules(tried)}"
    )


def _count(tried: Tried) -> str:
    if tried.is_of_this_host:
        count = len(tried.asked.host)
        return "its one address was tried" if count == 1 else f"its {count} addresses were tried"
    return f"its address {tried.answers.gateway} was tried"


def _why(tried: Tried) -> str:
    """Say what of that an engine of this version cannot close by itself."""
    if not isinstance(tried.network, OwnNetwork) or not tried.network.reaches_host:
        return ""
    if tried.asked.parent:
        return f", for {tried.engine} closes none of it to who is to reach a parent there"
    if tried.engine.name == PODMAN.name:
        return f", of which {tried.engine} closes nothing"
    return f", which {tried.engine} leaves open to who may have a parent there; 'parent': 'none' in 'network' closes it"


def _rules(tried: Tried) -> str:
    close = f"iptables -I INPUT {tried.source} -j DROP"
    if not tried.asked.parent or tried.answers.tcp.get(told(tried.asked.parent)) not in ANY:
        return close
    but = f"iptables -I INPUT {tried.source} -p tcp --dport {tried.asked.parent[1]} -j ACCEPT"
    return f"{close}; then, for the parent: {but}"


def _engine_socket(tried: Tried) -> Check:
    """Say whether who can ask the engine for anything is shut out: whoever may is root on its host."""
    files = [path for path in tried.asked.sockets if tried.answers.files.get(path) in (REACHED, REFUSED)]
    at_gateway = [address for address in tried.at_gateway if address[1] in ENGINE_PORTS]
    ports = tried.answers.which([*tried.asked.engine, *at_gateway], ANSWERED)
    if files:
        return Check(WHAT, False, f"jobs see a socket of an engine ({', '.join(files)}): take it out of 'mounts'")
    if ports:
        rule = f"iptables -I INPUT {tried.source} -p tcp --dport {ports[0][1]} -j DROP"
        return Check(WHAT, False, f"jobs reach what may be an engine's port ({_shown(ports)}): {rule}")
    numbers = " and ".join(map(str, ENGINE_PORTS))
    return _closed(f"jobs reach no socket of an engine, nor its ports {numbers}")


def _other_jobs(tried: Tried) -> Check:
    if not tried.asked.others:
        return _open("whether jobs reach each other could not be tried")
    if not tried.answers.which(tried.asked.others, REACHED):
        return _closed("jobs do not reach each other")
    if isinstance(tried.network, OwnNetwork):
        return _open("jobs reach each other, though each has a network of its own")
    need = "those of one federation may need to (as a server's job and its clients' of flcore run)"
    way_out = '"network": {"per_job": true} gives each one of its own'
    return _open(f"jobs reach each other, for they share the network {tried.network}: {need}; else {way_out}")


def _names(tried: Tried) -> Check:
    resolved = [name for name in NAMES if tried.answers.names.get(name) == REACHED]
    servers = tried.answers.which(tried.asked.name_servers, REACHED, ANSWERED)
    if resolved or servers:
        who, way_out = ", ".join([*resolved, *(host for host, _ in servers)]), _names_way_out(tried, servers)
        return _open(f"jobs get answers of name servers outside ({who}), by which data may leave: {way_out}")
    is_offline = tried.of_host.names.get(NAMES[0]) != REACHED
    if is_offline and (leak := name_leak(tried.engine)):
        return _open(f"jobs get no answers of name servers now, nor does this host; but {leak}")
    said = "; nor does this host, so that says little" if is_offline else ""
    return _closed(f"jobs get no answers of name servers outside{said}")


def _names_way_out(tried: Tried, servers: Collection[Address]) -> str:
    is_internal = isinstance(tried.network, OwnNetwork) or not servers
    if is_internal and (leak := name_leak(tried.engine)):
        return leak
    return 'make the network internal, or give each job one of its own ("network": {"per_job": true})'


def _open(detail: str) -> Check:
    return Check(WHAT, True, detail, warning=True)


def _closed(detail: str) -> Check:
    return Check(WHAT, True, detail)


def _shown(addresses: Collection[Address]) -> str:
    return _listed([f"[{host}]:{port}" if _is_v6(host) else f"{host}:{port}" for host, port in addresses])


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return ", ".join(texts[:_MOST_NAMED]) + more


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
