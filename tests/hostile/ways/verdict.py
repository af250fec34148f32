"""What came of the ways out: which are closed, and which of those that are open have been named, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from launchers.runtime.docker_dialect import PODMAN, dialect_of
from launchers.runtime.engine_traits import as_traits, name_leak

from .internet import Outside

MUST = "its parent"
"""Not a way out, but whom a job must reach."""


class Network(StrEnum):
    """What a site gives its jobs as network."""

    NAMED = "a named bridge"
    PER_JOB = "a network per job"
    FIREWALLED = "the same behind a firewall"
    SEALED = "a network per job without the host"


@dataclass(frozen=True)
class Place:
    """Where a job tried."""

    network: Network
    version: Sequence[int]
    is_podman: bool = False
    is_rootless: bool = False
    has_control_groups: bool = True
    plays_outside: bool = True
    """Whether there is a server outside to be reached, which takes root."""
    plays_names: bool = True
    """Whether what the engine asks for names is ours."""
    plays_cloud: bool = True
    leaks_names: bool = False
    """Whether it is one with CVE-2024-29018."""
    plays_studies: bool = True
    """Whether there is a job of another study."""
    is_ours: bool = True
    """Whether it is of this project that it is tried: else nobody has to name what is open."""

    @classmethod
    def of(cls, client: Any, network: Network, outside: Outside | None) -> Place:
        version, info = client.version(), client.info()
        traits = as_traits(version, info)
        is_rootless = "rootless" in traits.has
        numbers = tuple(map(int, re.findall(r"\d+", version["Version"])[:3]))
        groups = info.get("CgroupDriver") != "none" and not (is_rootless and info.get("CgroupVersion") == "1")
        has_names, has_metadata = (outside.has_names, outside.has_metadata) if outside else (False, False)
        return cls(
            network=network,
            version=numbers,
            is_podman=dialect_of(version) is PODMAN,
            is_rootless=is_rootless,
            has_control_groups=groups,
            plays_outside=outside is not None,
            plays_names=has_names,
            plays_cloud=has_metadata,
            leaks_names=bool(name_leak(traits)) and dialect_of(version) is not PODMAN,
        )


@dataclass(frozen=True)
class Named:
    """A way that is known to be open at some places."""

    way: str
    where: Callable[[Place], bool]
    why: str
    """With what closes it."""
    how: str = ".*"
    """What is said of it, as a pattern."""


def _reaches_its_host(place: Place) -> bool:
    """Whether a job's own network leads to the host, since the parent is there."""
    return place.network is Network.PER_JOB


def _asks_at_gateway(place: Place) -> bool:
    """Whether it is a Podman whose nameserver asks outside for an internal network: 4.3 does, 5.8 does not."""
    return place.is_podman and list(place.version) < [5] and place.network is Network.PER_JOB


def _is_podman(place: Place) -> bool:
    return place.is_podman


def _docker(*before: int) -> Callable[[Place], bool]:
    return lambda place: not place.is_podman and list(place.version) < list(before)


_OF_A_BRIDGE = "a bridge leads wherever the host does: take a network per job"
_OF_INTERNAL = (
    "an internal network reaches what listens on all of the host's addresses: "
    "iptables -I INPUT -i flj-+ -j DROP, and before it an ACCEPT of the parent's port"
)
_OF_NAMES = (
    "CVE-2024-29018: Docker before 23.0.11, 25.0.5 and 26.0 asks a nameserver at the host's loopback for internal "
    'networks, too: take a newer one, or name others in "dns" of its daemon.json'
)
_OF_PODMAN_4 = (
    "Podman 4's nameserver, at the gateway, asks outside for an internal network, too: the firewall closes it"
)
_OF_PODMAN = "Podman's seccomp profile lets a job make user name spaces"
_PROFILE = "name a stricter profile (security_opt)"
_NO_LIMITS = (
    'without root on cgroup v1 no engine has limits: "require": ["memory_limit", "pids_limit"] launches nothing'
)
_OUTSIDE = ("a server outside, by IPv4", "the cloud's metadata address")
_OTHER_JOBS = ("a job of the same study", "a job of another study", "whoever is on its network")
_THE_HOST = (
    "the host, by its network's gateway",
    "the host, by its other addresses",
    "the host, by IPv6",
    "the host, by a name",
    "other ports of the parent",
    "the engine, by TCP",
)
NAMES = "names outside, by the engine's DNS"
OUTPUT = "the host's disk, by its output"

