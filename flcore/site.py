"""A site: its components, the bus between them, and the launching of jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from .admission import Admission, AdmissionLimits, Load, no_waiting
from .disk.os_errors import in_words
from .errors import ConfigError, JobLaunchError
from .event_bus import EventBus
from .event_type import EventType
from .fl_component import FLComponent
from .fl_constant import FLContextKey
from .fl_context import FLContext, FLContextManager
from .forks import OwnProcess
from .held_launch import launched_when_let
from .job_endings import JobEndings
from .job_follower import JobFollower
from .job_launcher_spec import JobArgs, JobHandleSpec, JobReturnCode, LaunchRequest
from .job_meta import check_metadata, get_job_id, is_identifier
from .job_registry import JobRegistry
from .launch import Launch
from .launcher_choice import ask_launchers, choose_launcher, launchers_among
from .launcher_work import at_work, heard_meta, launch_by
from .site_config import SiteConfig, check_at_end
from .site_events import SiteEvents
from .site_log import LogSettings, SiteLog
from .workspace import JobFiles, Workspace

logger = logging.getLogger(__name__)

_OTHERS_WAIT_FOR = frozenset(
    {
        EventType.SYSTEM_BOOTSTRAP,
        EventType.SYSTEM_START,
        EventType.SYSTEM_END,
        EventType.BEFORE_JOB_LAUNCH,
        EventType.JOB_LAUNCH_PLANNED,
        EventType.JOB_HELD,
        EventType.AFTER_JOB_LAUNCH,
        EventType.JOB_RECOVERED,
        EventType.JOB_STATE_CHANGED,
        EventType.IMAGE_PULL_PROGRESS,
        EventType.JOB_COMPLETED,
        EventType.JOB_ABORTED,
        EventType.ENGINE_UNREACHABLE,
        EventType.ENGINE_REACHABLE,
    }
)
"""Events that come in the midst of a start or launch, or on the thread that tells of ends: if a handler of one waited
for another job's end, that might never be told."""


