"""A Docker Engine of our own, which may be stopped, killed and frozen as nobody may do it to anybody else's.

It lives in namespaces of its own for processes, mounts and network. These end, with all that is in them, when their
first process does, and that one ends with whoever made it: whatever becomes of a test run, nothing of it stays.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import requests
from docker.errors import APIError, DockerException

from tests.environments import ROOT

from .folders import own_folder
from .programs import MACHINE, Program

PREPARE = ROOT / "configs/docker/prepare.py"
PLAIN_IMAGE = "flcore-demo:latest"
IMAGE = "flcore-faults:latest"
"""The demo's, with a volume: one that stays behind is seen."""
NETWORK = "flcore-demo"

NEEDED = ("dockerd", "iptables", "nsenter", "unshare")
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 60.0
_TOLD_WITHIN = 1.0
"""Seconds that a busy engine may take to write down an end."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SEEN = tuple(dict.fromkeys(("/proc", "/sys", "/dev", tempfile.gettempdir(), str(ROOT))))
"""What of this machine an engine sees that has a root file system of its own."""
# Podman takes a hierarchy that has no controllers for one that has all. In a mere chroot nobody may have a user
# namespace, which is what an engine without root has.
_MOUNT_ROOT = """
mount --bind "$0" "$0"
for seen; do mkdir -p "$0$seen"; mount --rbind "$seen" "$0$seen"; done
for own in run var/tmp; do mount -t tmpfs -o mode=1777 own "$0/$own"; done
mount -t tmpfs -o mode=755 own "$0/dev/net"
mknod -m 666 "$0/dev/net/tun" c 10 200
[[ -L $0/var/run ]] || mount --bind "$0/run" "$0/var/run"
! mountpoint -q "$0/sys/fs/cgroup/unified" || umount "$0/sys/fs/cgroup/unified"
cd "$0"
pivot_root . .
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
umount -l .
mount --make-rshared /
"""
# SIOCSIFFLAGS, and IFF_UP, IFF_LOOPBACK, IFF_RUNNING: what `ip link set lo up` does, where there is no `ip`.
_LOOPBACK_UP = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x49))
"""
# Ends when its standard input does, and reaps what its children leave.
_FIRST_PROCESS = ("env", "--ignore-signal=CHLD", "cat")


class EngineError(Exception):
    """The private engine does not do what it is told."""


