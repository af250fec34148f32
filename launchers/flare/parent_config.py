"""What a site's parent makes of its kit: its components, and where it listens for its jobs. Only looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flcore.config.problems import Problems
from flcore.config.strict_json import load_json, shown
from flcore.errors import ConfigError

from .kit_layout import KitLayout

OURS = "launchers.nvflare_launcher"
"""The module of this package's launchers for kits."""
KIT_ARGUMENTS = ("python", "private_key", "kit_files", "journal")
"""Those that only these have, which cannot be made where NVIDIA FLARE is not installed."""
RESOURCE_MANAGER = "resource_manager"
"""The component that says, before a job is scheduled, whether a client has what it asks for."""

_OURS = (OURS, "launchers.docker_launcher", "launchers.process_launcher")
_PATHS = ("path", "class_path", "name")
_JSON = (".json", ".default")
_LAUNCHERS = "JobLauncher"
_LOCALHOST, _TCP = "localhost", "tcp"
CLEAR, MTLS = "clear", "mtls"


@dataclass(frozen=True, slots=True)
class KitComponent:
    """One of the components that a kit's files list."""

    id: str
    path: str
    args: Mapping[str, Any]
    file: Path
    where: str
    """The file, as it is called within the kit."""
    key: str = "path"
    """Which key names its class."""

    @property
    def is_launcher(self) -> bool:
        return self.path.endswith(_LAUNCHERS) or self.is_ours

    @property
    def is_ours(self) -> bool:
        """Whether it is one of this package's launchers, of kits or not, be it a class that is not there."""
        return self.path.rpartition(".")[0] in _OURS


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a parent listens for its jobs: what NVIDIA FLARE does where no file says anything."""

    file: Path | None = None
    where: str = "no file"
    """The file, as it is called within the kit."""
    scheme: str = _TCP
    host: str = _LOCALHOST
    port: int | None = None
    """None is one that is free at the start."""
    security: str = CLEAR


@dataclass(frozen=True, slots=True)
class ParentConfig:
    """What the files of a kit say."""

    layout: KitLayout
    components: tuple[KitComponent, ...]
    listener: Listener
    knows_listener: bool = True
    """Whether what is said of it could be read; else it is what NVIDIA FLARE does where nothing is said."""
    problems: tuple[str, ...] = ()
    """What is wrong with a file, so that NVIDIA FLARE could not read it, a line each."""

    @classmethod
    def read(cls, layout: KitLayout) -> Self:
        """Read them, as far as they can be read."""
        problems = Problems()
        components = [problems.attempt(_components, file, layout) or () for file in layout.configs()]
        all_components = tuple(one for some in components for one in some)
        listener = problems.attempt(_listener, layout)
        return cls(layout, all_components, listener or Listener(), bool(listener), tuple(problems.lines))

    @property
    def launchers(self) -> list[KitComponent]:
        return [component for component in self.components if component.is_launcher]

    @property
    def own_launchers(self) -> list[KitComponent]:
        """Those of this package, in NVIDIA FLARE's kits."""
        return [component for component in self.components if component.path.startswith(f"{OURS}.")]


def mapping_of(file: Path) -> dict[str, Any]:
    """Return what a JSON file of a kit says. Raises ConfigError, naming it."""
    if file.suffix not in _JSON or ".json" not in file.name:
        raise ConfigError(f"{file}: is no JSON, and read before all that is: what it says cannot be looked into here")
    value = load_json(file)
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: must be an object, got {shown(value)}")
    return value


def _components(file: Path, layout: KitLayout) -> tuple[KitComponent, ...]:
    listed = mapping_of(file).get("components", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{file}: components: must be a list, got {shown(listed)}")
    return tuple(_read_components(listed, file, layout.told(file)))


def _read_components(listed: list[Any], file: Path, where: str) -> Iterator[KitComponent]:
    for number, config in enumerate(listed):
        if not isinstance(config, dict):
            raise ConfigError(f"{file}: components[{number}]: must be an object, got {shown(config)}")
        key = next((key for key in _PATHS if key in config), _PATHS[0])
        args = config.get("args") or {}
        if config.get("disabled") is not True:
            known = args if isinstance(args, dict) else {}
            yield KitComponent(str(config.get("id", "")), str(config.get(key, "")), known, file, where, key)


def _listener(layout: KitLayout) -> Listener:
    files = layout.comm_configs()
    if not files:
        return Listener()
    config = mapping_of(files[0])
    internal = _object(config, "internal", files[0])
    resources = _object(internal, "resources", files[0])
    port = resources.get("port")
    return Listener(
        files[0],
        layout.told(files[0]),
        str(internal.get("scheme") or _TCP),
        str(resources.get("host") or _LOCALHOST),
        port if type(port) is int else None,
        str(resources.get("connection_security") or CLEAR),
    )


def _object(config: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: {key}: must be an object, got {shown(value)}")
    return value
