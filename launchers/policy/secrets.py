"""What a site's config says of the secrets that its jobs see: where each comes from, and where it goes. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from flcore.config.argument_rules import ABSOLUTE_PATH
from flcore.config.rules import Schema, whole
from flcore.config.strict_json import shown
from flcore.errors import JobLaunchError

from .argv_limits import VARIABLE_NAME, check_words

SECRET_PREFIX = "FLCORE_SECRET_"  # noqa: S105 - a variable's name

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


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret comes from, and where it goes; never what it is."""

    name: str
    file: str = ""
    """Its file on this host; or else"""
    env: str = ""
    """its variable in the site's own environment."""
    to_env: str = ""
    """The job's variable that holds it, beside its file; empty: none does."""
    target: str = ""
    """Where a container sees it; empty: with the others, by its name."""

    @property
    def source(self) -> str:
        return f"file {self.file}" if self.file else f"variable {self.env} of the site's process"

    @property
    def path_variable(self) -> str:
        """The variable that tells a job where the secret's file is."""
        return SECRET_PREFIX + re.sub(r"[^A-Z0-9]", "_", self.name.upper())

    def as_variable(self, value: bytes) -> str:
        """Return a value as its variable holds it: without a line break at its end. Raises JobLaunchError."""
        try:
            text = value.decode().removesuffix("\n")
            check_words([f"{self.to_env}={text}"])
        except ValueError:  # without its cause, which holds the value
            raise self.error(f"cannot be put into {self.to_env}: it is too long, no UTF-8, or holds a NUL") from None
        return text

    def error(self, why: str) -> JobLaunchError:
        """Return the error of a launch that cannot have it."""
        return JobLaunchError(f"the secret {self.name}: {self.source} {why}")


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
