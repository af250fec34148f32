"""The rule for what a site's config says of its studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flcore.config.problems import Problems, did_you_mean
from flcore.config.rules import Rule, Schema, or_null, rule
from flcore.config.strict_json import shown
from flcore.fl_constant import JobConstants
from flcore.job_meta import IDENTIFIER, is_identifier

from . import site_args
from .job_network import job_network
from .resources import Resources
from .studies import Study

_RULES: dict[str, Rule[..., Any]] = {
    "datasets": site_args.datasets,
    "secrets": site_args.secrets,
    "env": site_args.text_map,
    "image": site_args.text,
    "images": site_args.image_rules,
    "limits": site_args.resources,
    "network": job_network,
}
"""What may be said of a study, and by which rule."""
_STUDIES: Schema = {
    "type": "object",
    "propertyNames": {"pattern": IDENTIFIER},
    "additionalProperties": {
        "type": "object",
        "properties": {key: or_null(known.schema({})) for key, known in _RULES.items()},
        "additionalProperties": False,
    },
}


@rule(_STUDIES)
def studies(key: str, value: Any, env: Mapping[str, str] | None) -> dict[str, Study]:
    """Return a site's studies by name; ``env``: the variables of all its jobs. Raises ValueError, a line each."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {shown(value)}")  # noqa: TRY004 - as for every wrong argument
    problems = Problems()
    found = {name: problems.attempt(_study, key, name, entry, env or {}) for name, entry in value.items()}
    problems.raise_all(ValueError)
    return found


def _study(key: str, name: Any, value: Any, env: Mapping[str, str]) -> Study:
    if not is_identifier(name):
        raise ValueError(f"{key}: a study's name is letters, digits, '.', '_' or '-', got {shown(name)}")
    key = f"{key}.{name}"
    if name == JobConstants.DEFAULT_STUDY:
        raise ValueError(f"{key}: to NVIDIA FLARE, a job of the study {name!r} is one of none: call it something else")
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {shown(value)}")  # noqa: TRY004 - as for every wrong argument
    problems = Problems()
    problems.lines += [
        f"{key}: unknown key {one!r}{did_you_mean(one, _RULES)}; known are {', '.join(_RULES)}"
        for one in value
        if one not in _RULES
    ]
    said = {one: entry for one, entry in value.items() if one in _RULES and entry is not None}
    variables = {**env, **(said["env"] if isinstance(said.get("env"), Mapping) else {})}
    parsed: dict[str, Any] = {
        one: problems.attempt(_RULES[one], f"{key}.{one}", entry, *([variables] if one == "secrets" else ()))
        for one, entry in said.items()
    }
    problems.raise_all(ValueError)
    return Study(name, **{"limits": Resources(), **parsed})
