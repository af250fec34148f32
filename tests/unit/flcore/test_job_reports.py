"""JobResult, JobStateChange and what else is told of a job."""

import json

import pytest

from flcore import FLContextKey, ImagePullProgress, JobResult, JobReturnCode, JobStateChange
from flcore.errors import (
    ImageError,
    JobAbortedError,
    JobLaunchError,
    JobRejectedError,
    OutcomeUnknownError,
    RuntimeUnavailableError,
    SiteBusyError,
)
from flcore.testing import FakeFLContext

# --- return codes ---


def test_the_return_codes_are_those_of_nvidia_flare() -> None:
    assert {code.name: code.value for code in JobReturnCode} == {
        "SUCCESS": 0,
        "EXECUTION_ERROR": 1,
        "ABORTED": 9,
        "EXCEPTION": 101,
        "UNSAFE_COMPONENT": 102,
        "CONFIG_ERROR": 103,
        "INFRASTRUCTURE_ERROR": 104,
        "UNKNOWN": 127,
    }


# --- results ---


@pytest.mark.parametrize("code", list(JobReturnCode))
def test_only_success_succeeded(code: JobReturnCode) -> None:
    assert JobResult(code).succeeded is (code == 0)


@pytest.mark.parametrize(
    ("started", "finished", "duration"), [(None, None, None), (None, 5.0, None), (5.0, None, None), (5.0, 7.5, 2.5)]
)
def test_the_duration_is_known_for_a_job_that_ran_and_ended(
    started: float | None, finished: float | None, duration: float | None
) -> None:
    assert JobResult(JobReturnCode.SUCCESS, started_at=started, finished_at=finished).duration == duration


def test_no_duration_is_negative() -> None:
    assert JobResult(JobReturnCode.SUCCESS, started_at=7.0, finished_at=5.0).duration == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobRejectedError("no"), JobReturnCode.CONFIG_ERROR),
        (RuntimeUnavailableError("no"), JobReturnCode.INFRASTRUCTURE_ERROR),
        (OutcomeUnknownError("no"), JobReturnCode.INFRASTRUCTURE_ERROR),
        (ImageError("no"), JobReturnCode.EXECUTION_ERROR),
        (SiteBusyError("no"), JobReturnCode.EXECUTION_ERROR),
        (JobLaunchError("no"), JobReturnCode.EXECUTION_ERROR),
    ],
)
def test_the_result_of_a_failed_launch_says_why(error: Exception, code: JobReturnCode) -> None:
    assert JobResult.of_failed_launch(error) == JobResult(code, error="no")


def test_the_result_of_a_launch_that_somebody_ended_says_who() -> None:
    result = JobResult.of_failed_launch(JobAbortedError("ended", "the operator"))
    assert result == JobResult(JobReturnCode.ABORTED, error="ended", ended_by="the operator")


def test_an_error_without_words_is_shown_by_its_class() -> None:
    assert JobResult.of_failed_launch(JobLaunchError()).error == "JobLaunchError"


def test_a_result_as_a_dict_is_json_and_names_its_return_code() -> None:
    result = JobResult(JobReturnCode.EXECUTION_ERROR, 137, 9, True, "out of memory", "", 1.0, 2.0)
    assert json.loads(json.dumps(result.as_dict())) == {
        "return_code": "EXECUTION_ERROR",
        "exit_code": 137,
        "signal": 9,
        "oom_killed": True,
        "error": "out of memory",
        "ended_by": "",
        "started_at": 1.0,
        "finished_at": 2.0,
    }


# --- state changes ---


def test_a_state_change_as_a_dict_is_json_with_its_result() -> None:
    change = JobStateChange(
        "j1", "site-1", "site-1-j1", "c0ffee", "running", "exited", 2.0, JobResult(JobReturnCode.SUCCESS, 0)
    )
    shown = json.loads(json.dumps(change.as_dict()))
    assert shown["result"]["return_code"] == "SUCCESS"
    assert (shown["job_id"], shown["previous"], shown["state"]) == ("j1", "running", "exited")


def test_a_state_change_without_a_result_says_null() -> None:
    assert JobStateChange("j1", "site-1", "n", "c", None, "created", 1.0).as_dict()["result"] is None


def test_the_change_of_an_event_is_in_its_context() -> None:
    change = JobStateChange("j1", "site-1", "n", "c", None, "created", 1.0)
    assert JobStateChange.of(FakeFLContext(props={FLContextKey.JOB_STATE_CHANGE: change})) is change


# --- the progress of a pull ---


def test_the_progress_of_a_pull_is_in_its_events_context_and_is_json_as_a_dict() -> None:
    progress = ImagePullProgress("job:1", 1.5, layers=3, layers_done=1, downloaded=200, size=1000)
    assert ImagePullProgress.of(FakeFLContext(props={FLContextKey.IMAGE_PULL_PROGRESS: progress})) is progress
    shown = json.loads(json.dumps(progress.as_dict()))
    assert (shown["image"], shown["downloaded"], shown["ended"], shown["error"]) == ("job:1", 200, False, "")
