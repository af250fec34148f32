"""What a page shows of one job."""

from __future__ import annotations

from flcore import JobResult, JobReturnCode
from flcore.job_reports import LAST_OUTPUT
from launchers.operator.job_view import JobView
from launchers.report.jobs import Job
from launchers.report.log_tail import LogTail
from launchers.report.picture import Failure, JobPicture, picture
from tests.job_views import BEGAN, SUCCEEDED, job_view, running

NOW = BEGAN + 60


def failed(error: str, site: str = "site-1") -> JobView:
    return job_view(site=site, result=JobResult(JobReturnCode.EXECUTION_ERROR, 3, error=error))


def pictured(*views: JobView) -> JobPicture:
    return picture(Job("job-1", views), [], [LogTail()] * len(views), [], NOW)


def test_a_failure_is_told_once_for_all_sites_that_say_the_same() -> None:
    error = f"exit code 3{LAST_OUTPUT}Traceback | ValueError: no data"
    shown = pictured(failed(error), failed(error, "site-2"), job_view(site="site-3", result=SUCCEEDED))
    assert shown.failures == [Failure("site-1, site-2", "exit code 3", ("Traceback", "ValueError: no data"))]


def test_what_an_error_says_beside_the_verdict_is_kept() -> None:
    [failure] = pictured(failed(f"the image is gone{LAST_OUTPUT}bye")).failures
    assert failure == Failure("site-1", "exit code 3", ("the image is gone", "bye"))


def test_a_job_that_is_well_has_no_failures() -> None:
    assert pictured(job_view(result=SUCCEEDED)).failures == []
    assert pictured(running()).failures == []


def test_an_operator_is_told_what_commands_call_it() -> None:
    assert pictured(job_view()).path == "site-1/job-1"
    assert pictured(job_view(), job_view(site="site-2")).path == "job-1"
