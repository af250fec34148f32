"""The JSON Schema of sites' configs, as an off-the-shelf validator understands it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from flcore.config.component_config import ComponentBuilder
from flcore.site_schema import site_schema


def validator_for(components: Any = None) -> Draft202012Validator:
    """Return the validator of a config with these components, as `flcore schema --config` makes it."""
    named, _ = ComponentBuilder("").find_classes(components)
    return _validator(tuple(sorted(named.items())))


def argument_validator(cls: type[Any], name: str) -> Draft202012Validator:
    """Return the validator of one argument of a class that is known."""
    schema = dict(_validator(()).schema)
    makers = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
    maker = next(maker for maker in makers if maker in schema["$defs"])
    return Draft202012Validator({"$ref": f"#/$defs/{maker}/properties/{name}", "$defs": schema["$defs"]})


def wrong_in(config: Any) -> list[str]:
    """Return what the schema of `flcore schema --config` finds wrong in a config, a line each."""
    components = config.get("components") if isinstance(config, Mapping) else None
    return lines(validator_for(components).iter_errors(config))


def lines(errors: Iterable[Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}"[:500] for error in errors]


@functools.cache
def _validator(named: tuple[tuple[str, type[Any]], ...]) -> Draft202012Validator:
    return Draft202012Validator(site_schema(dict(named)))
