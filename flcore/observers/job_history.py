"""What a journal tells of each job, put together. Pure: it reads no file, and asks no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ..event_ids import EventId
from ..job_launcher_spec import JobResult, JobUsage
from ..job_meta import study_in


class StateEntry(NamedTuple):
    """A state, and when the job's container entered it (seconds since the epoch)."""

    state: str
    time: float


class Outage(NamedTuple):
    """A time in which a site's engine did not answer; ``until`` is None while it does not.

    It belongs to the process that saw it, and ends with it: nobody else can tell when the engine answered again.
    """

    site: str
    since: float
    until: float | None
    reason: str
    parent: str = ""
    """The id of the process that saw it."""
    launcher: str = ""
    """Whose engine it is."""
    outlived: bool = False
    """It went on when that process ended, of which ``until`` is the last that was heard."""


class ImagePull(NamedTuple):
    """An image that was pulled, with or without success. Times are in seconds since the epoch."""

    image: str
    since: float
    until: float
    error: str


@dataclass(slots=True)
class JobHistory:
    """The last run of one job at one site."""

    job_id: str
    site: str
    name: str = ""
    """By the job's metadata: anything that its author liked."""
    study: str = ""
    """Likewise; an NVIDIA FLARE server says it itself, from 2.8 on."""
    submitter: str = ""
    """Likewise; an NVIDIA FLARE server says it itself."""
    parent: str = ""
    """The id of the process that launched or recovered it last."""
    launching_at: float | None = None
    """When the launch began; None where that is not known."""
    request: Mapping[str, Any] | None = None
    """What the runtime was asked for, secrets masked."""
    engine: str = ""
    """The address of the engine that was asked; empty where that is not known."""
    image_id: str = ""
    """What it was made from, as the engine knows it; empty where that is not known."""
    datasets: tuple[str, ...] = ()
    """The names of those that it sees."""
    held: str = ""
    """What the launch waits for; empty where it does not."""
    fingerprint: str = ""
    """Of what was approved; empty where nobody had to."""
    approved_by: tuple[str, ...] = ()
    """Who, or what rule, has approved that."""
    container_name: str = ""
    container_id: str = ""
    run: str = ""
    """What the ids of its changes have in common; of the newest, if that has changed."""
    states: list[StateEntry] = field(default_factory=list)
    """In order; none twice in a row."""
    result: JobResult | None = None
    """How it ended; None while nothing says that it has."""
    is_closed: bool = False
    """Whether the site has said that it is over; till then its container's end may be all that is known."""
    closed_at: float | None = None
    """When it said so."""
    federation: str = ""
    """How the job of all sites has ended, if that is told, and is not well: this site's part may have succeeded."""
    pulls: list[ImagePull] = field(default_factory=list)
    """What its site pulled while it was being launched."""
    recovered: int = 0
    """How often another process found it again."""
    usage: list[JobUsage] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The last state; empty before there is a container."""
        return self.states[-1].state if self.states else ""

    @property
    def began_at(self) -> float:
        """When it was first heard of; 0 if that is not known."""
        first = self.states[0].time if self.states else 0.0
        return self.launching_at or first


class SiteHistory:
    """All that the lines of one journal, or of several, tell.

    Args:
        lines: those of the journal.
        earlier: where the runs go of which there is a later one of the same job; by default they are forgotten.
    """

    def __init__(
        self, lines: Iterable[Mapping[str, Any]] = (), earlier: Callable[[JobHistory], object] | None = None
    ) -> None:
        self._earlier = earlier
        self.jobs: dict[tuple[str, str], JobHistory] = {}
        """By site and job id, in the order in which they were heard of."""
        self.outages: list[Outage] = []
        """As they were told: one of a process that did not survive it has no end here."""
        self.containers: dict[str, tuple[str, str, str]] = {}
        """Of all runs: the name, the site and the job, by the container's id."""
        self.users: dict[str, str] = {}
        """As whom a process ran, by its id; of one that is not here, that is not known."""
        self._heard_of: dict[str, float] = {}
        """When a process was heard of last, by its id."""
        self._told: dict[str, int] = {}
        """The number of what was told last, by the ``run`` of its id."""
        self._being_told: dict[tuple[str, str], JobHistory] = {}
        """Runs that have ended, of which that is still told while the job's next run has begun."""
        self._changed: set[tuple[str, str]] = set()
        for line in lines:
            self.take_in(line)

    def take_in(self, line: Mapping[str, Any]) -> None:
        """Take in one line; what is told twice counts once. What it does not know is passed over."""
        site, job_id = str(line.get("site", "")), str(line.get("job_id", ""))
        if self._is_repeat(line):
            return
        if "parent" in line:
            self._heard_of[str(line["parent"])] = line["time"]
        match line.get("event"):
            case "engine_unreachable" | "engine_reachable" as event:
                self._take_in_outage(event == "engine_reachable", site, line)
            case "opened":
                self.users[str(line["parent"])] = str(line.get("user", ""))
            case "image_pulled":
                self._take_in_pull(site, line)
            case str(event) if job_id:
                if event == "state_change" and line["container_id"]:
                    self.containers[line["container_id"]] = (line["container_name"], site, job_id)
                self._take_in_job(event, self._run_of(site, job_id, line), line)

    def _is_repeat(self, line: Mapping[str, Any]) -> bool:
        told_as = EventId.of(line["id"]) if isinstance(line.get("id"), str) else None
        if told_as is None:  # of a version without ids, or no event that may be told again
            return False
        if told_as.number <= self._told.get(told_as.run, 0):
            return True
        self._told[told_as.run] = told_as.number
        return False

    def settle(self) -> set[tuple[str, str]]:
        """Return which jobs have changed since the last call. What :attr:`jobs` has now is never written again.

        A line that is taken in later gives its job another object: who has got this one may keep it, in any thread.
        """
        changed, self._changed = self._changed, set()
        return changed

    def _to_be_written(self, key: tuple[str, str]) -> JobHistory:
        if key not in self._changed:
            self._changed.add(key)
            self.jobs[key] = _copy(self.jobs[key])
        return self.jobs[key]

    def settled_outages(self, is_alive: Callable[[str], bool]) -> list[Outage]:
        """Return them in order. ``is_alive``: whether the process that has an id lives; of another, none goes on."""
        return [
            outage
            if outage.until is not None or is_alive(outage.parent)
            else outage._replace(until=self._heard_of.get(outage.parent, outage.since), outlived=True)
            for outage in self.outages
        ]

    def _run_of(self, site: str, job_id: str, line: Mapping[str, Any]) -> JobHistory:
        """Return the run that a line is about: the last one, one that begins with it, or the one before."""
        key, event = (site, job_id), line["event"]
        known, before = self.jobs.get(key), self._being_told.get(key)
        if before and event == "state_change" and _is_change_of(before, line):
            return before
        if before and event in ("completed", "aborted") and not (known and _is_told_of(known, line)):
            return self._being_told.pop(key)
        if known is None or _begins_a_run(known, line):
            if known:
                self._put_by(key, known, line)
            self.jobs[key] = JobHistory(job_id, site)
            self._changed.add(key)
        return self._to_be_written(key)

    def _put_by(self, key: tuple[str, str], known: JobHistory, line: Mapping[str, Any]) -> None:
        """Have a run make room for the next one, which comes last; its end may still be told."""
        if line["event"] == "launching" and not known.is_closed and known.parent == line["parent"]:
            known = self._being_told[key] = _copy(known)
        del self.jobs[key]
        if self._earlier:
            self._earlier(known)

    def _take_in_job(self, event: str, job: JobHistory, line: Mapping[str, Any]) -> None:
        if event in ("launching", "held", "launched"):
            _take_in_launch(event, job, line)
        elif event == "recovered":
            job.recovered, job.parent = job.recovered + 1, line["parent"]
        elif event == "state_change":
            _take_in_change(job, line)
        elif event in ("completed", "aborted"):
            job.result, job.is_closed, job.closed_at = JobResult.from_dict(line["result"]), True, line["time"]
        elif event == "federated_failure":
            job.federation = str(line["status"])
        elif event == "usage":
            of_disk = line.get("disk"), line.get("disk_limit")  # an older version wrote none
            job.usage.append(
                JobUsage(job.job_id, job.site, line["time"], line["cpu_seconds"], line["memory"], *of_disk)
            )

    def _take_in_pull(self, site: str, line: Mapping[str, Any]) -> None:
        """Note a pull with all runs that may have waited for it: one pull serves many, and does not say which.

        Those of another process have not.
        """
        since = line["time"] - line["seconds"]
        pull = ImagePull(line["image"], since, line["time"], line["error"])
        for key, job in self.jobs.items():
            is_launching = job.launching_at is not None and not job.states and job.result is None
            if is_launching and (job.site, job.parent) == (site, line.get("parent", job.parent)):
                self._to_be_written(key).pulls.append(pull)

    def _take_in_outage(self, is_over: bool, site: str, line: Mapping[str, Any]) -> None:
        whose = site, str(line.get("parent", "")), str(line.get("launcher", ""))
        for index, outage in enumerate(self.outages):
            if (outage.site, outage.parent, outage.launcher) == whose and outage.until is None:
                if is_over:
                    self.outages[index] = outage._replace(until=line["time"])
                return
        if not is_over:
            self.outages.append(Outage(site, line["time"], None, str(line.get("reason", "")), *whose[1:]))


