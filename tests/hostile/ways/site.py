"""Sites on an engine, for the scene: of two studies, with the network that is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flcore import Site
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.docker_dialect import BRIDGES

from .internet import Outside, run
from .scene import MEMORY, PROCESSES, Scene, Surroundings, Words
from .verdict import Network

STUDY, OTHER = "cardio-2026", "onco-2026"
IMAGE = "flcore-demo:latest"
_OWN: Mapping[Network, Mapping[str, Any]] = {
    Network.PER_JOB: {"per_job": True},
    Network.FIREWALLED: {"per_job": True},
    Network.SEALED: {"per_job": True, "parent": "none"},
}


def try_ways(client: Any, network: Network, outside: Outside | None, folder: Path) -> dict[str, list[str]]:
    """Return by which ways a job got out, at a site of this engine."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        around = Surroundings(folder, stack, outside)
        wanted = _OWN.get(network) or stack.enter_context(_bridge(client, around.mark))
        if network is Network.FIREWALLED:
            stack.enter_context(_firewall(around.ports["parent"]))
        site = stack.enter_context(_site(folder, wanted, around.words))
        return Scene(client, site, around, folder).play(STUDY, OTHER)


@contextmanager
def _bridge(client: Any, name: str) -> Iterator[str]:
    client.api.create_network(name, driver="bridge")
    try:
        yield name
    finally:
        client.api.remove_network(name)


@contextmanager
def _firewall(port: int) -> Iterator[None]:
    """Close the host to all networks of jobs' own, but for one port: what the page on security says to do."""
    rules = [f"INPUT -i {BRIDGES}+ -j DROP", f"INPUT -i {BRIDGES}+ -p tcp --dport {port} -j ACCEPT"]
    with ExitStack() as stack:
        for rule in rules:
            run("iptables", "-w", "-I", *rule.split())
            stack.callback(run, "iptables", "-w", "-D", *rule.split())
        yield


def _site(folder: Path, network: Any, words: Words) -> Site:
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
