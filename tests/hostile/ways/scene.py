"""A site with a hostile job, and who is around it: the host, other jobs, a server outside."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flcore import JobReturnCode, Site
from flcore.errors import JobNotApprovedError
from launchers.docker_launcher import DockerJobHandle
from tests.engines.engine import until

from .app.custom.ways_out.reach import own_addresses
from .internet import NAME, PORT, Greeter, Outside
from .verdict import NAMES, OUTPUT

Consent = Callable[[str], object]
APP = Path(__file__).with_name("app")
JOB_PORT = 7077
MEMORY = 512 << 20
PROCESSES = 1024
HOST_NAMES = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal", "host.lima.internal")
_LOG_MOST = 32 << 20
_TIMEOUT = 120.0


@dataclass(frozen=True)
class Words:
    """What is written in what is not the hostile job's own."""

    data: str = field(default_factory=lambda: secrets.token_hex(12))
    secret: str = field(default_factory=lambda: secrets.token_hex(12))
    site: str = field(default_factory=lambda: secrets.token_hex(12))


class Surroundings:
    """Who listens on the host, and outside: a context manager is what they are closed by.

    Args:
        folder: for logs.
        internet: None where it cannot be played.
    """

    def __init__(self, folder: Path, stack: ExitStack, internet: Outside | None) -> None:
        self.words = Words()
        self.internet = internet
        self.mark = f"ways-{uuid.uuid4().hex[:8]}"  # at most 15 characters, for a bridge of this name
        names = ("host", "loopback", "parent", "parent_other", "engine")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        everywhere = [
            f"tcp/{address}/{self.ports[name]}" for name in names if name != "loopback" for address in ("0.0.0.0", "::")
        ]
        own = [f"tcp/{address}/{self.ports['loopback']}" for address in ("127.0.0.1", "::1")]
        host = Greeter(folder / "host.log", "the host", *everywhere, *own, f"abstract/{self.mark}")
        stack.callback(host.close)

    def targets(
        self, neighbours: Mapping[str, Sequence[str]], parent: Sequence[str], folders: Sequence[Path]
    ) -> dict[str, Any]:
        """Return what the hostile job is told: all that it could have found out.

        ``parent``: by which addresses jobs find it; by those of the host in their network, where none is said.
        """
        internet = self.internet
        ipv6 = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
        host_ipv6 = [
            socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
            for address, _, _, scope, *_ in ipv6
            if scope == "00"
        ]
        return {
            "outside": {
                "ipv4": [internet.ipv4] if internet else [],
                "ipv6": [internet.ipv6] if internet else [],
                "port": PORT,
                "name": NAME,
            },
            "host_ipv4": sorted(own_addresses())[:16],
            "host_ipv6": [*host_ipv6[:8], "fe80::1%eth0"],
            "host_names": [*HOST_NAMES, socket.gethostname()],
            "host_port": self.ports["host"],
            "loopback_port": self.ports["loopback"],
            "parent": list(parent),
            "parent_port": self.ports["parent"],
            "parent_other_port": self.ports["parent_other"],
            "engine_ports": [2375, 2376, self.ports["engine"]],
            "abstract": [self.mark],
            "shared": self.mark,
            "job_port": JOB_PORT,
            **{name: list(addresses) for name, addresses in neighbours.items()},
            "words": vars(self.words),
            "folders": list(map(str, folders)),
            "limits": {"memory": MEMORY, "processes": PROCESSES},
        }


def neighbour_places(mark: str) -> list[str]:
    """Return where another job greets."""
    return [f"tcp/0.0.0.0/{JOB_PORT}", f"abstract/{mark}", f"shared/{mark}"]


def app_in(folder: Path, name: str, content: Any) -> Path:
    """Make an app with one more file, and return its folder."""
    app = folder / f"app-{name}"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    (app / "custom" / f"{name}.json").write_text(json.dumps(content))
    return app


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    with ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("", 0))
        return [int(one.getsockname()[1]) for one in bound]


class Scene:
    """A site of the given config's, with jobs of two studies, of which one is hostile.

    Args:
        client: docker-py's.
        consent: approves what has a fingerprint, where the site wants that. Even approved code gets nowhere.
    """

    def __init__(
        self, client: Any, site: Site, around: Surroundings, folder: Path, consent: Consent | None = None
    ) -> None:
        self._client, self._site, self._around, self._folder = client, site, around, folder
        self._consent = consent

    def play(self, study: str, other: str) -> dict[str, list[str]]:
        """Return by which ways a job of one study got out, and how."""
        greeting = app_in(self._folder, "neighbour", ["another job", *neighbour_places(self._around.mark)])
        handles = {
            name: self._launch("ways_out.neighbour", of, greeting)[0]
            for name, of in (("same_study", study), ("other_study", other))
        }
        try:
            until(lambda: all("ready" in handle.logs() for handle in handles.values()), _TIMEOUT, "other jobs")
            neighbours = {name: self._addresses(handle) for name, handle in handles.items()}
            root = Path(self._site.workspace.get_root_dir())
            targets = self._around.targets(neighbours, (), [root, self._folder])
            return self._hostile(study, app_in(self._folder, "targets", targets))
        finally:
            for handle in handles.values():
                handle.terminate()

    def _hostile(self, study: str, app: Path) -> dict[str, list[str]]:
        handle, folder = self._launch("ways_out", study, app)
        ways = folder / "ways.json"
        until(lambda: ways.exists() or handle.poll() is not JobReturnCode.UNKNOWN, _TIMEOUT, "the hostile job")
        if not ways.exists():
            raise AssertionError(f"the hostile job ended: {handle.result}: {handle.logs()[-2000:]}")
        found: dict[str, list[str]] = json.loads(ways.read_text())
        found[OUTPUT] += kept_output(self._client.api, handle.container.id)
        (folder / "seen").touch()
        handle.wait()
        if self._around.internet and self._around.words.data in self._around.internet.asked_for:
            found[NAMES].append("a word of the data arrived outside, as a name")
        return found

    def _launch(self, module: str, study: str, app: Path) -> tuple[DockerJobHandle, Path]:
        """Launch a job that runs a module of its app; return its handle, and its folder."""
        job_id = f"{module.rpartition('.')[2].replace('_', '-')}-{uuid.uuid4().hex[:8]}"
        meta = {"job_id": job_id, "name": module, "study": study}
        launch = partial(self._site.launch_job, meta, {"exe_module": ("-m", module)}, app)
        try:
            handle = launch()
        except JobNotApprovedError as error:
            if not self._consent:
                raise
            self._consent(error.fingerprint)
            handle = launch()
        assert isinstance(handle, DockerJobHandle)
        return handle, Path(self._site.workspace.get_run_dir(job_id))

    def _addresses(self, handle: DockerJobHandle) -> list[str]:
        """Return by what a job could be reached: its names, and its addresses."""
        inspected = self._client.api.inspect_container(handle.container.id)
        networks = inspected["NetworkSettings"]["Networks"].values()
        return [inspected["Name"].lstrip("/"), *filter(None, (network["IPAddress"] for network in networks))]


def kept_output(api: Any, container: str) -> list[str]:
    """Say how much of a container's output its engine keeps, if that is too much."""
    path = Path(api.inspect_container(container).get("LogPath") or "/nowhere")
    parts = list(path.parent.glob(f"{path.name}*")) if path.exists() else []
    kept = sum(part.stat().st_size for part in parts) if parts else len(api.logs(container))
    return [f"{kept >> 20} MiB of output are kept"] if kept > _LOG_MOST else []
