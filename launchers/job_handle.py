"""Handles of jobs that run in containers. They hold no thread and no connection; waiting costs nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from flcore.errors import RuntimeUnavailableError, TerminateTimeout
from flcore.job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode

from .docker_state import DOCKER_STATE, as_states
from .runtime.base import Runtime
from .state_tracker import JobIdentity, StateTracker, TrackedJob

STOP_GRACE = 10.0
"""Seconds from the request to end to the kill, where a site does not say."""
CONFIRM_TIMEOUT = 30.0
"""Seconds that ``terminate`` waits for the engine to confirm the end, beyond the grace."""


class Tracking(NamedTuple):
    """A job, who tracks it, and where it runs."""

    job: TrackedJob
    tracker: StateTracker
    runtime: Runtime


class ContainerJobHandle(JobHandleSpec):
    """A job in a container of any runtime. Made by a launcher.

    ``timeout``: seconds that ``enter_states`` waits by default; None is for ever.
    """

    def __init__(
        self,
        tracking: Tracking,
        timeout: float | None = None,
        stop_grace: float = STOP_GRACE,
        log_path: Path | None = None,
    ) -> None:
        self._job, self._tracker, self._runtime = tracking
        self.timeout = timeout
        self.identity = self._job.identity
        self.host = self._runtime.address(self.identity.container_name)
        self._stop_grace = stop_grace
        self._log_path = log_path

    @property
    def state(self) -> DOCKER_STATE | None:
        """The container's state as it was seen last."""
        return self._job.state

    @property
    def result(self) -> JobResult | None:
        return self._job.result

    def enter_states(self, job_states_to_enter: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until the container has entered one of the states at whatever time, be it before this call.

        Returns False after ``timeout`` seconds (None: the handle's own), or as soon as the job has ended without
        entering any. Raises ValueError for what is no state, RuntimeUnavailableError if the site was closed meanwhile.
        """
        return self._job.enter_states(as_states(job_states_to_enter), self.timeout if timeout is None else timeout)

    def poll(self) -> JobReturnCode:
        """Return UNKNOWN while the job runs, then the same return code every time. Asks nobody, so never blocks."""
        result = self._job.result
        return result.return_code if result else JobReturnCode.UNKNOWN

    def wait(self) -> JobReturnCode:
        """Return the return code when the job is complete, however long that takes.

        An engine that does not answer meanwhile changes nothing. Raises RuntimeUnavailableError if the site was
        closed meanwhile.
        """
        self._job.wait()
        return self.poll()

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        """End the job: ask its process, kill it after the site's grace, and return when the end is confirmed.

        ``by`` stands in the result. A job that had ended by itself keeps its result. Idempotent. Raises
        TerminateTimeout if the engine does not confirm the end; the request stays, and a later call repeats it.
        """
        if self._job.result is None:
            self._job.request_end(by, time.time())
            self._stop()
            if self._job.wait(CONFIRM_TIMEOUT) is None:
                raise TerminateTimeout(f"{self.identity}: the engine has not confirmed its end")
        return self.poll()

    def logs(self, tail: int | None = None) -> str:
        """Return the output so far, or its last ``tail`` lines; after the end, too.

        Raises RuntimeUnavailableError if the engine does not answer.
        """
        if self._log_path and self._log_path.is_file() and self._job.result:
            with self._log_path.open("rb") as file:
                return b"".join(deque(file, tail)).decode(errors="replace")
        return b"".join(self._runtime.logs(self.identity.container_id, tail)).decode(errors="replace")

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        self._job.add_done_callback(lambda: callback(self))

    def _stop(self) -> None:
        try:
            if self._job.state is DOCKER_STATE.CREATED:  # there is no process to stop, so it would never end
                self._runtime.remove(self.identity.container_id)
            else:
                self._runtime.stop(self.identity.container_id, self._stop_grace)
        except RuntimeUnavailableError as error:
            raise TerminateTimeout(f"{self.identity}: {error}") from error
        self._tracker.poke(self._job)


class DockerJobHandle(ContainerJobHandle):
    """A job in a Docker container.

    ``container`` is a docker-py ``Container``. One that no launcher made is tracked over its own client, together
    with all others of this client; it is never removed.
    """

    def __init__(
        self,
        container: Any,
        timeout: float | None = None,
        *,
        tracking: Tracking | None = None,
        stop_grace: float = STOP_GRACE,
        log_path: Path | None = None,
    ) -> None:
        super().__init__(tracking or _track(container), timeout, stop_grace, log_path)
        self.container = container


_trackers: dict[int, tuple[StateTracker, Runtime]] = {}
_trackers_lock = threading.Lock()


def _track(container: Any) -> Tracking:
    """Track a container that no launcher made. Its client and the client's tracker live as long as the process."""
    from .runtime.docker import DockerRuntime

    with _trackers_lock:
        key = id(container.client)
        if key not in _trackers:
            runtime = DockerRuntime(client=container.client)
            _trackers[key] = StateTracker(runtime), runtime
        tracker, known_runtime = _trackers[key]
    job = TrackedJob(JobIdentity(container.name, "", container.name, container.id))
    tracker.watch(job)
    return Tracking(job, tracker, known_runtime)
