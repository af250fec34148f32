"""Which jobs there are: what journals and records on disk tell, and what the engines say now, put together."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from flcore.errors import FLCoreError
from flcore.job_meta import is_identifier
from flcore.observers.job_history import JobHistory, Outage, SiteHistory, StateEntry

from ..container_spec import (
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
)
from ..docker_state import DOCKER_STATE, TERMINAL_STATES
from ..runtime.base import ContainerSummary, Runtime
from .site_files import FoundRecord, SiteFiles

LAUNCHING = "launching"
"""There is no container yet."""
LOST = "lost"
"""It has no result, nobody follows it, and it is nowhere."""
UNKNOWN = "unknown"
"""Nobody follows it, and no engine that answers has it: it may run."""


@dataclass(slots=True)
class JobView:
    """All that is known of the last run of one job at one site."""

    history: JobHistory
    """From the journal; where there is none, made from the record and the container."""
    state: str
    """Docker's; or ``launching``, ``lost`` or ``unknown``. One that has never run, and never will, is ``dead``."""
    launcher: str = ""
    workspace: Path | None = None
    """The site's; None where only the engine knows of the site."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """The launcher's own; empty when nothing is left to be done."""
    record_path: Path | None = None
    container: ContainerSummary | None = None
    """What the engine lists; None if it has none, or does not answer."""
    runtime: Runtime | None = None
    """Of that engine."""
    has_parent: bool | None = None
    """Whether a process of the site follows the job; None where that cannot be told."""
    has_journal: bool = False
    """Whether the history is a journal's."""

    @property
    def is_active(self) -> bool:
        """Whether its end is yet to come, or yet to be seen."""
        return self.history.result is None and self.state != LOST

    def is_same_job(self, other: JobView) -> bool:
        """Whether both are of the same job at the same site, whatever the run."""
        one, two = self.history, other.history
        return (self.workspace, one.site, one.job_id) == (other.workspace, two.site, two.job_id)

    @property
    def log_path(self) -> Path | None:
        """Where its output is kept after its end."""
        who = self.history
        return self.workspace / who.job_id / f"{who.site}.log" if self.workspace else None


class Listed(NamedTuple):
    """A container, and the engine that lists it."""

    summary: ContainerSummary
    runtime: Runtime

    @property
    def labels(self) -> Mapping[str, str]:
        return self.summary.labels

    @property
    def site_id(self) -> str:
        return self.labels[LABEL_SITE_ID]

    @property
    def key(self) -> tuple[str, str]:
        return self.labels[LABEL_SITE], self.labels[LABEL_JOB_ID]


class Holding(NamedTuple):
    """A container that a launcher has made, and whose it is."""

    summary: ContainerSummary
    runtime: Runtime
    is_followed: bool
    """A process of its site lives, as far as can be seen from here."""
    is_on_record: bool | None
    """Its site has a record of it: something is left to be done. None if the site is here, but cannot be read."""


