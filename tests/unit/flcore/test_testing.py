"""flcore.testing: what users test their components with."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flcore import (
    EventType,
    FLComponent,
    FLContext,
    FLContextKey,
    JobResult,
    JobReturnCode,
    JobStateChange,
    add_launcher,
)
from flcore.testing import EventRecorder, FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher


def change(state: str, job_id: str = "job-1", result: JobResult | None = None) -> JobStateChange:
    return JobStateChange(job_id, "site-1", f"site-1-{job_id}", "c0ffee", None, state, 1.0, result)


def tell(recorder: EventRecorder, *changes: JobStateChange) -> None:
    for one in changes:
        fl_ctx = FakeFLContext(job_id=one.job_id, props={FLContextKey.JOB_STATE_CHANGE: one})
        recorder.handle_event(EventType.JOB_STATE_CHANGED, fl_ctx)


def test_it_needs_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; from flcore.testing import EventRecorder, FakeFLContext"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the context ---


def test_a_fake_context_is_of_site_1_and_job_1_and_has_its_metadata(fl_ctx: FakeFLContext, tmp_path: Path) -> None:
    assert fl_ctx.get_identity_name() == "site-1"
    assert fl_ctx.get_job_id() == "job-1"
    assert fl_ctx.get_prop(FLContextKey.JOB_META) == {"job_id": "job-1"}
    assert fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir() == str(tmp_path)


def test_a_fake_context_has_what_it_is_given() -> None:
    fl_ctx = FakeFLContext("server", "j", {"job_id": "j"}, {"exe_module": ("-m", "x")}, props={"color": "red"})
    assert fl_ctx.get_identity_name() == "server"
    assert fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) == {"exe_module": ("-m", "x")}
    assert fl_ctx.get_prop("color") == "red"
    assert fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT) is None


def test_events_fired_in_a_fake_context_are_recorded_and_reach_the_given_components() -> None:
    other = EventRecorder()
    fl_ctx = FakeFLContext(components=[other])
    FLComponent().fire_event("e", fl_ctx)
    assert fl_ctx.recorder.event_types == other.event_types == ["e"]


def test_events_fired_in_a_context_that_the_fake_engine_made_are_recorded_too(fl_ctx: FakeFLContext) -> None:
    new = fl_ctx.get_engine().new_context()
    FLComponent().fire_event("e", new)
    assert fl_ctx.recorder.event_types == ["e"]
    assert (new.get_identity_name(), new.get_job_id(), new.get_prop(FLContextKey.JOB_META)) == ("site-1", None, None)


def test_a_fake_context_tells_who_volunteered(fl_ctx: FakeFLContext) -> None:
    assert fl_ctx.launchers == []
    launcher = ClientDockerJobLauncher(image="job:1")
    add_launcher(launcher, fl_ctx)
    assert fl_ctx.launchers == [launcher]


# --- the recorder ---


def test_a_recorded_event_has_what_its_context_said(event_recorder: EventRecorder) -> None:
    result = JobResult(JobReturnCode.SUCCESS)
    fl_ctx = FakeFLContext("site-2", "job-7", props={FLContextKey.JOB_RESULT: result})
    event_recorder.handle_event(EventType.JOB_COMPLETED, fl_ctx)
    assert event_recorder.events == [(EventType.JOB_COMPLETED, "site-2", "job-7", None, result)]


def test_the_states_of_one_job_or_of_all_can_be_asked_for(event_recorder: EventRecorder) -> None:
    tell(event_recorder, change("created"), change("created", "job-2"), change("running"))
    assert event_recorder.states("job-1") == ["created", "running"]
    assert event_recorder.states() == ["created", "created", "running"]


def test_an_event_that_came_is_found_by_type_and_job(event_recorder: EventRecorder) -> None:
    for job_id in ("job-1", "job-2"):
        event_recorder.handle_event("e", FakeFLContext(job_id=job_id))
    assert event_recorder.wait_for("e").job_id == "job-1"
    assert event_recorder.wait_for("e", job_id="job-2").job_id == "job-2"


def test_an_event_that_did_not_come_is_a_timeout_that_says_what_came(event_recorder: EventRecorder) -> None:
    event_recorder.handle_event("other", FakeFLContext())
    with pytest.raises(TimeoutError, match=r"^no event e in 0\.01 s; there were \['other'\]$"):
        event_recorder.wait_for("e", timeout=0.01)


def test_an_event_is_waited_for_while_other_threads_fire(event_recorder: EventRecorder) -> None:
    thread = threading.Thread(target=event_recorder.handle_event, args=("e", FakeFLContext()))
    thread.start()
    assert event_recorder.wait_for("e").event_type == "e"
    thread.join()


def test_the_end_of_a_job_is_the_result_in_its_last_change(event_recorder: EventRecorder) -> None:
    result = JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=3)
    tell(event_recorder, change("running"), change("exited", "job-2", JobResult(JobReturnCode.SUCCESS)))
    tell(event_recorder, change("exited", "job-1", result))
    assert event_recorder.wait_for_end("job-1") is result


def test_an_end_that_did_not_come_is_a_timeout_that_says_the_states(event_recorder: EventRecorder) -> None:
    tell(event_recorder, change("created"), change("running"))
    with pytest.raises(
        TimeoutError, match=r"^the job did not end in 0\.01 s; its states were \['created', 'running'\]$"
    ):
        event_recorder.wait_for_end(timeout=0.01)


def test_states_that_were_entered_in_this_order_are_waited_for(event_recorder: EventRecorder) -> None:
    tell(event_recorder, change("created"), change("running", "job-2"), change("running"), change("exited"))
    event_recorder.wait_for_states(["created", "running"], job_id="job-1")


def test_states_that_were_not_entered_are_a_timeout_that_says_which_were(event_recorder: EventRecorder) -> None:
    tell(event_recorder, change("created"))
    with pytest.raises(TimeoutError, match=r"^not the states \['running'\] in 0\.01 s, but \['created'\]$"):
        event_recorder.wait_for_states(["running"], timeout=0.01)


def test_a_component_can_be_tested_with_the_recorder_behind_it(event_recorder: EventRecorder) -> None:
    class Forwarder(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == "in":
                self.fire_event("out", fl_ctx)

    FLComponent().fire_event("in", FakeFLContext(components=[Forwarder(), event_recorder]))
    assert event_recorder.event_types == ["out", "in"]
