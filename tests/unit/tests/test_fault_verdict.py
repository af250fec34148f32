"""A fault suite that cannot find a lie proves nothing: here are the lies that it must find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flcore import JobResult
from flcore.observers.job_history import JobHistory, StateEntry
from tests.faults.verdict import (
    ABORTED,
    FORGOTTEN,
    KILLED,
    LOST,
    NATURAL,
    NEVER_RAN,
    THE_SUITE,
    Evidence,
    Job,
    is_whole,
    journal_gaps,
    judge,
)

JOB = Job("job", code=3, ticks=2)
EVIDENCE = Evidence(runs=1, ended=3, log=JOB.log)
STATES = ("created", "running", "exited")


def result(return_code: str = "EXECUTION_ERROR", exit_code: int | None = 3, ended_by: str = "") -> dict[str, Any]:
    return {"return_code": return_code, "exit_code": exit_code, "ended_by": ended_by}


def changes(states: tuple[str, ...], last: dict[str, Any] | None, life: int = 1) -> list[dict[str, Any]]:
    story = []
    for previous, state in zip((None, *states), states, strict=False):
        change = {"previous": previous, "state": state, "result": last if state == states[-1] else None}
        story.append({"what": "change", "job": "job", "life": life, "change": change})
    return story


def story(states: tuple[str, ...] = STATES, told: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return what a parent without a flaw says of a job with this result."""
    told = told or result()
    event = "_job_aborted" if told["return_code"] == "ABORTED" else "_job_completed"
    end = {"what": "told", "job": "job", "life": 1, "event": event, "result": told}
    said = [{"what": what, "job": "job", "life": 1} for what in ("launching", "launched")]
    return [*said, *changes(states, told), end]


def problems(entries: list[dict[str, Any]], job: Job = JOB, evidence: Evidence = EVIDENCE) -> str:
    return "; ".join(judge(job, entries, evidence, None).problems)


def test_the_truth_is_no_problem() -> None:
    judgement = judge(JOB, story(), EVIDENCE, inspected=3)
    assert (judgement.end, judgement.problems) == (NATURAL, [])


def test_a_failure_told_as_a_success_is_found() -> None:
    assert "told as a success" in problems(story(told=result("SUCCESS", 0)))


def test_another_exit_code_than_the_inspection_s_is_found() -> None:
    assert "inspection said 137" in "; ".join(judge(JOB, story(), EVIDENCE, inspected=137).problems)


def test_a_wrong_return_code_is_found() -> None:
    assert "the return code for exit code 3" in problems(story(told=result("INFRASTRUCTURE_ERROR")))


def test_two_results_are_found() -> None:
    assert "two results" in problems(
        [*story(), {"what": "result", "job": "job", "life": 2, "result": result("SUCCESS")}]
    )


def test_a_killed_job_is_no_natural_end() -> None:
    evidence = Evidence(runs=1, ended=None, log=[])
    told = story(told=result(exit_code=137))
    assert "ended as 'killed'" in problems(told, evidence=evidence)
    assert problems(told, Job("job", 3, 2, may_end=frozenset({KILLED})), evidence) == ""


def test_an_abort_counts_only_where_somebody_asked() -> None:
    aborted = story(told=result("ABORTED", 143, THE_SUITE))
    evidence = Evidence(runs=1, ended=None, log=["line 0"])
    assert problems(aborted, Job("job", 3, 2, may_end=frozenset({ABORTED})), evidence) == ""
    assert "told as ABORTED, ended by ''" in problems(story(told=result("ABORTED", 143)), evidence=evidence)


def test_a_launch_that_returned_means_that_the_job_ran() -> None:
    told = story(("created", "dead"), result("ABORTED", None, "the site"))
    job = Job("job", 3, 2, may_end=frozenset({NEVER_RAN}))
    assert "never ran" in problems(told, job, Evidence(runs=0, ended=None, log=None))


def test_two_runs_are_found() -> None:
    assert "started 2 times" in problems(story(), evidence=Evidence(2, 3, JOB.log))


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        (None, "there is no log"),
        (["line 0", "end"], "not complete"),
        (["line 0", "line 1"], "not complete"),
        (["line 0", "line 1", "line 1", "end"], "not complete"),
    ],
)
def test_a_wrong_log_is_found(log: list[str] | None, problem: str) -> None:
    assert problem in problems(story(), evidence=Evidence(1, 3, log))