def until(condition: Callable[[], object], timeout: float, what: str, pause: float = 0.05) -> None:
    """Return when the condition holds, of something that can only be asked. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so within {timeout:g} s")
        time.sleep(pause)


def why_no_engine() -> str | None:
    """Say why no private engine can run here; None if one can."""
    if os.geteuid() != 0:
        return "only root can run a Docker Engine of its own"
    missing = [name for name in NEEDED if not shutil.which(name)]
    return f"{', '.join(missing)}: not installed; 'make faults' does it" if missing else None


class Namespaces:
    """Namespaces for processes, mounts and network that last until :meth:`close`, or until this process ends."""

    def __init__(self) -> None:
        kinds = ("--pid", "--mount", "--net", "--fork", "--kill-child", "--mount-proc", "--propagation=slave")
        command = ["unshare", *kinds, "--", *_FIRST_PROCESS]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        until(lambda: child_of(self._holder), 10, "new namespaces")
        self._first = child_of(self._holder)
        until(lambda: Path(f"/proc/{self._first}/comm").read_text() == "cat\n", 10, "the first process")
        self.run(sys.executable, "-c", _LOOPBACK_UP)

    def command(self, *command: str) -> list[str]:
        """Return the command that runs another one in there."""
        return ["nsenter", f"--target={self._first}", "--pid", "--mount", "--net", "--", *command]

    def run(self, *command: str) -> None:
        subprocess.run(self.command(*command), check=True, capture_output=True)

    def path(self, path: Path) -> Path:
        """Return how this process sees a path that is mounted in there."""
        return Path(f"/proc/{self._first}/root{path}")

    def close(self) -> None:
        """End all processes in there. Idempotent."""
        if self._holder.stdin:
            self._holder.stdin.close()
        self._holder.wait(_STOP_TIMEOUT)


class Engine:
    """A Docker Engine with its own socket, data and everything, in a folder that is removed at the end.

    Args:
        folder: must not be there yet; its path must be short, for the socket in it.
        data_size: keep all data in memory, in a file system of this size (such as ``300m``).
        program: which engine; its root file system must have been made.
    """

    def __init__(self, folder: Path, data_size: str | None = None, program: Program = MACHINE) -> None:
        folder.mkdir(parents=True)
        self.program = program
        self.folder = folder
        self.data_size = data_size
        self.host = f"unix://{folder}/docker.sock"
        self.live_restore = False
        """Whether containers outlive the daemon that runs now."""
        self.blind: list[tuple[float, float]] = []
        """From when to when it may have seen no ends of containers, in seconds since the epoch."""
        self._daemon: subprocess.Popen[bytes] | None = None
        self._namespaces = Namespaces()
        for name in ("data", "exec", "run", "home"):
            (folder / name).mkdir()
        program.write_settings(folder)
        for path in (folder, *folder.iterdir()):
            os.chown(path, program.user, program.user)
        if program.root:
            self._namespaces.run("bash", "-ec", _MOUNT_ROOT, str(program.root.path), *_SEEN)
        if program.gpu:
            specs = self._namespaces.path(Path("/run/cdi"))
            specs.mkdir()
            (specs / "nvidia.json").write_text(program.cdi_spec)
        if data_size:
            self._namespaces.run("mount", "-t", "tmpfs", "-o", f"size={data_size}", "none", f"{folder}/data")
        self.data = self._namespaces.path(folder / "data")
        """All that the engine keeps on disk, as this process sees it."""

    # Its life

    def start(self, live_restore: bool = False) -> None:
        """Start the daemon, and return when it answers. Raises EngineError."""
        for stale in ("docker.pid", "docker.sock", "exec/containerd/containerd.pid"):
            (self.folder / stale).unlink(missing_ok=True)  # a killed one leaves these
        command = [
            *self.program.command(self.folder),
            *(["--live-restore"] if live_restore and not self.program.is_podman else []),
        ]
        self.live_restore = live_restore
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                self._namespaces.command(*command),
                env={**os.environ, "PATH": _PATH, **self.program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(lambda: self._ended() or self.answers(), _START_TIMEOUT, "the private engine")
        except TimeoutError as error:
            raise EngineError(f"{error}; its log ends: {self._end_of_log()}") from error
        if self._ended():
            raise EngineError(f"the private engine ended at its start; its log ends: {self._end_of_log()}")
        if self.blind and (not live_restore or self.program.forgets_while_away):
            # It has just stopped what ran on, and asked nobody how the rest had ended.
            self.blind[-1] = (self.blind[-1][0], time.time())

    def ask_nameserver(self, address: str) -> None:
        """Have the next daemon find this nameserver where the host names its own."""
        file = self.folder / "resolv.conf"
        file.write_text(f"nameserver {address}\n")
        root = self.program.root.path if self.program.root else Path("/")
        (root / "etc/resolv.conf").touch()
        self._namespaces.run("mount", "--bind", str(file), "/etc/resolv.conf")

    def prepare(self) -> None:
        """Make the image and the network that jobs need."""
        environment = os.environ | {"DOCKER_HOST": self.host}
        made = subprocess.run([sys.executable, PREPARE], env=environment, capture_output=True, text=True, check=False)
        if made.returncode:
            raise EngineError(f"no image for the private engine: {made.stderr}")
        with self.api() as api:
            base = api.create_container(PLAIN_IMAGE, ["true"])
            api.commit(base["Id"], *IMAGE.split(":"), changes="VOLUME /scratch")
            api.remove_container(base["Id"])

    def terminate(self) -> None:
        """Stop the daemon as an init system would, and return when it has ended."""
        with self._going():
            self._signal(signal.SIGTERM)
            self._wait()

    def kill(self) -> None:
        """Kill the daemon, as the kernel does for want of memory. Its containerd dies with it, containers do not."""
        with self._going():
            self._signal(signal.SIGKILL)
            self._wait()

    def freeze(self) -> None:
        """Stop the daemon in its tracks: connections are accepted, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self, live_restore: bool = False) -> None:
        self.terminate()
        self.start(live_restore)

    def close(self) -> None:
        """End it for good, with all its containers, and remove all that it had on disk. Idempotent."""
        with suppress(EngineError, DockerException, requests.RequestException, TimeoutError):
            if self._daemon and not self._ended():
                self.thaw()
                self.remove_all()  # in order, so that nothing of them stays in the kernel's tables
                self.terminate()
        self._namespaces.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it says, and what is in it

    @contextmanager
    def api(self, timeout: float = 60) -> Iterator[Any]:
        """Yield docker-py's low-level client."""
        with api_of(self.host, timeout) as api:
            yield api

    def daemon_pid(self) -> int:
        """Return the process whose network is its containers'. Raises EngineError."""
        found = [pid for pid in self._processes() if _name_of(pid) == self.program.daemon]
        if not found:
            raise EngineError("the private engine does not run")
        return found[-1]

    def _processes(self) -> Iterator[int]:
        """Yield the pids of all that it was started by, the first one first."""
        pids = [self._daemon.pid] if self._daemon else []
        for pid in pids:
            pids += _children(pid)
            yield pid

    def answers(self) -> bool:
        try:
            with self.api(timeout=3) as api:
                return bool(api.ping())
        except (DockerException, requests.RequestException):
            return False

    def volumes(self) -> list[str]:
        with self.api() as api:
            return [volume["Name"] for volume in api.volumes()["Volumes"] or []]

    def remove_all(self) -> None:
        """Remove all containers and volumes."""
        with self.api() as api:
            for container in api.containers(all=True):
                with suppress(APIError):
                    api.remove_container(container["Id"], force=True, v=True)
            for volume in api.volumes()["Volumes"] or []:
                with suppress(APIError):
                    api.remove_volume(volume["Name"], force=True)

    @contextmanager
    def frozen_shim(self, container_id: str) -> Iterator[None]:
        """Freeze the process by which containerd holds a container: whoever asks it for anything waits."""
        shim = self._shim_of(container_id)
        os.kill(shim, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(shim, signal.SIGCONT)

    def _shim_of(self, container_id: str) -> int:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"containerd-shim-runc-v2") and container_id.encode() in words:
                    return int(process.name)
        raise EngineError(f"container {container_id[:12]} has no shim")

    @property
    def _log(self) -> Path:
        return self.folder / "dockerd.log"

    def _end_of_log(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])

    def _ended(self) -> bool:
        return self._daemon is None or self._daemon.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon; to its companion outside of the namespaces, too, which stops with it."""
        if self._daemon is None or self._ended():
            raise EngineError("the private engine does not run")
        os.kill(self.daemon_pid(), number)
        if number is signal.SIGCONT:
            self._daemon.send_signal(number)

    @contextmanager
    def _going(self) -> Iterator[None]:
        """Note the time in which the daemon goes: the ends that its containerd tells it then are told to nobody."""
        began = time.time() - _TOLD_WITHIN
        yield
        self.blind.append((began, time.time()))

    def _wait(self) -> None:
        assert self._daemon is not None
        self._daemon.wait(_STOP_TIMEOUT)


@contextmanager
def running(program: Program, nameserver: str = "") -> Iterator[Engine]:
    """Yield an engine that runs, and has what jobs need; at the end nothing of it stays but its root file system.

    Its host asks ``nameserver`` for names, in place of whom this machine asks.
    """
    with own_folder() as folder:
        if program.root:
            program.root.make()
        with Engine(folder / "e", program=program) as engine:
            if nameserver:
                engine.ask_nameserver(nameserver)
            engine.start()
            engine.prepare()
            yield engine


@contextmanager
def api_of(host: str, timeout: float = 60) -> Iterator[Any]:
    """Yield docker-py's low-level client of an engine. It keeps no connection: the engine may be another by then."""
    api = docker.APIClient(host, timeout=int(timeout))
    api.headers["Connection"] = "close"
    try:
        yield api
    finally:
        api.close()


def child_of(process: subprocess.Popen[bytes]) -> int:
    """Return the pid of a process's only child; 0 if it has none."""
    return next(iter(_children(process.pid)), 0)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in _text(task).split()]


def _name_of(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/comm")).strip()


def _text(file: Path) -> str:
    """Return what the kernel says of a process; nothing of one that has just ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
