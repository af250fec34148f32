"""What an engine is: which of a job's limits hold there, what shields it, and who its users are on the host. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flcore.job_launcher_spec import Check

from .docker_dialect import PODMAN, dialect_of

__all__ = ["NO_SHIFT", "TRAITS", "UNASKED", "EngineTraits", "Shift"]

_LIMITS = {
    "memory_limit": "MemoryLimit",
    "pids_limit": "PidsLimit",
    "cpu_limit": "CpuCfsQuota",
    "swap_limit": "SwapLimit",
}
"""What an engine says in ``info`` of each limit that it can set."""
_TAKEN = {"memory_limit": "memory", "pids_limit": "processes", "cpu_limit": "processor time", "swap_limit": "swap"}
"""What a job may take without end where a limit does not hold."""
_MODULES = ("apparmor", "selinux")
_SHIELDS = ("seccomp", *_MODULES, "rootless", "userns")
"""What may stand among its security options."""
TRAITS = (*_LIMITS, *_SHIELDS)
"""What a site may insist on."""

ROOTLESS_USER = "0:0"
"""Of a rootless engine's containers: whoever runs that engine. All others are users that have nothing on the host."""

_OF_THE_ROOT = re.compile(r"/([0-9]+)\.([0-9]+)$", re.ASCII)
"""What an engine that shifts users adds to the folder of all its data: the host's uid and gid of a container's 0."""
_VERSION = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_RESOLVES_INSIDE = ((23, 0, 11), (25, 0, 5))
"""The first releases of their lines without CVE-2024-29018; the lines after these never had it."""


_PODMAN_RESOLVES_INSIDE = (5, 0, 0)
"""4.3 does not, as was measured, 5.8 does."""
_LEAK = "this engine asks the host's name servers for its jobs all the same, by which data may leave"
LEAK = f"{_LEAK} (CVE-2024-29018): take Docker 25.0.5, 26.0 or later, if your distribution has not mended it"
PODMAN_LEAK = f"{_LEAK}: take Podman 5 or later"


class Shift(NamedTuple):
    """What the host adds to the ids of a container's users."""

    uid: int = 0
    """To a uid."""
    gid: int = 0
    """To a gid."""


