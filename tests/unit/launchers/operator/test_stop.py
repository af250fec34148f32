"""``flcore stop``: with and without a living process of the site."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode
from flcore.errors import Hold, JobAbortedError, JobLaunchError
from launchers.container_spec import LABEL_JOB_ID, ContainerSpec
from launchers.records.job_record import JobRecord
from launchers.tracking.end_wish import EndWish
from tests.operator_lab import TIMEOUT, OperatorLab, until

NAME = "site-1-job-1"


def test_a_living_site_tells_of_the_job_as_aborted_and_who_asked(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    done = lab.flcore("stop", "job-1")
    assert handle.wait() is JobReturnCode.ABORTED
    assert handle.result is not None
    assert handle.result.ended_by == "flcore stop (user alice)"
    expected = "site-1/job-1: ABORTED (exit code 143): ended on the request of flcore stop (user alice)\n"
    assert (done.status, done.out, done.err) == (0, expected, "")


def test_without_a_living_site_its_next_start_tells_of_it_as_aborted(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    done = lab.flcore("stop", "job-1")
    assert done.out == "site-1/job-1: has ended (exit code 143); its site's next start tells of it as ABORTED\n"
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "flcore stop (user alice)")


def test_a_process_that_ignores_the_request_is_killed_after_the_sites_grace(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(stop_grace=0.3))
    lab.runtime.ignores_term = True
    began = time.monotonic()
    done = lab.flcore("stop", "job-1")
    assert time.monotonic() - began >= 0.3
    assert done.status == 0
    assert handle.result is not None
    assert (handle.result.return_code, handle.result.exit_code) == (JobReturnCode.ABORTED, 137)


def test_a_job_that_has_ended_stays_as_it_is(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: lab.view().history.is_closed)
    done = lab.flcore("stop", "job-1")
    assert (done.status, done.out) == (
        0,
        "site-1/job-1: had ended already: EXECUTION_ERROR (exit code 3): exit code 3\n",
    )


def test_an_end_that_nobody_has_told_stays_the_jobs_own(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.exit(NAME, 0)
    done = lab.flcore("stop", "job-1")
    assert (done.status, done.out) == (0, "site-1/job-1: had ended already; its site's next start tells how\n")
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert result.return_code is JobReturnCode.SUCCESS


def test_a_job_that_ends_by_itself_before_the_signal_keeps_its_result(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.drop_events = True  # so that its site has not seen it yet, either
    signalled = lab.runtime.send_signal

    def too_late(container_id: str, signal: str) -> bool:
        lab.runtime.exit(NAME, 0)
        return signalled(container_id, signal)

    lab.runtime.send_signal = too_late  # type: ignore[method-assign]  # it loses the race, then asks the real one
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(lab.flcore, "stop", "job-1")
        until(lambda: (JobRecord(lab.records()[0]).noted("end_request") or {}).get("delivered") is False)
        lab.runtime.close_events()  # so that its site lists again
        assert stopping.result(TIMEOUT).status == 0
    assert handle.wait() is JobReturnCode.SUCCESS


def test_the_wish_is_on_the_disk_before_anything_is_signalled(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    seen: list[Any] = []
    signalled = lab.runtime.send_signal

    def look_first(container_id: str, signal: str) -> bool:
        seen.append(JobRecord(lab.records()[0]).noted("end_request"))
        return signalled(container_id, signal)

    lab.runtime.send_signal = look_first  # type: ignore[method-assign]  # it looks, then asks the real one
    lab.flcore("stop", "job-1")
    assert [request["by"] for request in seen] == ["flcore stop (user alice)"]


def test_the_first_wish_counts(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    JobRecord(lab.records()[0]).note(end_request={"by": "somebody else", "time": time.time(), "delivered": None})
    lab.flcore("stop", "job-1")
    lab.flcore("stop", "job-1")
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert result.ended_by == "somebody else"


def test_all_sites_of_a_job_are_ended_or_the_one_that_is_named(lab: OperatorLab) -> None:
    for name in ("site-1", "site-2", "site-3"):
        lab.launch(lab.site(name))
    names = ("site-1", "site-2", "site-3")
    one = lab.flcore("stop", "site-2/job-1", sites=names)
    assert [line.partition(":")[0] for line in one.lines] == ["site-2/job-1"]
    assert lab.view("job-1", "site-1").state == "running"
    rest = lab.flcore("stop", "job-1", sites=names)
    assert [line.partition(":")[0] for line in rest.lines] == ["site-1/job-1", "site-2/job-1", "site-3/job-1"]
    assert rest.status == 0


def test_an_engine_that_does_not_answer_is_a_failure_and_the_wish_stays(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(often=True))
    lab.runtime.set_reachable(False)
    done = lab.flcore("stop", "job-1")
    assert (done.status, "ends the job when it reaches the engine" in done.out) == (1, True)
    lab.runtime.set_reachable(True)
    assert handle.wait() is JobReturnCode.ABORTED


def test_a_wish_that_reaches_no_engine_is_delivered_by_the_living_site(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(often=True))
    lab.lose_engine()
    done = lab.flcore("stop", "job-1")
    expected = "site-1/job-1: ABORTED (exit code 143): ended on the request of flcore stop (user alice)\n"
    assert (done.status, done.out) == (0, expected)
    assert handle.wait() is JobReturnCode.ABORTED


def test_a_wish_whose_writer_is_killed_right_afterwards_is_delivered_by_the_living_site(
    lab: OperatorLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_be_killed(wish: EndWish, *, durable: bool = False) -> None:
        write_down(wish, durable=durable)
        raise KeyboardInterrupt

    write_down = EndWish.write_down
    handle = lab.launch(lab.site(often=True))
    with monkeypatch.context() as killed:
        killed.setattr(EndWish, "write_down", write_and_be_killed)
        lab.flcore("stop", "job-1")
    assert handle.wait() is JobReturnCode.ABORTED


def test_a_wish_that_nobody_has_delivered_is_no_abort(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())  # which lists too seldom to notice it
    lab.lose_engine()
    done = lab.flcore("stop", "job-1")
    assert done.status == 1
    assert done.out == (
        "site-1/job-1: no engine that answers has it; the wish is written down, and its site's process, which lives, "
        "ends the job when it reaches the engine\n"
    )
    lab.runtime.exit(NAME, 0)
    assert handle.wait() is JobReturnCode.SUCCESS


def test_without_a_living_site_its_next_start_delivers_the_wish(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.lose_engine()
    done = lab.flcore("stop", "job-1")
    assert done.status == 1
    assert done.out == (
        "site-1/job-1: no engine that answers has it; the wish is written down, and its site's next start ends "
        "the job, if it has not ended by itself till then\n"
    )
    lab.find_engine()
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert (result.return_code, result.exit_code) == (JobReturnCode.ABORTED, 143)


def test_an_end_that_is_not_confirmed_is_a_failure(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.ignores_signals = True
    done = lab.flcore("stop", "job-1")
    assert (done.status, "has not confirmed its end" in done.out) == (1, True)
    lab.runtime.ignores_signals = False


def test_a_launch_sees_the_wish_before_it_starts_the_process(lab: OperatorLab) -> None:
    site = lab.site()
    held, go_on = threading.Event(), threading.Event()
    create = lab.runtime.create

    def slow(spec: ContainerSpec) -> str:
        held.set()
        go_on.wait(TIMEOUT)
        return create(spec)

    lab.runtime.create = slow  # type: ignore[method-assign]  # it waits, then asks the real one
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(site.launch_job, {"job_id": "job-1"})
        held.wait(TIMEOUT)
        done = lab.flcore("stop", "job-1")
        go_on.set()
        with pytest.raises(JobAbortedError, match=r"flcore stop \(user alice\)"):
            launch.result(TIMEOUT)
    assert (done.status, "is still being launched" in done.out) == (1, True)
    until(lambda: not lab.runtime.containers())


class PuttingOff(FLComponent):
    """Puts off what hears that it is about to be launched, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH and not self.may_go_on.is_set():
            error = JobLaunchError("not yet")
            error.hold = Hold("waits for the ethics board", self.may_go_on.is_set, TIMEOUT)
            raise error


