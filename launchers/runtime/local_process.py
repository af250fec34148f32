"""One process group of this host: from before its start until after its end. Linux only (pidfd)."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals

from flcore.disk.safe_files import remove
from flcore.errors import JobStartError

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState
from .base import ContainerSummary, ContainerUsage

_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of the site's own environment; what else is in it, be it a secret, is none of a job's business."""


class LocalProcess:
    """A "container": what was asked for, and what became of it. Safe to use from several threads.

    Nobody else may wait for the process: its id is its own, and so safe to send a signal to, until it is reaped here.
    """

    def __init__(self, spec: ContainerSpec, make_folder: Callable[[], Path]) -> None:
        self.id = uuid.uuid4().hex
        self.spec = spec
        self.log = Path(spec.output) if spec.output else make_folder() / self.id
        """The file of its output."""
        if spec.output:
            self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove(self.log)  # of a run whose site was killed
        self.log.touch(mode=0o600)
        self.pidfd = -1
        """Readable from its end on; -1 before its start, and after :meth:`release`."""
        self.popen: subprocess.Popen[bytes] | None = None
        """None before its start."""
        self._created_at = time.time()
        self._error = ""
        self._started_at: float | None = None
        self._finished_at: float | None = None
        self._exit_code: int | None = None
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Start it; False if somebody has before. Raises JobStartError."""
        with self._lock:
            if self.popen:
                return False
            try:
                self._spawn()
            except OSError as error:
                self._exit_code = 127 if isinstance(error, FileNotFoundError) else 126  # as a shell, and Docker, say
                self._error = f"{error.strerror}: {error.filename}"
                raise JobStartError(f"process {self.spec.name}: {self._error}") from error
        return True

    def inspect(self) -> ContainerState:
        with self._lock:
            self._reap()
            return ContainerState(
                state=self._state(),
                exit_code=self._exit_code,
                error=self._error,
                created_at=self._created_at,
                started_at=self._started_at,
                finished_at=self._finished_at,
            )

    def summary(self) -> ContainerSummary:
        return ContainerSummary(self.id, self.spec.name, self.inspect().state, self.spec.labels, self._created_at)

    def send_signal(self, number: Signals) -> bool:
        """Signal it and its descendants; False if it does not run."""
        with self._lock:
            self._reap()
            if self.popen is None or self._finished_at is not None:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False after ``timeout`` seconds. One that was never started has nothing to wait for."""
        with self._lock:
            self._reap()
            if self.popen is None or self._finished_at is not None:
                return True
            # A copy to wait on without the lock: another thread may release the process meanwhile, and the number of a
            # closed descriptor may be another one's soon.
            pidfd = os.dup(self.pidfd)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            ended = bool(poll.poll(None if timeout is None else timeout * 1000))
        finally:
            os.close(pidfd)
        with self._lock:
            self._reap()
        return ended

    def usage(self) -> ContainerUsage | None:
        """Return what the processes of its session use now, and have used, with what their ended children have.

        Memory that several of them share is counted once for each. None if it does not run.
        """
        if self.inspect().state not in (DOCKER_STATE.RUNNING, DOCKER_STATE.PAUSED) or self.popen is None:
            return None
        used = [_usage_of(folder) for folder in _session_of(self.popen.pid)]
        return ContainerUsage(sum(one.cpu_seconds for one in used), sum(one.memory for one in used)) if used else None

    def release(self) -> None:
        """Let go of its descriptor and its output. Idempotent."""
        with self._lock:
            if self.pidfd >= 0:
                os.close(self.pidfd)
                self.pidfd = -1
        remove(self.log)  # whatever the process has put there

    def _spawn(self) -> None:
        spec = self.spec
        inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
        with self.log.open("ab") as log:
            popen = subprocess.Popen(  # noqa: S603 - a list, and no shell
                spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=spec.working_dir,
                env=inherited | spec.environment | _cuda_variables(spec),
                pass_fds=spec.inherited,
                start_new_session=True,
            )
        try:
            self.pidfd = os.pidfd_open(popen.pid)
        except OSError:  # an old kernel: nobody could tell when the process ends
            os.killpg(popen.pid, Signals.SIGKILL)
            popen.wait()
            raise
        self.popen = popen
        self._started_at = time.time()

    def _reap(self) -> None:
        """Note the end of a process that has ended, after killing what is left of its group. Only under the lock."""
        if self.popen is None or self._finished_at is not None:
            return
        if os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # It has ended, and is not reaped (WNOWAIT): until it is, no other process or group can get its id, so that the
        # signal hits nobody but those that it has left behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, Signals.SIGKILL)
        code = self.popen.wait()
        self._exit_code = 128 - code if code < 0 else code
        self._finished_at = time.time()

    def _state(self) -> DOCKER_STATE:
        if self.popen is None:
            return DOCKER_STATE.CREATED
        if self._finished_at is not None:
            return DOCKER_STATE.EXITED
        return DOCKER_STATE.PAUSED if _is_stopped(self.popen.pid) else DOCKER_STATE.RUNNING


def _cuda_variables(spec: ContainerSpec) -> dict[str, str]:
    """Return what keeps CUDA from other GPUs than the job's own. The order makes its indices those of nvidia-smi."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(spec.gpu_ids), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal (``T`` behind its parenthesized name in /proc)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _session_of(leader: int) -> Iterator[Path]:
    """Yield the folders in /proc of the processes of a session that has not lost its leader."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended meanwhile, or is hidden
            if folder.name.isdecimal() and os.getsid(int(folder.name)) == leader:
                yield folder


def _usage_of(process: Path) -> ContainerUsage:
    """Return what a process uses, with what its ended children have used; nothing if it has ended."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        resident, shared = map(int, (process / "statm").read_text().split()[1:3])
    except OSError:
        return ContainerUsage(0.0, 0)
    ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ContainerUsage(ticks / os.sysconf("SC_CLK_TCK"), (resident - shared) * os.sysconf("SC_PAGE_SIZE"))
