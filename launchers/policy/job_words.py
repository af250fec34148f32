"""What a job says to this kind of launcher at this site, from all the places of its metadata where it may. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flcore.fl_constant import JobMetaKey
from flcore.job_meta import JobMeta, get_object, rejection

DEFAULT_SPEC = "default"

_RESOURCE_KEYS = frozenset({"num_of_gpus", "num_of_cpus", "memory", "mem_per_gpu_in_GiB", "docker"})
_LAUNCHER_KEYS = frozenset({"image", "env", "num_of_gpus", "shm_size"})
_SITES_OWN = frozenset(
    {"network", "user", "init", "entrypoint", "read_only", "tmpfs", "mounts", "pids_limit", "cap_add", "security_opt"}
    | {"privileged", "pid_mode", "ipc_mode", "cgroup_parent"}
)
"""Options of a container that a site's config may set; what job authors know from elsewhere is among them."""


class Word(NamedTuple):
    """A value of the metadata, and where it stands."""

    value: Any
    path: str


class JobWords(NamedTuple):
    """What a job says, by key."""

    launcher: Mapping[str, Word]
    """To the launcher."""
    resources: Mapping[str, Word]
    """Of what it needs, whatever launches it."""


def read_words(job_meta: JobMeta, site: str, mode: str) -> JobWords:
    """Return a job's words to this kind of launcher at this site. Raises JobRejectedError."""
    section = _section(job_meta, JobMetaKey.RESOURCE_SPEC, site, _RESOURCE_KEYS)
    return JobWords(_launcher_spec(job_meta, site, mode), _as_words(section, f"resource_spec.{site}"))


def _launcher_spec(job_meta: JobMeta, site: str, mode: str) -> dict[str, Word]:
    default, legacy = JobMetaKey.LAUNCHER_SPEC, JobMetaKey.RESOURCE_SPEC
    words: dict[str, Word] = {}
    for key, who in ((legacy, site), (default, DEFAULT_SPEC), (default, site)):  # the last one has the last word
        words |= _as_words(_mode(job_meta, key, who, mode), f"{key}.{who}.{mode}")
    return words


def _as_words(spec: JobMeta, path: str) -> dict[str, Word]:
    return {key: Word(value, f"{path}.{key}") for key, value in spec.items() if value is not None}


def _mode(job_meta: JobMeta, key: str, site: str, mode: str) -> JobMeta:
    path = f"{key}.{site}.{mode}"
    spec = get_object(job_meta, path, _section(job_meta, key, site, None).get(mode, {}))
    for option in _SITES_OWN.intersection(spec):
        raise rejection(job_meta, f"{path}.{option}", f"no job may ask for it, only a site ('{option}')", spec[option])
    return get_object(job_meta, path, spec, _LAUNCHER_KEYS)


def _section(job_meta: JobMeta, key: str, site: str, allowed: frozenset[str] | None) -> JobMeta:
    spec = get_object(job_meta, key, job_meta.get(key, {}))
    return get_object(job_meta, f"{key}.{site}", spec.get(site, {}), allowed)