def test_a_job_that_waits_for_somebody_is_not_said_to_be_called_off(lab: OperatorLab) -> None:
    site, board = lab.site(), PuttingOff()
    site.add_component("board", board)
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(site.launch_job, {"job_id": "job-1"})
        until(lambda: any(view.waits_for for view in lab.index().jobs()))
        done = lab.flcore("stop", "job-1")
        said = lab.flcore("logs", "job-1").err
        board.may_go_on.set()
        launch.result(TIMEOUT).terminate()
    assert (done.status, done.out) == (
        1,
        "site-1/job-1: nothing of it runs yet: it waits for the ethics board; "
        "whoever has submitted it can call it off, or flcore deny has it be refused\n",
    )
    assert said == "flcore: warning: site-1: it has written nothing yet: it waits for the ethics board\n"


def test_a_container_that_was_never_started_and_is_nobodys_is_removed(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    container = lab.runtime.container(NAME)
    container.state = replace(container.state, state=container.state.state.CREATED, started_at=None)
    done = lab.flcore("stop", "job-1")
    assert (done.status, lab.runtime.containers()) == (0, [])
    assert done.out == "site-1/job-1: has ended; its site's next start tells of it as ABORTED\n"


def test_what_only_says_that_it_is_a_jobs_is_not_ended(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    labels = lab.runtime.container(NAME).spec.labels | {LABEL_JOB_ID: "x"}
    lab.runtime.start(lab.runtime.create(ContainerSpec("forged", "job:1", ("sleep",), labels=labels)))
    done = lab.flcore("stop", "x")
    assert done.status == 2
    assert "there is no job 'x' here" in done.err
    assert lab.runtime.container("forged").state.state == "running"


def test_a_copy_of_a_job_with_all_its_labels_is_not_ended_with_it(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    labels = lab.runtime.container(NAME).spec.labels
    lab.runtime.start(lab.runtime.create(ContainerSpec("copy", "job:1", ("sleep",), labels=labels)))
    assert lab.flcore("stop", "job-1").status == 0
    assert lab.runtime.container("copy").state.state == "running"
