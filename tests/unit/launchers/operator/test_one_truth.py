"""Whatever record, engine and journal say, and whoever has asked for the end: one truth, told by all alike."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode
from flcore.observers.job_history import JobHistory, SiteHistory
from launchers.container_spec import (
    LABEL_JOB_ID,
    LABEL_LAUNCHER,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE,
    LABEL_SITE_ID,
)
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.operator.details import Report
from launchers.operator.job_json import as_dict, as_full_dict
from launchers.operator.job_table import row_of
from launchers.operator.job_view import JobView, Listed, join
from launchers.operator.site_files import FoundRecord
from launchers.operator.terminal import Terminal
from launchers.records.job_record import JobIdentity
from launchers.records.known_job import known_job
from launchers.report import words
from launchers.runtime.base import ContainerSummary
from launchers.runtime.fake import FakeRuntime
from launchers.tracking.tracked_job import TrackedJob

NOW, PARENT = 200.0, "parent-1"
WORKSPACE, ENGINE = Path("/work/site-1"), FakeRuntime()
ID = {"job_id": "job-1", "site": "site-1"}
ENDED = ContainerState(DOCKER_STATE.EXITED, 0, created_at=101.0, started_at=102.0, finished_at=110.0)
RUNNING = {"container_id": "c1", "told": ["running", ["created", "running"], 102.0]}
LABELS = {
    LABEL_LAUNCHER: "launcher",
    LABEL_SITE: "site-1",
    LABEL_JOB_ID: "job-1",
    LABEL_SITE_ID: "0123456789abcdef",
    LABEL_PARENT: PARENT,
    LABEL_NONCE: "n1",
}

RECORDS: Mapping[str, Mapping[str, Any] | None] = {
    "none": None,
    "intent": {},
    "running": RUNNING,
    "end": {**RUNNING, "seen": asdict(ENDED), "output": ""},
}
LISTED = ("nothing", "created", "running", "paused", "exited")
EVENTS = ("none", "launching", "running", "end told", "end closed")
ASKED: Mapping[str, Mapping[str, Any]] = {
    "nobody": {},
    "undelivered": {"end_request": {"by": "flcore stop", "time": 105.0}},
    "too late": {"end_request": {"by": "flcore stop", "time": 105.0, "delivered": False}},
    "delivered": {"end_request": {"by": "flcore stop", "time": 105.0, "delivered": True}},
}
LIVES = (True, False)


def truth(record: str, engine: str, events: str, asked: str, lives: bool) -> str:
    """Return the one thing that is to be said. The first of these that holds."""
    if events in ("end told", "end closed"):  # what was told to all is never taken back
        return "SUCCESS"
    if record == "end":  # the site has seen it: a wish counts if it was delivered before
        return "ABORTED" if asked == "delivered" else "SUCCESS"
    if engine != "nothing":  # what runs now is what the engine says
        return engine
    if record == "intent":
        return "launching"
    if record == "running":  # nobody can tell whether that is still so, but who follows it
        return "running" if lives else "unknown"
    return ("running" if events == "running" else "launching") if lives else "lost"


def journal(events: str) -> JobHistory | None:
    """Return what the journal tells: as it is read, of lines as they are written."""
    ended = JobResult(JobReturnCode.SUCCESS, exit_code=0, started_at=102.0, finished_at=110.0).as_dict()
    change = {"event": "state_change", **ID, "container_name": "site-1-job-1", "container_id": "c1", "result": None}
    lines: list[Mapping[str, Any]] = [
        {"event": "launching", **ID, "time": 100.0, "name": "digits", "parent": PARENT},
        {**change, "state": "running", "time": 102.0, "id": "run.2"},
        {**change, "state": "exited", "time": 110.0, "result": ended, "id": "run.3"},
        {"event": "completed", **ID, "time": 110.1, "result": ended, "id": "run.4"},
    ]
    return SiteHistory(lines[: EVENTS.index(events)]).jobs.get(("site-1", "job-1"))


def record_of(record: str, asked: str) -> FoundRecord | None:
    known = RECORDS[record]
    if known is None:
        return None
    who = {**ID, "launcher": "launcher", "name": "site-1-job-1", "nonce": "n1", "container_id": "", "parent": PARENT}
    return FoundRecord(WORKSPACE / ".flcore/jobs/1.jsonl", {**who, "time": 100.0, **known, **ASKED[asked]})


def view_of(record: str, engine: str, events: str, asked: str, lives: bool) -> JobView:
    summary = (
        ContainerSummary("c1", "site-1-job-1", DOCKER_STATE(engine), LABELS, 101.0) if engine in LISTED[1:] else None
    )
    listed = [Listed(summary, ENGINE)] if summary else []
    alive = {PARENT} if lives else set()
    return join(journal(events), record_of(record, asked), listed, alive.__contains__, WORKSPACE)


def told_by(view: JobView) -> dict[str, str]:
    """Return what each that tells of a job says."""
    verdict = words.verdict(view)
    page = {"succeeded": "SUCCESS", "aborted": "ABORTED"}.get(verdict.word, verdict.word)
    return {
        "ps": row_of(view, NOW).status,
        "ps --json": said(as_dict(view, NOW)),
        "inspect": inspected(view),
        "inspect --json": said(as_full_dict(view, NOW)),
        "page": page,
    }


def inspected(view: JobView) -> str:
    lines = (line.split() for line in Report(Terminal(io.StringIO()), view, NOW).lines())
    return next(words[1].rstrip(",") for words in lines if words[:1] == ["status"])


def said(fields: Mapping[str, Any]) -> str:
    return str(fields["result"]["return_code"] if fields["result"] else fields["state"])


CASES = [
    case
    for case in product(RECORDS, LISTED, EVENTS, ASKED, LIVES)
    if (case[0] != "none" or case[3] == "nobody")  # a wish stands in a record
    and (case[0], case[1], case[2]) != ("none", "nothing", "none")  # there is no such job
    and not (case[2].startswith("end") and case[3] == "delivered")  # then another end was told
]


def test_ps_inspect_and_page_say_the_one_truth_of_all_that_may_be_known() -> None:
    wrong = {case: told for case in CASES if set((told := told_by(view_of(*case))).values()) != {truth(*case)}}
    assert len(CASES) > 400
    assert wrong == {}


def test_what_has_ended_is_active_nowhere_and_what_has_not_everywhere() -> None:
    for case in CASES:
        view = view_of(*case)
        has_ended = truth(*case) in ("SUCCESS", "ABORTED")
        assert (view.history.result is not None) is has_ended, case
        assert not (has_ended and view.is_active), case
        assert (words.verdict(view).kind in (words.OK, words.ABORTED)) is has_ended, case


@pytest.mark.parametrize("asked", ASKED)
def test_the_handle_says_what_the_record_says(asked: str) -> None:
    view, found = view_of("end", "nothing", "none", asked, lives=False), record_of("end", asked)
    assert found
    known = known_job(found.fields)
    job = TrackedJob(JobIdentity("job-1", "site-1", "site-1-job-1", "c1", "n1"), told=known.told)
    if known.end_request:
        job.restore_end_request(known.end_request)
    assert known.seen
    job.observe(known.seen, NOW)
    assert job.result == view.history.result
    assert job.state == view.state
    assert job.result
    assert job.result.return_code.name == truth("end", "nothing", "none", asked, lives=False)


def test_an_end_on_record_leaves_the_journals_history_as_it_is() -> None:
    told = journal("running")
    assert told
    join(told, record_of("end", "nobody"), [], lambda _: False, WORKSPACE)
    assert (told.result, told.state) == (None, "running")
