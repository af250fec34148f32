"""Where each setting of a job's launch comes from: the job, a key of the site's config, or neither. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..container_spec import MASK, SECRET_PREFIX, ContainerSpec
from . import job_home
from .job_command import CREDENTIAL_VARIABLES
from .job_policy import JobRequest, SitePolicy
from .site_args import DATASET_PREFIX

DEFAULT, FIXED = "default", "fixed"
AT_LAUNCH = "(at launch)"

_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|SIGNATURE|_KEY$|^KEY$|SSID", re.IGNORECASE)
_KEYS_OF_A_PART = {
    "Image": "image",
    "User": "user user_range",
    "HostConfig.NetworkMode": "network",
    "HostConfig.Mounts": "datasets mounts mount_path secrets",
    "HostConfig.Init": "init",
    "HostConfig.LogConfig": "log_max_size log_max_files",
    "HostConfig.CapAdd": "cap_add",
    "HostConfig.SecurityOpt": "security_opt",
    "HostConfig.ReadonlyRootfs": "read_only",
    "HostConfig.Tmpfs": "tmpfs",
    "HostConfig.PidsLimit": "pids_limit",
    "HostConfig.Privileged": "privileged",
    "HostConfig.PidMode": "pid_mode",
    "HostConfig.IpcMode": "ipc_mode",
    "HostConfig.CgroupParent": "cgroup_parent",
}
"""The keys of a site's config that a part of a request may come from."""
_OF_THE_STUDY = ("datasets", "secrets")
"""Those that say nothing to jobs of a study, which have their own."""
_COMMAND = ("Entrypoint", "Cmd")
_RESOURCES = {
    "HostConfig.NanoCpus": "num_of_cpus",
    "HostConfig.Memory": "memory",
    "HostConfig.MemorySwap": "memory",
    "HostConfig.ShmSize": "shm_size",
    "HostConfig.DeviceRequests": "num_of_gpus",
    "Env.NVIDIA_VISIBLE_DEVICES": "num_of_gpus",
    "Env.CUDA_VISIBLE_DEVICES": "num_of_gpus",
}


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """What a site's config says."""

    given: Collection[str]
    """The keys that it sets."""
    policy: SitePolicy
    env: Mapping[str, str]

    def key(self, name: str) -> str:
        """Return the key that says what jobs of this study get, in words: the site's, or the study's."""
        return f"site: {self.policy.study.key_of(name)}"


def masked(spec: ContainerSpec) -> ContainerSpec:
    """Return a spec that can be shown: without the values of what is a secret, or is called like one."""
    hidden = {name: MASK for name in spec.environment if name in spec.secret_variables or _is_secret(name)}
    return replace(spec, environment=spec.environment | hidden)


def origins(body: Mapping[str, Any], request: JobRequest, site: SiteKeys) -> dict[str, str]:
    """Return by whom, and by which key, each part of a runtime's request was decided."""
    return {path: _origin_of(path, request, site) for path in _paths(body)}


def _paths(body: Mapping[str, Any]) -> Iterator[str]:
    for key, value in body.items():
        if key == "HostConfig":
            yield from (f"{key}.{name}" for name in value)
        elif key == "Env":
            yield from (f"{key}.{variable.partition('=')[0]}" for variable in value)
        else:
            yield key


def _origin_of(path: str, request: JobRequest, site: SiteKeys) -> str:
    if path in _RESOURCES:
        return _origin_of_resource(_RESOURCES[path], request, site)
    if path.startswith("Env."):
        return _origin_of_variable(path.removeprefix("Env."), request, site)
    if path == "Image" and "image" in request.origins:
        return f"job: {request.origins['image']}"
    asked = [request.origins[key] for key in ("entrypoint", "python_path") if key in request.origins]
    if path in _COMMAND and asked:
        return f"job: {', '.join(asked)}"
    study = site.policy.study
    known = _KEYS_OF_A_PART.get(path, "").split()
    of_study = [key for key in known if study.replaces and getattr(study, key, None)]
    instead = {*of_study, *(_OF_THE_STUDY if study.replaces else ())}
    keys = [key for key in known if key in site.given and key not in instead]
    keys += [study.key_of(key) for key in of_study]
    if keys:
        return f"site: {', '.join(keys)}"
    return DEFAULT if path in _KEYS_OF_A_PART else FIXED


def _origin_of_variable(name: str, request: JobRequest, site: SiteKeys) -> str:
    if name in CREDENTIAL_VARIABLES.values():
        return "credential"
    study = site.policy.study
    if any(name in (secret.path_variable, secret.to_env) for secret in study.secrets):
        return site.key("secrets")
    if name in study.env:
        return site.key("env")
    if name in site.env:
        return "site: env"
    if name.startswith(DATASET_PREFIX):
        return site.key("datasets")
    if name in request.env:
        return f"job: {request.origins['env']}"
    if name == job_home.HOME and "home" in site.given:
        return "site: home"
    return DEFAULT if name in job_home.VARIABLES else FIXED


def _origin_of_resource(name: str, request: JobRequest, site: SiteKeys) -> str:
    if name in request.origins:
        return f"job: {request.origins[name]}"
    key_of_limit = site.policy.key_of_limit(name)
    for key, resources in (("defaults", site.policy.defaults), (key_of_limit, site.policy.limits)):
        if key.partition(".")[0] in site.given and getattr(resources, name) is not None:
            return f"site: {key}.{name}"
    return DEFAULT


def _is_secret(name: str) -> bool:
    """Whether a variable is called like a secret, and not like the path of one."""
    return not name.startswith(SECRET_PREFIX) and _SECRET.search(name) is not None
