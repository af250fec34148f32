"""HandleWatch: the state changes of a third party's jobs are told, though its launcher tells of none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobResult, JobReturnCode, JobStateChange, Site
from flcore.event_ids import EventId
from flcore.observers.job_history import SiteHistory
from flcore.observers.job_journal import JobJournal
from flcore.observers.job_tally import JobTally
from flcore.testing import EventRecorder
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import At, Launcher, PlainHandle, recover
from tests.faulty import no_threads, until

META = {"job_id": "j1"}
TIMEOUT = 10.0
SUCCESS, UNKNOWN = JobReturnCode.SUCCESS, JobReturnCode.UNKNOWN
BEGUN = ["created", "running"]
LIFE = [*BEGUN, "exited"]


class Telling(PlainHandle):
    """A handle that says itself in what state its job is: the test sets that."""

    state: str | None = None


class AskedAtOnce(PlainHandle):
    """Calls back on the thread that ends the job, before that goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def end(self, code: JobReturnCode) -> None:
        super().end(code)
        for callback in self._callbacks:
            callback(self)


def launched(site: Site, job_id: str = "j1") -> Any:
    return site.launch_job({"job_id": job_id})


def watching_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "flcore-handles"]


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(launcher=Launcher())


# --- what is told ---


def test_a_job_of_whose_states_its_launcher_tells_nothing_has_those_of_any_other(
    site: Site, event_recorder: EventRecorder
) -> None:
    handle = launched(site)
    event_recorder.wait_for_states(BEGUN)
    handle.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    told = [event.event_type for event in event_recorder.events if event.job_id == "j1"]
    assert told == [
        *(EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH),
        *[EventType.JOB_STATE_CHANGED] * 3,
        EventType.JOB_COMPLETED,
    ]
    assert event_recorder.states("j1") == LIFE


def test_each_change_knows_the_one_before_and_the_last_the_result(site: Site, event_recorder: EventRecorder) -> None:
    launched(site).end(JobReturnCode.EXCEPTION)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    changes = event_recorder.changes
    assert [(one.previous, one.state) for one in changes] == [(None, "created"), *zip(BEGUN, LIFE[1:], strict=True)]
    assert [one.result for one in changes] == [None, None, JobResult(JobReturnCode.EXCEPTION)]
    assert [one.time for one in changes] == sorted(one.time for one in changes)
    assert {(one.job_id, one.site, one.container_name, one.container_id) for one in changes} == {
        ("j1", "site-1", "", "")
    }


def test_changes_and_end_count_up_in_one_run(make_site: Callable[..., Site], event_recorder: EventRecorder) -> None:
    heard: list[str] = []

    class Ids(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type in (EventType.JOB_STATE_CHANGED, EventType.JOB_COMPLETED):
                heard.append(fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID))

    launched(make_site(launcher=Launcher(), ids=Ids())).end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    ids = [EventId.of(text) for text in heard]
    assert [one and one.number for one in ids] == [1, 2, 3, 4]
    assert len({one and one.run for one in ids}) == 1
    assert [change.id for change in event_recorder.changes] == heard[:3]


def test_a_job_that_was_launched_again_is_told_by_a_run_of_its_own(site: Site, event_recorder: EventRecorder) -> None:
    for _ in range(2):
        launched(site).end(SUCCESS)
    until(lambda: event_recorder.event_types.count(EventType.JOB_COMPLETED) == 2, "both ends are told")
    assert event_recorder.states("j1") == LIFE * 2
    assert len({change.id.partition(".")[0] for change in event_recorder.changes}) == 2