class JobIndex:
    """What the commands, the report and the live page ask. Reads anew each time; safe to use from several threads.

    It changes nothing, and needs no process of a site. To be closed, which lets go of the engines.

    Args:
        sites: returns the sites that are there now.
        engines: make the engines to be asked; each is called once. An ImportError is a problem to be told.
        whole_machine: jobs of other sites count, too, which only the engines, or their labels, tell of.
    """

    def __init__(
        self,
        sites: Callable[[], Iterable[SiteFiles]],
        engines: Sequence[Callable[[], Runtime]] = (),
        *,
        whole_machine: bool = False,
    ) -> None:
        self._find_sites = sites
        self._engines = engines
        self._whole_machine = whole_machine
        self._runtimes: list[Runtime] | None = None
        self._sites: dict[Path, SiteFiles] = {}
        self._outages: list[Outage] = []
        self._problems: list[str] = []
        self._lock = threading.Lock()

    def jobs(self) -> list[JobView]:
        """Return all jobs, in the order in which they began. Engines that do not answer are in :attr:`problems`."""
        with self._lock:
            self._problems = []
            listed = self._list()
            views: list[JobView] = []
            outages: list[Outage] = []
            for site in self._look_at_sites(listed):
                views += site.jobs(one for one in listed if one.site_id == site.id)
                listed = [one for one in listed if one.site_id != site.id]
                outages += site.history.outages
            if self._whole_machine:
                views += [_view_of_container(one) for one in listed]
            self._outages = outages
            return sorted(views, key=lambda view: view.history.began_at)

    def holdings(self) -> list[Holding]:
        """Return the containers that launchers have made: of the last runs, and of others."""
        with self._lock:
            self._problems = []
            listed = self._list()
            sites = {site.id: site for site in self._look_at_sites(listed)}
            mine = [one for one in listed if self._whole_machine or one.site_id in sites]
            return [_holding(one, sites.get(one.site_id)) for one in mine]

    def outages(self) -> Sequence[Outage]:
        """Return when engines did not answer, by the journals, as :meth:`jobs` has found them the last time."""
        return self._outages

    def watched_paths(self) -> Sequence[Path]:
        """Return the folders in which something changes when a job does, of the sites that are there now."""
        with self._lock:
            self._look_for_sites([])
            return [path for site in self._sites.values() for path in site.watched_paths()]

    @property
    def problems(self) -> Sequence[str]:
        """What could not be found out the last time, a line each."""
        return self._problems

    @property
    def runtimes(self) -> Sequence[Runtime]:
        """The engines that are asked."""
        with self._lock:
            return self._made_runtimes()

    def close(self) -> None:
        """Let go of the engines. Idempotent."""
        with self._lock:
            runtimes, self._runtimes = self._runtimes or [], None
        for runtime in runtimes:
            runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list(self) -> list[Listed]:
        """Ask each engine once. Asked first: of what the files say afterwards, the newest is true."""
        listed = []
        for runtime in self._made_runtimes():
            try:
                listed += [Listed(summary, runtime) for summary in runtime.list_containers()]
            except FLCoreError as error:
                self._problems.append(str(error))
        return [one for one in listed if is_ours(one.summary)]

    def _made_runtimes(self) -> list[Runtime]:
        if self._runtimes is None:
            made: dict[str, Runtime] = {}
            for make in self._engines:
                try:
                    runtime = make()
                except ImportError as error:
                    self._problems.append(f"no engine was asked: {error}")
                    return []
                made.setdefault(runtime.name, runtime)
            self._runtimes = [runtime for runtime in made.values() if runtime.remembers]
        return self._runtimes

    def _look_for_sites(self, listed: Iterable[Listed]) -> None:
        found = [*self._find_sites()]
        if self._whole_machine:
            found += [site for one in listed if (site := _site_named_by(one))]
        known = self._sites
        self._sites = {}
        for site in found:
            self._sites.setdefault(site.folder.resolve(), known.get(site.folder.resolve(), site))

    def _look_at_sites(self, listed: Iterable[Listed]) -> list[_SiteNow]:
        self._look_for_sites(listed)
        found = []
        for site in self._sites.values():
            try:
                found.append(_SiteNow(site, site.site_id(), site.records(), site.history()))
            except OSError as error:
                self._problems.append(f"{site.folder} cannot be read: {error}")
        return found


class _SiteNow(NamedTuple):
    """What a site has on disk now."""

    files: SiteFiles
    id: str
    records: Sequence[FoundRecord]
    history: SiteHistory

    def jobs(self, listed: Iterable[Listed]) -> list[JobView]:
        """Return the site's jobs, by what it has, and by its containers."""
        told, files = self.history.jobs, self.files
        records = {(record.fields["site"], record.fields["job_id"]): record for record in self.records}
        containers: dict[tuple[str, str], list[Listed]] = defaultdict(list)
        for one in listed:
            containers[one.key].append(one)
        keys = dict.fromkeys([*told, *records, *containers])
        return [_view(files, told.get(key), records.get(key), containers.get(key, ())) for key in keys]


def _holding(one: Listed, site: _SiteNow | None) -> Holding:
    nonce = one.summary.nonce
    record = next((record for record in site.records if record.fields.get("nonce") == nonce), None) if site else None
    parents = {one.labels[LABEL_PARENT], record.fields["parent"] if record else ""}
    is_followed = site is not None and any(map(site.files.is_alive, parents))
    is_on_record = None if site is None and _is_hidden(one) else record is not None
    return Holding(one.summary, one.runtime, is_followed, is_on_record)


def _is_hidden(one: Listed) -> bool:
    """Whether a container's site is here, but not for us to look at."""
    try:
        Path(one.labels.get(LABEL_STATE_DIR, ""), "site-id").stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False


def is_ours(summary: ContainerSummary) -> bool:
    """Whether a container has all the labels that a launcher gives, which can stand in a path."""
    labels = summary.labels
    named = (LABEL_SITE, LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE_ID, LABEL_PARENT)
    return LABEL_LAUNCHER in labels and all(is_identifier(labels.get(label)) for label in named)


