"""What is to be said of a job, by all that tells of it: journal, record and container, joined. Pure.

A job's id may be used again after its end, so these three may be of different runs; only the last run counts. Each of
them may be missing: a site may keep no journal, a record goes when nothing is left to be done, and a container may be
gone, or its engine not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from flcore.disk.job_folders import running_output
from flcore.disk.presence import is_there
from flcore.job_meta import is_identifier
from flcore.observers.job_history import JobHistory, StateEntry

from ..container_spec import (
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
    LABEL_STUDY,
)
from ..docker_state import DOCKER_STATE, TERMINAL_STATES
from ..records.job_record import JobIdentity
from ..records.known_job import known_end
from ..runtime.base import ContainerSummary, Runtime
from .site_files import FoundFolder, FoundRecord

LAUNCHING = "launching"
"""There is no container yet."""
LOST = "lost"
"""It has no result, nobody follows it, and it is nowhere."""
ENDED = "ended"
"""Its folder alone tells of it, and of that there is its output: nobody knows any more how it ended."""
UNKNOWN = "unknown"
"""Nobody follows it, and no engine that answers has it: it may run."""


@dataclass(slots=True)
class JobView:
    """All that is known of the last run of one job at one site."""

    history: JobHistory
    """From the journal; where there is none, made from the record and the container."""
    state: str
    """Docker's; or ``launching``, ``lost``, ``ended`` or ``unknown``. What has never run, nor will, is ``dead``."""
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
        return self.history.result is None and self.state not in (LOST, ENDED)

    @property
    def waits_for(self) -> str:
        """What its launch waits for, as somebody's approval; empty where it does not, or nobody would let it go on."""
        return self.history.held if self.state == LAUNCHING else ""

    def is_same_job(self, other: JobView) -> bool:
        """Whether both are of the same job at the same site, whatever the run."""
        one, two = self.history, other.history
        return (self.workspace, one.site, one.job_id) == (other.workspace, two.site, two.job_id)

    @property
    def log_path(self) -> Path | None:
        """Where its output is kept after its end."""
        who = self.history
        return self.workspace / who.job_id / f"{who.site}.log" if self.workspace else None

    @property
    def running_output(self) -> Path | None:
        """The file that it writes to as a local process, until that is kept as its log; None where it is not there."""
        path = running_output(self.workspace / self.history.job_id) if self.workspace else None
        return path if path and is_there(path) else None


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

    @property
    def who(self) -> JobIdentity:
        """Who it is by what it says itself."""
        return JobIdentity(self.key[1], self.key[0], self.summary.name, self.summary.id, self.summary.nonce)

    @property
    def claims_to_be_ours(self) -> bool:
        """Whether it has all the labels that a launcher gives, which can stand in a path. Without, ask it no more."""
        named = (LABEL_SITE, LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE_ID, LABEL_PARENT)
        return LABEL_LAUNCHER in self.labels and all(is_identifier(self.labels.get(label)) for label in named)


def join(
    told: JobHistory | None,
    record: FoundRecord | None,
    listed: Sequence[Listed],
    is_alive: Callable[[str], bool],
    workspace: Path,
) -> JobView:
    """Return what there is to say of one job of a site; one of the first three at least is there.

    Args:
        told: of the last run that the journal knows.
        record: the launcher's.
        listed: the job's containers, of whatever run.
        is_alive: whether the process of the site that has this id lives.
        workspace: the site's.
    """
    fields = record.fields if record else {}
    one = _container_of_last_run(told, fields, listed)
    if told and (_is_record_of_a_later_run(fields, told) or (one and _is_container_of_a_later_run(one.summary, told))):
        told = None  # the journal does not know the last run: its site was started without one meanwhile
    history = _with_end_on_record(told or _history_without_journal(fields, one), fields)
    container = one.summary if one else None
    has_parent = any(map(is_alive, _parents(history, fields, one)))
    return JobView(
        history=history,
        state=_state(history, fields, container, has_parent),
        launcher=fields.get("launcher") or (one.labels[LABEL_LAUNCHER] if one else ""),
        workspace=workspace,
        record=fields,
        record_path=record.path if record else None,
        container=container,
        runtime=one.runtime if one else None,
        has_parent=has_parent,
        has_journal=told is not None,
    )


