"""Has a hostile job try thirty ways out of its container, and prints by which it got out: a table, and why.

Status 1 if one is open that nobody has named, or if the job does not reach whom it must. Without the name of an engine
it is the one of DOCKER_HOST; by name they are private ones, in name spaces of their own, for which it takes root.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from tests.engines.engine import running, why_no_engine
from tests.engines.programs import PROGRAMS, Program
from tests.engines.visit import Visitor

from .internet import RESOLVER, Internet, Outside, why_not
from .site import try_ways
from .verdict import MUST, NAMES, Network, Place, misses, table, unnamed

Found = Mapping[str, Sequence[str]]
_TIMEOUT = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.ways", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ENGINE", help=f"of {', '.join(p.name for p in PROGRAMS)}")
    parser.add_argument(
        "--network", action="append", choices=[one.name.lower() for one in Network], help="default: all"
    )
    parser.add_argument("--outside", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write there what came of it, too")
    args = parser.parse_args()
    if args.names and (missing := why_not() or why_no_engine()):
        parser.error(f"no private engine can be tried: {missing}")
    if unknown := [name for name in args.names if name not in {program.name for program in PROGRAMS}]:
        parser.error(f"no such engine: {', '.join(unknown)}")
    networks = [Network[name.upper()] for name in args.network or [one.name for one in Network]]
    columns: dict[str, tuple[Place, Found]] = {}
    if args.names:
        known = {program.name: program for program in PROGRAMS}
        for name in args.names:
            columns |= _by_visit(known[name], networks)
    else:
        columns = _here(networks, Outside(**args.outside) if args.outside else None)
    print(*table(columns), sep="\n")
    if args.json:
        args.json.write_text(json.dumps({name: [vars(place), found] for name, (place, found) in columns.items()}))
    wrong = [f"{name}: {line}" for name, (place, found) in columns.items() for line in unnamed(found, place)]
    wrong += [f"{name}: {MUST}: {found[MUST]}" for name, (place, found) in columns.items() if misses(found, place)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


def _here(networks: Sequence[Network], outside: Outside | None) -> dict[str, tuple[Place, Found]]:
    """Try at sites of the engine that DOCKER_HOST names."""
    client = docker.from_env()
    columns: dict[str, tuple[Place, Found]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        if outside is None and not why_not():
            outside = stack.enter_context(Internet(folder)).outside
        for network in networks:
            if _is_left_out(network, client, outside):
                continue
            found = try_ways(client, network, outside, folder / network.name)
            if network is Network.NAMED and not found[NAMES] and outside:
                outside = replace(outside, has_names=False)  # where a bridge leads nowhere by names, nobody can say
            columns[network.value] = Place.of(client, network, outside), found
    return columns


def _is_left_out(network: Network, client: Any, outside: Outside | None) -> bool:
    """Whether a network cannot be tried: a firewall is for root, and for a host that is nobody else's."""
    if network is Network.FIREWALLED:
        return os.geteuid() != 0 or outside is None or not outside.has_metadata
    return network is Network.SEALED and Place.of(client, network, outside).is_podman


def _by_visit(program: Program, networks: Sequence[Network]) -> dict[str, tuple[Place, Found]]:
    """Try on a private engine, whose network is all ours: there are a cloud and a nameserver for it, too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        internet = Internet(folder, is_cloud=True, has_names=True)
        is_root = program.user == 0
        engine = stack.enter_context(
            running(program, RESOLVER) if is_root else running(_asking(program, internet.ipv4))
        )
        internet.beside(engine.daemon_pid())
        stack.enter_context(internet)
        visitor = stack.enter_context(Visitor(engine))
        report = visitor.folder / "ways.json"
        words = ["-m", "tests.hostile.ways", "--json", str(report), "--outside", json.dumps(vars(internet.outside))]
        words += [word for network in networks for word in ("--network", network.name.lower())]
        done = visitor.run("python", *words, timeout=_TIMEOUT)
        if not report.exists():
            raise RuntimeError(f"{program.name}: status {done.returncode}: {done.stderr[-2000:]}")
        found = json.loads(report.read_text())
    return {
        f"{program.name}, {name}": (replace(Place(**place), network=Network(place["network"])), ways)
        for name, (place, ways) in found.items()
    }


def _asking(program: Program, nameserver: str) -> Program:
    """Return an engine without root, which does not see the host's resolver, that asks a nameserver for names."""
    if not program.is_podman:
        return replace(program, settings={**program.settings, "dns": [nameserver]})
    containers = f'{program.files["containers.conf"]}dns_servers = ["{nameserver}"]\n'
    return replace(program, files={**program.files, "containers.conf": containers})


if __name__ == "__main__":
    sys.exit(main())
