"""Workflows: components that fire events to get work done. :class:`JobWorkflow` runs one job on all its sites."""

from __future__ import annotations

import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .errors import FLCoreError
from .event_type import EventType
from .fl_component import FLComponent
from .fl_constant import FLContextKey, JobConstants, JobMetaKey, JobProcessArgs
from .fl_context import FLContext
from .job_cast import JobCast
from .job_launcher_spec import JobArgs, JobHandleSpec, JobResult, JobReturnCode, LaunchRequest
from .job_meta import get_app
from .launch import LONGEST_WAIT
from .site import Site
from .site_log import TELLS_OF_END
from .threads import make_all

if TYPE_CHECKING:
    from .submitted_job import SubmittedJob

_INTERRUPTED = "the workflow, because it was interrupted"

SERVER_CONFIG = f"config/{JobConstants.SERVER_JOB_CONFIG}"
CLIENT_CONFIG = f"config/{JobConstants.CLIENT_JOB_CONFIG}"

FINISH_GRACE = 10.0
"""Seconds that clients have to end by themselves after the server has succeeded."""


class Workflow(FLComponent, ABC):
    """A component that does a piece of work at a site, between START_WORKFLOW and END_WORKFLOW."""

    @abstractmethod
    def control_flow(self) -> Any:
        """Do the work, on the thread that called :meth:`run_in`, and return what is to come of it."""

    def run_in(self, site: Site) -> Any:
        """Fire START_WORKFLOW at the site, do the work, fire END_WORKFLOW even if it raised; return what it gave."""
        self._fire(site, EventType.START_WORKFLOW)
        try:
            return self.control_flow()
        finally:
            self._fire(site, EventType.END_WORKFLOW)

    def _fire(self, site: Site, event_type: str) -> None:
        fl_ctx = site.new_context()
        fl_ctx.set_prop(FLContextKey.WORKFLOW, self.name, private=True, sticky=False)
        self.fire_event(event_type, fl_ctx)


