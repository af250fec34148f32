"""The rules for what many components take: numbers, texts, paths. Each raises ValueError naming key and value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ..threads import LONGEST_WAIT
from .problems import did_you_mean
from .rules import CONFIG_DIR, Schema, rule
from .sizes import parse_size, size_schema

TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "array", "items": TEXT}
TEXT_MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
ABSOLUTE_PATH: Schema = {"type": "string", "pattern": rf"^(?:/|\$\{{{CONFIG_DIR}\}})"}


@rule({"type": "number", "minimum": 0})
def seconds(key: str, value: Any) -> float:
    """Return a time, however long: what is longer than any wait may be is the longest."""
    if type(value) not in (int, float) or not value >= 0:
        raise ValueError(f"{key} must be a number of seconds, got {value!r}")
    return float(min(value, LONGEST_WAIT))


@rule({"type": ["number", "null"], "exclusiveMinimum": 0})
def optional_seconds(key: str, value: Any) -> float | None:
    """Return a time that must not be 0, or None: no limit."""
    if value is not None and (type(value) not in (int, float) or not value > 0):
        raise ValueError(f"{key} must be a number of seconds, more than 0, got {value!r}")
    return None if value is None else float(min(value, LONGEST_WAIT))


@rule({"type": "integer", "minimum": 1})
def count(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{key} must be a whole number, 1 at least, got {value!r}")
    return value


@rule(size_schema())
def size(key: str, value: Any) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r}") from error


@rule(lambda known: {"enum": list(known)})
def one_of(key: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}, got {value!r}")
    return str(value)


@rule(lambda known, _="": {"type": "array", "items": {"enum": list(known)}})
def some_of(key: str, value: Any, known: tuple[str, ...], words: str = "must be a list of some of") -> frozenset[str]:
    """Return names, all of which are known; what is no list of these is told with all that is wrong in it."""
    wrong = [name for name in value if name not in known] if isinstance(value, list | tuple) else [value]
    if wrong:
        told = ", ".join(f"{name!r}{did_you_mean(name, known)}" for name in wrong)
        raise ValueError(f"{key} {words} {', '.join(known)}, got {told}")
    return frozenset(value)


@rule({"type": "boolean"})
def flag(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{key} must be true or false, got {value!r}")
    return value


@rule(TEXT)
def text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be a non-empty string, got {value!r}")
    return value


@rule(TEXTS)
def texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"{key} must be a list of non-empty strings, got {value!r}")
    return tuple(value)


@rule(TEXT_MAP)
def text_map(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise ValueError(f"{key} must be an object of strings, got {value!r}")
    return dict(value)


@rule(ABSOLUTE_PATH)
def absolute_path(key: str, value: Any) -> str:
    if not isinstance(value, str) or not PurePosixPath(value).is_absolute():
        raise ValueError(f"{key} must be an absolute path, got {value!r}")
    return value


@rule(ABSOLUTE_PATH)
def host_path(key: str, value: Any) -> str:
    """Return a path of this host that does not depend on the folder in which the site was started."""
    try:
        return absolute_path(key, value)
    except ValueError as error:
        raise ValueError(f"{error}; in a config, '${{{CONFIG_DIR}}}/…' is a path beside its file") from error
