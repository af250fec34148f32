"""The rules for what a site's config says of its jobs' containers, and what of it is insecure. Pure.

Each rule raises ValueError naming the key and the value.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from flcore.config.argument_rules import ABSOLUTE_PATH
from flcore.config.problems import Problems
from flcore.config.rules import Schema, rule, whole
from flcore.config.sizes import parse_size, size_schema
from flcore.job_meta import FOLDERS_OF_SITES
from flcore.workspace import STATE_DIR

from ..container_spec import Isolation, Mount
from ..settings import NEVER, EngineTls
from .image_reference import ImageRule, named_alone
from .site_args import absolute_path, flag, host_path, some_of, text, texts

INSECURE_KEYS = (
    "images",
    "user",
    "network",
    "datasets",
    "mounts",
    "cap_add",
    "security_opt",
    "privileged",
    "pid_mode",
    "ipc_mode",
    "cgroup_parent",
)
"""The keys that a site's ``allow_insecure`` may name."""

_USER = re.compile(r"([0-9]{1,10}):[0-9]{1,10}", re.ASCII)
_USERS = re.compile(r"([0-9]{1,10})-([0-9]{1,10})", re.ASCII)
_LAST_UID = 2**32 - 2
_NETWORK = re.compile(r"(container:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z][A-Z_]{1,40})", re.ASCII)
_SECURITY_OPTION = re.compile(r"(seccomp|apparmor|label|no-new-privileges|systempaths)[=:].+", re.ASCII)
_OF_SITES = (*FOLDERS_OF_SITES, STATE_DIR)
"""What of a site's workspace no job sees: keys, config, records."""
_TMPFS = re.compile(r"([^,]+)(,exec)?")
_DOCKER_S_OWN = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
"""What Docker gives by default, and the Kubernetes "baseline" standard allows."""
_FOLDERS = "bin boot etc home lib lib64 opt run sbin srv tmp usr var var/lib var/run"
_HOST_S_OWN = frozenset(PurePosixPath("/", folder) for folder in ("", *_FOLDERS.split()))
"""Folders of the host that hold more than data."""
_ALL_BELOW = tuple(map(PurePosixPath, ("/dev", "/proc", "/root", "/sys", "/var/lib/docker", "/var/lib/containerd")))


_KEY_OF_PATH: Schema = {"pattern": "^/"}
_TMPFS_SIZE: Schema = {"anyOf": [size_schema(), {"type": "string", "pattern": "^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti)?,exec$"}]}
_MOUNT: Schema = {
    "type": "object",
    "properties": {"source": ABSOLUTE_PATH, "target": ABSOLUTE_PATH, "read_only": {"type": "boolean"}},
    "required": ["source", "target"],
    "additionalProperties": False,
}
_ENGINE_TLS: Schema = {
    "type": ["object", "null"],
    "properties": dict.fromkeys(EngineTls._fields, ABSOLUTE_PATH),
    "additionalProperties": False,
    "dependentRequired": {"cert": ["key"], "key": ["cert"]},
}


@rule({"type": "string", "pattern": whole(_USER)})
def user(key: str, value: Any) -> str:
    """Return a ``uid:gid``."""
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise ValueError(f"{key} must be a uid and a gid, as in '1000:1000', got {value!r}")
    return value


@rule({"type": "string", "pattern": whole(_USERS)})
def user_range(key: str, value: Any) -> range:
    """Return uids, from a first and a last one, none of which is root's."""
    match = _USERS.fullmatch(value) if isinstance(value, str) else None
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 0 < first <= last <= _LAST_UID:
        raise ValueError(f"{key} must be the first and the last uid of jobs, as in '200000-265535', got {value!r}")
    return range(first, last + 1)


