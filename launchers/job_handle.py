"""Handles of jobs that run in containers. They hold no thread and no connection; waiting costs nothing."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, overload

from flcore.disk.safe_files import closing, open_file, open_folder
from flcore.errors import TerminateTimeout
from flcore.job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode, JobUsage

from .docker_state import DOCKER_STATE, as_states
from .output_lines import chunks_of, last_bytes, lines_of, seek_last_lines
from .records.job_record import JobIdentity
from .runtime.base import Runtime
from .settings import STOP_GRACE, JobSettings
from .tracking.job_output import follow as follow_output
from .tracking.state_tracker import StateTracker
from .tracking.tracked_job import JobHooks, TrackedJob

__all__ = ["ContainerJobHandle", "DockerJobHandle"]

KEPT_OUTPUT_TIMEOUT = 10.0
"""Seconds that ``logs`` waits, after the end, for the output to be kept."""
MOST_OUTPUT = 1 << 30
"""Bytes that are read of an output, its end: a process may write for ever, and a later run of the job could put any
file in the place of a kept one."""


class Tracking(NamedTuple):
    """A job, who tracks it, and where it runs."""

    job: TrackedJob
    tracker: StateTracker
    runtime: Runtime


class ContainerJobHandle(JobHandleSpec):
    """A job in a container of any runtime. Made by a launcher, which has the job's ``tracking``.

    ``timeout``: seconds that ``enter_states`` waits by default; None is for ever. ``log_path``: where the output is
    kept after the end; None is nowhere.

    It is that of the process that follows the job. In a child by fork only a result that was there before is told;
    all else raises ForkedError, which is a RuntimeUnavailableError.
    """

    tells_changes = True
    confirm_timeout = 30.0
    """Seconds that ``terminate`` waits for the engine to confirm the end, beyond the grace."""

    def __init__(self, tracking: Tracking, timeout: float | None = None, log_path: Path | None = None) -> None:
        self._job, self._tracker, self._runtime = tracking
        self.timeout = timeout
        self.host = self._runtime.address(self.identity.container_name)
        self._log_path = log_path

    @property
    def identity(self) -> JobIdentity:
        """Which job it is, at which site, in which container."""
        return self._job.identity

    @property
    def study(self) -> str:
        return self.identity.study

    @property
    def state(self) -> DOCKER_STATE | None:
        """The container's state as it was seen last."""
        return self._job.state

    @property
    def result(self) -> JobResult | None:
        """Why the job ended, as an inspection has it; None while it runs. Asks nobody."""
        return self._job.result

    @property
    def end_id(self) -> str:
        return self._job.end_id

    def enter_states(self, job_states_to_enter: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until the container has entered one of the states at whatever time, be it before this call.

        Returns False after ``timeout`` seconds (None: the handle's own), or as soon as the job has ended without
        entering any. Raises ValueError for what is no state, RuntimeUnavailableError if the site was closed meanwhile.
        """
        return self._job.enter_states(as_states(job_states_to_enter), self.timeout if timeout is None else timeout)

    def poll(self) -> JobReturnCode:
        """Return UNKNOWN while the job runs, then the same return code every time. Asks nobody, so never blocks."""
        result = self._job.result
        if result is None:
            self._job.check_process()
        return result.return_code if result else JobReturnCode.UNKNOWN

    def wait(self, timeout: float | None = None) -> JobReturnCode:
        """Return the return code when the job is complete; UNKNOWN if it is not after ``timeout`` seconds.

        None is for ever. An engine that does not answer meanwhile changes nothing. Raises RuntimeUnavailableError if
        the site was closed meanwhile.
        """
        self._job.wait(timeout)
        return self.poll()

    def wait_for_clean_up(self, timeout: float) -> bool:
        """Wait until nothing is left of the ended job but its files; False after ``timeout`` seconds."""
        return self._job.wait_for_clean_up(timeout)

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        """End the job: ask its process, kill it after the site's grace, and return when an inspection has confirmed it.

        ``by`` stands in the result. A job that had ended by itself keeps its result. Idempotent, from any number of
        threads. Raises TerminateTimeout if the end is not confirmed in time; the request stays, is repeated until it
        is, and outlives this process.
        """
        self._job.request_end(by, time.time())
        self._tracker.end(self._job)
        if self._job.wait(self._job.hooks.settings.stop_grace + self.confirm_timeout) is None:
            raise TerminateTimeout(f"{self.identity}: {self._tracker.why_no_end()}; it is asked again until it does")
        return self.poll()

    def usage(self) -> JobUsage | None:
        """Return what the job has used until now, by asking the engine; None before its start and after its end.

        None, too, of an engine that cannot tell it from what its whole host uses.
        Raises RuntimeUnavailableError if the engine does not answer, or the site was closed meanwhile.
        """
        ended = self._job.wait(timeout=0)
        used = None if ended else self._runtime.usage(self.identity.container_id)
        if not used:
            return None
        disk = self._job.hooks.disk
        of_disk = (disk.used, disk.limit) if disk else ()
        return JobUsage(self.identity.job_id, self.identity.site, time.time(), *used, *of_disk)

    @overload
    def logs(self, tail: int | None = None, follow: Literal[False] = False) -> str: ...

    @overload
    def logs(self, tail: int | None = None, *, follow: Literal[True]) -> Iterator[str]: ...

    def logs(self, tail: int | None = None, follow: bool = False) -> str | Iterator[str]:
        """Return the output so far, or its last ``tail`` lines; after the end, too.

        With ``follow``, yield it line by line as it comes, until the job's end; an engine that goes away meanwhile
        makes no gap and no duplicate. A line of more than 64 KiB comes in pieces of that size, each counted as a line.
        Raises RuntimeUnavailableError if the engine does not answer (without ``follow``), or the site was closed.
        """
        self._job.check_process()
        kept = self._open_kept(tail)
        with kept or nullcontext():
            if follow:
                return self._kept_lines(tail) if kept else follow_output(self._runtime, self._job, tail)
            chunks = chunks_of(kept) if kept else self._runtime.logs(self.identity.container_id, tail)
            return last_bytes(chunks, MOST_OUTPUT).decode(errors="replace")

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        self._job.add_done_callback(lambda: callback(self))

    def _open_kept(self, tail: int | None) -> BinaryIO | None:
        """Open the output that is kept in the job's folder, at its last lines; None before the end, or without one."""
        if self._log_path is None or self._job.result is None:
            return None
        if DOCKER_STATE.RUNNING not in self._job.entered:  # it has written nothing: that file is an earlier run's
            return BytesIO()
        self._job.wait_for_clean_up(KEPT_OUTPUT_TIMEOUT)
        try:
            with closing(open_folder(self._log_path.parent)) as folder:
                file = open_file(self._log_path.name, folder)
        except OSError:  # a later run of the job could leave anything there
            return None
        begin = 0 if tail is None else seek_last_lines(file, tail)
        file.seek(max(begin, file.seek(0, SEEK_END) - MOST_OUTPUT))
        return file

    def _kept_lines(self, tail: int | None) -> Iterator[str]:
        with self._open_kept(tail) or BytesIO() as file:
            for line in lines_of(chunks_of(file)):
                yield line.decode(errors="replace")


class DockerJobHandle(ContainerJobHandle):
    """A job in a Docker container.

    ``container`` is a docker-py ``Container``. One that no launcher made is tracked over its own client, together
    with all others of this client; it is never removed. ``timeout`` is as above, ``stop_grace`` the seconds from the
    request to end it to the kill; ``tracking`` and ``log_path`` are a launcher's.
    """

    def __init__(
        self,
        container: Any,
        timeout: float | None = None,
        *,
        stop_grace: float = STOP_GRACE,
        tracking: Tracking | None = None,
        log_path: Path | None = None,
    ) -> None:
        super().__init__(tracking or _shared_trackers.track(container, stop_grace), timeout, log_path)
        self._container = container

    @property
    def container(self) -> Any:
        """The docker-py ``Container``."""
        return self._container or self._runtime.native(self.identity.container_id)


class _SharedTrackers:
    """One tracker per client for the containers that no launcher made; closed when the last of them has ended."""

    def __init__(self) -> None:
        self._trackers: dict[int, tuple[StateTracker, Runtime]] = {}
        self._jobs: Counter[int] = Counter()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._begin_anew)

    def track(self, container: Any, stop_grace: float) -> Tracking:
        from .runtime.docker import DockerRuntime

        key = id(container.client)  # the runtime holds the client, so nobody else gets its id meanwhile
        who = JobIdentity(container.name, "", container.name, container.id)
        job = TrackedJob(who, JobHooks(settings=JobSettings(stop_grace=stop_grace)))
        with self._lock:
            if key not in self._trackers:
                runtime = DockerRuntime(client=container.client)
                self._trackers[key] = StateTracker(runtime), runtime
            self._jobs[key] += 1
            tracking = Tracking(job, *self._trackers[key])
        job.add_done_callback(lambda: self._release(key))
        tracking.tracker.watch(job)
        return tracking

    def _begin_anew(self) -> None:
        """In a child by fork: its trackers have no threads, and nobody else is here to let go of the lock."""
        self._trackers, self._jobs, self._lock = {}, Counter(), threading.Lock()

    def _release(self, key: int) -> None:
        with self._lock:
            self._jobs[key] -= 1
            if self._jobs[key]:
                return
            del self._jobs[key]
            tracker, runtime = self._trackers.pop(key)
        tracker.close()
        runtime.close()


_shared_trackers = _SharedTrackers()
