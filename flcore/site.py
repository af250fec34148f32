"""A site: its components, the bus between them, and the launching of jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .component_config import ComponentBuilder, check_keys
from .errors import ConfigError, FLCoreError, JobLaunchError, JobRejectedError, NameInUseError, NoLauncherError
from .event_bus import EventBus
from .event_type import EventType
from .fl_component import FLComponent
from .fl_constant import EventScope, FLContextKey
from .fl_context import FLContext, FLContextManager
from .job_launcher_spec import JobArgs, JobHandleSpec, JobLauncherSpec, JobResult, JobReturnCode
from .job_meta import get_job_id, is_identifier
from .strict_json import load_json, shown
from .workspace import Workspace

logger = logging.getLogger(__name__)

_SITE_KEYS = frozenset({"format_version", "site", "workspace", "strict", "components"})


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The content of a site's config file, without its components built."""

    source: Path
    site: str
    workspace: Path
    strict: bool
    components: Any

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a config file. Raises ConfigError, naming the file and the key."""
        source = Path(path)
        config = load_json(source)
        if not isinstance(config, dict):
            raise ConfigError(f"{source}: must be an object, got {shown(config)}")
        check_keys(config, _SITE_KEYS, str(source))
        return cls(
            source=source,
            site=_site(config, source),
            workspace=_workspace(config, source),
            strict=_strict(config, source),
            components=_components(config, source),
        )

    def build(self) -> dict[str, FLComponent]:
        """Build the components, anew each time. Raises ConfigError."""
        variables = {"CONFIG_DIR": str(self.source.absolute().parent)}
        return ComponentBuilder(str(self.source), variables).build_all(self.components)


class Site:
    """One party's parent process: the composition root, and the engine of its components' contexts.

    Use it as a context manager, or call :meth:`start` and :meth:`close`: components get SYSTEM_BOOTSTRAP and
    SYSTEM_START at the start, SYSTEM_END at the end. All methods may be called from any thread.

    ``strict``: a job for which several launchers volunteer is refused; else the first in the configuration gets it.
    """

    def __init__(
        self,
        name: str,
        components: Mapping[str, FLComponent] | None = None,
        workspace: str | Path = "workspace",
        strict: bool = False,
    ) -> None:
        if not is_identifier(name):
            raise ConfigError(f"a site's name must be letters, digits, '.', '_' or '-', got {name!r}")
        self.name = name
        self.strict = strict
        self.workspace = Workspace(workspace, name)
        self._bus = EventBus()
        self._contexts = FLContextManager(self, name)
        self._components: dict[str, FLComponent] = {}
        self._disconnect: dict[str, Callable[[], None]] = {}
        self._handles: dict[str, JobHandleSpec | None] = {}
        self._lock = threading.Lock()
        self._started = False
        for component_id, component in (components or {}).items():
            self.add_component(component_id, component)

    @classmethod
    def from_config(cls, config: str | Path | SiteConfig, workspace: str | Path | None = None) -> Self:
        """Build a site from its config: a JSON file, or one that was read. Raises ConfigError.

        ``workspace`` overrides the config's.
        """
        if not isinstance(config, SiteConfig):
            config = SiteConfig.read(config)
        return cls(config.site, config.build(), workspace or config.workspace, config.strict)

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
        """Have all components handle an event, in order, on this thread. Components fire by their own method."""
        self._bus.fire(event_type, fl_ctx)

    def start(self) -> None:
        """Tell the components that the system starts. Idempotent."""
        with self._lock:
            started, self._started = self._started, True
        if not started:
            self._fire(EventType.SYSTEM_BOOTSTRAP)
            self._fire(EventType.SYSTEM_START)

    def close(self) -> None:
        """Tell the components that the system ends: launchers let go of their runtimes. Idempotent.

        Jobs go on; what of them has already ended is cleaned up before this returns.
        """
        with self._lock:
            started, self._started = self._started, False
        if started:
            self._fire(EventType.SYSTEM_END)

    def jobs(self) -> dict[str, JobHandleSpec]:
        """Return the handles of all jobs that this site launched, by job id."""
        with self._lock:
            return {job_id: handle for job_id, handle in self._handles.items() if handle}

    def launch_job(
        self, job_meta: Mapping[str, Any], job_args: JobArgs | None = None, app: str | Path | None = None
    ) -> JobHandleSpec:
        """Launch a job's process and return its handle.

        ``app`` is the folder with the job's app, copied into the site's workspace first. BEFORE_JOB_LAUNCH is fired,
        the launcher that volunteered launches, AFTER_JOB_LAUNCH is fired; when the job ends, JOB_ABORTED follows if
        somebody asked for its end, else JOB_COMPLETED. A launch that fails fires JOB_ABORTED too, so that each
        BEFORE_JOB_LAUNCH has one counterpart; then it raises JobLaunchError (or ConfigError if the app cannot be
        copied), and nothing of the job runs.
        """
        self.start()
        job_id = get_job_id(job_meta)
        self._reserve(job_id)
        fl_ctx = self._job_context(job_id, job_meta, job_args)
        try:
            handle = self._launch(job_id, fl_ctx, app)
        except BaseException as error:
            self._release(job_id)
            if isinstance(error, Exception):
                self._fire_end(job_id, JobResult.of_failed_launch(error), EventType.JOB_ABORTED)
            raise
        with self._lock:
            self._handles[job_id] = handle
        try:
            self._fire_in(fl_ctx, EventType.AFTER_JOB_LAUNCH)
        except BaseException as error:
            _end(handle, f"site {self.name}, on {type(error).__name__}")
            raise
        finally:
            handle.add_done_callback(lambda ended: self._job_ended(job_id, _final_result(ended)))
        return handle

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self, job_id: str, fl_ctx: FLContext, app: str | Path | None) -> JobHandleSpec:
        job_meta = fl_ctx.get_prop(FLContextKey.JOB_META)
        if app is not None:
            self.workspace.deploy(job_meta, Path(app))
        self._fire_in(fl_ctx, EventType.BEFORE_JOB_LAUNCH)
        launcher = self._choose(job_id, fl_ctx)
        try:
            handle = launcher.launch_job(job_meta, fl_ctx)
        except FLCoreError:
            raise
        except Exception as error:
            raise JobLaunchError(f"job {job_id}: the launcher {launcher.name} failed: {error!r}") from error
        if not isinstance(handle, JobHandleSpec):
            raise JobLaunchError(f"job {job_id}: the launcher {launcher.name} returned {handle!r}, no JobHandleSpec")
        return handle

    def _choose(self, job_id: str, fl_ctx: FLContext) -> JobLauncherSpec:
        volunteers: list[JobLauncherSpec] = fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER, [])
        if not volunteers:
            raise self._nobody_volunteered(job_id, fl_ctx)
        if self.strict and len(volunteers) > 1:
            names = ", ".join(launcher.name for launcher in volunteers)
            raise NoLauncherError(f"job {job_id}: site {self.name} is strict, and {names} all volunteered for it")
        return volunteers[0]

    def _nobody_volunteered(self, job_id: str, fl_ctx: FLContext) -> JobLaunchError:
        """Return the reason: a launcher that refused the job, or none that could run it."""
        errors: Mapping[str, Exception] = fl_ctx.get_prop(FLContextKey.EXCEPTIONS, {})
        refusal = next((error for error in errors.values() if isinstance(error, JobRejectedError)), None)
        if refusal:
            return refusal
        launchers = [name for name, c in self.components().items() if isinstance(c, JobLauncherSpec)]
        known = f"its launchers are {', '.join(launchers)}" if launchers else "it has no launcher configured"
        failed = "".join(f"; {name} failed: {error!r}" for name, error in errors.items())
        return NoLauncherError(f"job {job_id}: no launcher of site {self.name} volunteered ({known}{failed})")

    def _reserve(self, job_id: str) -> None:
        with self._lock:
            if job_id in self._handles and not _is_complete(self._handles[job_id]):
                raise NameInUseError(f"job {job_id} already runs at site {self.name}")
            self._handles[job_id] = None

    def _release(self, job_id: str) -> None:
        with self._lock:
            self._handles.pop(job_id, None)

    def _job_context(self, job_id: str, job_meta: Mapping[str, Any], job_args: JobArgs | None) -> FLContext:
        fl_ctx = self._context_of(job_id)
        props = {
            FLContextKey.JOB_META: dict(job_meta),
            FLContextKey.WORKSPACE_OBJECT: self.workspace,
            FLContextKey.JOB_PROCESS_ARGS: dict(job_args or {}),
        }
        for key, value in props.items():
            fl_ctx.put(key, value, private=True, sticky=False)
        return fl_ctx

    def _context_of(self, job_id: str) -> FLContext:
        fl_ctx = self.new_context()
        fl_ctx.put(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
        return fl_ctx

    def _job_ended(self, job_id: str, result: JobResult) -> None:
        aborted = result.return_code is JobReturnCode.ABORTED
        self._fire_end(job_id, result, EventType.JOB_ABORTED if aborted else EventType.JOB_COMPLETED)

    def _fire_end(self, job_id: str, result: JobResult, event_type: str) -> None:
        fl_ctx = self._context_of(job_id)
        fl_ctx.put(FLContextKey.JOB_RESULT, result, private=True, sticky=False)
        self._fire_in(fl_ctx, event_type)

    def _fire(self, event_type: str) -> None:
        fl_ctx = self.new_context()
        fl_ctx.put(FLContextKey.WORKSPACE_OBJECT, self.workspace, private=True, sticky=False)
        self._fire_in(fl_ctx, event_type)

    def _fire_in(self, fl_ctx: FLContext, event_type: str) -> None:
        fl_ctx.put(FLContextKey.EVENT_ORIGIN, self.name, private=True, sticky=False)
        fl_ctx.put(FLContextKey.EVENT_SCOPE, EventScope.LOCAL, private=True, sticky=False)
        self.fire_event(event_type, fl_ctx)


def _is_complete(handle: JobHandleSpec | None) -> bool:
    return handle is not None and handle.poll() != JobReturnCode.UNKNOWN


def _end(handle: JobHandleSpec, by: str) -> None:
    try:
        handle.terminate(by=by)
    except Exception:
        logger.exception("a job could not be ended after its launch was interrupted")


def _final_result(handle: JobHandleSpec) -> JobResult:
    """Return the result of a job whose handle says that it is complete."""
    lost = "the end of the job was not seen: its handle has no result"
    return handle.result or JobResult(JobReturnCode.INFRASTRUCTURE_ERROR, error=lost)


def _site(config: Mapping[str, Any], source: Path) -> str:
    rule = "must be the site's name: letters, digits, '.', '_' or '-'"
    if "site" not in config:
        raise ConfigError(f"{source}: site: is missing; it {rule}")
    if not is_identifier(config["site"]):
        raise ConfigError(f"{source}: site: {rule}, got {shown(config['site'])}")
    return str(config["site"])


def _workspace(config: Mapping[str, Any], source: Path) -> Path:
    """Return the site's folder; a relative one is relative to the config file."""
    value = config.get("workspace", "workspace")
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{source}: workspace: must be a folder, got {shown(value)}")
    return Path(source.absolute().parent, value).resolve()


def _strict(config: Mapping[str, Any], source: Path) -> bool:
    value = config.get("strict", False)
    if type(value) is not bool:
        raise ConfigError(f"{source}: strict: must be true or false, got {shown(value)}")
    return value


def _components(config: Mapping[str, Any], source: Path) -> Any:
    if "components" not in config:
        raise ConfigError(f"{source}: components: is missing; a site needs a list of them, a launcher at least")
    return config["components"]
