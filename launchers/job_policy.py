"""What a job asks for, checked against what the site allows. Pure: no engine, disk or clock.

A job's metadata comes from another party. It may ask for an image, for resources and for environment variables; where
from, is in :func:`resolve`. Every refusal is a JobRejectedError that names the job, the path in its metadata, the value
and the site's key that would allow it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from flcore.fl_constant import JobMetaKey
from flcore.job_meta import JobMeta, get_deployments, get_job_id, get_object, rejection

DEFAULT_SPEC = "default"
MIN_MEMORY = 6 << 20
"""Bytes. Docker refuses less."""

_NAME_LENGTH = 63
_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{12,64}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_RESERVED_VARIABLE = re.compile(r"LD_.*|PATH|PYTHON.*|.*_PROXY|DOCKER_.*|NVFLARE_.*|FLCORE_.*|HOME|IFS", re.IGNORECASE)
_SIZE = re.compile(r"([1-9][0-9]{0,14})(Ki|Mi|Gi|Ti)?", re.ASCII)
_UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}

_RESOURCES = ("num_of_cpus", "memory", "shm_size")
_RESOURCE_KEYS = frozenset({"num_of_gpus", "num_of_cpus", "memory", "mem_per_gpu_in_GiB", "docker"})
_LAUNCHER_KEYS = frozenset({"image", "env", "num_of_gpus", "shm_size"})


@dataclass(frozen=True, slots=True)
class Resources:
    """How much of the host. None is: not said."""

    num_of_cpus: float | None = None
    memory: int | None = None
    """Bytes."""
    shm_size: int | None = None
    """Bytes."""


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """What a site allows a job to ask for, and what it gives where a job does not ask."""

    image: str | None = None
    """For jobs that name none."""
    images: tuple[str, ...] = ()
    """Globs of the images that a job may name, beside ``image``."""
    job_env_prefixes: tuple[str, ...] = ()
    limits: Resources = field(default_factory=Resources)
    defaults: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job gets: asked for, checked, and filled up with the site's defaults."""

    job_id: str
    image: str | None
    resources: Resources
    env: Mapping[str, str]


def resolve(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str = "docker") -> JobRequest:
    """Return what a job gets at a site. Raises JobRejectedError.

    The image, first match wins: ``launcher_spec[site][mode]``, ``launcher_spec.default[mode]``, the legacy
    ``resource_spec[site][mode]``, an entry of the ``deploy_map`` with an image, the site's own. Environment and
    ``shm_size``: from the same three specs. ``num_of_cpus`` and ``memory``: ``resource_spec[site]``.
    """
    launcher_spec, path = _launcher_spec(job_meta, site, mode)
    resource_spec = _section(job_meta, JobMetaKey.RESOURCE_SPEC, site, _RESOURCE_KEYS)
    for spec, where in ((launcher_spec, path), (resource_spec, f"resource_spec.{site}")):
        _refuse_gpus(job_meta, f"{where}.num_of_gpus", spec.get("num_of_gpus", 0))
    asked = Resources(
        num_of_cpus=_cpus(job_meta, f"resource_spec.{site}.num_of_cpus", resource_spec.get("num_of_cpus")),
        memory=_bytes(job_meta, f"resource_spec.{site}.memory", resource_spec.get("memory"), MIN_MEMORY),
        shm_size=_bytes(job_meta, f"{path}.shm_size", launcher_spec.get("shm_size"), 1),
    )
    return JobRequest(
        job_id=get_job_id(job_meta),
        image=_allowed_image(job_meta, site, policy, mode),
        resources=_within_limits(job_meta, asked, policy),
        env=_env(job_meta, f"{path}.env", launcher_spec.get("env", {}), policy.job_env_prefixes),
    )


def names_image(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str = "docker") -> bool:
    """Whether there is an image for the job at this site, be it allowed or not. Raises JobRejectedError."""
    return _named_image(job_meta, site, policy, mode)[0] is not None


def container_name(name: str) -> str:
    """Return a valid container name and DNS label for a readable name: itself, or its like with a hash of it.

    Names that differ stay different, at most 63 characters, whatever they are made of.
    """
    if _PLAIN_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "job"
    return f"{readable[: _NAME_LENGTH - 13].rstrip('-')}-{digest}"


def parse_resources(config: Mapping[str, Any]) -> Resources:
    """Return a site's ``limits`` or ``defaults``. Raises ValueError naming the key."""
    for key in config:
        if key not in _RESOURCES:
            raise ValueError(f"unknown key {key!r}; known are {', '.join(_RESOURCES)}")
    memory, shm_size = (config.get(key) for key in ("memory", "shm_size"))
    return Resources(
        num_of_cpus=_checked("num_of_cpus", config.get("num_of_cpus"), _parse_cpus),
        memory=_checked("memory", memory, lambda value: parse_size(value, MIN_MEMORY)),
        shm_size=_checked("shm_size", shm_size, parse_size),
    )


