"""``flcore nvflare install``: has a kit's parent launch its jobs by this package."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from flcore.cli.command import EXIT_OK
from flcore.errors import ConfigError
from flcore.plain_text import visible

from ..flare.installation import FOLDER, Installation, diff_of
from ..flare.kit_layout import KitLayout
from ..flare.parent_config import CLEAR, ParentConfig
from ..flare.wanted_files import HOST_NETWORK, WantedFile, Wish, launcher_args, wanted_files
from ..runtime.docker_networks import Network
from .gateways import Gateways
from .parents import (
    EVERY_ADDRESS,
    FIRST_PORT,
    LOOPBACK,
    free_port,
    is_here,
    is_of_host,
    is_running,
    kits_around,
    named_ports,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to a kit."""

    layout: KitLayout
    changes: list[WantedFile]


def run(args: argparse.Namespace) -> int:
    """Set up kits, once it is known that all of them can be; return the exit status."""
    configs = [ParentConfig.read(KitLayout.of(Path(kit))) for kit in args.kit]
    if args.port and len(configs) > 1:
        raise ConfigError("--port: each parent needs one of its own: name one kit only, or leave the choice to flcore")
    for config in configs:
        wanted_files(config, Wish())  # raises for what could not be changed anyway, before anything is made
    gateways = Gateways(args.subnet, args.dry_run)
    plans = list(_plans(args, configs, gateways))
    for name in gateways.made:
        print(visible(f"the network {name} {'would be' if args.dry_run else 'was'} made"))
    for plan in plans:
        for line in (line for file in plan.changes for line in diff_of(file)):
            print(visible(line))
        if not args.dry_run:
            Installation(plan.layout).apply(plan.changes)
        print(visible(_told(plan, args.dry_run)))
    return EXIT_OK


def _plans(args: argparse.Namespace, configs: Sequence[ParentConfig], gateways: Gateways) -> Iterator[Plan]:
    ports: set[int] = set()
    for config in configs:
        wish = _wish(args, config, gateways, ports)
        ports.add(wish.port or 0)
        yield Plan(config.layout, Installation(config.layout).changes(wanted_files(config, wish)))


def _wish(args: argparse.Namespace, config: ParentConfig, gateways: Gateways, taken: set[int]) -> Wish:
    wish = Wish(args.image, args.network or config.layout.container_network or None, args.docker_host)
    known = launcher_args(config, wish)
    for key, meaning in {"image": "of jobs that name none", "network": "of the jobs' containers, or 'host'"}.items():
        if not known.get(key):
            raise ConfigError(f"{config.layout.root}: --{key} is missing: the {key} {meaning}")
    host = _host(args, config, known, gateways)
    if not host:
        return wish
    port = args.port or _port(config, args.in_container, taken)
    security = config.listener.security if config.own_launchers else CLEAR
    return replace(wish, host=host, port=port, security=security)


def _host(args: argparse.Namespace, config: ParentConfig, launcher: Mapping[str, Any], gateways: Gateways) -> str:
    """Return where jobs find their parent: what is named, or the kit has, if they can; else the network's gateway.

    Empty where nothing needs to be said.
    """
    if args.address:
        return str(args.address)
    if launcher["network"] == HOST_NETWORK:
        return "" if is_of_host(config.listener.host) else LOOPBACK[0]
    if not isinstance(launcher["network"], str):  # one of each job's own, at whose gateway the parent is
        return EVERY_ADDRESS[0]
    if args.in_container or config.layout.starts_in_container:
        gateways.ensure(launcher)
        return EVERY_ADDRESS[0]
    there = gateways.of(launcher)
    return config.listener.host if _can_be_reached(config.listener.host, there) else there.gateways[0]


def _can_be_reached(host: str, network: Network) -> bool:
    """Whether a host that a kit names may be what its operator means: then it stays."""
    if host in LOOPBACK:
        return False
    try:
        ip_address(host)
    except ValueError:  # a name
        return True
    return host in EVERY_ADDRESS or (network.has(host) and is_here(host))


def _port(config: ParentConfig, in_container: bool, taken: set[int]) -> int:
    """Return a kit's port: the one that it has, if no other names it; else a free one."""
    layout, port = config.layout, config.listener.port
    if in_container or layout.starts_in_container:
        return port or FIRST_PORT  # of its container, where nobody else is
    named = taken.union(*(named_ports(kit) for kit in kits_around(layout.root)))
    return port if port and port not in named else free_port(layout, named)


def _told(plan: Plan, is_trial: bool) -> str:
    kit, count = plan.layout.root, len(plan.changes)
    if not count:
        return f"{kit}: all is so already"
    if is_trial:
        return f"{kit}: nothing was changed"
    files = "1 file was" if count == 1 else f"{count} files were"
    runs = "; it runs, and reads them at its next start" if is_running(kit) else ""
    return f"{kit}: {files} written{runs}; what was there before is in local/{FOLDER}; now: flcore check {kit}"
