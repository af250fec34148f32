"""Rules for arguments: each checks a value, and says the same as a JSON Schema.

A class checks what it is made with by rules, and ``flcore schema`` learns from it by which: so there is one list of
what a config may say, the calls that check it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import cache, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar

from ..errors import ConfigError

T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound=type[Any])

Schema: TypeAlias = Mapping[str, Any]

CONFIG_DIR = "CONFIG_DIR"
"""The variable that stands for the folder of a config, in its texts."""

_noted: ContextVar[dict[str, Schema] | None] = ContextVar("the rules that are asked meanwhile", default=None)
_by_rules: set[type[Any]] = set()


class Rule(Generic[P, T]):
    """What a value may be: called with its key and the value, and perhaps more, it returns the value as it is used.

    Raises ValueError, naming key and value, for what may not be.
    """

    def __init__(self, check: Callable[Concatenate[str, Any, P], T], schema: Callable[..., Schema]) -> None:
        self._check = check
        self.schema = schema
        """Returns what may be as a JSON Schema, of what more the rule is called with: no value that may be is not."""
        update_wrapper(self, check)

    def __call__(self, key: str, value: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if (noted := _noted.get()) is not None:
            noted.setdefault(key, self.schema(*args, **kwargs))  # the first: a rule may ask others for a part
        return self._check(key, value, *args, **kwargs)


def rule(
    schema: Schema | Callable[..., Schema],
) -> Callable[[Callable[Concatenate[str, Any, P], T]], Rule[P, T]]:
    """Make a rule of a function that checks; ``schema`` says the same, or returns it for what more there is."""
    says = schema if callable(schema) else lambda *_: schema
    return lambda check: Rule(check, says)


def optional(of: Rule[P, T]) -> Rule[P, T | None]:
    """Return the rule that lets None pass, too."""

    def check(key: str, value: Any, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        return None if value is None else of(key, value, *args, **kwargs)

    return Rule(check, lambda *args: or_null(of.schema(*args)))


def or_else(of: Rule[P, T], make: Callable[[], T]) -> Rule[P, T]:
    """Return the rule that lets None pass, too, for what is made then."""

    def check(key: str, value: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return make() if value is None else of(key, value, *args, **kwargs)

    return Rule(check, lambda *args: or_null(of.schema(*args)))


def or_null(schema: Schema) -> Schema:
    """Return the schema of what may be null, too."""
    types = schema.get("type")
    if types and "enum" not in schema:
        return {**schema, "type": list(dict.fromkeys([*([types] if isinstance(types, str) else types), "null"]))}
    return {"anyOf": [schema, {"type": "null"}]}


def whole(pattern: re.Pattern[str]) -> str:
    """Return a pattern as a schema has it, where it is to be about the whole text."""
    return f"^(?:{pattern.pattern})$"


def checks_by_rules(cls: C) -> C:
    """Say of a class that it checks by rules what it is made with, and that making one touches nothing."""
    _by_rules.add(cls)
    return cls


def is_checked_by_rules(cls: type[Any]) -> bool:
    """Whether that was said of a class itself."""
    return cls in _by_rules


@cache
def rules_of(cls: type[Any]) -> Mapping[str, Schema]:
    """Return what the arguments of a class may be, of those that it checks by rules, by making one to find out."""
    abstract = getattr(cls, "__abstractmethods__", ())
    metaclass: Any = type(cls)
    probe = metaclass(cls.__name__, (cls,), dict.fromkeys(abstract))
    needed = [p.name for p in inspect.signature(cls.__init__).parameters.values() if _is_needed(p)]
    noted: dict[str, Schema] = {}
    token = _noted.set(noted)
    try:
        with suppress(ConfigError, ValueError):  # None is what no argument may be that is needed
            probe(**dict.fromkeys(needed))
    finally:
        _noted.reset(token)
    return noted


def _is_needed(parameter: inspect.Parameter) -> bool:
    is_named = parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return is_named and parameter.name != "self" and parameter.default is inspect.Parameter.empty