def parse_size(value: Any, least: int = 1) -> int:
    """Return bytes from a number of bytes, or a text such as ``512Mi``. Raises ValueError."""
    if type(value) is int:
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * _UNITS[match[2]]
    else:
        raise ValueError("must be a number of bytes, or a text such as '512Mi' or '16Gi'")
    if not least <= size < 1 << 63:
        raise ValueError(f"must be at least {least} bytes and less than 8 EiB")
    return size


def _launcher_spec(job_meta: JobMeta, site: str, mode: str) -> tuple[JobMeta, str]:
    """Return the job's words to this kind of launcher at this site, and their path."""
    default = _mode(job_meta, JobMetaKey.LAUNCHER_SPEC, DEFAULT_SPEC, mode)
    own = _mode(job_meta, JobMetaKey.LAUNCHER_SPEC, site, mode)
    if default or own:
        return {**default, **own}, f"launcher_spec.{site if own else DEFAULT_SPEC}.{mode}"
    return _mode(job_meta, JobMetaKey.RESOURCE_SPEC, site, mode), f"resource_spec.{site}.{mode}"


def _mode(job_meta: JobMeta, key: str, site: str, mode: str) -> JobMeta:
    section = _section(job_meta, key, site, None)
    return get_object(job_meta, f"{key}.{site}.{mode}", section.get(mode, {}), _LAUNCHER_KEYS)


def _section(job_meta: JobMeta, key: str, site: str, allowed: frozenset[str] | None) -> JobMeta:
    spec = get_object(job_meta, key, job_meta.get(key, {}))
    return get_object(job_meta, f"{key}.{site}", spec.get(site, {}), allowed)


def _named_image(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str) -> tuple[Any, str]:
    spec, path = _launcher_spec(job_meta, site, mode)
    if spec.get("image") is not None:
        return spec["image"], f"{path}.image"
    for entry in get_deployments(job_meta):
        if entry.covers(site) and entry.image:
            return entry.image, f"deploy_map.{entry.app}.image"
    return policy.image, "image"


def _allowed_image(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str) -> str | None:
    image, path = _named_image(job_meta, site, policy, mode)
    if image is None or image == policy.image:
        return policy.image
    if not isinstance(image, str) or not _IMAGE.fullmatch(image) or _IMAGE_ID.fullmatch(image):
        raise rejection(job_meta, path, "must be the name of an image", image)
    if not any(fnmatchcase(image, pattern) for pattern in policy.images):
        raise rejection(job_meta, path, f"is not on the list of site {site} ('images')", image)
    return image


def _env(job_meta: JobMeta, path: str, value: Any, prefixes: tuple[str, ...]) -> dict[str, str]:
    for name, text in get_object(job_meta, path, value).items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or _RESERVED_VARIABLE.fullmatch(name):
            raise rejection(job_meta, path, "a job may not set this variable", name)
        if not name.startswith(prefixes or ("\0",)):
            raise rejection(job_meta, path, "begins with no prefix that the site allows ('job_env_prefixes')", name)
        if not isinstance(text, str) or "\0" in text:
            raise rejection(job_meta, f"{path}.{name}", "must be a string without NUL", text)
    return dict(value)


def _within_limits(job_meta: JobMeta, asked: Resources, policy: SitePolicy) -> Resources:
    given = {}
    for name in _RESOURCES:
        wanted, limit = getattr(asked, name), getattr(policy.limits, name)
        if wanted is not None and limit is not None and wanted > limit:
            raise rejection(job_meta, name, f"more than the site's limit of {limit} ('limits')", wanted)
        default = getattr(policy.defaults, name)
        given[name] = wanted if wanted is not None else default if default is not None else limit
    return Resources(**given)


def _refuse_gpus(job_meta: JobMeta, path: str, value: Any) -> None:
    if type(value) is not int or value < 0:
        raise rejection(job_meta, path, "must be a number of GPUs", value)
    if value:
        raise rejection(job_meta, path, "this site offers no GPUs", value)


def _cpus(job_meta: JobMeta, path: str, value: Any) -> float | None:
    try:
        return None if value is None else _parse_cpus(value)
    except ValueError as error:
        raise rejection(job_meta, path, str(error), value) from error


def _bytes(job_meta: JobMeta, path: str, value: Any, least: int) -> int | None:
    try:
        return None if value is None else parse_size(value, least)
    except ValueError as error:
        raise rejection(job_meta, path, str(error), value) from error


def _parse_cpus(value: Any) -> float:
    if type(value) not in (int, float) or not 0.01 <= value <= 4096:
        raise ValueError("must be a number of processors, 0.01 at least")
    return float(value)


def _checked(key: str, value: Any, parse: Any) -> Any:
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
