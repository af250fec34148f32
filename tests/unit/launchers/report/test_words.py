"""How times, sizes, results and texts are said."""

import dataclasses
import re

import pytest

from flcore import JobResult, JobReturnCode
from flcore.observers.job_history import Outage
from launchers.report.words import Verdict, byte_size, duration, number, outage, plain, verdict, worst
from tests.job_views import FAILED, HOSTILE, SUCCEEDED, job_view, running


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (5.94, "5.9 s"),
        (59.97, "1 min"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3 * 3600 + 720, "3 h 12 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_has_the_units_that_matter(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(12, "12 B"), (1536, "1.5 KiB"), (3 << 30, "3 GiB"), (1 << 62, "4096 PiB")]
)
def test_a_size_has_one_unit(count: int, said: str) -> None:
    assert byte_size(count) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.9564444, "0.956444"), (1500, "1,500"), (2e6, "2,000,000"), (1e300, "1e+300")]
)
def test_a_number_is_short(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        (SUCCEEDED, "ok", ""),
        (FAILED, "failed", "exit code 3"),
        (JobResult(JobReturnCode.EXECUTION_ERROR, 137, 9), "failed", "killed by signal 9 (SIGKILL)"),
        (JobResult(JobReturnCode.EXECUTION_ERROR, 137, 9, oom_killed=True), "failed", "out of memory"),
        (JobResult(JobReturnCode.ABORTED, ended_by="the operator"), "aborted", "by the operator"),
        (
            JobResult(JobReturnCode.ABORTED, 143, 15, ended_by="the site: its folder holds more than 1Gi ('disk')"),
            "failed",
            "its folder holds more than 1Gi ('disk')",
        ),
        (
            JobResult(JobReturnCode.ABORTED, 143, 15, ended_by="the site: it ran for more than 60 s ('run_timeout')"),
            "failed",
            "it ran for more than 60 s ('run_timeout')",
        ),
        (JobResult(JobReturnCode.CONFIG_ERROR, error="memory: too much"), "failed", "memory: too much"),
        (JobResult(JobReturnCode.INFRASTRUCTURE_ERROR), "failed", "INFRASTRUCTURE_ERROR"),
    ],
)
def test_a_result_has_its_reason_in_words(result: JobResult, kind: str, reason: str) -> None:
    found = verdict(job_view(result=result))

    assert (found.kind, found.reason) == (kind, reason)


def test_a_run_without_a_result_is_what_its_state_is() -> None:
    assert verdict(running()) == Verdict("active", "running")


@pytest.mark.parametrize("state", ["exited", "dead"])
@pytest.mark.parametrize("has_parent", [True, False])
def test_a_container_that_has_ended_is_not_active_whoever_follows_it(state: str, has_parent: bool) -> None:
    view = dataclasses.replace(running(), state=state, has_parent=has_parent)
    assert (verdict(view).kind, verdict(view).word) == ("ended", state)
    assert ("its site's next start" in verdict(view).reason) is not has_parent


def test_a_lost_run_says_what_that_means() -> None:
    view = dataclasses.replace(running(), state="lost")

    assert verdict(view).kind == "lost"
    assert "nobody follows it" in verdict(view).reason


def test_a_job_has_failed_where_one_of_its_runs_has() -> None:
    assert worst([verdict(job_view(result=SUCCEEDED)), verdict(job_view(result=FAILED))]).kind == "failed"


def test_a_job_is_active_while_one_of_its_runs_is() -> None:
    assert worst([verdict(job_view(result=FAILED)), verdict(running())]).word == "running"


def test_an_outage_that_its_process_did_not_survive_does_not_go_on() -> None:
    found = Outage("site-1", 1000.0, 1002.0, "it is down", outlived=True)
    expected = "did not answer for 2.0 s at least, and its site's process has ended: it is down"
    assert outage(found, now=5000.0).endswith(expected)


def test_a_text_is_one_line_that_can_be_seen() -> None:
    assert re.search(r"[\x00-\x1f\x7f\u202e]", plain(HOSTILE)) is None
    assert "[31m" not in plain(HOSTILE)


def test_a_long_text_is_cut() -> None:
    assert plain("x" * 5000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("federation", "kind"), [("FINISHED:ABORTED", "aborted"), ("FINISHED:EXECUTION_EXCEPTION", "failed"), ("", "ok")]
)
def test_a_success_counts_as_what_became_of_the_job_of_all_sites(federation: str, kind: str) -> None:
    view = job_view(result=SUCCEEDED)
    view.history.federation = federation
    assert verdict(view).kind == kind
    assert verdict(view).reason == (f"the job of all sites: {federation}" if federation else "")
