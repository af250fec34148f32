"""The jobs of one site: the launches under way, and the handles of what was launched or found again."""

from __future__ import annotations

import logging
import threading

from .config.strict_json import shown
from .errors import NameInUseError, UnknownJobError
from .forks import OwnProcess
from .job_launcher_spec import JobHandleSpec, JobReturnCode
from .launch import Launch

logger = logging.getLogger(__name__)

KEPT_HANDLES = 1000
"""How many handles of ended jobs a site keeps, the newest: what it holds must not grow for ever."""


class JobRegistry:
    """Who is launched, who runs, and who ran last. All methods may be called from any thread.

    ``process`` is the site's; who asks for jobs in a fork of it gets a ForkedError.
    """

    def __init__(self, site: str, process: OwnProcess) -> None:
        self._site = site
        self._process = process
        self._launches: dict[str, Launch] = {}
        self._handles: dict[str, JobHandleSpec] = {}
        self._ended: dict[str, None] = {}
        """The ids of the jobs whose end was told, the oldest end first."""
        self._let_go: set[str] = set()
        self._lock = threading.Lock()

    def handles(self) -> dict[str, JobHandleSpec]:
        """Return the handles of all running jobs and of the newest ended ones."""
        self._process.check()
        with self._lock:
            return dict(self._handles)

    def find(self, job_id: str) -> Launch | JobHandleSpec:
        """Return a job's launch while it is under way, else its handle. Raises UnknownJobError if there is none."""
        self._process.check()
        with self._lock:
            job = self._launches.get(job_id) or self._handles.get(job_id)
        if job is None:
            raise UnknownJobError(f"site {self._site} knows no job {shown(job_id)}; it may have ended long ago")
        return job

    def active(self) -> list[Launch | JobHandleSpec]:
        """Return all launches under way, and the handles of all jobs whose end was not told yet."""
        with self._lock:
            running = [handle for job_id, handle in self._handles.items() if job_id not in self._ended]
            return [*self._launches.values(), *running]

    def launches(self) -> list[Launch]:
        """Return all launches under way."""
        with self._lock:
            return list(self._launches.values())

    def begin_launch(self, job_id: str) -> Launch:
        """Note that this thread launches a job. Raises NameInUseError if it is launched or runs already."""
        with self._lock:
            if job_id in self._launches or self._runs(job_id):
                raise NameInUseError(f"job {job_id} already runs at site {self._site}")
            self._forget(job_id)
            launch = self._launches[job_id] = Launch(job_id)
            return launch

    def launched(self, launch: Launch, handle: JobHandleSpec) -> str:
        """Note a job's handle in place of its launch. Returns who has asked for its end meanwhile, if somebody did."""
        with self._lock:
            del self._launches[launch.job_id]
            self._handles[launch.job_id] = handle
            return launch.succeed(handle)

    def failed(self, launch: Launch, error: BaseException) -> None:
        """Forget a launch that failed."""
        with self._lock:
            del self._launches[launch.job_id]
        launch.fail(error)

    def recovered(self, job_id: str, handle: object) -> Launch | None:
        """Note the handle of a job that was found again, and return its launch, which an earlier process has done.

        None if it is no handle, or the job is launched or runs already; the log says so.
        """
        if not isinstance(handle, JobHandleSpec):
            self._warn(job_id, "has no handle")
            return None
        with self._lock:
            known = job_id in self._launches or (self._runs(job_id) and job_id not in self._let_go)
            if not known:
                self._forget(job_id)
                self._handles[job_id] = handle
        if known:
            self._warn(job_id, "is launched or runs already")
            return None
        launch = Launch(job_id)
        launch.succeed(handle)
        return launch

    def ended(self, job_id: str, handle: JobHandleSpec) -> None:
        """Note that the end of a job was told; of those, forget the oldest if there are too many."""
        with self._lock:
            if self._handles.get(job_id) is handle:  # else it was launched anew meanwhile
                self._ended[job_id] = None
            if len(self._ended) > KEPT_HANDLES:
                self._forget(next(iter(self._ended)))

    def let_go(self) -> None:
        """Note that the handles of running jobs may never tell of their end: the site was closed."""
        with self._lock:
            self._let_go = set(self._handles) - set(self._ended)

    def _warn(self, job_id: str, why: str) -> None:
        about = {"site": self._site, "job_id": job_id}
        logger.warning("site %s: job %s was found again, but %s", self._site, job_id, why, extra=about)

    def _runs(self, job_id: str) -> bool:
        handle = self._handles.get(job_id)
        return handle is not None and handle.poll() == JobReturnCode.UNKNOWN

    def _forget(self, job_id: str) -> None:
        self._handles.pop(job_id, None)
        self._ended.pop(job_id, None)
        self._let_go.discard(job_id)