NO_SHIFT = Shift()
"""A container's users are the host's."""


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """What an engine said of itself."""

    name: str
    """What it is called, such as ``Docker Engine``."""
    version: str = ""
    """Its release; empty where it has not told."""
    has: frozenset[str] = frozenset()
    """Which of ``TRAITS``."""
    shift: Shift | None = NO_SHIFT
    """Of a container's users; None: there is one, and the engine does not say which."""
    api: str = ""
    """The version of its API."""
    tells: bool = True
    """Whether it has answered what it is; if not, nothing is known to hold."""
    shares_users: bool = False
    """Whether this process counts users as its containers do, being in one of them."""

    @property
    def is_rootless(self) -> bool:
        """Whether a container's user 0 is this process's own, and none of the others is anybody."""
        return "rootless" in self.has and not self.shares_users

    def missing(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Return which of ``TRAITS`` are wanted and not there."""
        return tuple(trait for trait in TRAITS if trait in wanted and trait not in self.has)

    def on_host(self, user: str) -> str:
        """Return a container's ``uid:gid`` as the host counts them; empty is whoever runs the engine, and the site.

        Every file that is given to a job, and every look at whose one is, asks here.
        """
        if not user or self.is_rootless:
            return ""
        uid, _, gid = user.partition(":")
        shift = self.shift or NO_SHIFT
        return f"{int(uid) + shift.uid}:{int(gid) + shift.gid}"

    def uids_on_host(self, uids: range) -> range:
        """Return uids of containers as the host counts them."""
        shift = self.shift or NO_SHIFT
        return range(uids.start + shift.uid, uids.stop + shift.uid)

    def title(self) -> str:
        """Return what it is in a line."""
        return f"{self}, API {self.api}" + (", rootless" if self.is_rootless else "")

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


UNASKED = EngineTraits("the engine")
"""What is counted on where no engine has answered, and no container will be made by it."""


def as_traits(version: Mapping[str, Any], info: Mapping[str, Any], shares_users: bool = False) -> EngineTraits:
    """Return what an engine's answers to ``version`` and ``info`` mean. What it does not speak of it does not have."""
    options = frozenset(_security_options(info))
    has = {trait for trait, field in _LIMITS.items() if info.get(field)}
    if "rootless" in options and str(info.get("CgroupVersion")) == "1":
        has = set()  # nobody but root gets a control group of version 1, whatever an engine (Podman) says
    is_shifted = "userns" in options and not shares_users
    shift = _shift(str(info.get("DockerRootDir", ""))) if is_shifted else NO_SHIFT
    release, api = (str(version.get(key, "")) for key in ("Version", "ApiVersion"))
    return EngineTraits(
        dialect_of(version).name,
        release,
        frozenset(has | options.intersection(_SHIELDS)),
        shift,
        api,
        bool(info),
        shares_users,
    )


def _security_options(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of what is on, of options such as ``name=seccomp,profile=builtin``."""
    if info.get("Rootless"):  # Podman's own word; before 5 it has no other
        yield "rootless"
    for option in info.get("SecurityOptions") or ():
        values = dict(pair.partition("=")[::2] for pair in str(option).split(","))
        if values.get("profile") != "unconfined":
            yield values.get("name", "")


def _shift(root: str) -> Shift | None:
    match = _OF_THE_ROOT.search(root)
    return Shift(int(match[1]), int(match[2])) if match else None


# --- what a site should know ---


def warnings(traits: EngineTraits) -> Iterator[Check]:
    """Yield what a site should know of an engine that it may well use."""
    return (Check(what, True, words, warning=True) for what, words in _warnings(traits))


def _warnings(traits: EngineTraits) -> Iterator[tuple[str, str]]:
    if not traits.tells:
        yield "limits", f"what {traits} enforces is not known: whoever stands in front of it forbids 'GET /info'"
        return
    if lacking := traits.missing(_LIMITS):
        what = f"does not enforce {', '.join(lacking)}: {_why_not(traits)}"
        taken = ", ".join(_TAKEN[limit] for limit in lacking)
        yield "limits", f"{traits} {what}; a job may take all that its host has of {taken}"
    if "seccomp" not in traits.has:
        yield "seccomp", f"{traits} filters no system calls: jobs reach all of its host's kernel; give it a profile"
    if traits.missing(_MODULES) == _MODULES:
        yield "security module", f"{traits} has neither AppArmor nor SELinux: turn one on in its host's kernel"
    if traits.is_rootless:
        yield (
            "users",
            f"{traits} is rootless: jobs run as its user 0, who on the host is the site's own, and no more",
        )
        if traits.name != PODMAN.name:
            yield (
                "host-gateway",
                f"jobs that look for their parent on this host find {traits}'s own network in its place: name the "
                'address of this host as "host-gateway-ip" in its daemon.json; where that is done, all is well',
            )
    elif traits.shift != NO_SHIFT:
        yield "users", f"{traits} shifts users (userns-remap): {_told(traits.shift)}"


def _why_not(traits: EngineTraits) -> str:
    if "rootless" in traits.has:
        given = "none with cgroup v1, with v2 what systemd's 'Delegate=' names"
        return f"a rootless engine sets only what its user is given: {given}"
    return "its host's kernel has them turned off (the boot option 'swapaccount=1' turns on swap_limit)"


def _told(shift: Shift | None) -> str:
    if shift is None:
        return "by how much, it does not say, so no job can be given its files"
    whose = f"a job's uid is {shift.uid} more on the host, its gid {shift.gid}, to whom its files belong"
    return f"{whose}; inotify instances, which the kernel counts by namespace, jobs take from the host's root"


def name_leak(traits: EngineTraits) -> str:
    """Say that containers of an internal network may ask the host's name servers, and the way out; empty if not."""
    match = _VERSION.match(traits.version)
    if not match:
        return ""
    release = tuple(int(number or 0) for number in match.groups())
    if traits.name == PODMAN.name:
        return PODMAN_LEAK if release < _PODMAN_RESOLVES_INSIDE else ""
    first_good = next((good for good in _RESOLVES_INSIDE if release[0] <= good[0]), None)
    return LEAK if first_good is not None and release < first_good else ""
