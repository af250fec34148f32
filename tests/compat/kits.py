"""Startup kits: provisioned by NVIDIA FLARE's own command, then configured as an operator would."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environments import Flare
from .launchers import SERVER

CLIENTS = ("site-1", "site-2")
SITES = (SERVER, *CLIENTS)
ADMIN, LEAD = "admin@compat.org", "lead@compat.org"
"""Who may look at anything, and who may submit jobs that bring code: new kits may let the other do neither."""
_ORG = "compat"
_STUDY = {"site_orgs": {_ORG: list(CLIENTS)}, "admins": [LEAD]}
_SCHEDULE = {"min_schedule_interval": 1.0, "max_schedule_interval": 5.0, "max_schedule_count": 100}
"""When a server tries again to start a job that it has put off: soon, and as long as a slow machine takes."""
_PORTS = range(20000, 30000)
"""Below those that a kernel gives to whoever asks for any."""


@dataclass(frozen=True)
class Addresses:
    """Where the parts of a federation find each other."""

    server: str
    """The host by which clients, and their jobs, reach the server."""
    admin: str
    """The host by which the operator does."""
    port: int
    admin_port: int
    internal: Mapping[str, Mapping[str, Any]]
    """By site, where its parent listens for its jobs: the ``resources`` of its ``comm_config.json``; may be empty."""


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens."""
    candidates = iter(random.sample(_PORTS, len(_PORTS)))
    return [next(port for port in candidates if _is_free(port)) for _ in range(count)]


def provision(flare: Flare, folder: Path, addresses: Addresses, studies: Sequence[str] = ()) -> dict[str, Path]:
    """Make the kits, and return their folders by the participants' names.

    Args:
        studies: of all clients, in which LEAD may submit jobs; from 2.9 on.
    """
    project = folder / "project.yml"
    of_studies = {"api_version": 4, "studies": dict.fromkeys(studies, _STUDY)} if studies else {}
    project.write_text(json.dumps(_project(addresses) | of_studies, indent=2))  # which is YAML, too
    command = [flare.command("nvflare"), "provision", "-p", str(project), "-w", str(folder / "provisioned")]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    kits = folder / "provisioned" / "compat" / "prod_00"
    if not (kits / SERVER).is_dir():
        raise RuntimeError(f"nvflare provision made no kits: {made.stdout} {made.stderr}")
    return {name: Path(shutil.move(kits / name, folder / name)) for name in (*SITES, ADMIN, LEAD)}


def configure(
    kit: Path,
    storage: str,
    components: Sequence[Mapping[str, Any]],
    is_only: bool,
    internal: Mapping[str, Any] | None,
) -> None:
    """Give a site its own storage, its launcher, and the address where its jobs find it.

    Args:
        storage: a folder for what a server keeps, as its processes see it.
        components: the configs of the launcher and what goes with it, in place of what the kit has with these ids.
        is_only: take out the process launcher that each kit has.
        internal: see :class:`Addresses`.
    """
    local = kit / "local"
    resources = json.loads((local / "resources.json.default").read_text())
    replaced = {component["id"] for component in components} | ({"process_launcher"} if is_only else set())
    resources["components"] = [one for one in resources["components"] if one["id"] not in replaced]
    for component in resources["components"]:
        if component["id"] == "job_scheduler":
            component["args"].update(_SCHEDULE)
    for place in _storage_places(resources):
        place.update({key: f"{storage}/{Path(value).name}" for key, value in place.items() if key.endswith("root")})
    _write(local / "resources.json", resources)
    if components:
        _write(local / "compat__p_resources.json", {"components": components})
    if internal:
        comm_config = {"allow_adhoc_conns": False, "backbone_conn_gen": 2}
        _write(local / "comm_config.json", {**comm_config, "internal": {"scheme": "tcp", "resources": internal}})


def add(kit: Path, components: Sequence[Mapping[str, Any]]) -> None:
    """Have a site's parent build more components."""
    if components:
        _write(kit / "local" / "observers__p_resources.json", {"components": components})


def _storage_places(resources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments that name a folder for what a server keeps; a client has none."""
    persistor = resources.get("snapshot_persistor")
    if persistor:
        yield persistor["args"]["storage"]["args"]
    for component in resources["components"]:
        if component["id"] == "job_manager":
            yield component["args"]


def _project(addresses: Addresses) -> dict[str, Any]:
    server = {
        **_participant(SERVER, "server"),
        "fed_learn_port": addresses.port,
        "admin_port": addresses.admin_port,
        "default_host": addresses.server,
        "host_names": [addresses.admin],
    }
    roles = {ADMIN: "project_admin", LEAD: "lead"}
    people = [
        {**_participant(name, "admin"), "role": role, "connect_to": addresses.admin} for name, role in roles.items()
    ]
    clients = [_participant(name, "client") for name in CLIENTS]
    overseer = {  # which up to 2.7 tells everybody where the server is
        "path": "nvflare.ha.dummy_overseer_agent.DummyOverseerAgent",
        "overseer_exists": False,
        "args": {"sp_end_point": f"{addresses.server}:{addresses.port}:{addresses.admin_port}"},
    }
    builders = {
        "workspace.WorkspaceBuilder": {"template_file": ["master_template.yml"]},
        "static_file.StaticFileBuilder": {"config_folder": "config", "overseer_agent": overseer},
        "cert.CertBuilder": {},
        "signature.SignatureBuilder": {},
    }
    return {
        "api_version": 3,
        "name": "compat",
        "description": "a server and two clients",
        "participants": [server, *clients, *people],
        "builders": [{"path": f"nvflare.lighter.impl.{path}", "args": args} for path, args in builders.items()],
    }


def _participant(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "org": _ORG}


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("", port))
        except OSError:
            return False
        return True


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2))
