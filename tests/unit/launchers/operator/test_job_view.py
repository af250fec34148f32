"""What journal, record and container say of a job together: whose word counts, and which run is the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode
from flcore.observers.job_history import JobHistory, StateEntry
from launchers.container_spec import (
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
    LABEL_STUDY,
)
from launchers.docker_state import DOCKER_STATE
from launchers.operator.job_view import LAUNCHING, LOST, UNKNOWN, JobView, Listed, join
from launchers.operator.site_files import FoundRecord
from launchers.runtime.base import ContainerSummary
from launchers.runtime.fake import FakeRuntime

WORKSPACE = Path("/work/site-1")
ENGINE = FakeRuntime()
LABELS = {
    LABEL_LAUNCHER: "launcher",
    LABEL_SITE: "site-1",
    LABEL_JOB_ID: "job-1",
    LABEL_SITE_ID: "0123456789abcdef",
    LABEL_PARENT: "parent-1",
}


def told(
    *states: str, at: float = 100, of: str = "c1", ended: float | None = None, parent: str = "parent-1"
) -> JobHistory:
    """Return what a journal tells of a run that began at a time."""
    entries = [StateEntry(state, at + 1) for state in states]
    result = JobResult(JobReturnCode.SUCCESS, exit_code=0, finished_at=ended) if ended else None
    return JobHistory("job-1", "site-1", parent=parent, launching_at=at, container_id=of, states=entries, result=result)


def record(at: float = 100, **fields: Any) -> FoundRecord:
    """Return a record of a run that began at a time."""
    known = {"job_id": "job-1", "site": "site-1", "parent": "parent-1", "launcher": "launcher", "nonce": "n1"}
    return FoundRecord(WORKSPACE / ".flcore/jobs/1.jsonl", {**known, "time": at, **fields})


def listed(container_id: str = "c1", state: str = "running", *, at: float = 100.5, nonce: str = "n1") -> Listed:
    labels = {**LABELS, LABEL_NONCE: nonce}
    return Listed(ContainerSummary(container_id, "site-1-job-1", DOCKER_STATE(state), labels, at), ENGINE)


def joined(
    history: JobHistory | None = None,
    found: FoundRecord | None = None,
    containers: Sequence[Listed] = (),
    *,
    alive: Sequence[str] = ("parent-1",),
) -> JobView:
    return join(history, found, containers, alive.__contains__, WORKSPACE)


def container_id(view: JobView) -> str:
    return view.container.id if view.container else ""


# --- the state ---

RUNNING, ENDED = told("created", "running"), told("created", "running", "exited", ended=110)
ON_RECORD = record(container_id="c1", told=["running", [], 101.0])


@pytest.mark.parametrize(
    ("history", "found", "containers", "with_parent", "without"),
    [
        (told(), None, [], LAUNCHING, LOST),
        (RUNNING, None, [], "running", LOST),
        (ENDED, None, [], "exited", "exited"),
        (told(ended=110), None, [], "dead", "dead"),
        (ENDED, None, [listed(state="exited")], "exited", "exited"),
        (RUNNING, ON_RECORD, [listed(state="paused")], "paused", "paused"),
        (RUNNING, ON_RECORD, [], "running", UNKNOWN),
        (None, ON_RECORD, [], "running", UNKNOWN),
        (None, record(container_id="c1"), [], LAUNCHING, UNKNOWN),
        (None, record(), [], LAUNCHING, LAUNCHING),
        (RUNNING, record(container_id="c1", told=["exited", [], 110.0]), [], "exited", "exited"),
        (RUNNING, record(container_id="c1", told="nonsense"), [], "running", UNKNOWN),
        (None, None, [listed()], "running", "running"),
    ],
    ids=[
        "launching",
        "of-a-process",
        "ended",
        "never-ran",
        "kept",
        "engine-knows-best",
        "engine-away",
        "no-journal",
        "not-told-yet",
        "intent-only",
        "end-told",
        "unreadable",
        "container-only",
    ],
)
def test_a_job_is_in_the_state_that_who_knows_best_says(
    history: JobHistory | None, found: FoundRecord | None, containers: Sequence[Listed], with_parent: str, without: str
) -> None:
    assert joined(history, found, containers).state == with_parent
    assert joined(history, found, containers, alive=()).state == without


@pytest.mark.parametrize(
    ("view", "is_active"),
    [
        (joined(RUNNING), True),
        (joined(ENDED), False),
        (joined(RUNNING, alive=()), False),
        (joined(found=record()), True),
    ],
    ids=["running", "ended", "lost", "launching"],
)
def test_a_job_is_active_until_its_end_is_seen_or_it_is_lost(view: JobView, is_active: bool) -> None:
    assert view.is_active is is_active


# --- which run is the last ---


@pytest.mark.parametrize(
    ("history", "found", "is_the_journals"),
    [
        (RUNNING, None, True),
        (RUNNING, record(container_id="c1"), True),
        (RUNNING, record(200, container_id="c2"), False),
        (RUNNING, record(200), True),
        (ENDED, record(200), False),
        (ENDED, record(105), True),
        (told(of="", ended=110), record(200, container_id="c2"), False),
        (told(of=""), record(container_id="c1"), True),
    ],
    ids=["no-record", "same", "another", "not-ended", "after-its-end", "before-its-end", "had-none", "has-none-yet"],
)
def test_a_record_is_of_a_later_run_than_the_journals_or_of_the_same(
    history: JobHistory, found: FoundRecord | None, is_the_journals: bool
) -> None:
    view = joined(history, found)
    assert view.has_journal is is_the_journals
    assert (view.history is history) is is_the_journals


@pytest.mark.parametrize(
    ("history", "found", "containers", "chosen"),
    [
        (None, None, [listed("c1", at=100), listed("c2", at=200)], "c2"),
        (RUNNING, None, [listed("c1", at=100), listed("c0", at=50)], "c1"),
        (RUNNING, ON_RECORD, [listed("c0", nonce="n0", at=500), listed("c1")], "c1"),
        (RUNNING, None, [listed("c0", at=50)], ""),
        (RUNNING, None, [listed("c2", at=200)], "c2"),
        (told(of=""), None, [listed("c1")], "c1"),
        (RUNNING, ON_RECORD, [], ""),
    ],
    ids=["newest", "named-by-journal", "named-by-record", "of-an-earlier-run", "of-a-later-run", "unnamed", "none"],
)
def test_the_container_is_that_of_the_last_run(
    history: JobHistory | None, found: FoundRecord | None, containers: Sequence[Listed], chosen: str
) -> None:
    view = joined(history, found, containers)
    assert container_id(view) == chosen
    assert view.runtime is (ENGINE if chosen else None)


def test_a_container_of_a_later_run_takes_the_place_of_what_the_journal_tells() -> None:
    view = joined(ENDED, None, [listed("c2", at=200)])
    assert (view.has_journal, view.history.result, view.state) == (False, None, "running")


# --- who follows it ---


@pytest.mark.parametrize(
    ("history", "found", "containers", "alive", "has_parent"),
    [
        (RUNNING, None, [], ["parent-1"], True),
        (RUNNING, None, [], ["parent-2"], False),
        (RUNNING, record(container_id="c1", parent="parent-2"), [], ["parent-1"], False),
        (RUNNING, record(container_id="c1", parent="parent-2"), [], ["parent-2"], True),
        (told("running", parent="parent-0"), None, [listed()], ["parent-1"], True),
        (ENDED, None, [], ["parent-1"], False),
    ],
    ids=["journals", "another", "taken-over-from", "taken-over-by", "containers", "ended"],
)
def test_a_job_is_followed_by_the_process_that_its_record_names_else_journal_or_container(
    history: JobHistory, found: FoundRecord | None, containers: Sequence[Listed], alive: Sequence[str], has_parent: bool
) -> None:
    assert joined(history, found, containers, alive=alive).has_parent is has_parent


# --- without a journal, and without a site ---


def test_what_no_journal_tells_the_record_does() -> None:
    view = joined(None, record(name="site-1-job-1", container_id="c1", told=["running", [], 101.0]))
    history = view.history
    assert (history.job_id, history.site, history.parent, history.began_at) == ("job-1", "site-1", "parent-1", 100)
    assert (history.container_name, history.container_id) == ("site-1-job-1", "c1")
    assert history.states == [StateEntry("running", 101.0)]
    assert (view.launcher, view.log_path) == ("launcher", WORKSPACE / "job-1/site-1.log")


def test_what_no_journal_tells_of_a_study_the_record_does_or_else_the_container() -> None:
    one = listed()
    labelled = one._replace(summary=replace(one.summary, labels={**one.labels, LABEL_STUDY: "heart"}))
    assert joined(None, record(study="brain"), [labelled]).history.study == "brain"
    assert joined(None, None, [labelled]).history.study == "heart"


# --- whose container it is ---


@pytest.mark.parametrize(
    ("changed", "is_ours"),
    [({}, True), ({LABEL_JOB_ID: "../etc"}, False), ({LABEL_SITE: ""}, False), ({LABEL_NONCE: None}, False)],
    ids=["ours", "no-identifier", "empty", "missing"],
)
def test_a_container_is_ours_with_all_the_labels_that_a_launcher_gives(
    changed: Mapping[str, str | None], is_ours: bool
) -> None:
    one = listed()
    labels = {key: value for key, value in {**one.labels, **changed}.items() if value is not None}
    summary = ContainerSummary("c1", "one", DOCKER_STATE.RUNNING, labels)
    assert Listed(summary, ENGINE).claims_to_be_ours is is_ours


def test_two_runs_of_a_job_are_of_the_same_job_and_another_sites_is_not() -> None:
    assert joined(RUNNING).is_same_job(joined(None, record(200)))
    assert not joined(RUNNING).is_same_job(replace(joined(RUNNING), workspace=Path("/work/site-2")))