KNOWN: Sequence[Named] = (
    *(
        Named(way, lambda place: place.network is Network.NAMED, _OF_A_BRIDGE)
        for way in (*_OUTSIDE, *_OTHER_JOBS, *_THE_HOST, NAMES)
    ),
    *(Named(way, _reaches_its_host, _OF_INTERNAL) for way in _THE_HOST),
    *(
        Named(way, lambda place: not place.has_control_groups, _NO_LIMITS)
        for way in ("more processes than it may have", "more memory than it may have")
    ),
    Named(NAMES, _asks_at_gateway, _OF_PODMAN_4),
    Named(NAMES, lambda place: place.leaks_names and place.network is not Network.NAMED, _OF_NAMES),
    Named(
        "mounts and name spaces",
        _is_podman,
        f"{_OF_PODMAN}, in which it owns nothing of the host: {_PROFILE}",
        "a user namespace",
    ),
    Named("rare system calls", _is_podman, f"{_OF_PODMAN}, and call keyctl: {_PROFILE}", "keyctl"),
    Named(
        "rare system calls",
        _docker(25),
        "Docker's seccomp profile before 25 lets jobs use io_uring: sysctl kernel.io_uring_disabled=2, or a profile",
        "io_uring_setup",
    ),
)


def unnamed(found: Mapping[str, Sequence[str]], place: Place) -> list[str]:
    """Return what got out that nobody has said would."""
    return [
        f"{way}: {how}" for way, said in found.items() if way != MUST for how in said if reason(way, how, place) is None
    ]


def misses(found: Mapping[str, Sequence[str]], place: Place) -> bool:
    """Whether a job does not reach its parent that should, or does that should not.

    In a network of Podman's without root, the gateway is no address of the host: there a job finds it by another one.
    """
    if place.is_podman and place.is_rootless:
        return False
    return bool(found[MUST]) is (place.network is Network.SEALED)


def reason(way: str, how: str, place: Place) -> str | None:
    """Return why a way is open at a place; None if it should not be."""
    known = (one for one in KNOWN if one.way == way and one.where(place) and re.fullmatch(one.how, how))
    return next((one.why for one in known), None)


def table(columns: Mapping[str, tuple[Place, Mapping[str, Sequence[str]]]]) -> Iterator[str]:
    """Yield the lines of a table of all ways, with a column for each place, and then why those are open that are."""
    yield f"| way | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    ways = next(iter(columns.values()))[1]
    for way in ways:
        yield f"| {way} | {' | '.join(_cell(way, *column) for column in columns.values())} |"
    for name, (place, found) in columns.items():
        out = [way for way in found if way != MUST and found[way]]
        yield ""
        tried = [way for way in ways if way != MUST and not not_tried(way, place)]
        yield f"{name}: {len(tried) - len(out)} of {len(tried)} closed"
        yield from (f"  {way}: {'; '.join(found[way])[:200]}{_why(way, found[way], place)}" for way in out)


def _cell(way: str, place: Place, found: Mapping[str, Sequence[str]]) -> str:
    if not_tried(way, place):
        return "not tried"
    if way == MUST:
        return "reached" if found[way] else "not reached"
    if not found[way]:
        return "closed"
    is_known = not place.is_ours or all(reason(way, how, place) for how in found[way])
    return "open" if is_known else "OPEN, UNNAMED"


def _why(way: str, said: Sequence[str], place: Place) -> str:
    reasons = dict.fromkeys(reason(way, how, place) or "NOBODY HAS NAMED THIS" for how in said)
    return f": {'; '.join(reasons)}" if place.is_ours else ""


def not_tried(way: str, place: Place) -> bool:
    """Whether nobody could get out there, for there is no outside."""
    outside = ("a server outside, by IPv4", "a server outside, by IPv6")
    return (
        (way in outside and not place.plays_outside)
        or (way == NAMES and not place.plays_names)
        or (way == "the cloud's metadata address" and not place.plays_cloud)
        or (way == "a job of another study" and not place.plays_studies)
    )
