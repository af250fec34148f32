"""What the files of a kit should be for its parent to launch jobs by this package. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from flcore.config.strict_json import read_text
from flcore.errors import ConfigError

from .json_text import with_values, without_items
from .parent_config import CLEAR, OURS, KitComponent, ParentConfig, mapping_of

OWN_FILE = "flcore__p_resources.json"
"""In a kit's ``local``: what lists the launcher. Only parents read it, so no job's image needs this package."""
HOST_NETWORK = "host"

_FOR_PARENTS = "__p_resources.json"
_COMM_CONFIG = "comm_config.json"
_DEFAULT = ".default"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants of a kit."""

    image: str | None = None
    """Of jobs that name none. None: as it is."""
    network: str | None = None
    docker_host: str | None = None
    host: str | None = None
    """Where jobs find their parent. None: as it is."""
    port: int | None = None
    security: str = CLEAR


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file as it should be."""

    path: Path
    text: str
    made_from: Path
    """What it is to be compared with: itself, or the file that counts as long as it is not there."""


def wanted_files(config: ParentConfig, wish: Wish) -> list[WantedFile]:
    """Return the files that have a say in how jobs are launched, as they should be. Raises ConfigError."""
    if config.problems:
        raise ConfigError("\n".join(config.problems))
    return [*_without_launchers(config), _with_launcher(config, wish), *_with_listener(config, wish)]


def launcher_args(config: ParentConfig, wish: Wish) -> dict[str, Any]:
    """Return the arguments of the launcher: those that it has, with what is wished for."""
    known = next((dict(launcher.args) for launcher in config.own_launchers), {})
    wished = {"image": wish.image, "network": wish.network, "docker_host": wish.docker_host}
    args = known | {key: value for key, value in wished.items() if value is not None}
    if args.get("network") == HOST_NETWORK:
        meant = args.get("allow_insecure", [])
        args["allow_insecure"] = meant if "network" in meant else [*meant, "network"]
    return args


def _without_launchers(config: ParentConfig) -> Iterator[WantedFile]:
    """Yield the files that list launchers which are to go: all others, and ours where jobs read of it, too."""
    own = _own_file(config)
    for file in dict.fromkeys(launcher.file for launcher in config.launchers):
        if file.parent != config.layout.local:
            raise ConfigError(f"{file}: lists a launcher, and is no file of {config.layout.local}: take it out by hand")
        if file != own:
            text = without_items(read_text(file, trusted=True), "components", _is_any_of(config.launchers))
            yield WantedFile(file.with_name(file.name.removesuffix(_DEFAULT)), text, file)


def _with_launcher(config: ParentConfig, wish: Wish) -> WantedFile:
    path, args = _own_file(config), launcher_args(config, wish)
    kept = [launcher for launcher in config.own_launchers if launcher.file == path][:1]
    gone = [launcher for launcher in config.launchers if launcher.file == path and launcher not in kept]
    if not path.exists():
        text = _template(f"{config.layout.role}{_FOR_PARENTS}")
    else:
        text = without_items(read_text(path, trusted=True), "components", _is_any_of(gone))
    listed = json.loads(text).get("components", [])
    if path.exists() and not kept:
        listed += json.loads(_template(f"{config.layout.role}{_FOR_PARENTS}"))["components"]
    ours = _is_any_of(kept) if kept else _is_of_the_template
    components = [{**one, "args": args} if ours(one) else one for one in listed]
    return WantedFile(path, with_values(text, {"components": components}), path)


def _with_listener(config: ParentConfig, wish: Wish) -> Iterator[WantedFile]:
    if wish.host is None:
        return
    path = config.layout.local / _COMM_CONFIG
    if config.listener.file not in (None, path):
        raise ConfigError(f"{config.listener.file}: is what the parent reads, and not {path}: move it out of the kit")
    text = read_text(path, trusted=True) if path.exists() else _template(_COMM_CONFIG)
    internal = (mapping_of(path) if path.exists() else {}).get("internal") or {}
    own = {"host": wish.host, "port": wish.port, "connection_security": wish.security}
    changed = {**internal, "scheme": "tcp", "resources": {**(internal.get("resources") or {}), **own}}
    yield WantedFile(path, with_values(text, {"internal": changed}), path)


def _own_file(config: ParentConfig) -> Path:
    """Return the file that lists our launcher, or is to."""
    local = config.layout.local
    listed = (launcher.file for launcher in config.own_launchers)
    return next((file for file in listed if file.parent == local and file.match(f"*{_FOR_PARENTS}")), local / OWN_FILE)


def _is_any_of(components: list[KitComponent]) -> Callable[[Any], bool]:
    """Return whether a component's config is one of these."""
    ids = {(component.id, component.path) for component in components}
    return lambda config: (str(config.get("id", "")), _path(config)) in ids


def _is_of_the_template(config: Mapping[str, Any]) -> bool:
    return _path(config).startswith(f"{OURS}.")


def _path(config: Mapping[str, Any]) -> str:
    return str(next((config[key] for key in ("path", "class_path", "name") if key in config), ""))


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text()
