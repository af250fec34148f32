"""The content of a site's config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .admission import AdmissionLimits
from .config.argument_rules import TEXT
from .config.component_config import COMPONENT, ComponentBuilder, check_keys, expand
from .config.problems import Problems
from .config.rules import CONFIG_DIR, Schema
from .config.strict_json import load_json, shown
from .errors import ConfigError
from .fl_component import FLComponent
from .job_meta import IDENTIFIER, is_identifier
from .site_log import LogSettings

__all__ = ["SiteConfig"]

AT_END = ("leave", "end")
"""What a site may do with its running jobs when it closes."""

NEEDED = ("site", "components")
"""The keys that a config must have."""
KEYS: Mapping[str, Schema] = {
    "$schema": {"type": "string", "description": "The JSON Schema by which editors complete and check this file."},
    "format_version": {"description": "As in NVIDIA FLARE's configs; nobody reads it here."},
    "site": {"type": "string", "pattern": IDENTIFIER, "description": "The site's name, as jobs call it."},
    "workspace": {
        **TEXT,
        "default": "workspace",
        "description": "The site's folder, in which each job gets its own; a relative one is beside this file.",
    },
    "strict": {
        "type": "boolean",
        "default": False,
        "description": "Refuses a job for which several launchers volunteer; else the first one gets it.",
    },
    "admission": {**AdmissionLimits.schema(), "description": "How much the site takes."},
    "at_end": {
        "enum": list(AT_END),
        "default": AT_END[0],
        "description": "What becomes of running jobs when the site closes: they go on, or are ended.",
    },
    "logging": {**LogSettings.schema(), "description": "The site's own log; without it there is none."},
    "components": {
        "type": "array",
        "items": {"$ref": f"#/$defs/{COMPONENT}"},
        "description": "The site's components, which get every event in this order; one of them is a launcher.",
    },
}
"""What a config may say, and what each of that may be, as JSON Schemas."""


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The content of a site's config file, without its components built."""

    source: Path
    """The file."""
    site: str
    """The site's name."""
    workspace: Path
    """The site's folder, as an absolute path."""
    strict: bool
    """Whether a job for which several launchers volunteer is refused."""
    components: Any
    """The component configs, as they stand in the file."""
    admission: Mapping[str, int]
    """How many jobs the site takes at the same time."""
    at_end: str
    """What becomes of running jobs when the site closes."""
    logging: Mapping[str, Any] | None
    """None where the site has no log of its own."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a config file. Raises ConfigError, with a line for each thing that is wrong, its components included."""
        source = Path(path)
        config = load_json(source)
        if not isinstance(config, dict):
            raise ConfigError(f"{source}: must be an object, got {shown(config)}")
        if "$defs" in config and "site" not in config:  # as `flcore init` and `flcore schema` write it
            raise ConfigError(f"{source}: is a JSON Schema, by which editors check a site's config, and is none itself")
        problems = Problems()
        checked = problems.attempt
        checked(check_keys, config, KEYS, str(source))
        site_config = cls(
            source=source,
            site=checked(_site, config, source),
            workspace=checked(_workspace, config, source),
            strict=checked(_strict, config, source),
            components=checked(_components, config, source),
            admission=checked(_admission, config, source),
            at_end=checked(check_at_end, config.get("at_end", AT_END[0]), str(source)),
            logging=checked(_logging, config, source),
        )
        if problems.lines and "components" in config:
            checked(site_config.build)
        problems.raise_all(ConfigError)
        return site_config

    def build(self, *kinds: type[FLComponent]) -> dict[str, FLComponent]:
        """Build the components, or those of some kinds only, anew each time.

        Raises ConfigError, with a line for each thing that is wrong.
        """
        return ComponentBuilder(str(self.source), _variables(self.source)).build_all(self.components, *kinds)


def check_at_end(value: Any, where: str) -> str:
    """Return a valid ``at_end``. Raises ConfigError, naming ``where`` it stands."""
    if value not in AT_END:
        raise ConfigError(f"{where}: at_end: must be 'leave' or 'end' (the running jobs), got {shown(value)}")
    return str(value)


def _site(config: Mapping[str, Any], source: Path) -> str:
    rule = "must be the site's name: letters, digits, '.', '_' or '-'"
    if "site" not in config:
        raise ConfigError(f"{source}: site: is missing; it {rule}")
    if not is_identifier(config["site"]):
        raise ConfigError(f"{source}: site: {rule}, got {shown(config['site'])}")
    return str(config["site"])


def _workspace(config: Mapping[str, Any], source: Path) -> Path:
    """Return the site's folder; a relative one is relative to the config file."""
    value = config.get("workspace", "workspace")
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{source}: workspace: must be a folder, got {shown(value)}")
    return Path(source.absolute().parent, value).resolve()


def _strict(config: Mapping[str, Any], source: Path) -> bool:
    value = config.get("strict", False)
    if type(value) is not bool:
        raise ConfigError(f"{source}: strict: must be true or false, got {shown(value)}")
    return value


def _admission(config: Mapping[str, Any], source: Path) -> Mapping[str, int]:
    value = config.get("admission", {})
    AdmissionLimits.read(value, f"{source}: admission")
    return dict(value)


def _logging(config: Mapping[str, Any], source: Path) -> Mapping[str, Any] | None:
    """Return what the site's log is to be; a relative file is relative to the config file."""
    if "logging" not in config:
        return None
    value = config["logging"]
    if isinstance(value, dict) and isinstance(value.get("file"), str):
        value = value | {"file": expand(value["file"], _variables(source))}
    settings = LogSettings.read(value, f"{source}: logging", source.parent)
    return {**value, "file": str(settings.file)} if settings.file else value


def _variables(source: Path) -> dict[str, str]:
    return {CONFIG_DIR: str(source.absolute().parent)}


def _components(config: Mapping[str, Any], source: Path) -> Any:
    if "components" not in config:
        raise ConfigError(f"{source}: components: is missing; a site needs a list of them, a launcher at least")
    return config["components"]
