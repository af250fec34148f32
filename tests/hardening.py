"""What a job's container must be like while it runs, by the items of two standards; ``SECURITY.md`` has the words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from launchers.runtime.engine_traits import as_traits

_UNSET: tuple[Any, ...] = (None, "", [], {})
_OWN = (*_UNSET, "private")
"""A namespace of the container's own: as Docker says it, and as Podman does."""


@dataclass(frozen=True)
class RunningContainer:
    """A job's container while it runs, as its engine shows it."""

    inspection: dict[str, Any]
    engine: dict[str, Any]
    """What the engine says of itself."""
    programs: list[str]
    """What runs in it."""
    status: dict[str, str]
    """What the kernel says of its first process, by name: no engine can be mistaken about that."""
    mounts_inside: dict[str, set[str]]
    """What is mounted in it, with the options."""
    own_folders: tuple[Path, ...]
    """What of the host it may see: the job's folder, and the site's datasets."""

    @property
    def host(self) -> dict[str, Any]:
        config: dict[str, Any] = self.inspection["HostConfig"]
        return config

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.inspection["Config"]
        return config

    @property
    def mounts(self) -> list[dict[str, Any]]:
        mounts: list[dict[str, Any]] = self.inspection["Mounts"]
        return mounts

    def has(self, security_module: str) -> bool:
        """Whether the engine has a kernel's security module to offer."""
        return any(option.startswith(f"name={security_module}") for option in self.engine["SecurityOptions"])

    def says(self, *security_options: str) -> bool:
        """Whether one of these options was given."""
        return any(option.startswith(security_options) for option in self.host["SecurityOpt"] or [])


Check = Callable[[RunningContainer], bool]


def _has_apparmor(container: RunningContainer) -> bool:
    profile = container.inspection["AppArmorProfile"]
    return profile != "unconfined" and (bool(profile) or not container.has("apparmor"))


def _keeps_selinux(container: RunningContainer) -> bool:
    return not container.says("label")


def _has_no_capability(container: RunningContainer) -> bool:
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return not any(int(container.status[name], 16) for name in sets) and container.host["CapAdd"] in _UNSET


def _is_not_privileged(container: RunningContainer) -> bool:
    return container.host["Privileged"] is False


def _sees_its_own_folders_only(container: RunningContainer) -> bool:
    sources = {mount["Source"] for mount in container.mounts}
    sources |= {bind.partition(":")[0] for bind in container.host["Binds"] or ()}
    return set(map(Path, sources)) <= set(container.own_folders)


def _publishes_nothing(container: RunningContainer) -> bool:
    return container.host["PortBindings"] in _UNSET and container.host["PublishAllPorts"] is False


def _has_own_network(container: RunningContainer) -> bool:
    mode = container.host["NetworkMode"]
    return mode != "host" and not mode.startswith("container:")


def _has_own_processes(container: RunningContainer) -> bool:
    return container.host["PidMode"] in _OWN


def _has_own_ipc(container: RunningContainer) -> bool:
    return container.host["IpcMode"] in ("", "private", "none", "shareable")  # with those who ask for it


def _has_bounded_memory(container: RunningContainer) -> bool:
    host = container.host
    return host["Memory"] > 0 and host["MemorySwap"] == host["Memory"] and not host["OomKillDisable"]


def _has_bounded_processors(container: RunningContainer) -> bool:
    """Whether it may use some of them only, be it said in Docker's unit or in the kernel's."""
    return bool(container.host["NanoCpus"] > 0 or 0 < container.host["CpuQuota"] < 1 << 40)


def _has_seccomp(container: RunningContainer) -> bool:
    filtered = "2"
    return container.status["Seccomp"] == filtered and container.has("seccomp") and not container.says("seccomp")


def _gains_no_privileges(container: RunningContainer) -> bool:
    return container.status["NoNewPrivs"] == "1"


def _is_not_root(container: RunningContainer) -> bool:
    user, _, group = container.config["User"].partition(":")
    is_nobody_else = "rootless" in as_traits({}, container.engine).has  # 0 is, on the host, whoever runs the engine
    return user.isdecimal() and group.isdecimal() and (int(user) > 0 or is_nobody_else)


def _has_masked_proc(container: RunningContainer) -> bool:
    masked = {"/proc/kcore", "/proc/keys", "/proc/timer_list"} & set(container.mounts_inside)  # no kernel has all
    return bool(masked) and "ro" in container.mounts_inside.get("/proc/sys", ())


CIS: dict[str, Check] = {
    "5.2": _has_apparmor,
    "5.3": _keeps_selinux,
    "5.4": _has_no_capability,
    "5.5": _is_not_privileged,
    "5.6": _sees_its_own_folders_only,
    "5.7": lambda container: not any("sshd" in program for program in container.programs),
    "5.8": _publishes_nothing,
    "5.9": _publishes_nothing,
    "5.10": _has_own_network,
    "5.11": _has_bounded_memory,
    "5.12": _has_bounded_processors,
    "5.13": lambda container: container.host["ReadonlyRootfs"] is True,
    "5.14": _publishes_nothing,
    "5.15": lambda container: container.host["RestartPolicy"]["Name"] == "no",
    "5.16": _has_own_processes,
    "5.17": _has_own_ipc,
    "5.18": lambda container: {str(container.host[key] or []) for key in ("Devices", "DeviceRequests")} == {"[]"},
    "5.20": lambda container: {mount["Propagation"] for mount in container.mounts} <= {"", "private", "rprivate"},
    "5.21": lambda container: container.host["UTSMode"] in _OWN,
    "5.22": _has_seccomp,
    "5.23": lambda container: container.inspection["ExecIDs"] in _UNSET,
    "5.24": lambda container: container.inspection["ExecIDs"] in _UNSET,
    "5.25": lambda container: container.host["CgroupParent"] in _UNSET,
    "5.26": _gains_no_privileges,
    "5.29": lambda container: 0 < container.host["PidsLimit"] <= 1024,
    "5.30": lambda container: "bridge" not in container.inspection["NetworkSettings"]["Networks"],
    "5.31": lambda container: container.host["UsernsMode"] != "host",
    "5.32": lambda container: not any(PurePosixPath(mount["Source"]).suffix == ".sock" for mount in container.mounts),
}
"""By the items of section 5 of the CIS Docker Benchmark 1.6.0."""

KUBERNETES: dict[str, Check] = {
    "Host namespaces": lambda container: all(
        own(container) for own in (_has_own_network, _has_own_processes, _has_own_ipc)
    ),
    "Privileged containers": _is_not_privileged,
    "Capabilities": _has_no_capability,
    "HostPath volumes": _sees_its_own_folders_only,
    "Host ports": _publishes_nothing,
    "AppArmor": _has_apparmor,
    "SELinux": _keeps_selinux,
    "/proc mount type": _has_masked_proc,
    "Seccomp": _has_seccomp,
    "Sysctls": lambda container: container.host.get("Sysctls") in _UNSET,
    "Volume types": lambda container: {mount["Type"] for mount in container.mounts} <= {"bind", "tmpfs"},
    "Privilege escalation": _gains_no_privileges,
    "Running as non-root": _is_not_root,
}
"""By the controls of the Kubernetes Pod Security Standard "restricted", which contains "baseline"."""
