"""JobResult, JobStateChange, handles and launchers: what third parties build on."""

import json
import threading
from typing import Any

import pytest

from flcore import (
    FLContext,
    FLContextKey,
    ImagePullProgress,
    JobHandleSpec,
    JobLauncherSpec,
    JobResult,
    JobReturnCode,
    JobStateChange,
    add_launcher,
)
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
from tests.conftest import PlainHandle


class HandleThatCannotWait(PlainHandle):
    def wait(self, timeout: float | None = None) -> JobReturnCode:
        raise OSError("no")


class PlainLauncher(JobLauncherSpec):
    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        return PlainHandle()


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


# --- states of handles that track none ---


def test_a_plain_handle_runs_until_it_has_ended() -> None:
    handle = PlainHandle()
    assert handle.state == "running"
    handle.end(JobReturnCode.EXCEPTION)
    assert handle.state == "exited"


def test_a_state_that_must_have_been_was_entered() -> None:
    handle = PlainHandle()
    assert handle.enter_states("created")
    assert not handle.enter_states(["exited", "dead"], timeout=0)
    handle.end(JobReturnCode.SUCCESS)
    assert handle.enter_states("running")
    assert handle.enter_states("exited")
    assert not handle.enter_states("paused")


class HandleWithStates(PlainHandle):
    """Says one state after the other, and the last one for ever."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states = list(states)

    @property
    def state(self) -> str | None:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


def test_a_state_is_waited_for_by_looking() -> None:
    assert HandleWithStates("created", "running").enter_states(["running", "exited"], timeout=60)
    assert HandleWithStates("running").enter_states("running")


def test_a_state_that_is_not_entered_is_waited_for_until_the_end_or_the_timeout() -> None:
    handle = HandleWithStates("running")
    assert not handle.enter_states("exited", timeout=0)
    handle.end(JobReturnCode.SUCCESS)
    assert not handle.enter_states("exited")


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


# --- a plain handle ---


def test_a_plain_handle_has_a_result_when_its_job_has_ended() -> None:
    handle = PlainHandle()
    assert handle.result is None
    handle.end(JobReturnCode.EXCEPTION)
    assert handle.result == JobResult(JobReturnCode.EXCEPTION)


def test_a_plain_handle_has_no_logs_and_lives_on_this_host() -> None:
    assert PlainHandle().logs() == PlainHandle().logs(tail=5) == ""
    assert list(PlainHandle().logs(follow=True)) == []
    assert PlainHandle().host == "localhost"


def test_a_done_callback_is_called_with_the_handle_when_the_job_has_ended() -> None:
    handle, done = PlainHandle(), threading.Event()
    handles: list[JobHandleSpec] = []

    def callback(ended: JobHandleSpec) -> None:
        handles.append(ended)
        done.set()

    handle.add_done_callback(callback)
    assert not done.is_set()
    handle.end(JobReturnCode.SUCCESS)
    assert done.wait(10)
    assert handles == [handle]


def test_a_done_callback_of_a_job_that_has_ended_already_is_called_too() -> None:
    handle, done = PlainHandle(), threading.Event()
    handle.end(JobReturnCode.SUCCESS)
    handle.add_done_callback(lambda ended: done.set())
    assert done.wait(10)


def test_a_done_callback_is_called_even_if_the_handle_fails_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    handle, done = HandleThatCannotWait(), threading.Event()
    handle.add_done_callback(lambda ended: done.set())
    assert done.wait(10)
    assert caplog.messages == ["a job's end cannot be waited for; it counts as lost unless it says otherwise"]


# --- launchers ---


def test_a_launcher_has_nothing_to_check_unless_it_says_otherwise() -> None:
    assert list(PlainLauncher().check()) == []


def test_a_launcher_cannot_call_a_launch_back_and_has_nothing_to_close_unless_it_says_otherwise() -> None:
    assert not PlainLauncher().abort_launch("j1", "the operator")
    PlainLauncher().close()


def test_launchers_volunteer_one_after_the_other(fl_ctx: FakeFLContext) -> None:
    first, second = PlainLauncher(), PlainLauncher()
    add_launcher(first, fl_ctx)
    add_launcher(second, fl_ctx)
    assert fl_ctx.get_prop_detail(FLContextKey.JOB_LAUNCHER) == {
        "value": [first, second],
        "private": True,
        "sticky": False,
    }


@pytest.mark.parametrize("abstract", [JobLauncherSpec, JobHandleSpec])
def test_launchers_and_handles_must_say_how(abstract: Any) -> None:
    with pytest.raises(TypeError, match="abstract"):
        abstract()
