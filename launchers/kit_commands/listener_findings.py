"""Whether jobs find their parent: where it listens, against what their network is, and who else listens there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from flcore.job_launcher_spec import Check

from ..container_spec import JobNetwork, OwnNetwork
from ..flare.kit_layout import KitLayout
from ..flare.parent_config import Listener, ParentConfig
from ..flare.wanted_files import HOST_NETWORK
from ..runtime.docker_networks import Network
from .parents import (
    EVERY_ADDRESS,
    LOOPBACK,
    is_here,
    is_listened_on,
    is_of_host,
    is_running,
    who_names,
)
from .verdicts import missing, warned, well

_WHAT = "comm_config.json"
_BY_FILES = "shared-file"


def listener_findings(
    config: ParentConfig, network: JobNetwork, found: Network | None, others: Sequence[Path]
) -> Iterator[Check]:
    """Say whether jobs in a network find the parent; ``found`` is what the engine says of that, if it says anything."""
    if not config.knows_listener:
        return
    yield from _file_findings(config)
    yield from _container_findings(config.layout, network)
    yield address_finding(config, network, found)
    yield from _port_findings(config, others)


def address_finding(
    config: ParentConfig, network: JobNetwork, found: Network | None, is_of_this_host: Callable[[str], bool] = is_here
) -> Check:
    """Say whether containers of a network reach the parent where it listens."""
    listener, root = config.listener, config.layout.root
    said = f"{listener.where} has jobs find their parent at {listener.host}"
    install = f"flcore nvflare install {root} mends it"
    if listener.scheme == _BY_FILES:
        return well(_WHAT, "jobs share a folder with the parent")
    if isinstance(network, OwnNetwork):
        return _against_own(listener, network, said, install)
    if network == HOST_NETWORK:
        if is_of_host(listener.host):
            return well(_WHAT, "jobs share this host's network with the parent")
        return missing(_WHAT, f"{said}, which is no address of this host, whose network they share; {install}")
    if listener.host in LOOPBACK:
        gateway = f"its gateway, {found.gateways[0]}" if found and found.gateways else "its gateway"
        return missing(_WHAT, f"{said}, which no container in the network {network} reaches: {gateway}; {install}")
    if listener.host in EVERY_ADDRESS or found is None or not _is_address(listener.host):
        return well(_WHAT, said)
    return _against(listener, found, said, install, is_of_this_host)


def _against_own(listener: Listener, network: OwnNetwork, said: str, install: str) -> Check:
    if not network.reaches_host:
        return missing(_WHAT, f"{said}, and 'network.parent' is 'none': leave that out")
    if listener.host not in EVERY_ADDRESS:
        return missing(_WHAT, f"{said}, where no network of a job's own leads: {EVERY_ADDRESS[0]}; {install}")
    return well(_WHAT, f"{said}: each finds it at the gateway of its own network")


def _against(
    listener: Listener, network: Network, said: str, install: str, is_of_this_host: Callable[[str], bool]
) -> Check:
    where = f"the network {network.name} ({', '.join(network.subnets)}; its gateway is {', '.join(network.gateways)})"
    if listener.host in network.gateways:
        said = f"{said}, the gateway of the network {network.name}"
        if is_of_this_host(listener.host):
            return well(_WHAT, said)
        why = "no interface of this host has it: the engine is rootless, in a virtual machine or on another host"
        return warned(_WHAT, f"{said}, but {why}, where jobs do not find a parent that runs here")
    if is_of_this_host(listener.host):
        return warned(_WHAT, f"{said}, outside of {where}: this host's firewall has a say in that")
    if network.has(listener.host):
        own = "right only for a parent in a container that has this address"
        return warned(_WHAT, f"{said}, in {where}: {own}")
    return missing(_WHAT, f"{said}, which is not in {where}: was it made anew? {install}")


def _file_findings(config: ParentConfig) -> Iterator[Check]:
    """Say which file the parent reads, where there are several: it looks in all folders of the kit."""
    own, files = config.layout.local / _WHAT, config.layout.comm_configs()
    if files and files[0] != own:
        told = f"the parent finds {config.layout.told(files[0])} first, and reads that, not local/{_WHAT}"
        yield missing(_WHAT, f"{told}: move it out of the kit")
    for file in files[1:]:
        if file.name == _WHAT and file != own:
            told = f"there is {config.layout.told(file)}, too: which of two a parent takes is chance"
            yield warned(_WHAT, f"{told}; move it out of the kit")


def _container_findings(layout: KitLayout, network: JobNetwork) -> Iterator[Check]:
    own = layout.container_network
    if own and isinstance(network, OwnNetwork):
        told = "startup/start_docker.sh starts the parent in a container, where no network of a job's own leads"
        yield missing("network", f"{told}: name one of both in 'network', or run the parent on the host itself")
    elif own and own != network:
        told = f"startup/start_docker.sh starts the parent in the network {own}, and its jobs are in {network}"
        yield missing("network", f"{told}: flcore nvflare install {layout.root} --network {own}")


def _port_findings(config: ParentConfig, others: Sequence[Path]) -> Iterator[Check]:
    layout, port = config.layout, config.listener.port
    if port is None or layout.starts_in_container:
        return
    way_out = f"flcore nvflare install {layout.root} takes a free one"
    if who := who_names(port, layout, "its jobs", others):
        told = f"{port} (in {config.listener.where}) is named by {who}, too"
        if config.listener.host in EVERY_ADDRESS:
            yield warned("port", f"{told}: right only where each parent has a container of its own; else {way_out}")
        else:
            yield missing("port", f"{told}: {way_out}")
    elif is_listened_on(port) and not is_running(layout.root):
        yield missing("port", f"somebody listens on {port} already (in {config.listener.where}): {way_out}")
    else:
        yield well("port", f"{port}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
