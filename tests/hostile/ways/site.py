"""Sites on an engine, for the scene: of two studies, with the network that is tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flcore import Site
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.docker_networks import as_network

from .internet import Outside, run
from .scene import MEMORY, PROCESSES, Scene, Surroundings, Words
from .verdict import Network

STUDY, OTHER = "cardio-2026", "onco-2026"
IMAGE = "flcore-demo:latest"
_BRIDGE_NAME = "com.docker.network.bridge.name"
_NO_TRAFFIC = {"com.docker.network.bridge.enable_icc": "false"}


def try_ways(client: Any, network: Network, outside: Outside | None, folder: Path) -> dict[str, list[str]]:
    """Return by which ways a job got out, at a site of this engine."""
    with ExitStack() as stack:
        around = Surroundings(folder, stack, outside)
        gateway = stack.enter_context(_network(client, network, around.mark))
        if network is Network.FIREWALLED:
            stack.enter_context(_firewall(around.mark, around.ports["parent"]))
        site = stack.enter_context(_site(folder, around.mark, around.words))
        return Scene(client, site, around, folder, [gateway]).play(STUDY, OTHER)


@contextmanager
def _network(client: Any, network: Network, name: str) -> Iterator[str]:
    """Yield the address of the host in a network that is made for this."""
    is_internal = network in (Network.INTERNAL, Network.FIREWALLED)
    options = {_BRIDGE_NAME: name, **(_NO_TRAFFIC if is_internal else {})}
    client.api.create_network(name, driver="bridge", internal=is_internal, options=options)
    try:
        found = as_network(client.api.inspect_network(name))
        yield found.gateways[0]
    finally:
        client.api.remove_network(name)


@contextmanager
def _firewall(bridge: str, port: int) -> Iterator[None]:
    """Close the host to a bridge, but for one port: what the page on security says to do."""
    rules = [f"INPUT -i {bridge} -j DROP", f"INPUT -i {bridge} -p tcp --dport {port} -j ACCEPT"]
    with ExitStack() as stack:
        for rule in rules:
            run("iptables", "-w", "-I", *rule.split())
            stack.callback(run, "iptables", "-w", "-D", *rule.split())
        yield


def _site(folder: Path, network: str, words: Words) -> Site:
    """Return a site whose other study has data and a secret, and which has keys of its own."""
    keys = folder / "site/startup/client.key"
    keys.parent.mkdir(parents=True)
    keys.write_text(words.site)
    launcher = ClientDockerJobLauncher(
        image=IMAGE,
        network=network,
        limits={"num_of_cpus": 2, "memory": MEMORY},
        pids_limit=PROCESSES,
        stop_grace=1,
        studies={STUDY: _study(folder, STUDY, "own", "own"), OTHER: _study(folder, OTHER, words.data, words.secret)},
    )
    return Site("site-1", {"launcher": launcher}, folder / "site")


def _study(folder: Path, name: str, data: str, secret: str) -> dict[str, Any]:
    records, key = folder / name / "records", folder / name / "key"
    records.mkdir(parents=True)
    records.joinpath("patients.csv").write_text(data)
    key.write_text(secret)
    return {"datasets": {"records": str(records)}, "secrets": {"key": {"file": str(key)}}}