def _site_named_by(one: Listed) -> SiteFiles | None:
    """Return the site whose state folder a container's label names, if it is here and says so itself."""
    folder = Path(one.labels.get(LABEL_STATE_DIR, ""))
    if not folder.is_absolute():
        return None
    site = SiteFiles(folder.parent)
    try:
        return site if site.folder == folder and site.site_id() == one.site_id else None
    except (OSError, ValueError):
        return None


def _view(site: SiteFiles, told: JobHistory | None, record: FoundRecord | None, listed: Sequence[Listed]) -> JobView:
    """Return what there is to say of one job."""
    fields = record.fields if record else {}
    one = _container_of(told, fields, listed)
    if told and (_is_a_later_run(fields, told) or (one and _is_a_later_container(one.summary, told))):
        told = None  # of a run that the journal does not know
    history = told or _history_without_journal(fields, one)
    has_parent = any(map(site.is_alive, _parents(history, fields, one)))
    view = JobView(
        history=history,
        state="",
        launcher=fields.get("launcher") or (one.labels[LABEL_LAUNCHER] if one else ""),
        workspace=site.workspace,
        record=fields,
        record_path=record.path if record else None,
        container=one.summary if one else None,
        runtime=one.runtime if one else None,
        has_parent=has_parent,
        has_journal=told is not None,
    )
    view.state = _state(view)
    return view


def _view_of_container(one: Listed) -> JobView:
    """Return what there is to say of a job whose site is not to be found here."""
    history = _history_without_journal({}, one)
    launcher = one.labels[LABEL_LAUNCHER]
    return JobView(history, one.summary.state, launcher, container=one.summary, runtime=one.runtime)


def _container_of(told: JobHistory | None, record: Mapping[str, Any], listed: Sequence[Listed]) -> Listed | None:
    """Return the container of a job's last run: what its record, or the journal, knows; else the newest."""
    by_nonce = (one for one in listed if record and one.summary.nonce == record.get("nonce"))
    by_id = (one for one in listed if told and one.summary.id == told.container_id)
    newest = max(listed, key=lambda one: one.summary.created_at or 0.0, default=None)
    one = next(by_nonce, None) or next(by_id, newest)
    is_of_an_earlier_run = (
        one is not None
        and told is not None
        and told.container_id not in ("", one.summary.id)
        and not _is_a_later_container(one.summary, told)
    )
    return None if is_of_an_earlier_run else one


def _is_a_later_run(record: Mapping[str, Any], told: JobHistory) -> bool:
    """Whether a record is of a later run than the one of which the journal tells last."""
    if not record:
        return False
    if record.get("container_id") and told.container_id:
        return bool(record["container_id"] != told.container_id)
    ended_at = told.result and (told.result.finished_at or told.began_at)
    return ended_at is not None and ended_at < record["time"]


def _is_a_later_container(container: ContainerSummary, told: JobHistory) -> bool:
    is_another = told.container_id not in ("", container.id)
    return is_another and (container.created_at or 0.0) > told.began_at


def _history_without_journal(record: Mapping[str, Any], one: Listed | None) -> JobHistory:
    """Return what the record and the container's labels tell."""
    labels = one.labels if one else {}
    return JobHistory(
        job_id=record.get("job_id") or labels[LABEL_JOB_ID],
        site=record.get("site") or labels[LABEL_SITE],
        parent=record.get("parent") or labels[LABEL_PARENT],
        launching_at=record.get("time") or (one.summary.created_at if one else None),
        container_name=record.get("name") or (one.summary.name if one else ""),
        container_id=record.get("container_id") or (one.summary.id if one else ""),
        states=_states_told(record),
    )


def _states_told(record: Mapping[str, Any]) -> list[StateEntry]:
    try:
        state, _, time = record["told"]
        return [StateEntry(str(state), float(time))]
    except (KeyError, TypeError, ValueError):
        return []


def _parents(history: JobHistory, record: Mapping[str, Any], one: Listed | None) -> Iterable[str]:
    """Return the ids of the process that follows a job, if it lives: a record knows best who took the job over."""
    if record:
        return [str(record["parent"])]
    if history.result:
        return []
    return [history.parent, one.labels[LABEL_PARENT] if one else ""]


def _state(view: JobView) -> str:
    """Return the state of a job: what is running now is only what an engine, or who follows it, says so of."""
    last = view.history.state
    if view.history.result:
        return last if last in TERMINAL_STATES else DOCKER_STATE.DEAD
    if view.container:
        return view.container.state
    if not view.record:
        return (last or LAUNCHING) if view.has_parent else LOST
    if not view.record.get("container_id"):
        return LAUNCHING
    told = next((entry.state for entry in _states_told(view.record)), last)
    return told if told in TERMINAL_STATES else UNKNOWN if not view.has_parent else told or LAUNCHING
