"""A launch that a component puts off waits without a place, and begins anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore import EventType, FLComponent, FLContext, Site
from flcore import held_launch as module
from flcore.errors import Hold, JobAbortedError, JobRejectedError
from flcore.testing import EventRecorder
from tests.conftest import At, Launcher

META = {"job_id": "j1"}
TIMEOUT = 10.0


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)


class Gate(FLComponent):
    """Puts launches off until it is opened."""

    def __init__(self, patience: float = TIMEOUT) -> None:
        super().__init__()
        self.patience = patience
        self.is_open = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH and not self.is_open.is_set():
            error = JobRejectedError("it is closed")
            error.hold = Hold("waits for somebody", self.is_open.is_set, self.patience)
            raise error


def test_it_is_launched_when_it_may_go_on(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder
) -> None:
    gate, launcher = Gate(), Launcher()
    future = pool.submit(make_site(gate=gate, launcher=launcher).launch_job, META)
    event_recorder.wait_for(EventType.JOB_HELD)
    assert launcher.launched == []
    gate.is_open.set()
    assert future.result(TIMEOUT)
    before = [EventType.BEFORE_JOB_LAUNCH, EventType.JOB_HELD, EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH]
    assert event_recorder.event_types[2:6] == before


def test_it_takes_no_place_while_it_waits(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder
) -> None:
    gate = Gate()
    site = make_site(gate=gate, launcher=Launcher(), admission={"running": 1, "queued": 0})
    first = pool.submit(site.launch_job, META)
    event_recorder.wait_for(EventType.JOB_HELD, job_id="j1")
    second = pool.submit(site.launch_job, {"job_id": "j2"})
    event_recorder.wait_for(EventType.JOB_HELD, job_id="j2")
    assert site.load == (0, 0, 0)
    site.abort_job("j2")
    with pytest.raises(JobAbortedError):
        second.result(TIMEOUT)
    gate.is_open.set()
    first.result(TIMEOUT)
    assert site.load.running == 1


def test_who_asks_for_its_end_ends_it_at_once(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder
) -> None:
    site = make_site(gate=Gate(), launcher=Launcher())
    future = pool.submit(site.launch_job, META)
    event_recorder.wait_for(EventType.JOB_HELD)
    site.abort_job("j1", by="somebody")
    with pytest.raises(JobAbortedError, match="its launch was ended on the request of somebody"):
        future.result(TIMEOUT)
    assert event_recorder.event_types[-1] == EventType.JOB_ABORTED


def test_a_site_that_closes_ends_it(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder
) -> None:
    site = make_site(gate=Gate(), launcher=Launcher())
    future = pool.submit(site.launch_job, META)
    event_recorder.wait_for(EventType.JOB_HELD)
    site.close()
    with pytest.raises(JobAbortedError, match="site site-1, which closes"):
        future.result(TIMEOUT)


def test_when_its_patience_is_over_it_is_refused(make_site: Callable[..., Site]) -> None:
    with pytest.raises(JobRejectedError, match="it is closed"):
        make_site(gate=Gate(patience=0.05), launcher=Launcher()).launch_job(META)


def test_no_launch_waits_in_an_events_handler(make_site: Callable[..., Site]) -> None:
    gate = Gate()
    nested = At(EventType.JOB_COMPLETED, lambda: site.launch_job({"job_id": "j2"}))
    site = make_site(nested=nested, gate=gate, launcher=Launcher())
    site.start()
    site.fire_event(EventType.JOB_COMPLETED, site.new_context())
    assert [str(error) for error in nested.errors] == ["job j2: refused by the component gate: it is closed"]
