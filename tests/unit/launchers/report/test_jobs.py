"""Runs by the job that they are of."""

from __future__ import annotations

import pytest

from flcore import JobResult, JobReturnCode
from flcore.observers.job_history import Outage
from launchers.report.jobs import Job, grouped
from tests.job_views import BEGAN, FAILED, SUCCEEDED, job_view, running

NOW = BEGAN + 60
TIMEOUT = "the site: it was late ('run_timeout')"
KILLED = JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=137, signal=9)


def test_the_newest_job_is_first_and_a_server_is_the_first_of_its_sites() -> None:
    views = [job_view("old"), job_view("new", "a-site", began=BEGAN + 1), job_view("new", "server", began=BEGAN + 2)]
    assert [(job.job_id, [view.history.site for view in job.views]) for job in grouped(views)] == [
        ("new", ["server", "a-site"]),
        ("old", ["site-1"]),
    ]


@pytest.mark.parametrize(
    ("names", "name"),
    [(["digits"], "digits"), (["", "digits"], "digits"), (["job-1"], ""), ([""], ""), ([" two\nlines "], "two lines")],
)
def test_a_jobs_name_is_what_its_author_called_it(names: list[str], name: str) -> None:
    assert Job("job-1", [job_view(name=each) for each in names]).name == name


@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([SUCCEEDED, SUCCEEDED], ""),
        ([SUCCEEDED, FAILED], "site-1: exit code 3"),
        ([FAILED, FAILED], "site-0, site-1: exit code 3"),
        ([FAILED, KILLED], "site-0: exit code 3; site-1: killed by signal 9 (SIGKILL)"),
    ],
)
def test_why_a_job_is_not_well_is_said_once(results: list[JobResult], why: str) -> None:
    views = [job_view(site=f"site-{number}", result=result) for number, result in enumerate(results)]
    assert Job("job-1", views).why == why


@pytest.mark.parametrize(
    ("result", "reason", "last_line"),
    [
        (JobResult(JobReturnCode.EXECUTION_ERROR, 3, error="exit code 3; its last output: a | b"), "exit code 3", "b"),
        (JobResult(JobReturnCode.EXECUTION_ERROR, 3, error="exit code 3"), "exit code 3", ""),
        (
            JobResult(JobReturnCode.ABORTED, 143, 15, error="; its last output: b", ended_by=TIMEOUT),
            "it was late",
            "b",
        ),
        (JobResult(JobReturnCode.ABORTED, 143, 15, ended_by=TIMEOUT), "it was late", ""),
        (JobResult(JobReturnCode.ABORTED, 143, 15, error="x; its last output: b", ended_by="me"), "by me", ""),
    ],
)
def test_a_failed_run_says_its_last_line_where_that_is_news(result: JobResult, reason: str, last_line: str) -> None:
    [cause] = Job("job-1", [job_view(result=result)]).causes
    assert (cause.reason.partition(" (")[0], cause.last_line) == (reason, last_line)


def test_a_job_lasts_from_its_first_run_to_the_end_of_its_last() -> None:
    job = Job("job-1", [job_view(result=SUCCEEDED), job_view(site="site-2", began=BEGAN + 2, result=SUCCEEDED)])
    assert (job.began_at, job.ended_at(NOW), job.took(NOW)) == (BEGAN, BEGAN + 8, "8.0 s")
    assert Job("job-1", [running()]).took(NOW) == "1 min"


@pytest.mark.parametrize(
    ("site", "since", "has_met"), [("site-1", 3, True), ("site-1", 30, False), ("site-2", 3, False)]
)
def test_a_job_meets_the_outages_of_its_sites_in_its_time(site: str, since: float, has_met: bool) -> None:
    outage = Outage(site, BEGAN + since, BEGAN + since + 1, "")
    assert Job("job-1", [job_view(result=SUCCEEDED)]).has_met(outage, NOW) is has_met
