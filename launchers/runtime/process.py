"""Processes of this host as a runtime: no isolation, the same states. Linux only (pidfd)."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import BinaryIO

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import open_file
from flcore.errors import NameInUseError, RuntimeRefusedError
from flcore.job_launcher_spec import Check

from ..container_spec import ContainerSpec
from ..docker_state import GONE, ContainerState
from .base import ContainerSummary, ContainerUsage
from .local_process import LocalProcess
from .nvidia import query_gpus
from .plain import PlainRuntime


class ProcessRuntime(PlainRuntime):
    """Runs each "container" as a process group of this host.

    The end of a process is an event of its pidfd, so watching takes one thread, whatever the number of processes.
    Output goes to a file each: that which the spec names, or one in a temporary folder. It goes with its process, and
    the temporary folder with the last of them.
    """

    name = "local processes"

    def __init__(self) -> None:
        self._processes: dict[str, LocalProcess] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._events: set[_Events] = set()

    def create(self, spec: ContainerSpec) -> str:
        with self._lock:
            if any(process.spec.name == spec.name for process in self._processes.values()):
                raise NameInUseError(f"process {spec.name}: there is one of this name already")
            try:
                process = LocalProcess(spec, self._log_folder)
            except OSError as error:
                raise RuntimeRefusedError(f"process {spec.name}: its output has no file: {in_words(error)}") from error
            self._processes[process.id] = process
        return process.id

    def start(self, container_id: str) -> None:
        process = self._get(container_id)
        if not process.start():
            return
        with self._lock:
            for events in self._events:
                events.add(process)
                events.hint(process.id)

    def inspect(self, container_id: str) -> ContainerState:
        process = self._processes.get(container_id)
        return process.inspect() if process else GONE

    def list_containers(self) -> list[ContainerSummary]:
        with self._lock:
            processes = list(self._processes.values())
        return [process.summary() for process in processes]

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        events = _Events()
        with self._lock:
            self._events.add(events)
            for process in self._processes.values():
                events.add(process)
        try:
            yield iter(events)
        finally:
            with self._lock:
                self._events.discard(events)
            events.release()

    def close_events(self) -> None:
        with self._lock:
            for events in self._events:
                events.end()

    def send_signal(self, container_id: str, signal: str) -> bool:
        process = self._processes.get(container_id)
        if process is None or not process.send_signal(Signals[signal]):
            return False
        process.send_signal(Signals.SIGCONT)
        return True

    def remove(self, container_id: str) -> None:
        process = self._processes.get(container_id)
        if process is None:
            return
        if process.popen:
            process.send_signal(Signals.SIGKILL)
            process.wait()
        with self._lock:
            if self._processes.pop(container_id, None) is None:
                return  # another thread was faster
            for events in self._events:
                events.forget(process)
        process.release()

    def open_output(self, container_id: str) -> BinaryIO | None:
        process = self._processes.get(container_id)
        # The process runs as ourselves: it may have put a link or a pipe in place of its output, which then is none.
        with contextlib.suppress(OSError):
            return open_file(process.log) if process else None
        return None

    def wait_for_end(self, container_id: str, timeout: float) -> None:
        if process := self._processes.get(container_id):
            process.wait(timeout)

    def usage(self, container_id: str) -> ContainerUsage | None:
        process = self._processes.get(container_id)
        return process.usage() if process else None

    def native(self, container_id: str) -> subprocess.Popen[bytes] | None:
        process = self._processes.get(container_id)
        return process.popen if process else None

    def find_gpus(self) -> list[str]:
        return query_gpus()

    def check(self, image: str | None, network: str | None) -> Iterator[Check]:  # noqa: ARG002 - needs neither
        yield Check("runtime", hasattr(os, "pidfd_open"), "local processes (needs Linux 5.3 or later)")

    def close(self) -> None:
        """Let go of the events. Processes go on, and so do the files that they write to."""
        self.close_events()
        with self._lock:
            folder, self._folder = self._folder, None
        if folder:
            with contextlib.suppress(OSError):  # not empty: some go on
                folder.rmdir()

    def _get(self, container_id: str) -> LocalProcess:
        process = self._processes.get(container_id)
        if process is None:
            raise RuntimeRefusedError(f"process {container_id[:12]}: there is none")
        return process

    def _log_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="flcore-"))
        return self._folder


class _Events:
    """What happens to processes, for one reader: an epoll of their pidfds, and a descriptor to wake it up."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0)
        self._hints: deque[str | None] = deque()
        self._ids: dict[int, str] = {}
        self._epoll.register(self._bell, select.EPOLLIN)

    def add(self, process: LocalProcess) -> None:
        """Tell when a process ends."""
        if process.pidfd >= 0 and process.pidfd not in self._ids:
            self._ids[process.pidfd] = process.id
            # A pidfd is readable for ever from the end on: one shot, or the reader would be told of it without a pause.
            self._epoll.register(process.pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def forget(self, process: LocalProcess) -> None:
        """Let go of a process, before its descriptor is closed and its number used again."""
        if self._ids.pop(process.pidfd, None):
            with contextlib.suppress(OSError):
                self._epoll.unregister(process.pidfd)
        self.hint(process.id)

    def hint(self, container_id: str | None) -> None:
        """Tell that something happened to a process; None: that this is the end."""
        self._hints.append(container_id)
        os.eventfd_write(self._bell, 1)

    def end(self) -> None:
        self.hint(None)

    def release(self) -> None:
        self._epoll.close()
        os.close(self._bell)

    def __iter__(self) -> Iterator[str]:
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._bell:
                    os.eventfd_read(self._bell)
                elif container_id := self._ids.get(descriptor):
                    yield container_id
            while self._hints:
                container_id = self._hints.popleft()
                if container_id is None:
                    return
                yield container_id