class JobWorkflow(Workflow):
    """Runs one job on those of the sites that its ``deploy_map`` names, and returns one result per site.

    The server's process is launched first, then the clients'. All that still runs is ended when the server fails, or
    when fewer than ``min_clients`` of the clients, or not all ``mandatory_clients``, can still finish; once the server
    has succeeded, clients have ``finish_grace`` seconds to end by themselves. If the workflow is interrupted, it ends
    all processes before it raises. One object runs the job once.

    The server's process runs the app's module ``server``, a client's its module ``client``; they share a secret token
    of this run, which travels by environment. Where there is no server, a client's process gets no target (``-g``), for
    nobody listens; and where the job does not say how many clients it needs, each process runs to its own end.
    """

    def __init__(
        self,
        job: SubmittedJob,
        sites: Sequence[Site],
        job_id: str | None = None,
        finish_grace: float = FINISH_GRACE,
    ) -> None:
        """Raises ConfigError if no site takes part, or not those clients without which the job cannot succeed.

        Args:
            job: what to run, as it was submitted.
            sites: those that may take part, in the order in which clients are launched.
            job_id: the id of this run; by default one that the job makes of its name.
            finish_grace: seconds that clients have to end by themselves after the server has succeeded.
        """
        super().__init__()
        self.job_id = job_id or job.new_job_id()
        self.name = f"workflow-{self.job_id}"
        self._job = job
        self._cast = JobCast.of(job, [site.name for site in sites])
        by_name = {site.name: site for site in sites}
        self.server = by_name[JobConstants.SERVER_SITE_NAME] if self._cast.has_server else None
        """The server's site, if it takes part."""
        self._clients = [by_name[name] for name in self._cast.clients]
        self._finish_grace = finish_grace
        self._port = _free_port()
        self._token = secrets.token_urlsafe(32)
        self._handles: dict[str, JobHandleSpec] = {}
        self._results: dict[str, JobResult] = {}
        self._ends: SimpleQueue[tuple[str, JobResult]] = SimpleQueue()

    @property
    def sites(self) -> list[Site]:
        """The sites that take part, the server first."""
        return [*([self.server] if self.server else ()), *self._clients]

    @property
    def left_out(self) -> Sequence[str]:
        """The names of the sites that the ``deploy_map`` names, and that are not given."""
        return self._cast.left_out

    @property
    def handles(self) -> dict[str, JobHandleSpec]:
        """The handles of the processes launched so far, by site."""
        return dict(self._handles)

    def run(self) -> dict[str, JobResult]:
        """Run the job, and return its results by site when the last process has ended."""
        results: dict[str, JobResult] = self.run_in(self.sites[0])
        return results

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Take note of the ends of this job's processes; everything else happens in :meth:`control_flow`."""
        ended = event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED)
        if ended and fl_ctx.get_job_id() == self.job_id:  # maybe on a launcher's thread: only note it
            self._ends.put((fl_ctx.get_identity_name(), fl_ctx.get_prop(FLContextKey.JOB_RESULT)))

    def control_flow(self) -> dict[str, JobResult]:
        """Launch all processes, and return their results by site when the last has ended."""
        for site in self.sites:  # behind its other components: an end counts here when they have heard of it
            site.add_component(self.name, self)
        try:
            self._launch_all()
            self._watch()
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            self._end_all(_INTERRUPTED if interrupted else f"the workflow, because of {error!r}")
            raise
        finally:
            for site in self.sites:
                site.remove_component(self.name)
        return {site.name: self._results[site.name] for site in self.sites}

    def describe_launches(self) -> dict[str, LaunchRequest | FLCoreError | None]:
        """Return what each site would be asked for, or why it would refuse; None where its launcher cannot tell.

        Launches nothing, and changes nothing.
        """
        launches: dict[str, LaunchRequest | FLCoreError | None] = {}
        host = ""
        if self.server:
            launch = launches[self.server.name] = self._describe(self.server, self._server_args(self.server))
            host = launch.host if isinstance(launch, LaunchRequest) else JobHandleSpec.host
        return launches | {site.name: self._describe(site, self._client_args(site, host)) for site in self._clients}

    def _describe(self, site: Site, job_args: JobArgs) -> LaunchRequest | FLCoreError | None:
        try:
            return site.describe_launch(self._meta(), job_args)
        except FLCoreError as error:
            return error

    def _launch_all(self) -> None:
        host = ""
        if self.server:
            self._launch(self.server, self._server_args(self.server))
            if self.server.name in self._results:
                not_started = JobResult(JobReturnCode.ABORTED, error="not started, because the server's launch failed")
                self._results |= {site.name: not_started for site in self._clients}
                return
            host = self._handles[self.server.name].host  # only its handle knows where clients find it
        for site in self._clients:
            self._launch(site, self._client_args(site, host))

    def _meta(self) -> dict[str, Any]:
        clients = [client.name for client in self._clients]
        return self._job.meta | {JobMetaKey.JOB_ID: self.job_id, JobMetaKey.JOB_CLIENTS: clients}

    def _launch(self, site: Site, job_args: JobArgs) -> None:
        meta = self._meta()
        app = get_app(meta, site.name)
        launch = partial(site.launch_job, meta, job_args, self._job.path / str(app))
        # On a thread of its own, where no signal interrupts it: what is launched gets its handle, or is called back.
        try:
            (self._handles[site.name],) = make_all("launch", 1, [launch], partial(self._call_back, site))
        except FLCoreError as error:
            about = self._log_fields(site.name) | TELLS_OF_END
            self.logger.error("site %s: %s", site.name, error, extra=about)  # noqa: TRY400 - the message says it all
            self._results[site.name] = JobResult.of_failed_launch(error)
        except BaseException:
            if handle := site.jobs().get(self.job_id):  # interrupted before the handle was noted here
                self._handles[site.name] = handle
            raise

    def _call_back(self, site: Site) -> None:
        with suppress(FLCoreError):  # it has failed meanwhile
            site.abort_job(self.job_id, by=_INTERRUPTED)

    def _watch(self) -> None:
        """Take in one end after the other until there is a result for every site."""
        deadline: float | None = None
        ended = False
        while len(self._results) < len(self.sites):
            reason = self._reason_to_end(deadline)
            if reason and not ended:
                ended = True  # once: what could not be ended then is waited for, for its launcher goes on trying
                self._end_all(reason)
            elif self._next_end(None if ended else deadline) == JobConstants.SERVER_SITE_NAME:
                deadline = time.monotonic() + self._finish_grace

    def _next_end(self, deadline: float | None) -> str | None:
        """Wait for the next end, note its result and return its site; None at the deadline, and now and then."""
        timeout = LONGEST_WAIT
        if deadline is not None:
            timeout = max(0.0, min(timeout, deadline - time.monotonic()))
        try:
            site, result = self._ends.get(timeout=timeout)
        except Empty:
            return None
        self._results.setdefault(site, result)  # a launch that failed has its own already, and was told as an end, too
        return site

    def _reason_to_end(self, deadline: float | None) -> str:
        server = self._results.get(JobConstants.SERVER_SITE_NAME)
        if server and not server.succeeded:
            return "the workflow, because the server failed"
        hopeful = {site.name for site in self._clients if self._can_still_succeed(site)}
        if lost := sorted(self._cast.mandatory_clients - hopeful):
            return f"the workflow, because the mandatory client {lost[0]} failed"
        if len(hopeful) < self._cast.min_clients:
            return f"the workflow, because fewer than {self._cast.min_clients} clients can finish"
        if deadline is not None and time.monotonic() >= deadline:
            return "the workflow, because the server has finished"
        return ""

    def _can_still_succeed(self, site: Site) -> bool:
        result = self._results.get(site.name)
        return result is None or result.succeeded

    def _end_all(self, reason: str) -> None:
        """End everything that still runs, all at the same time, and return when it has ended."""
        ends = [partial(self._end, site, handle, reason) for site, handle in self._handles.items()]
        make_all("end", len(ends), ends)

    def _end(self, site: str, handle: JobHandleSpec, reason: str) -> None:
        try:
            handle.terminate(by=reason)
        except FLCoreError as error:
            self.logger.error("%s", error, extra=self._log_fields(site))  # noqa: TRY400 - the message says it all
        except Exception:
            self.logger.exception("job %s: a handle failed to end it", self.job_id, extra=self._log_fields(site))

    def _log_fields(self, site: str) -> dict[str, str]:
        """Return what a record of the log is about: ``extra`` of a log call."""
        return {"site": site, "job_id": self.job_id}

    def _server_args(self, site: Site) -> JobArgs:
        app_root = site.workspace.get_app_dir(self.job_id)
        return self._common_args(site, "server", SERVER_CONFIG) | {
            JobProcessArgs.APP_ROOT: ("-r", app_root),
            JobProcessArgs.SERVICE_PORT: ("--port", self._port),
        }

    def _client_args(self, site: Site, host: str) -> JobArgs:
        """Return what a client's process is told; where the server is, by its host, if there is one."""
        target = {
            JobProcessArgs.TARGET: ("-g", f"{host}:{self._port}"),
            JobProcessArgs.SCHEME: ("-scheme", "http"),
        }
        return {
            **self._common_args(site, "client", CLIENT_CONFIG),
            JobProcessArgs.CLIENT_NAME: ("-c", site.name),
            **(target if host else {}),
        }

    def _common_args(self, site: Site, module: str, config: str) -> dict[str, tuple[str, Any]]:
        return {
            JobProcessArgs.EXE_MODULE: ("-m", module),
            JobProcessArgs.WORKSPACE: ("-m", site.workspace.get_root_dir()),
            JobProcessArgs.STARTUP_CONFIG_FILE: ("-s", config),
            JobProcessArgs.JOB_ID: ("-n", self.job_id),
            JobProcessArgs.AUTH_TOKEN: ("-t", self._token),
        }


def _free_port() -> int:
    """Return a port that nobody on this host listens on. In a container any would do."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
