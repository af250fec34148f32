"""Handles and launchers: what third parties build on."""

import threading
from typing import Any

import pytest

from flcore import (
    FLContext,
    FLContextKey,
    JobHandleSpec,
    JobLauncherSpec,
    JobResult,
    JobReturnCode,
    add_launcher,
)
from flcore.testing import FakeFLContext
from tests.conftest import PlainHandle


class HandleThatCannotWait(PlainHandle):
    def wait(self, timeout: float | None = None) -> JobReturnCode:
        raise OSError("no")


class PlainLauncher(JobLauncherSpec):
    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        return PlainHandle()


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
