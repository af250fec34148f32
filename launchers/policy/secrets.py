"""What a site's config says of the secrets that its jobs see: where each comes from, and where it goes. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from flcore.config.argument_rules import ABSOLUTE_PATH
from flcore.config.rules import Schema, whole
from flcore.config.strict_json import shown

from ..container_spec import Secret
from .argv_limits import VARIABLE_NAME

_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_VARIABLE: Schema = {"type": "string", "pattern": whole(VARIABLE_NAME)}
_SECRET: Schema = {
    "type": "object",
    "properties": {"file": ABSOLUTE_PATH, "env": _VARIABLE, "to_env": _VARIABLE},
    "additionalProperties": False,
    "oneOf": [{"required": ["file"]}, {"required": ["env"]}],
}
SECRETS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": whole(_SECRET_NAME)},
    "additionalProperties": _SECRET,
}
"""What :func:`parse_secrets` takes."""


def parse_secrets(key: str, value: Any) -> tuple[Secret, ...]:
    """Return a site's secrets from ``{name: {"file" | "env": source, "to_env": variable}}``. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {type(value).__name__}")  # noqa: TRY004 - as all wrong arguments
    secrets = tuple(_parse_secret(f"{key}.{name}", name, entry) for name, entry in value.items())
    for what in (lambda secret: secret.path_variable, lambda secret: secret.to_env):
        for variable, count in Counter(filter(None, map(what, secrets))).items():
            if count > 1:
                raise ValueError(f"{key}: two of them make the same variable {variable}")
    return secrets


def _parse_secret(key: str, name: str, value: Any) -> Secret:
    if not _SECRET_NAME.fullmatch(name):
        raise ValueError(f"{key}: a name is 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first")
    if (
        not isinstance(value, Mapping)
        or not value.keys() <= _SECRET["properties"].keys()
        or len({"file", "env"} & set(value)) != 1
    ):
        raise ValueError(f'{key} must be {{"file": …}} or {{"env": …}}, each perhaps with "to_env", got {_keys(value)}')
    for what in value.keys() - {"file"}:
        if not isinstance(value[what], str) or not VARIABLE_NAME.fullmatch(value[what]):
            raise ValueError(f"{key}.{what} must be the name of a variable, got {shown(value[what])}")
    if "file" in value and not (isinstance(value["file"], str) and PurePosixPath(value["file"]).is_absolute()):
        raise ValueError(f"{key}.file must be an absolute path, got {shown(value['file'])}")
    return Secret(name, **value)


def _keys(value: Any) -> str:
    """Return what of a wrong entry can be shown: a site may have put the secret itself there."""
    return f"the keys {', '.join(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__
