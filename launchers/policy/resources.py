"""How much of a host: what a site's config says of that, and a job's metadata. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flcore.config.rules import Schema, or_null
from flcore.config.sizes import UNITS, parse_size, size_in_words, size_schema

MIN_MEMORY = 6 << 20
"""Bytes. Docker refuses less."""
MIN_DISK = 1 << 20
"""Bytes. The files of any app may come to less; hardly what a job makes of them."""

_FEWEST_CPUS, _MOST_CPUS = 0.01, 4096
_DOCKER_S_SIZE = re.compile(r"([0-9]{1,19})(\.[0-9]{1,19})?([kmgt]?)b?", re.ASCII | re.IGNORECASE)
_AS_DOCKER_SAYS = "^[0-9]{1,19}([.][0-9]{1,19})?[kmgtKMGT]?[bB]?$"
"""The same for a schema, whose patterns heed capitals."""


@dataclass(frozen=True, slots=True)
class Resources:
    """How much of the host. None is: not said."""

    num_of_cpus: float | None = None
    memory: int | None = None
    """Bytes."""
    shm_size: int | None = None
    """Bytes."""
    num_of_gpus: int | None = None
    disk: int | None = None
    """Bytes that its own folder may hold."""

    def said(self) -> dict[str, Any]:
        """Return what is said, by its key."""
        return {name: value for name in _PARSERS if (value := getattr(self, name)) is not None}


def parse_resources(config: Mapping[str, Any]) -> Resources:
    """Return a site's ``limits`` or ``defaults``. Raises ValueError naming the key."""
    for key in config:
        if key not in _PARSERS:
            raise ValueError(f"unknown key {key!r}; known are {', '.join(_PARSERS)}")
    return Resources(**{key: _checked(key, config.get(key), parse) for key, parse in _PARSERS.items()})


def parse_asked(name: str, value: Any) -> float:
    """Return how much of a resource a job asks for, which may say it in more ways than a site. Raises ValueError."""
    return (_AS_JOBS_SAY.get(name) or _PARSERS[name])(value)


def in_words(key: str, value: float) -> str:
    """Return how a config says the value of one of its keys."""
    return size_in_words(int(value)) if key in _SIZES else f"{value}"


def _parse_gpus(value: Any) -> int:
    if type(value) is not int or value < 0:  # not isinstance: true is an int
        raise ValueError("must be a number of GPUs")
    return value


def _parse_cpus(value: Any) -> float:
    if type(value) not in (int, float) or not _FEWEST_CPUS <= value <= _MOST_CPUS:
        raise ValueError(f"must be a number of processors, {_FEWEST_CPUS} at least")
    return float(value)


def _parse_memory(value: Any) -> int:
    return parse_size(value, MIN_MEMORY)


def _parse_disk(value: Any) -> int:
    return parse_size(value, MIN_DISK)


def _parse_shm_size(value: Any) -> int:
    """Return bytes, of a text with a binary unit (``8Gi``) or as Docker writes it (``8g``)."""
    return parse_size(value if (size := _docker_s_size(value)) is None else size)


def _parse_jobs_shm_size(value: Any) -> int:
    """Return bytes as NVIDIA FLARE 2.9 takes them; 0 is Docker's word for what jobs get that do not ask."""
    if (type(value) is int and value == 0) or _docker_s_size(value) == 0:
        return 0
    return _parse_shm_size(value)


def _docker_s_size(value: Any) -> int | None:
    """Return the bytes of a text such as ``8g``, ``512MB``, ``1.5g`` or ``1024b``; None for anything else."""
    match = _DOCKER_S_SIZE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return None
    unit = UNITS[f"{match[3].upper()}i" if match[3] else None]
    return int(float(match[1] + match[2]) * unit) if match[2] else int(match[1]) * unit


def _checked(key: str, value: Any, parse: Callable[[Any], float]) -> Any:
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


_PARSERS: dict[str, Callable[[Any], float]] = {
    "num_of_cpus": _parse_cpus,
    "memory": _parse_memory,
    "shm_size": _parse_shm_size,
    "num_of_gpus": _parse_gpus,
    "disk": _parse_disk,
}
_SIZES = frozenset({"memory", "shm_size", "disk"})
_SHM_SIZE: Schema = {"anyOf": [size_schema(), {"type": "string", "pattern": _AS_DOCKER_SAYS}]}
_SCHEMAS: dict[str, Schema] = {
    "num_of_cpus": {"type": "number", "minimum": _FEWEST_CPUS, "maximum": _MOST_CPUS},
    "memory": size_schema(MIN_MEMORY),
    "shm_size": _SHM_SIZE,
    "num_of_gpus": {"type": "integer", "minimum": 0},
    "disk": size_schema(MIN_DISK),
}
RESOURCES: Schema = {
    "type": "object",
    "properties": {name: or_null(_SCHEMAS[name]) for name in _PARSERS},
    "additionalProperties": False,
}
"""What :func:`parse_resources` takes."""
_AS_JOBS_SAY: dict[str, Callable[[Any], float]] = {"shm_size": _parse_jobs_shm_size}
"""What a job may say in more ways than a site."""
RESOURCE_NAMES = tuple(_PARSERS)
"""What a host's resources are called, by a site and by a job."""
