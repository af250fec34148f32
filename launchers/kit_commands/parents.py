"""The parents of this host: which of them run, which ports their kits name, and which are free."""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from flcore.errors import ConfigError

from ..flare.kit_layout import KitLayout
from ..flare.parent_config import ParentConfig, mapping_of

FIRST_PORT = 8102
PORTS = range(FIRST_PORT, FIRST_PORT + 898)
"""Where parents listen for their jobs: each takes the first that nobody else has."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - to be told from others

_EXPORTERS = ("flcore.observers.MetricsExporter", "flcore.observers.metrics_exporter.MetricsExporter")
_APP = b"nvflare.private.fed.app."
_PARENTS = (_APP + b"client.client_train", _APP + b"server.server_train")


def kits_around(kit: Path, others: Iterable[Path] = ()) -> list[KitLayout]:
    """Return the kits that lie beside one, and others that are named, without it itself."""
    beside = kit.resolve().parent
    with suppress(OSError):
        others = [*others, *sorted(beside.iterdir())]
    found = {path.resolve(): path for path in reversed([*others]) if path.resolve() != kit.resolve()}
    return [layout for path in found.values() if (layout := _layout(path))]


def named_ports(layout: KitLayout) -> dict[int, str]:
    """Return the ports of this host that a kit names: ``port -> what for``."""
    ports: dict[int, str] = {}
    config = ParentConfig.read(layout)
    if not layout.starts_in_container:
        ports |= dict.fromkeys(metrics_ports(config), "its metrics")
        ports |= {config.listener.port: "its jobs"} if config.listener.port else {}
    if layout.role == "server":
        ports |= dict.fromkeys(_server_ports(layout), "its clients")
    return ports


def metrics_ports(config: ParentConfig) -> list[int]:
    """Return the ports at which a kit's components serve its figures."""
    exporters = [one for one in config.components if one.path in _EXPORTERS]
    return [port for one in exporters if type(port := one.args.get("port")) is int and port]


def who_names(port: int, layout: KitLayout, what_for: str, others: Iterable[Path]) -> str:
    """Return which kit names a port, and what for; but for a kit's own that is for ``what_for``. Empty if none does."""
    for kit in [layout, *kits_around(layout.root, others)]:
        named = named_ports(kit).get(port, "")
        if named and (kit is not layout or named != what_for):
            return f"{kit.root}, for {named}"
    return ""


def free_port(layout: KitLayout, taken: Container[int]) -> int:
    """Return a port that is not taken, by name or by somebody who listens. Raises ConfigError."""
    own = set(_server_ports(layout))
    for port in PORTS:
        if port not in taken and port not in own and not is_listened_on(port):
            return port
    raise ConfigError(f"{layout.root}: no port of {PORTS.start} to {PORTS.stop - 1} is free: name another by --port")


def is_listened_on(port: int) -> bool:
    """Whether somebody listens on a port of this host."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left of old connections is no listener
        try:
            listener.bind(("", port))
        except OSError:
            return True
    return False


def is_here(address: str) -> bool:
    """Whether an address is one of this host's."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            return False
    return True


def is_of_host(name: str) -> bool:
    """Whether who shares this host's network reaches it by this name, as far as that can be told."""
    try:
        ip_address(name)
    except ValueError:
        return True
    return name in (*LOOPBACK, *EVERY_ADDRESS) or is_here(name)


def is_running(kit: Path) -> bool:
    """Whether a process of this host is a kit's parent."""
    resolved = os.fsencode(kit.resolve())
    return any(_is_parent_of(words, resolved) for words in _commands())


def _commands() -> Iterator[list[bytes]]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cmdline").read_bytes().split(b"\0")


def _is_parent_of(words: list[bytes], kit: bytes) -> bool:
    if not any(module in words for module in _PARENTS):
        return False
    return any(os.path.realpath(word) == kit for word in words if word.startswith(b"/"))


def _layout(path: Path) -> KitLayout | None:
    try:
        return KitLayout.of(path)
    except (ConfigError, OSError):
        return None


def _server_ports(layout: KitLayout) -> Iterator[int]:
    """Yield the ports on which a server listens for its clients and administrators."""
    with suppress(ConfigError, AttributeError, LookupError, TypeError, ValueError):
        server = mapping_of(layout.root / "startup/fed_server.json")["servers"][0]
        yield int(str(server["service"]["target"]).rpartition(":")[2])
        yield int(server["admin_port"])
