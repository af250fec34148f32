"""Checking the arguments that a site's config gives a launcher. Each raises ValueError naming the key and the value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from flcore.config.problems import did_you_mean
from flcore.config.sizes import parse_size
from flcore.threads import LONGEST_WAIT

from .asked_command import command_words
from .gpu_ids import ALL_GPUS, parse_gpu_ids
from .image_reference import ImageRule
from .job_policy import Resources, parse_resources
from .secrets import Secret, parse_secrets

DATASET_PREFIX = "FLCORE_DATASET_"


def seconds(key: str, value: Any) -> float:
    """Return a time, however long: what is longer than any wait may be is the longest."""
    if type(value) not in (int, float) or not value >= 0:
        raise ValueError(f"{key} must be a number of seconds, got {value!r}")
    return float(min(value, LONGEST_WAIT))


def optional_seconds(key: str, value: Any) -> float | None:
    """Return a time that must not be 0, or None: no limit."""
    if value is not None and (type(value) not in (int, float) or not value > 0):
        raise ValueError(f"{key} must be a number of seconds, more than 0, got {value!r}")
    return None if value is None else float(min(value, LONGEST_WAIT))


def count(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{key} must be a whole number, 1 at least, got {value!r}")
    return value


def size(key: str, value: Any) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r}") from error


def one_of(key: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}, got {value!r}")
    return str(value)


def some_of(key: str, value: Any, known: tuple[str, ...], rule: str = "must be a list of some of") -> frozenset[str]:
    """Return names, all of which are known; what is no list of these is told with all that is wrong in it."""
    wrong = [name for name in value if name not in known] if isinstance(value, list | tuple) else [value]
    if wrong:
        told = ", ".join(f"{name!r}{did_you_mean(name, known)}" for name in wrong)
        raise ValueError(f"{key} {rule} {', '.join(known)}, got {told}")
    return frozenset(value)


def image_rules(key: str, value: Any) -> tuple[ImageRule, ...]:
    patterns = texts(key, value)
    try:
        return tuple(map(ImageRule.parse, patterns))
    except ValueError as error:
        raise ValueError(f"{key} {error}") from error


def flag(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{key} must be true or false, got {value!r}")
    return value


def text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be a non-empty string, got {value!r}")
    return value


def texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"{key} must be a list of non-empty strings, got {value!r}")
    return tuple(value)


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


def text_map(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise ValueError(f"{key} must be an object of strings, got {value!r}")
    return dict(value)


def resources(key: str, value: Any) -> Resources:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {value!r}")  # noqa: TRY004 - as for every wrong argument
    try:
        return parse_resources(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def gpu_ids(key: str, value: Any) -> tuple[str, ...] | str:
    """Return the ids of GPUs, or ALL_GPUS."""
    if value == ALL_GPUS:
        return ALL_GPUS
    try:
        return parse_gpu_ids(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r}") from error


def absolute_path(key: str, value: Any) -> str:
    if not isinstance(value, str) or not PurePosixPath(value).is_absolute():
        raise ValueError(f"{key} must be an absolute path, got {value!r}")
    return value


def host_path(key: str, value: Any) -> str:
    """Return a path of this host that does not depend on the folder in which the site was started."""
    try:
        return absolute_path(key, value)
    except ValueError as error:
        raise ValueError(f"{error}; in a config, '${{CONFIG_DIR}}/…' is a path beside its file") from error


def datasets(key: str, value: Any) -> dict[str, str]:
    """Return ``name -> path`` of datasets whose variables differ."""
    paths = {name: host_path(f"{key}.{name}", path) for name, path in text_map(key, value).items()}
    for variable, count in Counter(dataset_variable(name) for name in paths).items():
        if count > 1:
            raise ValueError(f"{key}: two of the names make the same variable {variable}: {', '.join(paths)}")
    return paths


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
