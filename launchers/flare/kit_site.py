"""A kit's components of this package's kind, in a parent of NVIDIA FLARE's: what they take for their site.

NVIDIA FLARE builds what a kit's ``local/*resources.json`` names, and fires its events to components of its own kind
alone. So who is of its kind, the launcher, has the others hear of all that happens. To them it is as in a site of
flcore's: a launch has one BEFORE_JOB_LAUNCH and one end, and all that is told of a job knows which, and how it ended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from flcore.admission import Load
from flcore.config.strict_json import load_json
from flcore.errors import ConfigError
from flcore.event_bus import EventBus
from flcore.event_type import EventType
from flcore.fl_component import FLComponent
from flcore.fl_constant import FLContextKey, JobMetaKey, ReservedKey
from flcore.fl_context import FLContext, FLContextManager, Prop
from flcore.job_launcher_spec import JobHandleSpec, JobLauncherSpec, JobResult
from flcore.job_meta import JobMeta, get_job_id
from flcore.launch import Launch
from flcore.launcher_choice import raise_refusal
from flcore.launcher_work import heard_meta
from flcore.observers.job_journal import JobJournal
from flcore.site_events import SiteEvents

logger = logging.getLogger(__name__)

JOURNAL = "journal"
"""What a journal is called that no kit has named."""
_TOLD_HERE = frozenset(
    {EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH, EventType.JOB_COMPLETED, EventType.JOB_ABORTED}
)
"""Events that these components hear from here alone, each once for each launch. NVIDIA FLARE's of these names are of
jobs that other launchers may launch, tell no result, and on a server are of the federation's job."""
_ABOUT_A_JOB = frozenset(
    {
        *(EventType.DEPLOY_JOB_TO_SERVER, EventType.DEPLOY_JOB_TO_CLIENT, EventType.JOB_DEPLOYED),
        *(EventType.JOB_STARTED, EventType.JOB_CANCELLED, EventType.JOB_COMPLETED),
    }
)
"""Events of a server whose contexts name a job, in one of several ways."""
_STARTS = (EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START)
_FROM_HERE = "_flcore_context"
"""In a context of NVIDIA FLARE's: that of ours in which one of these components has fired the event."""
_JOB_MANAGER, _STATUS, _FINISHED, _COMPLETED = "job_manager", "status", "FINISHED:", "FINISHED:COMPLETED"
"""NVIDIA FLARE's words: a server's component, a key of what that knows of a job, how ends begin, and the good one."""
_OWN_KEYS = frozenset({*vars(ReservedKey).values(), FLContextKey.EXCEPTIONS})
"""What no context takes over from another: which engine it is of, and what was raised where else."""
_OF_LAUNCH = "_flcore_launch_context"
"""In NVIDIA FLARE's context of a launch: that of ours in which these components hear of the launch."""
_SAID_OF_A_PLAN = (FLContextKey.EXCEPTIONS, FLContextKey.JOB_BLOCK_REASON)
"""What these components say of a job at JOB_LAUNCH_PLANNED, which its launch is to heed."""
Handle = TypeVar("Handle", bound=JobHandleSpec)
_READ_BY_JOBS = "local/resources.json"
_PACKAGE = "launchers.nvflare_launcher"


