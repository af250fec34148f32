"""Which files of a startup kit its parent reads, and in which order: by NVIDIA FLARE's own rules. Only looks."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flcore.disk.presence import is_file, is_folder, is_there
from flcore.errors import ConfigError

CLIENT, SERVER = "client", "server"

_ROLES = {CLIENT: "startup/fed_client.json", SERVER: "startup/fed_server.json"}
_OTHERS = {"an administrator's": "startup/fed_admin.json", "a relay's": "startup/fed_relay__p_resources.json"}
_EXTENSIONS = (".json", ".conf", ".yml", ".yaml")
_IN_THIS_ORDER = (*_EXTENSIONS, *(f"{extension}.default" for extension in _EXTENSIONS))
_OF_PARENTS = ("*__resources.json", "*__p_resources.json")
_SCRIPTS = _SUB_START, _START_DOCKER = "startup/sub_start.sh", "startup/start_docker.sh"
_SITE = re.compile(r"\buid=([\w.-]+)")
_NETWORK = re.compile(r"^NETWORK_NAME=([\w.-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KitLayout:
    """A kit whose parent runs jobs."""

    root: Path
    role: str
    """``client`` or ``server``."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return a folder's. Raises ConfigError if it is no kit, or none whose parent runs jobs, and OSError."""
        for role, file in _ROLES.items():
            if is_file(folder / file) and is_folder(folder / "local"):
                return cls(folder, role)
        for whose, file in _OTHERS.items():
            if is_file(folder / file):
                raise ConfigError(f"{folder}: is {whose} kit, which runs no jobs; name a client's or a server's")
        raise ConfigError(f"{folder}: {_why_none(folder)}")

    @property
    def local(self) -> Path:
        return self.root / "local"

    @property
    def site(self) -> str:
        """The site's name, as its start script has it."""
        if self.role == SERVER:
            return SERVER
        return next(filter(None, (self._said(script, _SITE) for script in _SCRIPTS)), self.root.absolute().name)

    @property
    def container_network(self) -> str:
        """The network of a parent that starts in a container; empty if its start script does not say."""
        return self._said(_START_DOCKER, _NETWORK) if self.starts_in_container else ""

    @property
    def starts_in_container(self) -> bool:
        """Whether its parent is started in a container, as ``nvflare deploy prepare`` has it."""
        return is_there(self.root / _START_DOCKER) and not is_there(self.root / "startup/start.sh")

    def told(self, path: Path) -> str:
        """Return what one of its files is called within the kit."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def configs(self) -> list[Path]:
        """Return what the parent reads its components from, the first first."""
        named = [self.root / _ROLES[self.role], self.resources()]
        for folder in (self.root / "startup", self.local):
            named += [Path(path) for pattern in _OF_PARENTS for path in glob.glob(str(folder / pattern))]  # noqa: PTH207
        return [next(found_for(path.name, path.parent), path) for path in named]

    def resources(self) -> Path:
        """Return what it takes as its ``resources.json``: the site's own, else what was provisioned."""
        own = self.local / "resources.json"
        return own if is_there(own) else self.local / "resources.json.default"

    def comm_configs(self) -> list[Path]:
        """Return what it may read its ``comm_config.json`` from. It takes the first, in whatever folder of the kit."""
        return list(found_for("comm_config.json", self.root))

    def _said(self, script: str, pattern: re.Pattern[str]) -> str:
        """Return what a start script says; empty if there is none, or it does not."""
        path = self.root / script
        found = pattern.search(path.read_text(errors="replace")) if is_file(path) else None
        return found[1] if found else ""


def _why_none(folder: Path) -> str:
    """Return what a folder is in place of a kit."""
    if not is_there(folder):
        return "there is no such folder"
    inside = sorted({path.parents[1] for role in _ROLES.values() for path in folder.glob(f"*/{role}")})
    if inside:
        return f"is no kit, but has some in it: name {', '.join(map(str, inside))}"
    return f"is no kit of NVIDIA FLARE: it needs a folder local, and {' or '.join(_ROLES.values())}"


def found_for(name: str, folder: Path) -> Iterator[Path]:
    """Yield the files that are looked at for a config's name, in a folder and all below; the first is taken.

    The name's own ending counts for nothing: each ending is looked for everywhere before the next.
    """
    stem = name.partition(".")[0]
    for ending in _IN_THIS_ORDER:
        for place, _, names in os.walk(folder):
            if f"{stem}{ending}" in names:
                yield Path(place, f"{stem}{ending}")
