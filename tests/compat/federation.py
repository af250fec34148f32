"""A federation of a server and two clients, as real parents; jobs are submitted by NVIDIA FLARE's own API."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from docker.errors import APIError, NotFound

from tests.engine_proxy import EngineProxy
from tests.engines.engine import api_of, until
from tests.environments import ROOT

from . import kits
from .environments import Flare
from .image import image
from .jobs import Submitted
from .kits import ADMIN, CLIENTS, LEAD, SITES
from .launchers import SERVER, Launcher
from .parents import ContainerParent, Parent, ProcessParent, arguments
from .session import Session, SessionError
from .topologies import Topology, addresses, network

_T = TypeVar("_T")

MARK = "FLCORE_COMPAT"
"""The variable by which all processes of a federation are known."""
_UP_TIMEOUT = 90.0
_LOOK_PAUSE = 0.2
_KEEP_TIMEOUT = 5.0
_SETTLE_TIMEOUT = 60.0
"""Seconds that a job which has ended, or was aborted, may take to leave nothing: on a busy machine, and up to 2.7."""
_SOCKET = "/run/engine/docker.sock"
_CODE = "/opt/flcore"
_RECORDS = ".flcore/jobs/*"
# What NVIDIA FLARE's own launcher takes for granted of a parent in a container.
_OLD_WORKSPACE, _WORKSPACE = "/workspace", "/var/tmp/nvflare/workspace"
_OLD_STORAGE = "/tmp/nvflare"


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    job: Submitted
    job_id: str
    status: str
    """NVIDIA FLARE's, the last that was seen."""
    seconds: float
    """From the submission to the end, or until nobody waited any more."""
    model: Any
    """What the server has kept."""

    @property
    def is_right(self) -> bool:
        """Whether the job has ended well, with the right result."""
        return self.status == "FINISHED:COMPLETED" and self.model == self.job.model