class KitSite:
    """The components, the bus on which they hear, and the engine of their contexts. For one parent.

    All methods may be called from any thread. Making one touches no disk.

    Args:
        engine: NVIDIA FLARE's.
        fl_ctx: a context of it, which says which site it is of.
        launcher: of this package's kind, which launches the site's jobs.
    """

    def __init__(self, engine: Any, fl_ctx: Any, launcher: JobLauncherSpec) -> None:
        self.name: str = fl_ctx.get_identity_name()
        self.workspace: Any = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        """NVIDIA FLARE's."""
        self._engine = engine
        self.launcher = launcher
        """Of this package's kind: whoever launches by it tells these components."""
        self._components: dict[str, FLComponent] = {}
        self._handles: dict[str, JobHandleSpec] = {}
        """Of the jobs that run, by id."""
        self._launching = 0
        self._bus = EventBus()
        self.events = SiteEvents(self)
        """By which they are told of jobs."""
        stickers = {FLContextKey.WORKSPACE_OBJECT: self.workspace}
        self._contexts = FLContextManager(self, self.name, private_stickers=stickers)
        self._lock = threading.Lock()

    def add_components(self, built: Mapping[str, Any], journal: bool) -> None:
        """Take in those of what a kit has that are of flcore's kind, in their order; say which would hear nothing.

        ``journal``: have one, the first of all, if the kit names none.
        """
        ours = {name: one for name, one in built.items() if isinstance(one, FLComponent)}
        deaf = {name: one for name, one in ours.items() if isinstance(one, JobLauncherSpec)}
        listening = {name: one for name, one in ours.items() if name not in deaf}
        if journal and not any(isinstance(one, JobJournal) for one in listening.values()):
            listening = {JOURNAL if JOURNAL not in built else f"{JOURNAL}-of-jobs": JobJournal(), **listening}
        for name, component in listening.items():
            component.name = name
            self._components[name] = component
            self._bus.connect(name, component.dispatch_event)
        self._say_who_hears(deaf, ours)

    # What the launcher has them hear

    def hear(self, event_type: str, fl_ctx: Any) -> None:
        """Have all hear an event of NVIDIA FLARE's engine, whoever has fired it."""
        if event_type == EventType.JOB_COMPLETED:
            self._tell_of_federation(fl_ctx, _job_id_of(event_type, fl_ctx))
        if event_type in _TOLD_HERE:
            return
        if event_type == EventType.JOB_LAUNCH_PLANNED:
            self._hear_plan(fl_ctx)
            return
        ours = fl_ctx.get_prop(_FROM_HERE) or self._taken_over(fl_ctx, _job_id_of(event_type, fl_ctx))
        self._bus.fire(event_type, ours)
        handle = ours.get_prop(FLContextKey.JOB_HANDLE)
        if event_type == EventType.JOB_RECOVERED and isinstance(handle, JobHandleSpec):
            self._follow(ours.get_job_id(), handle)

    def launch(self, launch_job: Callable[[dict[str, Any], Any], Handle], job_meta: JobMeta, fl_ctx: Any) -> Handle:
        """Have a job launched, and all hear of it: before, afterwards, and when it has ended or was not launched.

        Raises what a component has refused it by, or ``launch_job`` raises.
        """
        job_id = get_job_id(job_meta)
        launch, ours = self._begun(job_meta, fl_ctx)
        with self._lock:
            self._launching += 1
        try:
            handle = launch_job(self._heard(launch, ours), fl_ctx)
        except Exception as error:
            self.events.tell_of_failed_launch(job_id, error, launch.end_id)
            raise
        finally:
            with self._lock:
                self._launching -= 1
        _take_over((FLContextKey.LAUNCH_REQUEST,), fl_ctx, ours)
        self.events.tell_of_launch(handle, ours)
        self._follow(job_id, handle)
        return handle

    @property
    def puts_off(self) -> bool:
        """Whether one of them may put a launch off."""
        return any(one.puts_off for one in self._components.values())

    def hear_ahead(self, tell_plan: Callable[[dict[str, Any], Any], None], job_meta: JobMeta, fl_ctx: Any) -> None:
        """Have all hear of a launch as if it began now, and what it would be. Raises what one has refused it by.

        ``tell_plan``: has them hear that, in NVIDIA FLARE's context.
        """
        launch, ours = self._begun(job_meta, fl_ctx)
        heard = self._heard(launch, ours)
        if launch.plan_wanted_by:
            tell_plan(heard, fl_ctx)

    # What they ask of it, as of a site

    def new_context(self) -> FLContext:
        return self._contexts.new_context()

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Have all hear an event, NVIDIA FLARE's components, too, but of what only these are told."""
        if event_type in _TOLD_HERE:
            self._bus.fire(event_type, fl_ctx)
            return
        job_id = fl_ctx.get_job_id()
        theirs = context_of_job(self._engine, job_id) if job_id else self._engine.new_context()
        known = set(theirs.get_prop_keys())
        for key, (value, (private, _)) in _props_of(fl_ctx).items():
            if key not in known:
                theirs.set_prop(key, value, private=private, sticky=False)
        theirs.set_prop(_FROM_HERE, fl_ctx, private=True, sticky=False)
        self._engine.fire_event(event_type, theirs)

    def components(self) -> dict[str, FLComponent]:
        """Return them by id, in the order in which they hear, and the site's launcher."""
        return {**self._components, self.launcher.name: self.launcher}

    def get_component(self, component_id: str) -> Any:
        """Return a component by its id, of whatever kind; None if there is none."""
        return self._components.get(component_id) or self._engine.get_component(component_id)

    @property
    def load(self) -> Load:
        """How many jobs run and are launched now. NVIDIA FLARE has none wait here: it asks before."""
        with self._lock:
            return Load(len(self._handles) + self._launching, self._launching, 0)

    def jobs(self) -> dict[str, JobHandleSpec]:
        """Return the handles of the jobs that run, by id."""
        with self._lock:
            return dict(self._handles)

    def _begun(self, job_meta: JobMeta, fl_ctx: Any) -> tuple[Launch, FLContext]:
        """Return a launch in a context of NVIDIA FLARE's, and the one of ours in which all hear of it."""
        job_id = get_job_id(job_meta)
        launch = Launch(job_id)
        fl_ctx.set_prop(FLContextKey.LAUNCH, launch, private=True, sticky=False)
        ours = self._taken_over(fl_ctx, job_id)
        ours.put(FLContextKey.JOB_META, dict(job_meta), private=True, sticky=False)
        fl_ctx.set_prop(_OF_LAUNCH, ours, private=True, sticky=False)
        return launch, ours

    def _heard(self, launch: Launch, ours: FLContext) -> dict[str, Any]:
        """Have all hear that a job is to be launched, and return its metadata as they have left it."""
        self.events.fire_in(ours, EventType.BEFORE_JOB_LAUNCH)
        raise_refusal(launch.job_id, ours, self.components())
        return heard_meta(launch.job_id, ours)

    def _hear_plan(self, fl_ctx: Any) -> None:
        """Have all hear what is about to run, in the context in which they have heard that it will be launched."""
        ours = fl_ctx.get_prop(_OF_LAUNCH) or self._taken_over(fl_ctx, _job_id_of(EventType.JOB_LAUNCH_PLANNED, fl_ctx))
        said = (FLContextKey.EXCEPTIONS, FLContextKey.LAUNCH_REQUEST, FLContextKey.EVENT_ORIGIN)
        _take_over(said, fl_ctx, ours)
        self._bus.fire(EventType.JOB_LAUNCH_PLANNED, ours)
        _take_over(_SAID_OF_A_PLAN, ours, fl_ctx)

    def _tell_of_federation(self, fl_ctx: Any, job_id: str) -> None:
        """Tell, at a server, of a job of all sites that has not ended well; its own process may have."""
        status = _federated_status(self._engine, fl_ctx, job_id)
        if status and status != _COMPLETED:
            ours = self._taken_over(fl_ctx, job_id)
            ours.put(FLContextKey.EVENT_DATA, status, private=True, sticky=False)
            self._bus.fire(EventType.FEDERATED_JOB_FAILED, ours)

    def _follow(self, job_id: str, handle: JobHandleSpec) -> None:
        with self._lock:
            self._handles[job_id] = handle
        handle.add_done_callback(lambda ended: self._has_ended(job_id, ended))

    def _has_ended(self, job_id: str, handle: JobHandleSpec) -> None:
        with self._lock:
            if self._handles.get(job_id) is handle:
                del self._handles[job_id]
        if isinstance(handle.result, JobResult):
            self.events.tell_of_end(job_id, handle.result, handle.end_id)

    def _taken_over(self, fl_ctx: Any, job_id: str) -> FLContext:
        """Return a context of ours with what one of NVIDIA FLARE's says."""
        ours = self.new_context()
        ours.put_all(_props_of(fl_ctx))
        ours.put(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
        return ours

    def _say_who_hears(self, deaf: Mapping[str, FLComponent], ours: Mapping[str, FLComponent]) -> None:
        hearing = ", ".join(f"{name} ({type(one).__name__})" for name, one in self._components.items())
        logger.info("components of flcore's kind that hear of site %s: %s", self.name, hearing or "none")
        for name, launcher in deaf.items():
            kind, way_out = type(launcher), f"name a launcher of {_PACKAGE} in its place"
            logger.error(
                "component %r hears nothing, and launches nothing: %s.%s is for a site of flcore's own; %s",
                *(name, kind.__module__, kind.__qualname__, way_out),
            )
        for name in _named_in(self.workspace) & ours.keys():
            where = f"move it to a file of {_READ_BY_JOBS[:6]} whose name ends in __p_resources.json"
            logger.warning(
                "component %r is in %s, which jobs' processes build, too, and for which their image needs flcore: %s",
                *(name, _READ_BY_JOBS, where),
            )


@runtime_checkable
class TellsKit(Protocol):
    """A component of NVIDIA FLARE's kind that has those of flcore's hear what it hears."""

    kit_site: KitSite | None
    """Theirs; None before the parent starts. Where a kit has several who could tell, all have the first one's."""

    @property
    def launcher(self) -> JobLauncherSpec:
        """Return that of flcore's kind by which it launches."""

    @property
    def journal(self) -> bool:
        """Whether there is to be a journal, also where the kit names none."""


@contextmanager
def heard_by_kit(teller: TellsKit, event_type: str, fl_ctx: Any) -> Iterator[None]:
    """Have a kit's components of flcore's kind hear an event: before the teller reacts, but behind it of the end.

    They come to life in a parent only, which alone has a start: a job's process may build the same components.
    """
    if teller.kit_site is None and event_type in _STARTS:
        teller.kit_site = _kit_site_of(teller, event_type, fl_ctx)
    site = teller.kit_site if teller.kit_site and teller.kit_site.launcher is teller.launcher else None
    if site and event_type != EventType.SYSTEM_END:
        site.hear(event_type, fl_ctx)
    try:
        yield
    finally:
        if site and event_type == EventType.SYSTEM_END:
            site.hear(event_type, fl_ctx)


def _kit_site_of(teller: TellsKit, event_type: str, fl_ctx: Any) -> KitSite:
    engine = fl_ctx.get_engine()
    built = components_of(engine)
    first = next((one for one in built.values() if isinstance(one, TellsKit)), teller)
    if first is not teller and first.kit_site:
        return first.kit_site
    site = KitSite(engine, fl_ctx, teller.launcher)
    site.add_components(built, teller.journal)
    if event_type != EventType.SYSTEM_BOOTSTRAP:
        site.hear(EventType.SYSTEM_BOOTSTRAP, fl_ctx)
    return site


def context_of_job(engine: Any, job_id: str) -> FLContext:
    """Return a fresh context of an engine, which is about a job. Of NVIDIA FLARE's it is as good as one of ours."""
    fl_ctx: FLContext = engine.new_context()
    fl_ctx.remove_prop(FLContextKey.CURRENT_RUN, force_removal=True)  # it says that a parent is in none
    fl_ctx.set_prop(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
    return fl_ctx


def components_of(engine: Any) -> Mapping[str, Any]:
    """Return what a parent of NVIDIA FLARE's has built, by id: a client keeps that, and a server's run manager."""
    for holder in ("client", "run_manager"):
        built = getattr(getattr(engine, holder, None), "components", None)
        if isinstance(built, Mapping):
            return built
    logger.warning("components of flcore's kind hear nothing: this NVIDIA FLARE does not say which ones it has built")
    return {}


def _job_id_of(event_type: str, fl_ctx: Any) -> str:
    """Return the job that an event is about; empty if it is about none."""
    job_id = fl_ctx.get_job_id()
    if not job_id and event_type in _ABOUT_A_JOB:
        data = fl_ctx.get_prop(FLContextKey.EVENT_DATA)
        told = data.get(JobMetaKey.JOB_ID) if isinstance(data, Mapping) else None
        job_id = told or fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID)
    return str(job_id or "")


def _federated_status(engine: Any, fl_ctx: Any, job_id: str) -> str:
    """Return what a server has noted as a job's end; empty where it has not, or this is a client."""
    jobs = engine.get_component(_JOB_MANAGER)
    get_job = getattr(jobs, "get_job", None)
    job = get_job(job_id, fl_ctx) if get_job and job_id else None
    status = str(job.meta.get(_STATUS, "")) if job else ""
    return status if status.startswith(_FINISHED) else ""


def _props_of(fl_ctx: Any) -> dict[str, Prop]:
    """Return what a context says, of whatever framework, as that of one event; not which engine it is of."""
    details = {key: fl_ctx.get_prop_detail(key) for key in fl_ctx.get_prop_keys() if key not in _OWN_KEYS}
    return {key: (detail["value"], (detail["private"], False)) for key, detail in details.items() if detail}


def _take_over(keys: Iterable[str], from_ctx: Any, to_ctx: Any) -> None:
    """Have one context say what another does, of whatever framework."""
    for key in keys:
        to_ctx.set_prop(key, from_ctx.get_prop(key), private=True, sticky=False)


def _named_in(workspace: Any) -> set[str]:
    """Return the ids of the components in the file that parents and jobs read; none where it says nothing clear."""
    found: Any = {}
    with suppress(ConfigError, AttributeError):
        found = load_json(Path(workspace.get_root_dir(), _READ_BY_JOBS))
    listed = found.get("components") if isinstance(found, Mapping) else None
    return {str(one.get("id")) for one in listed or () if isinstance(one, Mapping)}