def _copy(job: JobHistory) -> JobHistory:
    return replace(job, states=[*job.states], pulls=[*job.pulls], usage=[*job.usage])


def _is_change_of(before: JobHistory, line: Mapping[str, Any]) -> bool:
    """Whether a change is of a run that has ended, and not of the next one, which has begun.

    Of jobs without containers all changes of one run are told before any of the next.
    """
    if line["container_id"]:
        return before.container_id in ("", line["container_id"])
    return not before.container_id and before.result is None


def _is_told_of(known: JobHistory, line: Mapping[str, Any]) -> bool:
    """Whether a line is certainly of a run, by its id."""
    told_as = EventId.of(str(line.get("id")))
    return told_as is not None and told_as.run == known.run


def _begins_a_run(known: JobHistory, line: Mapping[str, Any]) -> bool:
    """Whether a line is about a later run than the one that is known: a job's id may be used again after its end."""
    event = line["event"]
    if event == "state_change":
        return known.result is not None and known.container_id not in ("", line["container_id"])
    if event in ("completed", "aborted"):
        return known.is_closed and known.result != JobResult.from_dict(line["result"])
    was_held = known.held and not known.is_closed and known.parent == line.get("parent")
    return event == "launching" and known.began_at > 0 and not was_held


def _take_in_launch(event: str, job: JobHistory, line: Mapping[str, Any]) -> None:
    if event == "launching":
        job.launching_at = job.launching_at or line["time"]  # one that was held begins anew
        job.name, job.parent, job.held = line["name"], line["parent"], ""
        job.study = study_in(line)  # an older version wrote none, or NVIDIA FLARE's word for that
        job.submitter = str(line.get("submitter", ""))
    elif event == "held":
        job.held = str(line["reason"])
    else:
        job.request, job.engine = line["request"], str(line.get("engine", ""))
        job.image_id, job.datasets = str(line.get("image_id", "")), tuple(map(str, line.get("datasets") or ()))
        job.fingerprint = str(line.get("fingerprint", ""))
        job.approved_by = tuple(map(str, line.get("approved_by") or ()))


def _take_in_change(job: JobHistory, line: Mapping[str, Any]) -> None:
    job.container_name, job.container_id = line["container_name"], line["container_id"]
    if told_as := EventId.of(str(line.get("id"))):
        job.run = told_as.run
    entry = StateEntry(line["state"], line["time"])
    if entry not in job.states:  # else it is told again, by a process that does not know that it was told
        job.states.append(entry)
    if line["result"] and not job.is_closed:
        job.result = JobResult.from_dict(line["result"])
