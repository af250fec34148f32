"""Handles of jobs that run in containers. They hold no thread and no connection; waiting costs nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from flcore.errors import JobLaunchError, TerminateTimeout
from flcore.job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode

from .docker_state import DOCKER_STATE, as_states
from .runtime.base import Runtime
from .state_tracker import JobIdentity, StateTracker, TrackedJob

STOP_GRACE = 10.0
"""Seconds from the request to end to the kill, where a site does not say."""
CLEAN_UP_TIMEOUT = 10.0
"""Seconds that ``logs`` waits, after the end, for the output to be kept."""


class Tracking(NamedTuple):
    """A job, who tracks it, and where it runs."""

    job: TrackedJob
    tracker: StateTracker
    runtime: Runtime


class ContainerJobHandle(JobHandleSpec):
    """A job in a container of any runtime. Made by a launcher.

    ``timeout``: seconds that ``enter_states`` waits by default; None is for ever.
    """

    confirm_timeout = 30.0
    """Seconds that ``terminate`` waits for the engine to confirm the end, beyond the grace."""

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
            if self._job.wait(self.confirm_timeout) is None:
                raise TerminateTimeout(f"{self.identity}: the engine has not confirmed its end")
        return self.poll()

    def logs(self, tail: int | None = None) -> str:
        """Return the output so far, or its last ``tail`` lines; after the end, too.

        Raises RuntimeUnavailableError if the engine does not answer.
        """
        if self._log_path and self._job.result:
            self._job.wait_for_clean_up(CLEAN_UP_TIMEOUT)
            if self._log_path.is_file() and not self._log_path.is_symlink():  # the job could leave a link there
                with self._log_path.open("rb") as file:
                    return b"".join(deque(file, tail)).decode(errors="replace")
        return b"".join(self._runtime.logs(self.identity.container_id, tail)).decode(errors="replace")

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        self._job.add_done_callback(lambda: callback(self))

    def _stop(self) -> None:
        try:
            container_id = self.identity.container_id
            if self._runtime.inspect(container_id).state is DOCKER_STATE.CREATED:
                self._runtime.remove(container_id)  # there is no process to stop, so it would never end
            else:
                self._runtime.stop(container_id, self._stop_grace)
        except JobLaunchError as error:
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
        super().__init__(tracking or _shared_trackers.track(container), timeout, stop_grace, log_path)
        self.container = container


class _SharedTrackers:
    """One tracker per client for the containers that no launcher made; closed when the last of them has ended."""

    def __init__(self) -> None:
        self._trackers: dict[int, tuple[StateTracker, Runtime]] = {}
        self._jobs: Counter[int] = Counter()
        self._lock = threading.Lock()

    def track(self, container: Any) -> Tracking:
        from .runtime.docker import DockerRuntime

        key = id(container.client)  # the runtime holds the client, so nobody else gets its id meanwhile
        job = TrackedJob(JobIdentity(container.name, "", container.name, container.id))
        with self._lock:
            if key not in self._trackers:
                runtime = DockerRuntime(client=container.client)
                self._trackers[key] = StateTracker(runtime), runtime
            self._jobs[key] += 1
            tracking = Tracking(job, *self._trackers[key])
        job.add_done_callback(lambda: self._release(key))
        tracking.tracker.watch(job)
        return tracking

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
