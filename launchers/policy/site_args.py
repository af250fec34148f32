"""The rules for what a site's config gives a launcher: those of many components, and a launcher's own.

Each raises ValueError naming the key and the value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flcore.config.argument_rules import (
    ABSOLUTE_PATH,
    absolute_path,
    count,
    flag,
    host_path,
    one_of,
    optional_seconds,
    seconds,
    size,
    some_of,
    text,
    text_map,
    texts,
)
from flcore.config.rules import optional, rule

from ..container_spec import Secret
from .asked_command import COMMAND, command_words
from .gpu_ids import ALL_GPUS, GPU_IDS, parse_gpu_ids
from .image_reference import IMAGE_RULE, ImageRule
from .resources import RESOURCES, Resources, parse_resources
from .secrets import SECRETS, parse_secrets

__all__ = [
    "absolute_path",
    "commands",
    "count",
    "dataset_variable",
    "datasets",
    "flag",
    "gpu_ids",
    "host_path",
    "image_rules",
    "one_of",
    "optional",
    "optional_seconds",
    "resources",
    "seconds",
    "secrets",
    "size",
    "some_of",
    "text",
    "text_map",
    "texts",
]

DATASET_PREFIX = "FLCORE_DATASET_"


@rule({"type": "array", "items": IMAGE_RULE})
def image_rules(key: str, value: Any) -> tuple[ImageRule, ...]:
    patterns = texts(key, value)
    try:
        return tuple(map(ImageRule.parse, patterns))
    except ValueError as error:
        raise ValueError(f"{key} {error}") from error


@rule({"type": "array", "items": COMMAND})
def commands(key: str, value: Any) -> tuple[tuple[str, ...], ...]:
    """Return commands, each a text or a list of words, as lists of words."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key} must be a list, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    return tuple(_command(f"{key}[{index}]", entry) for index, entry in enumerate(value))


def _command(key: str, value: Any) -> tuple[str, ...]:
    try:
        return command_words(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r}") from error


@rule(RESOURCES)
def resources(key: str, value: Any) -> Resources:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    try:
        return parse_resources(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


@rule(GPU_IDS)
def gpu_ids(key: str, value: Any) -> tuple[str, ...] | str:
    """Return the ids of GPUs, or ALL_GPUS."""
    if value == ALL_GPUS:
        return ALL_GPUS
    try:
        return parse_gpu_ids(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r}") from error


@rule({"type": "object", "additionalProperties": ABSOLUTE_PATH})
def datasets(key: str, value: Any) -> dict[str, str]:
    """Return ``name -> path`` of datasets whose variables differ."""
    paths = {name: host_path(f"{key}.{name}", path) for name, path in text_map(key, value).items()}
    for variable, times in Counter(dataset_variable(name) for name in paths).items():
        if times > 1:
            raise ValueError(f"{key}: two of the names make the same variable {variable}: {', '.join(paths)}")
    return paths


@rule(SECRETS)
def secrets(key: str, value: Any, env: Mapping[str, str] | None) -> tuple[Secret, ...]:
    """Return a site's secrets, none of which is put into a variable that the site's ``env`` sets, too."""
    parsed = parse_secrets(key, value)
    for secret in parsed:
        if secret.to_env in (env or {}):
            raise ValueError(f"{key}.{secret.name}.to_env: 'env' sets {secret.to_env}, too")
    return parsed


def dataset_variable(name: str) -> str:
    """Return the environment variable that tells a job where a dataset is."""
    return DATASET_PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
