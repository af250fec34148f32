"""The JSON Schema of a site's config, by which editors complete and check it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .config.component_config import ComponentBuilder
from .config.component_schema import ComponentSchema
from .config.strict_json import load_json
from .import_path import import_from
from .site_config import KEYS, NEEDED


def site_schema(named: Mapping[str, type[Any]] | None = None) -> dict[str, Any]:
    """Return the schema; ``named``: classes beside those that are known, by the paths by which configs name them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The config of an flcore site",
        "type": "object",
        "properties": KEYS,
        "required": list(NEEDED),
        "additionalProperties": False,
        "$defs": ComponentSchema(named).definitions(),
    }


def classes_of(configs: Iterable[Path]) -> tuple[dict[str, type[Any]], list[str]]:
    """Return the classes that configs name by path, which may lie beside them; and why others cannot be had.

    They are imported, as for a site; whatever else is wrong with a config is no matter. Raises ConfigError for one that
    is no JSON.
    """
    named: dict[str, type[Any]] = {}
    wrong: list[str] = []
    for path in configs:
        import_from(str(path.absolute().parent))
        config = load_json(path)
        components = config.get("components") if isinstance(config, dict) else None
        found, why = ComponentBuilder(str(path)).find_classes(components)
        named, wrong = {**found, **named}, [*wrong, *why]
    return named, wrong


def as_text(schema: Mapping[str, Any]) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