def view_of_folder(found: FoundFolder, workspace: Path) -> JobView:
    """Return what there is to say of a job of which its site has nothing but its folder."""
    history = JobHistory(found.job_id, found.site, found.name, launching_at=found.began_at)
    return JobView(history, ENDED, workspace=workspace, has_parent=False)


# --- which run is the last ---


def _container_of_last_run(
    told: JobHistory | None, record: Mapping[str, Any], listed: Sequence[Listed]
) -> Listed | None:
    """Return the container of a job's last run; None if there is none, or only those of earlier ones.

    A record is always of the last run, and its nonce is in no other container. Without one, the container that the
    journal names is, unless there is a newer one: a site may keep those of ended runs.
    """
    by_nonce = (one for one in listed if record and one.summary.nonce == record.get("nonce"))
    by_id = (one for one in listed if told and one.summary.id == told.container_id)
    newest = max(listed, key=lambda one: one.summary.created_at or 0.0, default=None)
    one = next(by_nonce, None) or next(by_id, newest)
    is_of_an_earlier_run = (
        one is not None
        and told is not None
        and told.container_id not in ("", one.summary.id)
        and not _is_container_of_a_later_run(one.summary, told)
    )
    return None if is_of_an_earlier_run else one


def _is_record_of_a_later_run(record: Mapping[str, Any], told: JobHistory) -> bool:
    """Whether a record is of a later run than the one of which the journal tells last.

    Two containers are two runs. Before the record, or the journal, knows of a container, only time can tell: a next
    run is written down after the end of the one before, and while that has not ended, it is the same.
    """
    if not record:
        return False
    if record.get("container_id") and told.container_id:
        return bool(record["container_id"] != told.container_id)
    ended_at = told.result and (told.result.finished_at or told.began_at)
    return ended_at is not None and ended_at < record["time"]


def _is_container_of_a_later_run(container: ContainerSummary, told: JobHistory) -> bool:
    """Whether a container is another than the journal's, made after that one's run began."""
    is_another = told.container_id not in ("", container.id)
    return is_another and (container.created_at or 0.0) > told.began_at


# --- what is to be said of it ---


def _history_without_journal(record: Mapping[str, Any], one: Listed | None) -> JobHistory:
    """Return what the record and the container's labels tell."""
    labels = one.labels if one else {}
    return JobHistory(
        job_id=record.get("job_id") or labels[LABEL_JOB_ID],
        site=record.get("site") or labels[LABEL_SITE],
        study=str(record.get("study") or labels.get(LABEL_STUDY, "")),
        parent=record.get("parent") or labels[LABEL_PARENT],
        launching_at=record.get("time") or (one.summary.created_at if one else None),
        container_name=record.get("name") or (one.summary.name if one else ""),
        container_id=record.get("container_id") or (one.summary.id if one else ""),
        states=_states_told(record),
    )


def _with_end_on_record(history: JobHistory, record: Mapping[str, Any]) -> JobHistory:
    """Return what is told of a job that has ended by its record, though not all have heard of that yet.

    That is how it will be told, by whatever process. The history itself, which others have too, stays as it is.
    """
    try:
        end = None if history.result else known_end(record)
    except ValueError:  # of another version: its site's next start makes the best of it
        end = None
    if end is None:
        return history
    state, result = end
    states = [*history.states]
    if history.state not in TERMINAL_STATES:
        states.append(StateEntry(state, result.finished_at or history.began_at))
    return replace(history, result=result, states=states)


def _states_told(record: Mapping[str, Any]) -> list[StateEntry]:
    """Return the state of which the launcher has noted that it told; none if it has told of none."""
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


def _state(history: JobHistory, record: Mapping[str, Any], container: ContainerSummary | None, has_parent: bool) -> str:
    """Return the state of a job: what is running now is only what an engine, or who follows it, says so of."""
    last = history.state
    if history.result:
        return last if last in TERMINAL_STATES else DOCKER_STATE.DEAD
    if container:
        return container.state or UNKNOWN
    if not record:
        # Local processes have neither records nor an engine that lists them: of these, a site that lives is believed.
        return (last or LAUNCHING) if has_parent else LOST
    if not record.get("container_id"):
        return LAUNCHING
    told = next((entry.state for entry in _states_told(record)), last)
    return told if told in TERMINAL_STATES else UNKNOWN if not has_parent else told or LAUNCHING