class Site:
    """One party's parent process: the composition root, and the engine of its components' contexts.

    Use it as a context manager, or call :meth:`start` and :meth:`close`: components get SYSTEM_BOOTSTRAP and
    SYSTEM_START at the start, SYSTEM_END at the end. All methods may be called from any thread. A site that was started
    is its process's: in a child by fork its methods raise ForkedError, and closing it there does nothing.

    Args:
        name: of the site; other sites know it by this.
        components: by their ids, in the order in which they get events.
        workspace: the site's folder.
        strict: a job for which several launchers volunteer is refused; else the first in the configuration gets it.
        admission: how many jobs the site takes at the same time, as ``{"launching": 2, "running": 8, "queued": 50}``.
            A launch that finds one of the first two reached waits for its turn; if ``queued`` launches (100 where that
            is not said) wait already, it is refused. Without the first two there is no limit.
        at_end: what :meth:`close` does with running jobs: "leave" or "end" them.
        logging: a log of the site's own, from its start to its end, as ``{"format": "json", "level": "INFO", "file":
            path}`` (see ``flcore.site_log``); None is none.

    Raises ConfigError for a wrong argument.
    """

    def __init__(
        self,
        name: str,
        components: Mapping[str, FLComponent] | None = None,
        workspace: str | Path = "workspace",
        strict: bool = False,
        *,
        admission: Mapping[str, int] | None = None,
        at_end: str = "leave",
        logging: Mapping[str, Any] | None = None,
    ) -> None:
        if not is_identifier(name):
            raise ConfigError(f"a site's name must be letters, digits, '.', '_' or '-', got {name!r}")
        self.name = name
        self.strict = strict
        self.at_end = check_at_end(at_end, f"site {name}")
        self.workspace = Workspace(workspace, name)
        self._log = None if logging is None else SiteLog(name, LogSettings.read(logging, f"site {name}: logging"))
        self._bus = EventBus()
        self._contexts = FLContextManager(self, name)
        self._components: dict[str, FLComponent] = {}
        self._disconnect: dict[str, Callable[[], None]] = {}
        self._admission = Admission(name, AdmissionLimits.read(admission or {}, f"site {name}: admission"))
        self._process = OwnProcess(f"site {name}")
        self._jobs = JobRegistry(name, self._process)
        self._endings = JobEndings(name)
        self._events = SiteEvents(self)
        self._follower = JobFollower(name, self._jobs, self._admission, self._events)
        self._lock = threading.Lock()
        self._starting = threading.RLock()  # re-entrant: a component may launch when it hears that the site starts
        self._started = self._closing = False
        for component_id, component in (components or {}).items():
            self.add_component(component_id, component)

    @classmethod
    def from_config(cls, config: str | Path | SiteConfig, workspace: str | Path | None = None) -> Self:
        """Build a site from its config: a JSON file, or one that was read. Raises ConfigError.

        ``workspace`` overrides the config's.
        """
        if not isinstance(config, SiteConfig):
            config = SiteConfig.read(config)
        return cls(
            config.site,
            config.build(),
            workspace or config.workspace,
            config.strict,
            admission=config.admission,
            at_end=config.at_end,
            logging=config.logging,
        )

    def add_component(self, component_id: str, component: FLComponent) -> None:
        """Add a component behind all others. Raises ConfigError if the id is taken or it is no FLComponent."""
        if not isinstance(component, FLComponent):
            raise ConfigError(f"component {component_id!r}: {type(component).__qualname__} is no FLComponent")
        with self._lock:
            if component_id in self._components:
                raise ConfigError(f"site {self.name}: there is a component {component_id!r} already")
            self._components[component_id] = component
            component.name = component_id
            self._disconnect[component_id] = self._bus.connect(component_id, component.dispatch_event)

    def remove_component(self, component_id: str) -> None:
        """Have a component get no more events. Nothing happens if there is none of this id."""
        with self._lock:
            if self._components.pop(component_id, None):
                self._disconnect.pop(component_id)()

    def get_component(self, component_id: str) -> FLComponent | None:
        """Return a component by its id; None if there is none."""
        with self._lock:
            return self._components.get(component_id)

    def components(self) -> dict[str, FLComponent]:
        """Return all components by id, in the order in which they get events."""
        with self._lock:
            return dict(self._components)

    def new_context(self) -> FLContext:
        """Return a fresh context of this site."""
        return self._contexts.new_context()

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Have all components handle an event, in order, on this thread. Components fire by their own method.

        The site itself is the first to hear of a JOB_RECOVERED. Of SYSTEM_END its launchers hear first, who may still
        tell of ends then; it is the last that the others hear until the site starts again.
        """
        self._process.check()
        if event_type not in _OTHERS_WAIT_FOR:
            self._bus.fire(event_type, fl_ctx)
            return
        with no_waiting():
            if event_type == EventType.JOB_RECOVERED:
                with self._follower.taking_over(fl_ctx.get_job_id(), fl_ctx.get_prop(FLContextKey.JOB_HANDLE)):
                    self._bus.fire(event_type, fl_ctx)
            elif event_type == EventType.SYSTEM_END:
                try:
                    self._bus.fire(event_type, fl_ctx, launchers_among(self.components()))
                finally:
                    self._follower.tell_no_more()
                    self._bus.fire(event_type, fl_ctx)
            else:
                self._bus.fire(event_type, fl_ctx)

    def start(self) -> None:
        """Tell the components that the system starts, and return when they know. Idempotent.

        Launchers find the jobs of an earlier process of this site again. Raises JobLaunchError while the site closes,
        and ConfigError if its log cannot be written.
        """
        self._process.claim()
        with self._starting:  # who launches at the same time must know of earlier jobs, too
            with self._lock:
                if self._closing:
                    raise JobLaunchError(f"site {self.name} is closing; launch when it has closed")
                if self._log and not self._started:
                    self._log.open()
                started, self._started = self._started, True  # before they are told, for the same reason
            if not started:
                self._events.fire(EventType.SYSTEM_BOOTSTRAP)
                self._follower.begin_to_tell()
                self._events.fire(EventType.SYSTEM_START)
                self._follower.tell_what_came_late()

    def close(self, end_jobs: bool | None = None) -> None:
        """Tell the components that the system ends: launchers let go of their runtimes. Idempotent.

        Launches that wait for their turn, or can be called back, raise JobAbortedError. Running jobs and all launches
        under way are ended first if ``end_jobs``, or, where it is None, if the site's ``at_end`` says so; what cannot
        be ended is logged. Else jobs go on. Launches and ends that have happened are told before SYSTEM_END, if that
        takes seconds at most, and what of these jobs is left is cleaned up before this returns.

        Nothing is told after SYSTEM_END. An end that comes later is told when this site starts again; by the next
        process, if the job's launcher finds its jobs again, as those of this project do.
        """
        if self._process.goes_on_elsewhere():
            return
        with self._lock:
            if not self._started:
                return
            self._started, self._closing = False, True
        by = f"site {self.name}, which closes"
        with ExitStack() as stack:  # done from the last to the first, each even if one before it raises
            if self._log:
                stack.callback(self._log.close)
            stack.callback(self._be_closed)
            stack.callback(self._events.fire, EventType.SYSTEM_END)
            self._admission.close(by)  # first, or the places of the jobs that are ended would be taken
            if self.at_end == "end" if end_jobs is None else end_jobs:
                self._endings.end_all(self._jobs.active(), by)
            self._endings.call_back_all(self._jobs.launches(), by)
            self._follower.tell_what_has_happened()

    @property
    def load(self) -> Load:
        """How many jobs run and are launched now, and how many launches wait for their turn."""
        return self._admission.load

    def jobs(self) -> dict[str, JobHandleSpec]:
        """Return its jobs' handles by job id, launched or found again: all that run, and the 1,000 that ended last."""
        return self._jobs.handles()

    def launch_job(
        self, job_meta: Mapping[str, Any], job_args: JobArgs | None = None, app: str | Path | None = None
    ) -> JobHandleSpec:
        """Launch a job's process and return its handle.

        Waits for its turn first, if the site's ``admission`` says so; a handler of the site's or a launcher's events
        does not wait. ``app`` is the folder with the job's app: a copy is made, which is in the context's APP_ROOT.
        BEFORE_JOB_LAUNCH is fired, one of the launchers that volunteered is chosen. It checks the job by its metadata,
        as all components have left that in JOB_META, and launches; AFTER_JOB_LAUNCH is fired. When the job ends,
        JOB_ABORTED follows if somebody asked for its end, else JOB_COMPLETED. The copy comes into the job's folder
        when all is ready for the start; before, and if the launch fails, what an earlier run of the job has left there
        is untouched.

        A component may put the launch off (``errors.Hold``): JOB_HELD is fired, and it begins anew when it may go on.

        A launch that fails raises JobLaunchError (or ConfigError if the app cannot be copied), and nothing of the job
        runs: SiteBusyError if too many jobs run and wait already, JobAbortedError if somebody ended it meanwhile. It
        fires JOB_ABORTED too, before or after BEFORE_JOB_LAUNCH, so that each of these has one counterpart; nothing is
        fired if the job has no usable id, or its id is that of a job that is launched or runs already.
        """
        self.start()
        job_id = get_job_id(job_meta)
        launch = self._jobs.begin_launch(job_id)
        self._follower.begin(launch)
        attempt = partial(self._launch, launch, job_meta, job_args, app)
        try:
            handle, fl_ctx = launched_when_let(launch, attempt, self._follower.launch_put_off)
        except BaseException as error:
            if launch.handle is None:
                self._follower.launch_failed(launch, error)
                raise
            with self._taken_in(launch, launch.handle):  # the job was started already: it is ended
                raise
        with self._taken_in(launch, handle) as ended_by:
            if ended_by:
                self._endings.end_launched(launch.job_id, handle, ended_by)
            self._events.tell_of_launch(handle, fl_ctx)
        return handle

    def describe_launch(self, job_meta: Mapping[str, Any], job_args: JobArgs | None = None) -> LaunchRequest | None:
        """Return what :meth:`launch_job` would ask a runtime for; None where the launcher cannot tell.

        Changes nothing, and fires no event: only the launchers are asked whether they would volunteer. Raises
        JobLaunchError for a job that would be refused.
        """
        job_id = get_job_id(job_meta)
        check_metadata(job_meta)
        fl_ctx = self._events.launch_context(job_id, job_meta, job_args)
        ask_launchers(fl_ctx, self.components())
        launcher = choose_launcher(fl_ctx, self.components(), strict=self.strict)
        with at_work(launcher, job_id):
            return launcher.describe_launch(fl_ctx.get_prop(FLContextKey.JOB_META), fl_ctx)

    def abort_job(self, job_id: str, *, by: str = "abort_job()") -> JobReturnCode:
        """End a job, whatever it is at, and return its return code: its own if it had ended before, else ABORTED.

        ``by`` says in the result who asked. A launch that waits for its turn raises JobAbortedError at once; so does
        one under way, if its launcher can still call it back, else what it launched is ended. Returns when that is
        over; UNKNOWN only to a handler that is called by the very launch. Idempotent.

        Raises UnknownJobError if the site has no such job, and what the handle's ``terminate`` raises, such as
        TerminateTimeout; the wish stays.
        """
        return self._endings.end(self._jobs.find(job_id), by)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launch(
        self, launch: Launch, job_meta: Mapping[str, Any], job_args: JobArgs | None, app: str | Path | None
    ) -> tuple[JobHandleSpec, FLContext]:
        """Launch once, with all that this takes anew. Returns the context of the launch, too."""
        fl_ctx = self._events.launch_context(launch.job_id, job_meta, job_args, launch)
        self._admission.enter(launch)
        check_metadata(job_meta)
        with self.workspace.staged(job_meta, None if app is None else Path(app)) as files:
            fl_ctx.put(FLContextKey.APP_ROOT, files.app_dir, private=True, sticky=False)
            self._events.fire_in(fl_ctx, EventType.BEFORE_JOB_LAUNCH)
            launch.raise_if_ended()  # if by a site that has ended, its launchers have not heard of it
            launcher = choose_launcher(fl_ctx, self.components(), strict=self.strict)
            job_meta = heard_meta(launch.job_id, fl_ctx)
            _write_down(files, job_meta)
            launch.hand_over(launcher)
            launch.deploy_by(files.put)
            handle = launch_by(launcher, launch, job_meta, fl_ctx)
            fl_ctx.put(FLContextKey.APP_ROOT, files.app_dir, private=True, sticky=False)
            return handle, fl_ctx

    @contextmanager
    def _taken_in(self, launch: Launch, handle: JobHandleSpec) -> Iterator[str]:
        """Have a job be known, and follow it afterwards: its end is told last, however short it is.

        Yields who has asked for its end meanwhile. Whatever is raised ends the job, for nobody gets its handle.
        """
        ended_by = self._jobs.launched(launch, handle)
        self._admission.launched(launch)
        try:
            yield ended_by
        except BaseException as error:
            self._endings.end_launched(launch.job_id, handle, f"site {self.name}, on {type(error).__name__}")
            raise
        finally:
            self._follower.follow(launch, handle)

    def _be_closed(self) -> None:
        self._jobs.let_go()
        self._admission.reopen()
        with self._lock:
            self._closing = False
        self._process.let_go()


def _write_down(files: JobFiles, job_meta: Mapping[str, Any]) -> None:
    """Write down what the components have changed in a job's metadata: what lies in its folder is what is launched."""
    try:
        files.write_meta(job_meta)
    except (OSError, TypeError, ValueError) as error:
        raise JobLaunchError(
            f"job {get_job_id(job_meta)}: its metadata cannot be written down: {in_words(error)}"
        ) from error