@rule({"type": "string", "pattern": whole(_NETWORK)})
def network(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        raise ValueError(f"{key} must be a network's name, got {value!r}")
    return value


@rule({"type": "array", "items": {"type": "string", "pattern": whole(_CAPABILITY)}})
def capabilities(key: str, value: Any) -> tuple[str, ...]:
    """Return names of capabilities, without ``CAP_``."""
    names = [_CAPABILITY.fullmatch(name) for name in texts(key, value)]
    if not all(names):
        raise ValueError(f"{key} must be a list of capabilities, as in ['NET_BIND_SERVICE'], got {value!r}")
    return tuple(match[1] for match in names if match)


@rule({"type": "array", "items": {"type": "string", "pattern": whole(_SECURITY_OPTION)}})
def security_options(key: str, value: Any) -> tuple[str, ...]:
    for option in texts(key, value):
        if not _SECURITY_OPTION.fullmatch(option):
            raise ValueError(f"{key} must be a list of options such as 'apparmor=my-profile', got {option!r}")
    return tuple(value)


@rule({"type": "object", "propertyNames": _KEY_OF_PATH, "additionalProperties": ABSOLUTE_PATH})
def host_paths(key: str, value: Any) -> dict[str, str]:
    """Return ``path here -> path on the engine's host``."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    return {absolute_path(key, here): absolute_path(f"{key}.{here}", there) for here, there in value.items()}


@rule({"enum": ["", "host"]})
def name_space(key: str, value: Any) -> str:
    """Return a container's mode for one kind of namespaces; empty is its own."""
    if value not in ("", "host"):
        raise ValueError(f"{key} must be 'host', or not there at all, got {value!r}")
    return str(value)


@rule({"type": "object", "propertyNames": _KEY_OF_PATH, "additionalProperties": _TMPFS_SIZE})
def tmpfs(key: str, value: Any) -> dict[str, str]:
    """Return ``path -> options`` of folders in memory, from ``path -> size``, such as ``"1Gi"`` or ``"1Gi,exec"``."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    return {absolute_path(key, path): _tmpfs_options(f"{key}.{path}", size) for path, size in value.items()}


def _tmpfs_options(key: str, value: Any) -> str:
    match = _TMPFS.fullmatch(value) if isinstance(value, str) else None
    try:
        size = parse_size(match[1] if match else value)
    except ValueError as error:
        raise ValueError(f"{key} {error} (',exec' behind it lets programs run from there), got {value!r}") from error
    return f"size={size},mode=1777" + (match[2] or "" if match else "")


@rule({"type": "array", "items": _MOUNT})
def mounts(key: str, value: Any) -> tuple[Mount, ...]:
    """Return mounts from objects with ``source``, ``target``, and ``read_only`` (true where it is not said)."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key} must be a list, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    return tuple(_parse_mount(f"{key}[{index}]", entry) for index, entry in enumerate(value))


def _parse_mount(key: str, value: Any) -> Mount:
    if not isinstance(value, Mapping) or not {"source", "target"} <= set(value) <= {"source", "target", "read_only"}:
        raise ValueError(f"{key} must be an object with source, target, and perhaps read_only, got {value!r}")
    return Mount(
        host_path(f"{key}.source", value["source"]),
        absolute_path(f"{key}.target", value["target"]),
        flag(f"{key}.read_only", value.get("read_only", True)),
    )


@rule(_ENGINE_TLS)
def engine_tls(key: str, value: Any, docker_host: Any) -> EngineTls | None:
    """Return the files by which an engine is asked by TLS. They are read when it is asked."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or not set(value) <= set(EngineTls._fields):
        raise ValueError(f"{key} must be an object with ca, cert and key, got {value!r}")
    if not str(docker_host).startswith(("tcp://", "https://")):
        raise ValueError(f"{key} needs a docker_host such as 'tcp://engine.example.com:2376', got {docker_host!r}")
    if ("cert" in value) != ("key" in value):
        raise ValueError(f"{key} needs 'cert' and 'key' together")
    return EngineTls(**{name: host_path(f"{key}.{name}", path) for name, path in value.items()})


@rule({"type": "string"})
def optional_text(key: str, value: Any) -> str:
    return text(key, value) if value != "" else ""


@rule({"type": "array", "items": {"enum": list(INSECURE_KEYS)}})
def insecure_keys(key: str, value: Any) -> frozenset[str]:
    """Return the keys whose insecure values a site accepts."""
    return some_of(key, value, INSECURE_KEYS, "must name keys that can be insecure, of")


def find_insecure(
    isolation: Isolation,
    who: str,
    networks: Iterable[str],
    images: Iterable[ImageRule],
    paths: Mapping[str, Iterable[str]],
) -> dict[str, str]:
    """Return what is insecure in a site's config: the keys, and why.

    ``who``: the jobs' user; ``paths``: the sources of ``datasets`` and ``mounts``, by these keys.
    """
    found = {
        "images": "'*' lets a job run whatever image it names" if any(rule.allows_any for rule in images) else "",
        "user": f"jobs run as root ({who})" if int(who.partition(":")[0]) == 0 else "",
        "network": next(filter(None, map(_not_own_network, networks)), ""),
        "cap_add": _listed("these capabilities reach beyond the container", set(isolation.cap_add) - _DOCKER_S_OWN),
        "security_opt": _listed("these turn protection off", filter(_turns_off, isolation.security_opt)),
        "privileged": "jobs may do to the host what root may" if isolation.privileged else "",
        "pid_mode": "jobs see the host's processes" if isolation.pid_mode else "",
        "ipc_mode": "jobs see the memory that the host's processes share" if isolation.ipc_mode else "",
        "cgroup_parent": "jobs leave the limits that the engine has" if isolation.cgroup_parent else "",
    }
    for key, sources in paths.items():
        found[key] = _listed("jobs see what is the host's own", filter(is_the_host_s_own, sources))
    return {key: why for key, why in found.items() if why}


def check_allowed(insecure: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raise ValueError for what is insecure and not allowed, a line each."""
    problems = Problems()
    problems.lines += [
        f"{key} is insecure: {why}; if that is meant, add '{key}' to 'allow_insecure'"
        for key, why in insecure.items()
        if key not in allowed
    ]
    problems.raise_all(ValueError)


def is_the_host_s_own(path: str) -> bool:
    """Whether a path of the host is no data, but a socket, a device, or a folder that holds the host itself."""
    place = PurePosixPath(os.path.normpath(path))
    return place in _HOST_S_OWN or any(map(place.is_relative_to, _ALL_BELOW)) or place.suffix == ".sock"


def why_not_shown(place: Path, job_folder: Path | None) -> str:
    """Return why no job may see a place of the host, whose links were followed; empty if one may."""
    if is_the_host_s_own(str(place)):
        return "which is the host's own"
    if job_folder and job_folder.resolve().is_relative_to(place):
        return "which holds the site's own folder"
    if job_folder and any(place.is_relative_to(job_folder.parent.resolve() / name) for name in _OF_SITES):
        return "which is the site's own"
    return ""


def _not_own_network(name: str) -> str:
    if name == "host":
        return "jobs reach all that listens on the host"
    return "jobs share another container's network" if name.startswith("container:") else ""


def _turns_off(option: str) -> bool:
    # seccomp=unconfined, systempaths=unconfined; label=disable; no-new-privileges=false
    return "unconfined" in option or option.endswith(("disable", "false"))


def _listed(why: str, things: Iterable[str]) -> str:
    listed = ", ".join(sorted(things))
    return f"{why}: {listed}" if listed else ""


def pulled_ahead(policy: str, image: str | None, images: Sequence[str]) -> tuple[str, ...]:
    """Return the images that are pulled at the site's start."""
    if policy == NEVER:
        raise ValueError("prepull: 'pull_policy' is 'never', so nothing would be pulled; set it to 'if-missing'")
    ahead = dict.fromkeys(filter(None, (image, *named_alone(images))))
    if not ahead:
        raise ValueError("prepull: neither 'image' nor 'images' names an image by a tag or a digest, without globs")
    return tuple(ahead)