def test_what_a_handle_says_itself_is_told_with_what_must_have_been_before(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    handle = launched(make_site(launcher=Launcher(Telling)))
    told = ["created"]
    for state in ("pending", "running", "paused", "running"):
        handle.state = state
        told.append(state)
        event_recorder.wait_for_states(told)
    handle.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert event_recorder.states() == [*told, "exited"]


@pytest.mark.parametrize(
    ("state", "told"), [("dead", ["created", "dead"]), ("exited", LIFE), ("running", LIFE), (None, LIFE)]
)
def test_the_last_state_is_one_in_which_jobs_have_ended(
    make_site: Callable[..., Site], event_recorder: EventRecorder, state: str | None, told: list[str]
) -> None:
    handle = Telling()
    handle.state = state
    handle.end(SUCCESS)
    make_site(launcher=Launcher(lambda: handle)).launch_job(META)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert event_recorder.states() == told


def test_a_state_in_which_jobs_have_ended_is_told_with_the_result_and_no_sooner(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    handle = launched(make_site(launcher=Launcher(Telling)))
    handle.state = "exited"
    launched(site := make_site(launcher=Launcher()))  # by another site's, time has gone by
    site.close()
    assert event_recorder.states("j1").count("exited") == 0
    handle.end(SUCCESS)
    assert event_recorder.wait_for_end() == JobResult(SUCCESS)


def test_the_launcher_is_who_fires(make_site: Callable[..., Site], event_recorder: EventRecorder) -> None:
    origins: list[str] = []

    class Origins(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_STATE_CHANGED:
                origins.append(fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN))

    launched(make_site(batch=Launcher(), origins=Origins())).end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert set(origins) == {"batch"}


# --- of which jobs ---


def test_a_launcher_that_tells_itself_is_not_told_twice(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    runtime = FakeRuntime()
    site = make_site(launcher=ClientDockerJobLauncher(image="job:1", runtime=runtime))
    site.launch_job(META, {"exe_module": ("-m", "client")})
    runtime.exit("site-1-j1", 0)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert watching_threads() == []
    assert event_recorder.states() == LIFE


def test_of_a_job_that_was_found_again_its_launcher_tells(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site, handle = make_site(), PlainHandle()
    site.start()
    recover(site, "r1", handle)
    handle.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert event_recorder.changes == []


def test_of_a_handle_that_cannot_say_how_it_is_the_end_is_told_and_what_must_have_been(
    make_site: Callable[..., Site], event_recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(PlainHandle):
        @property
        def state(self) -> str:
            raise ValueError("broken")

    handle = launched(make_site(launcher=Launcher(Broken)))
    until(lambda: caplog.messages, "it is looked at")
    handle.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert event_recorder.states() == LIFE
    assert caplog.messages[0] == "job j1: its handle cannot say how it is; it is not looked at"


# --- on which threads ---


def test_all_jobs_are_looked_at_by_one_thread_which_ends_with_the_last(
    site: Site, event_recorder: EventRecorder
) -> None:
    site.start()
    assert watching_threads() == []
    handles = [launched(site, f"j{number}") for number in range(20)]
    for number in range(20):
        event_recorder.wait_for_states(BEGUN, job_id=f"j{number}")
    threads = watching_threads()
    assert len(threads) == 1
    for handle in handles:
        handle.end(SUCCESS)
    threads[0].join(TIMEOUT)
    assert not threads[0].is_alive()


def test_where_no_thread_can_be_started_all_is_told_with_the_end(
    make_site: Callable[..., Site], event_recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(launcher=Launcher(AskedAtOnce))
    site.start()
    with no_threads():
        handle = launched(site)
        assert event_recorder.changes == []
        handle.end(SUCCESS)
    assert event_recorder.states() == LIFE
    assert event_recorder.event_types[-1] == EventType.JOB_COMPLETED
    assert "site site-1: state changes of its jobs are told late: no thread can be started now" in caplog.text


@pytest.fixture
def slow(make_site: Callable[..., Site]) -> Iterator[tuple[Site, threading.Event, threading.Event]]:
    """A site with a component that takes its time when it hears the first change; when it does, and to let it go on."""
    hears, may_go_on = threading.Event(), threading.Event()

    def hear() -> None:
        if not hears.is_set():
            hears.set()
            may_go_on.wait(TIMEOUT)

    yield make_site(launcher=Launcher(), slow=At(EventType.JOB_STATE_CHANGED, hear)), hears, may_go_on
    may_go_on.set()


def test_who_handles_a_change_slowly_delays_no_wait_and_no_other_jobs_end(
    slow: tuple[Site, threading.Event, threading.Event], event_recorder: EventRecorder
) -> None:
    site, hears, _ = slow
    first = launched(site)
    assert hears.wait(TIMEOUT)
    second = launched(site, "j2")
    second.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED, job_id="j2")
    first.end(SUCCESS)
    assert first.wait(TIMEOUT) is SUCCESS


def test_an_end_that_comes_while_a_change_is_handled_is_told_behind_it(
    slow: tuple[Site, threading.Event, threading.Event], event_recorder: EventRecorder
) -> None:
    site, hears, may_go_on = slow
    handle = launched(site)
    assert hears.wait(TIMEOUT)
    handle.end(SUCCESS)
    may_go_on.set()
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert event_recorder.states() == LIFE


@pytest.mark.parametrize("kind", [PlainHandle, AskedAtOnce])
def test_who_ends_a_job_when_it_hears_that_it_runs_hears_all_in_order(
    make_site: Callable[..., Site], event_recorder: EventRecorder, kind: type[PlainHandle]
) -> None:
    class Ends(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_STATE_CHANGED and JobStateChange.of(fl_ctx).state == "running":
                fl_ctx.get_engine().abort_job("j1", by="the test")

    make_site(launcher=Launcher(kind), ends=Ends()).launch_job(META)
    event_recorder.wait_for(EventType.JOB_ABORTED)
    assert event_recorder.states() == LIFE
    assert event_recorder.event_types[-1] == EventType.JOB_ABORTED


def test_what_is_told_of_a_jobs_next_run_waits_for_the_end_of_the_one_before(
    slow: tuple[Site, threading.Event, threading.Event], event_recorder: EventRecorder
) -> None:
    site, hears, may_go_on = slow
    first = launched(site)
    assert hears.wait(TIMEOUT)
    first.end(SUCCESS)
    launched(site).end(SUCCESS)
    other = launched(site, "j2")
    other.end(SUCCESS)
    event_recorder.wait_for(EventType.JOB_COMPLETED, job_id="j2")
    assert event_recorder.states("j1") == []  # the recorder hears after the slow one
    may_go_on.set()
    until(lambda: event_recorder.event_types.count(EventType.JOB_COMPLETED) == 3, "all ends are told")
    assert event_recorder.states("j1") == LIFE * 2
    runs = [change.id.partition(".")[0] for change in event_recorder.changes if change.job_id == "j1"]
    assert runs == [runs[0]] * 3 + [runs[3]] * 3
    assert runs[0] != runs[3]


# --- the site's end ---


def test_nothing_is_told_between_the_sites_end_and_its_next_start(site: Site, event_recorder: EventRecorder) -> None:
    handle = launched(site)
    event_recorder.wait_for_states(BEGUN)
    site.close()
    assert watching_threads() == []
    handle.end(SUCCESS)
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END
    site.start()
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    told = event_recorder.event_types
    assert told[told.index(EventType.SYSTEM_END) + 1 :] == [
        *(EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START),
        *(EventType.JOB_STATE_CHANGED, EventType.JOB_COMPLETED),
    ]
    assert event_recorder.states() == LIFE


def test_a_job_that_goes_on_over_the_sites_end_is_looked_at_again(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = make_site(launcher=Launcher(Telling))
    handle = launched(site)
    handle.state = "pending"
    event_recorder.wait_for_states(["created", "pending"])
    site.close()
    handle.state = "running"
    site.start()
    event_recorder.wait_for_states(["created", "pending", "running"])


def test_a_component_that_closes_the_site_when_it_hears_of_a_change_does_not_wait_for_itself(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = make_site(launcher=Launcher())
    closing = At(EventType.JOB_STATE_CHANGED, site.close)
    site.add_component("closing", closing)
    launched(site)
    assert closing.done.wait(TIMEOUT / 2)


# --- what observers make of it ---


def test_a_journal_has_its_states(
    make_site: Callable[..., Site], event_recorder: EventRecorder, tmp_path: Path
) -> None:
    site = make_site(journal=JobJournal(), launcher=Launcher())
    for code in (SUCCESS, JobReturnCode.EXCEPTION):
        launched(site).end(code)
    until(lambda: event_recorder.event_types.count(EventType.JOB_COMPLETED) == 2, "both ends are told")
    site.close()
    told = SiteHistory(map(json.loads, (tmp_path / ".flcore/journal.jsonl").read_text().splitlines()))
    job = told.jobs["site-1", "j1"]
    assert [entry.state for entry in job.states] == LIFE
    assert job.result == JobResult(JobReturnCode.EXCEPTION)
    assert told.containers == {}


def test_a_tally_counts_it_and_no_engine() -> None:
    tally = JobTally()
    tally.launching("j1")
    tally.launched("j1")
    tally.changed(JobStateChange("j1", "site-1", "", "", None, "created", 1.0), "batch")
    tally.changed(JobStateChange("j1", "site-1", "", "", "created", "running", 1.0), "batch")
    values = tally.values()
    assert values["jobs"]["running",] == 1
    assert values["reachable"] == {}


def test_jobs_may_begin_and_end_at_the_same_time_on_many_threads(
    site: Site, event_recorder: EventRecorder, pool: ThreadPoolExecutor
) -> None:
    def live(number: int) -> None:
        handle = launched(site, f"j{number}")
        handle.end(SUCCESS)

    list(pool.map(live, range(100)))
    for number in range(100):
        event_recorder.wait_for(EventType.JOB_COMPLETED, job_id=f"j{number}")
        assert event_recorder.states(f"j{number}") == LIFE
