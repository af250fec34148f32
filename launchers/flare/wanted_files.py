"""What the files of a kit should be for its parent to launch jobs by this package. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from flcore.config.strict_json import read_text
from flcore.disk.presence import is_there
from flcore.errors import ConfigError

from .json_text import with_values, without_items
from .parent_config import CLEAR, KitComponent, ParentConfig, mapping_of

OWN_FILE = "flcore__p_resources.json"
"""In a kit's ``local``: what lists the launcher. Only parents read it, so no job's image needs this package."""
HOST_NETWORK = "host"

_FOR_PARENTS = "__p_resources.json"
_COMM_CONFIG = "comm_config.json"
_DEFAULT = ".default"
_NVIDIA = "nvflare."


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
    return [*_without_others(config), _with_ours(config, wish), *_with_listener(config, wish)]


def launcher_args(config: ParentConfig, wish: Wish) -> dict[str, Any]:
    """Return the arguments of the launcher: those that it has, with what is wished for."""
    known = next((dict(launcher.args) for launcher in config.own_launchers), {})
    wished = {"image": wish.image, "network": wish.network, "docker_host": wish.docker_host}
    args = known | {key: value for key, value in wished.items() if value is not None}
    if args.get("network") == HOST_NETWORK:
        meant = args.get("allow_insecure", [])
        args["allow_insecure"] = meant if "network" in meant else [*meant, "network"]
    return args


def _without_others(config: ParentConfig) -> Iterator[WantedFile]:
    """Yield the files that list what is to go: other launchers, ours where jobs read of it, too, what ours replaces."""
    own, unwanted = _own_file(config), [*config.launchers, *_replaced(config)]
    for file in dict.fromkeys(component.file for component in unwanted):
        if file.parent != config.layout.local:
            raise ConfigError(f"{file}: lists a launcher, and is no file of {config.layout.local}: take it out by hand")
        if file != own:
            text = without_items(read_text(file, trusted=True), "components", _is_any_of(unwanted))
            yield WantedFile(file.with_name(file.name.removesuffix(_DEFAULT)), text, file)


def _with_ours(config: ParentConfig, wish: Wish) -> WantedFile:
    """Return the file that lists what is ours, with the launcher's arguments; what else is in it stays."""
    path, replaced = _own_file(config), _replaced(config)
    kept = [launcher for launcher in config.own_launchers if launcher.file == path][:1]
    launcher, *others = json.loads(_template(_ours(config)))["components"]
    text = read_text(path, trusted=True) if is_there(path) else _template(_ours(config))
    is_gone = _is_any_of([one for one in (*config.launchers, *replaced) if one not in kept])
    listed = [one for one in json.loads(text).get("components", []) if not is_gone(one)] if is_there(path) else []
    listed += [] if kept else [launcher]
    is_launcher = _is_any_of(kept) if kept else launcher.__eq__
    args, taken = launcher_args(config, wish), {one.id for one in config.components if one not in replaced}
    components = [{**one, "args": args} if is_launcher(one) else one for one in listed]
    components += [one for one in others if one["id"] not in taken]
    return WantedFile(path, with_values(text, {"components": components}), path)


def _replaced(config: ParentConfig) -> list[KitComponent]:
    """Return those of NVIDIA FLARE's components in whose place ours come. What a site has put there stays."""
    others = {one["id"] for one in json.loads(_template(_ours(config)))["components"][1:]}
    return [one for one in config.components if one.id in others and one.path.startswith(_NVIDIA)]


def _ours(config: ParentConfig) -> str:
    return f"{config.layout.role}{_FOR_PARENTS}"


def _with_listener(config: ParentConfig, wish: Wish) -> Iterator[WantedFile]:
    if wish.host is None:
        return
    path = config.layout.local / _COMM_CONFIG
    if config.listener.file not in (None, path):
        raise ConfigError(f"{config.listener.file}: is what the parent reads, and not {path}: move it out of the kit")
    text = read_text(path, trusted=True) if is_there(path) else _template(_COMM_CONFIG)
    internal = (mapping_of(path) if is_there(path) else {}).get("internal") or {}
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


def _path(config: Mapping[str, Any]) -> str:
    return str(next((config[key] for key in ("path", "class_path", "name") if key in config), ""))


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text()