def test_a_repeated_line_is_found_where_lines_may_be_missing() -> None:
    job = Job("job", 3, 2, gapless=False)
    assert problems(story(), job, Evidence(1, 3, ["line 1", "end"])) == ""
    assert "repeats itself" in problems(story(), job, Evidence(1, 3, ["line 1", "line 1", "end"]))


def test_a_state_that_was_not_told_is_found() -> None:
    assert "running -> exited was told in life 1 after ['created']" in problems(
        [e for i, e in enumerate(story()) if i != 3]
    )


def test_the_last_state_of_a_life_may_be_told_again_by_the_next() -> None:
    first, again = story(), changes(STATES, result(), life=2)
    assert problems([*first[:4], *again[1:], first[-1]]) == ""


def test_a_state_told_twice_in_one_life_is_found() -> None:
    first = story()
    assert "was told in life 1" in problems([*first[:4], first[3], *first[4:]])


def test_an_end_that_was_not_told_is_found() -> None:
    assert "neither JOB_COMPLETED nor JOB_ABORTED" in problems(story()[:-1])


def test_an_end_told_twice_in_one_life_is_found() -> None:
    assert "told 2 times" in problems([*story(), story()[-1]])


def test_no_result_is_found() -> None:
    assert "no result was told" in problems(story()[:3])


@pytest.mark.parametrize(
    ("unseen", "told", "inspected", "end"),
    [
        (True, 255, 255, FORGOTTEN),
        (True, 255, None, FORGOTTEN),
        (True, None, None, LOST),
        (False, 255, 255, LOST),
    ],
)
def test_an_unknown_end_is_right_only_where_the_engine_did_not_see_it(
    unseen: bool, told: int | None, inspected: int | None, end: str
) -> None:
    job = replace(JOB, may_end=frozenset({FORGOTTEN}))
    code = "EXECUTION_ERROR" if told else "INFRASTRUCTURE_ERROR"
    judgement = judge(job, story(told=result(code, told)), replace(EVIDENCE, unseen=unseen), inspected)
    assert judgement.end == end
    assert bool(judgement.problems) is (end == LOST)


def test_the_truth_is_right_though_the_engine_has_forgotten_it() -> None:
    assert judge(JOB, story(), replace(EVIDENCE, unseen=True), inspected=0).problems == []
    assert "inspection said 0" in "; ".join(judge(JOB, story(), EVIDENCE, inspected=0).problems)


# --- the journal ---


def written(*states: str, told: dict[str, Any] | None = None) -> JobHistory:
    entries = [StateEntry(state, float(i)) for i, state in enumerate(states)]
    return JobHistory("job", "site-1", states=entries, result=JobResult.from_dict(told) if told else None)


def told_job() -> list[dict[str, Any]]:
    whole = JobResult.from_dict(result()).as_dict()
    said = story(told=whole)
    for number, entry in enumerate(entry for entry in said if entry["what"] == "change"):
        entry["change"]["time"] = float(number)
    return said


def gaps(journal: JobHistory | None) -> str:
    return "; ".join(journal_gaps(JOB, told_job(), journal))


def test_a_journal_that_knows_all_is_no_problem() -> None:
    assert gaps(written(*STATES, told=result())) == ""


def test_an_end_that_does_not_stand_in_the_journal_is_found() -> None:
    assert "does not know that it has ended" in gaps(None)
    assert "does not know that it has ended" in gaps(written(*STATES))


def test_another_end_in_the_journal_is_found() -> None:
    assert "which nobody was told" in gaps(written(*STATES, told=result("SUCCESS", 0)))


def test_a_state_that_the_journal_misses_is_found() -> None:
    assert "the journal misses [('exited', 2.0)]" in gaps(written("created", "running", told=result()))


@pytest.mark.parametrize(("line", "whole"), [(b"{}\n", True), (b"{}", False), (b'{"a\n', False), (b"\n", False)])
def test_a_torn_line_is_found(line: bytes, whole: bool) -> None:
    assert is_whole(line) is whole