@dataclass
class Federation:
    """A server and two clients, from ``__enter__`` to ``__exit__``; nothing of it stays.

    Args:
        engine: the Docker Engine's address.
        user: the user and group that the parents run as; None is our own.
        observers: returns more components for a site's parent, by its name.
        proxied: have the parents talk to the engine through :attr:`proxy`. Implied by ``user``.
        parent_of: returns the parent of a site, by its name, in place of a process of ours.
        studies: that the server knows, in which jobs may be submitted.
        files: more files of each kit, by their paths in it.
        installed: have the kits be set up by ``flcore nvflare install``. For :meth:`Launcher.flcore` without arguments.
    """

    flare: Flare
    launcher: Launcher
    topology: Topology = Topology.HOST
    engine: str = field(default_factory=lambda: os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    user: int | None = None
    proxied: bool = False
    observers: Callable[[str], Sequence[Mapping[str, Any]]] = lambda _: ()
    studies: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    installed: bool = False
    parent_of: Callable[[Federation, str], Parent] | None = None
    folder: Path = field(init=False)
    """All files of it; gone at the end."""
    parents: dict[str, Parent] = field(init=False, default_factory=dict)
    proxy: EngineProxy | None = field(init=False, default=None)
    image: str = field(init=False, default="")
    """Of the job containers."""
    up_seconds: float = field(init=False, default=0)
    """How long it took from nothing to registered clients."""
    _submitted: dict[str, tuple[Submitted, float]] = field(init=False, default_factory=dict)
    _sessions: dict[str, Session] = field(init=False, default_factory=dict)
    """By who uses them, or by the study in which LEAD does."""
    _study_of: dict[str, str] = field(init=False, default_factory=dict)
    """By job, of those that were submitted in one."""
    _stack: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self.up_seconds = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all, and remove all. Idempotent."""
        self._stack.close()

    # Jobs

    def submit(self, job: Submitted, study: str = "") -> str:
        """Submit a job, perhaps in a study, and return its id. Raises SessionError."""
        folder = job.write(self.folder / "jobs", self._image_of_job())
        if study and study not in self._sessions:
            self._open_session(LEAD, study)
        began = time.monotonic()
        job_id = str(self._sessions[study or LEAD].ask("submit", str(folder)))
        self._submitted[job_id] = job, began
        self._study_of[job_id] = study
        return job_id

    def status(self, job_id: str) -> str:
        return str(self._session_of(job_id).ask("meta", job_id)["status"])

    def wait(self, job_id: str, timeout: float = 120) -> Outcome:
        """Return when a job has ended, or the time is up."""
        job, began = self._submitted[job_id]
        status = ""

        def has_ended() -> bool:
            nonlocal status
            status = self.status(job_id)
            return status.startswith("FINISHED:")

        with suppress(TimeoutError):
            until(has_ended, timeout, f"the end of job {job_id}", _LOOK_PAUSE)
        seconds = time.monotonic() - began
        return Outcome(job, job_id, status, seconds, self._model(job, job_id, status))

    def run(self, job: Submitted, timeout: float = 120) -> Outcome:
        return self.wait(self.submit(job), timeout)

    def abort(self, job_id: str) -> None:
        self._sessions[LEAD].ask("abort", job_id)

    def ask(self, request: str, *args: str) -> Any:
        """Return the answer to one of the requests of ``admin.py``, to who may ask them all. Raises SessionError."""
        if ADMIN not in self._sessions:
            self._open_session(ADMIN)
        return self._sessions[ADMIN].ask(request, *args)

    def result(self, job_id: str) -> Path:
        """Return the folder with what the server has kept of a job, as the operator gets it."""
        return Path(self.ask("result", job_id))

    # What can be done to it, and seen

    def kill_parent(self, site: str) -> None:
        """Kill a site's parent, and nothing that it has started."""
        self.parents[site].kill()

    def start_parent(self, site: str) -> None:
        self.parents[site].start()

    def reconnect(self) -> None:
        """Open the operator's session anew: a server that is started again may know nothing of earlier ones."""
        self._close_sessions()
        self._connect()

    def restart_parent(self, site: str) -> None:
        """Kill a site's parent, and start it again from the same kit."""
        self.kill_parent(site)
        self.start_parent(site)

    @contextmanager
    def engine_away(self) -> Iterator[None]:
        """Have the engine refuse and cut the parents' connections meanwhile. Needs ``proxied``."""
        assert self.proxy
        self.proxy.refuse()
        try:
            yield
        finally:
            self._open_proxy()

    def log(self, site: str) -> str:
        """Return what a site's parent, in all its lives, has printed."""
        return self.parents[site].output()

    @property
    def port(self) -> int:
        """Where the server listens for clients."""
        return self._addresses.port

    def connections(self) -> list[str]:
        """Return what the server says of each connection that was ever made to that port."""
        lines = self.log(SERVER).splitlines()
        return [line for line in lines if "is created" in line and f":{self.port} <=" in line]

    def story(self, lines: int = 30) -> str:
        """Return how the logs of all parents end."""
        ends = {site: self.log(site).splitlines()[-lines:] for site in SITES}
        return "\n".join(f"{site}: {line}" for site, end in ends.items() for line in end)

    def containers(self, job_id: str = "") -> list[str]:
        """Return the names of the containers of a job, or of all jobs."""
        ids = [job_id] if job_id else list(self._submitted)
        with api_of(self.engine) as api:
            names = [name.lstrip("/") for one in api.containers(all=True) for name in one["Names"]]
        return sorted(name for name in names if any(job_id in name for job_id in ids))

    def inspected(self, name: str) -> dict[str, Any]:
        """Return what the engine says of a container, which it may list some milliseconds before."""
        found: list[dict[str, Any]] = []

        def is_known() -> bool:
            with api_of(self.engine) as api, suppress(NotFound):
                found.append(api.inspect_container(name))
            return bool(found)

        until(is_known, 10, f"an inspection of {name}")
        return found[0]

    def left_over(self, timeout: float = _SETTLE_TIMEOUT) -> list[str]:
        """Return what is there of jobs, all of which have ended, when nothing changes any more."""
        with suppress(TimeoutError):
            until(lambda: not self._of_jobs(), timeout, "nothing is left")
        return self._of_jobs()

    # How it is made

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flcore-compat-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.image = image(self.flare, self.engine)
        made = network(self.topology, self.engine, self.folder.name)
        self._network, gateway = self._stack.enter_context(made)
        self._stack.callback(self._remove_jobs)
        self._make_kits(gateway)
        self._make_proxy()
        self._let_user_in()
        for site in SITES:
            self.parents[site] = self._parent(site)
            self._stack.callback(self.parents[site].close)
            self.parents[site].start()
        self._connect()
        until(self._is_complete, _UP_TIMEOUT, "all clients have registered", _LOOK_PAUSE)

    def _make_kits(self, gateway: str) -> None:
        self._addresses = addresses(self.topology, self.flare, gateway)
        self._kits = kits.provision(self.flare, self.folder, self._addresses, self.studies)
        (self.folder / "storage").mkdir()
        if self.installed:
            self._install()
            return
        for site in SITES:
            meanings = {"image": self.image, "network": self._network, "workspace": self._workspace(site)}
            components = self.launcher.components(site, meanings)
            internal = self._addresses.internal[site]
            kits.configure(self._kits[site], self._storage(), components, self.launcher.is_only_one, internal)
            for code in self.launcher.custom:
                (self._kits[site] / "local/custom").mkdir(exist_ok=True)
                shutil.copy(code, self._kits[site] / "local/custom")
            kits.add(self._kits[site], self.observers(site))
            for path, text in self.files.items():
                (self._kits[site] / path).write_text(text)

    def _install(self) -> None:
        """Set up the kits by our own command, as an operator does."""
        for site in SITES:
            kits.configure(self._kits[site], self._storage(), [], False, None)
        where = ["--in-container"] if self._in_containers else []
        wanted = ["--image", self.image, "--network", self._network, *where]
        print(self.flcore("nvflare", "install", *map(str, self.kits), *wanted))

    @property
    def kits(self) -> list[Path]:
        """The folders of the sites' kits."""
        return [self._kits[site] for site in SITES]

    def flcore(self, *words: str) -> str:
        """Call our command as an operator does, in the environment that the parents are started in; return its output.

        Raises CalledProcessError if it fails.
        """
        path = f"{self.flare.python.parent}:{os.defpath}"
        environment = {"PATH": path, "HOME": str(self.folder), "DOCKER_HOST": self.engine}
        command = [self.flare.command("flcore"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    @property
    def _in_containers(self) -> bool:
        return self.topology is Topology.CONTAINERS

    def _workspace(self, site: str) -> str:
        """Return where a parent sees its kit."""
        if self._in_containers:
            return _OLD_WORKSPACE if self.flare.release < (2, 8) else _WORKSPACE
        return str(self._kits[site])

    def _storage(self) -> str:
        """Return where the server keeps jobs. In a container that is where this version has it anyway."""
        if not self._in_containers:
            return str(self.folder / "storage")
        return _OLD_STORAGE if self.flare.release < (2, 8) else _WORKSPACE

    def _make_proxy(self) -> None:
        if not self.proxied and self.user is None:
            return
        (self.folder / "engine").mkdir()
        self.proxy = EngineProxy(self.engine, self.folder / "engine/docker.sock")
        self._stack.callback(self.proxy.close)
        self._open_proxy()

    def _open_proxy(self) -> None:
        assert self.proxy
        self.proxy.accept()
        Path(self.proxy.host.removeprefix("unix://")).chmod(0o666)

    def _let_user_in(self) -> None:
        if self.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.user, self.user)

    def _parent(self, site: str) -> Parent:
        if self.parent_of:
            return self.parent_of(self, site)
        return self._container(site) if self._in_containers else self._process(site)

    def enter(self, context: AbstractContextManager[_T]) -> _T:
        """Enter a context that lasts as long as the federation, from now on."""
        return self._stack.enter_context(context)

    def _process(self, site: str) -> Parent:
        command = [str(self.flare.python), *arguments(site, self._workspace(site))]
        environment = {
            **self._environment(site),
            "PATH": f"{self.flare.python.parent}:{os.defpath}",
            "HOME": str(self._kits[site]),
            "TMPDIR": str(self.folder),
            "DOCKER_HOST": self.proxy.host if self.proxy else self.engine,
        }
        return ProcessParent(command, self._kits[site], environment, self.folder / f"{site}.log", self.user)

    def _container(self, site: str) -> Parent:
        workspace = self._workspace(site)
        environment = {**self._environment(site), "PYTHONPATH": _CODE, "DOCKER_HOST": f"unix://{_SOCKET}"}
        socket = Path((self.proxy.host if self.proxy else self.engine).removeprefix("unix://"))
        engine = f"{socket.parent}:/run/engine" if self.proxy else f"{socket}:{_SOCKET}"
        code = [f"{ROOT / package}:{_CODE}/{package}:ro" for package in ("flcore", "launchers")]
        ports = [self._addresses.port, self._addresses.admin_port] if site == SERVER else []
        create = {
            "image": self.image,
            "command": ["python3", *arguments(site, workspace)],
            "environment": environment,
            "working_dir": workspace,
            "ports": ports,
            "user": f"{self.user}:{self.user}" if self.user is not None else None,
        }
        host_config = {
            "binds": [
                f"{self._kits[site]}:{workspace}",
                f"{self.folder}/storage:{_OLD_STORAGE}",
                f"{self._memory(site)}:/dev/shm",
                engine,
                *code,
            ],
            "network_mode": self._network,
            "port_bindings": {port: ("127.0.0.1", port) for port in ports},
            "init": True,
        }
        name = f"{self.folder.name}-{site}"
        log = self.folder / f"{site}.log"
        return ContainerParent(self.engine, name, site, create, host_config, self._network, log)

    def _memory(self, site: str) -> Path:
        """Return a folder in memory that the engine can find, too: secrets of jobs go there."""
        folder = Path("/dev/shm", self.folder.name, site)
        if not folder.parent.exists():
            self._stack.callback(shutil.rmtree, folder.parent, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            os.chown(folder, self.user, self.user)
        return folder

    def _environment(self, site: str) -> dict[str, str]:
        environment = {MARK: self.folder.name}
        if self.launcher.jobs_name_image:  # which is how NVIDIA FLARE's learns where the kit is, for the engine
            environment["NVFL_DOCKER_WORKSPACE"] = str(self._kits[site])
        return environment

    def _connect(self) -> None:
        """Open the session of who submits jobs, as soon as the server lets one in."""
        self._stack.callback(self._close_sessions)

        def opened() -> bool:
            self._raise_if_dead()
            with suppress(SessionError):
                self._open_session(LEAD)
            return LEAD in self._sessions

        until(opened, _UP_TIMEOUT, "a session with the server", _LOOK_PAUSE)

    def _session_of(self, job_id: str) -> Session:
        """Return the session that sees a job: one of another study does not."""
        return self._sessions[self._study_of.get(job_id) or LEAD]

    def _open_session(self, user: str, study: str = "") -> None:
        environment = {"PATH": os.defpath, "HOME": str(self.folder), MARK: self.folder.name}
        log = self.folder / f"{user}.log"
        command = [str(self.flare.python)]
        self._sessions[study or user] = Session(command, user, self._kits[user], log, environment, study)

    def _close_sessions(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _raise_if_dead(self) -> None:
        for site, parent in self.parents.items():
            if not parent.is_alive():
                raise RuntimeError(f"the parent of {site} has ended: {parent.output()[-3000:]}")

    def _is_complete(self) -> bool:
        self._raise_if_dead()
        return bool(self._sessions[LEAD].ask("clients") == list(CLIENTS))

    def _image_of_job(self) -> Mapping[str, Any]:
        """Return what a job's metadata says of its image, where the launcher wants it to."""
        if not self.launcher.jobs_name_image:
            return {}
        if self.flare.release < (2, 8):
            return {"deploy_map": {"app": [{"sites": list(SITES), "image": self.image}]}}
        return {"launcher_spec": {"default": {"docker": {"image": self.image}}}}

    def _model(self, job: Submitted, job_id: str, status: str) -> Any:
        """Return what is kept. Up to 2.7 the server says that a job is completed before it keeps anything."""
        model = None
        if self._submitted[job_id][0].model is None:
            return None

        def is_kept() -> bool:
            nonlocal model
            model = (
                self._models_of_clients(job_id)
                if job.is_kept_by_clients
                else self._session_of(job_id).ask("model", job_id)
            )
            return model is not None or not status.endswith(":COMPLETED")

        try:
            with suppress(TimeoutError):
                until(is_kept, _KEEP_TIMEOUT, "the model", _LOOK_PAUSE)
        except SessionError as error:
            return str(error)
        return model

    def _models_of_clients(self, job_id: str) -> Any:
        """Return the model that all clients have; None as long as they have not the same."""
        models = [self._sessions[LEAD].ask("saved_model", str(self.folder / site / job_id)) for site in CLIENTS]
        return models[0] if all(model == models[0] for model in models) else None

    def _of_jobs(self) -> list[str]:
        containers = [f"container {name}" for name in self.containers()]
        processes = [f"process {pid}" for pid, command in self._processes() if self._is_job(command)]
        records = [f"record {path.name} of {site}" for site in SITES for path in self._kits[site].glob(_RECORDS)]
        return containers + processes + records

    def _is_job(self, command: Sequence[str]) -> bool:
        return any(job_id in word for word in command for job_id in self._submitted)

    def _processes(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the processes of the federation, and their commands."""
        mark = f"{MARK}={self.folder.name}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield int(process.name), (process / "cmdline").read_text(errors="replace").split("\0")

    def _remove_jobs(self) -> None:
        """End what parents leave that are dead."""
        for pid, _ in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in self.containers():
            with api_of(self.engine) as api, suppress(APIError):
                api.remove_container(name, force=True, v=True)
