"""Back-pressure: how many jobs a site launches and runs at the same time, who waits, and who is refused."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest

from flcore import EventType, JobHandleSpec, JobReturnCode, Site
from flcore.admission import Admission, AdmissionLimits, Load
from flcore.errors import ConfigError, ImageError, JobAbortedError, SiteBusyError
from flcore.launch import Launch, LaunchState
from flcore.testing import EventRecorder
from tests.conftest import At, Launcher, PlainHandle, recover

TIMEOUT = 10


class Queue(logging.Handler):
    """Hears that launches wait."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._job_ids: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("job %s waits") and isinstance(record.args, tuple):
            self._job_ids.put(str(record.args[0]))

    def next(self) -> str:
        """Return the id of the next job that began to wait."""
        return self._job_ids.get(timeout=TIMEOUT)


@pytest.fixture
def queue() -> Iterator[Queue]:
    handler, logger = Queue(), logging.getLogger("flcore.admission")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def wait_in(pool: ThreadPoolExecutor, queue: Queue) -> Callable[[Admission, Launch], Future[None]]:
    """Return a function that has a launch wait for its turn on another thread, and returns when it does."""

    def wait(admission: Admission, launch: Launch) -> Future[None]:
        future = pool.submit(admission.enter, launch)
        assert queue.next() == launch.job_id
        return future

    return wait


def entered(admission: Admission, count: int) -> list[Launch]:
    """Return launches that were let in at once."""
    launches = [Launch(f"j{number}") for number in range(1, count + 1)]
    for launch in launches:
        admission.enter(launch)
    return launches


def admission_of(**limits: int) -> Admission:
    return Admission("site-1", AdmissionLimits(**limits))


# --- limits ---


def test_without_limits_every_launch_begins_at_once() -> None:
    entered(admission_of(), 1000)


def test_as_many_jobs_run_as_the_site_allows_and_the_next_one_waits_for_an_end(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=2)
    first, _ = entered(admission, 2)
    admission.launched(first)
    waiting = wait_in(admission, Launch("j3"))
    admission.leave(first)
    waiting.result(TIMEOUT)


def test_a_launch_waits_for_the_end_of_another_launch_not_of_its_job(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(launching=1)
    (first,) = entered(admission, 1)
    waiting = wait_in(admission, Launch("j2"))
    admission.launched(first)
    waiting.result(TIMEOUT)


def test_launches_that_wait_begin_in_the_order_of_their_coming(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=1)
    (last,) = entered(admission, 1)
    launches = [Launch(f"waiting-{number}") for number in range(8)]
    futures = [wait_in(admission, launch) for launch in launches]
    for number, launch in enumerate(launches):
        admission.leave(last)
        futures[number].result(TIMEOUT)
        assert not any(later.done() for later in futures[number + 1 :])
        last = launch


def test_an_end_that_is_told_twice_lets_in_one(wait_in: Callable[[Admission, Launch], Future[None]]) -> None:
    admission = admission_of(running=1)
    (first,) = entered(admission, 1)
    second, third = (wait_in(admission, Launch(name)) for name in ("j2", "j3"))
    admission.leave(first)
    admission.leave(first)
    second.result(TIMEOUT)
    assert admission.load == (1, 1, 1)
    admission.close("the test")
    with pytest.raises(JobAbortedError):
        third.result(TIMEOUT)


def test_a_job_that_runs_already_is_counted_whatever_the_limit(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=1, launching=1)
    recovered = [Launch("r1"), Launch("r2")]
    for launch in recovered:
        admission.enter_regardless(launch)
    waiting = wait_in(admission, Launch("j1"))
    admission.leave(recovered[0])
    assert admission.load == (1, 0, 1)
    admission.leave(recovered[1])
    waiting.result(TIMEOUT)


# --- refusals ---


def test_a_launch_that_finds_the_queue_full_is_refused_with_the_numbers_and_the_way_out(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=2, launching=2, queued=1)
    first, second = entered(admission, 2)
    admission.launched(first)
    waiting = wait_in(admission, Launch("j3"))
    with pytest.raises(SiteBusyError) as raised:
        admission.enter(Launch("j4"))
    assert str(raised.value) == (
        "job j4: site site-1 is busy (running: 2, being launched: 1, waiting: 1); raise admission.running (2) or"
        " admission.queued (1) to let more in"
    )
    admission.leave(second)
    waiting.result(TIMEOUT)


def test_without_a_queue_a_launch_is_refused_at_once_and_the_reached_limit_is_named() -> None:
    admission = admission_of(running=5, launching=1, queued=0)
    entered(admission, 1)
    with pytest.raises(SiteBusyError) as raised:
        admission.enter(Launch("j2"))
    assert str(raised.value) == (
        "job j2: site site-1 is busy (running: 1, being launched: 1, waiting: 0); raise admission.launching (1) or"
        " admission.queued (0) to let more in"
    )


def test_a_hundred_launches_may_wait_where_the_site_does_not_say() -> None:
    assert AdmissionLimits.read({"running": 1}, "site-1.json: admission") == AdmissionLimits(None, 1, 100)


def test_a_waiting_launch_that_is_refused_raises_at_once_and_makes_room_to_wait(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=1, queued=1)
    (first,) = entered(admission, 1)
    launch = Launch("j2")
    waiting = wait_in(admission, launch)
    assert launch.request_end("the operator")
    with pytest.raises(JobAbortedError) as raised:
        waiting.result(TIMEOUT)
    assert str(raised.value) == "job j2: its launch was ended on the request of the operator"
    assert raised.value.by == "the operator"
    next_one = wait_in(admission, Launch("j3"))
    admission.leave(first)
    next_one.result(TIMEOUT)


def test_a_launch_that_is_refused_before_it_comes_does_not_wait() -> None:
    admission, launch = admission_of(running=1), Launch("j1")
    assert launch.request_end("the operator")
    assert launch.request_end("somebody else")
    with pytest.raises(JobAbortedError, match="on the request of the operator"):
        admission.enter(launch)
    assert admission.load == (0, 0, 0)


def test_a_launch_that_was_let_in_keeps_its_place_until_it_leaves_whoever_asks_for_its_end() -> None:
    admission = admission_of(running=1)
    (launch,) = entered(admission, 1)
    launch.request_end("the operator")
    assert admission.load == (1, 1, 0)
    admission.leave(launch)
    assert admission.load == (0, 0, 0)


def test_a_launch_whose_end_is_asked_for_makes_room_to_wait_before_its_thread_has_woken() -> None:
    admission = admission_of(running=1, queued=1)
    (first,) = entered(admission, 1)
    loads: list[Load] = []

    class Slow(Launch):
        """Somebody asks for its end when it begins to wait, and it has not woken yet."""

        def wait_for_turn(self) -> None:
            self.request_end("the operator")
            loads.append(admission.load)
            super().wait_for_turn()

    with pytest.raises(JobAbortedError):
        admission.enter(Slow("j2"))
    assert loads == [(1, 1, 0)]
    admission.leave(first)
    assert admission.load == (0, 0, 0)


def test_of_launches_that_wait_one_whose_end_is_asked_for_is_never_let_in(
    wait_in: Callable[[Admission, Launch], Future[None]],
) -> None:
    admission = admission_of(running=1)
    (first,) = entered(admission, 1)
    unwanted, wanted = Launch("j2"), Launch("j3")
    futures = [wait_in(admission, unwanted), wait_in(admission, wanted)]
    unwanted.on_end_request(lambda: admission.leave(first))  # just when somebody asks
    unwanted.request_end("the operator")
    with pytest.raises(JobAbortedError):
        futures[0].result(TIMEOUT)
    futures[1].result(TIMEOUT)
    assert (unwanted.state, wanted.state) == (LaunchState.WAITING, LaunchState.ADMITTED)


def test_a_closed_site_refuses_who_waits_and_who_comes(wait_in: Callable[[Admission, Launch], Future[None]]) -> None:
    admission = admission_of(running=1)
    entered(admission, 1)
    waiting = [wait_in(admission, Launch(name)) for name in ("j2", "j3")]
    admission.close("site site-1, which closes")
    for future in waiting:
        with pytest.raises(JobAbortedError, match="on the request of site site-1, which closes"):
            future.result(TIMEOUT)
    with pytest.raises(JobAbortedError):
        admission.enter(Launch("j4"))


def test_a_site_that_opens_again_counts_no_job_of_before() -> None:
    admission = admission_of(running=1)
    (first,) = entered(admission, 1)
    admission.close("the site")
    admission.reopen()
    admission.enter(Launch("j2"))
    admission.leave(first)
    assert admission.load == (1, 1, 0)


# --- a site with limits ---


class Crowd:
    """A site with limits whose launcher gives out plain handles."""

    def __init__(self, make_site: Callable[..., Site], **limits: int) -> None:
        self.handles: list[PlainHandle] = []
        self.launch: Callable[[], object] = lambda: None
        self.launcher = Launcher(self._launch)
        self.site: Site = make_site(admission=limits, launcher=self.launcher)

    def _launch(self) -> JobHandleSpec:
        self.launch()
        self.handles.append(PlainHandle())
        return self.handles[-1]

    def fill(self) -> None:
        """Launch the first job, j1."""
        self.site.launch_job(meta(1))

    @property
    def launched(self) -> list[str]:
        return [job_meta["job_id"] for job_meta, _ in self.launcher.launched]


@pytest.fixture
def make_crowd(make_site: Callable[..., Site]) -> Callable[..., Crowd]:
    return lambda **limits: Crowd(make_site, **limits)


def meta(number: int) -> dict[str, Any]:
    return {"job_id": f"j{number}"}


def test_a_wrong_limit_of_a_site_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        Site("site-1", admission={"running": 0})
    assert str(raised.value) == "site site-1: admission.running: must be a number of jobs, 1 at least, got 0"


def test_a_launch_waits_until_another_job_has_ended_and_nobody_hears_of_it_before(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue, event_recorder: EventRecorder
) -> None:
    crowd = make_crowd(running=1)
    crowd.fill()
    waiting = pool.submit(crowd.site.launch_job, meta(2))
    assert queue.next() == "j2"
    assert list(crowd.site.jobs()) == ["j1"]
    assert "j2" not in {event.job_id for event in event_recorder.events}
    crowd.handles[0].end(JobReturnCode.SUCCESS)
    assert waiting.result(TIMEOUT) is crowd.handles[1]
    assert list(crowd.site.jobs()) == ["j1", "j2"]


def test_a_job_that_runs_holds_no_place_among_the_launches(make_crowd: Callable[..., Crowd]) -> None:
    crowd = make_crowd(launching=1, queued=0)
    for number in (1, 2, 3):
        crowd.site.launch_job(meta(number))


def test_a_launch_waits_for_the_launch_before_it(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue
) -> None:
    crowd, go_on = make_crowd(launching=1), threading.Event()
    crowd.launch = lambda: go_on.wait(TIMEOUT)
    futures = [pool.submit(crowd.site.launch_job, meta(1)), pool.submit(crowd.site.launch_job, meta(2))]
    late = queue.next()
    assert late not in crowd.launched
    go_on.set()
    for future in futures:
        future.result(TIMEOUT)
    assert crowd.launched[1] == late


def test_a_busy_site_refuses_a_launch_and_nothing_of_it_is_left(
    make_crowd: Callable[..., Crowd], event_recorder: EventRecorder
) -> None:
    crowd = make_crowd(running=1, queued=0)
    crowd.fill()
    for _ in range(2):  # its id stays free
        with pytest.raises(SiteBusyError, match=r"^job j2: site site-1 is busy"):
            crowd.site.launch_job(meta(2), app="nowhere")
    assert crowd.launched == ["j1"]
    assert list(crowd.site.jobs()) == ["j1"]
    events = [event for event in event_recorder.events if event.job_id == "j2"]
    assert [event.event_type for event in events] == [EventType.JOB_ABORTED] * 2
    assert events[0].result
    assert events[0].result.error.startswith("job j2: site site-1 is busy")


def test_a_launch_that_fails_gives_its_place_back(make_crowd: Callable[..., Crowd]) -> None:
    crowd, errors = make_crowd(running=1, launching=1, queued=0), [ImageError("no image")]

    def fail_once() -> None:
        if errors:
            raise errors.pop()

    crowd.launch = fail_once
    with pytest.raises(ImageError):
        crowd.site.launch_job(meta(1))
    crowd.site.launch_job(meta(2))


def test_never_do_more_jobs_run_than_the_site_allows(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor
) -> None:
    crowd, most = make_crowd(running=3, launching=2), []

    def count() -> None:
        most.append(sum(handle.poll() == JobReturnCode.UNKNOWN for handle in list(crowd.handles)))

    crowd.launch = count
    jobs = pool.map(lambda number: crowd.site.launch_job(meta(number)).terminate(), range(64))
    assert list(jobs) == [JobReturnCode.ABORTED] * 64
    assert max(most) < 3


# --- launches from handlers of events ---


def test_a_handler_that_hears_of_an_end_can_launch_in_the_place_of_the_ended_job(
    make_crowd: Callable[..., Crowd],
) -> None:
    crowd = make_crowd(running=1, queued=0)
    next_one = At(EventType.JOB_COMPLETED, lambda: crowd.site.launch_job(meta(2)))
    crowd.site.add_component("next", next_one)
    crowd.fill()
    crowd.handles[0].end(JobReturnCode.SUCCESS)
    assert next_one.done.wait(TIMEOUT)
    assert (next_one.errors, crowd.launched) == ([], ["j1", "j2"])


@pytest.mark.parametrize("event_type", [EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH])
def test_a_handler_that_others_wait_for_is_refused_rather_than_to_wait(
    make_crowd: Callable[..., Crowd], event_type: str
) -> None:
    crowd = make_crowd(running=1)
    greedy = At(event_type, lambda: crowd.site.launch_job(meta(2)))
    crowd.site.add_component("greedy", greedy)
    crowd.fill()
    assert [str(error).partition("; ")[2] for error in greedy.errors] == [
        "no launch waits in an event's handler: launch from a thread of your own, or raise admission.running (1)"
    ]
    assert crowd.launched == ["j1"]


def test_a_handler_of_an_event_that_is_not_the_sites_may_wait(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue
) -> None:
    crowd = make_crowd(running=1)
    submit = At("submit", lambda: crowd.site.launch_job(meta(2)))
    crowd.site.add_component("submit", submit)
    crowd.fill()
    fired = pool.submit(crowd.site.fire_event, "submit", crowd.site.new_context())
    assert queue.next() == "j2"
    crowd.handles[0].end(JobReturnCode.SUCCESS)
    fired.result(TIMEOUT)
    assert (submit.errors, crowd.launched) == ([], ["j1", "j2"])


# --- launches that wait, and do not come to it ---


def test_a_launch_that_waits_can_be_aborted_and_raises_at_once(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue, event_recorder: EventRecorder
) -> None:
    crowd = make_crowd(running=1)
    crowd.fill()
    waiting = pool.submit(crowd.site.launch_job, meta(2))
    assert queue.next() == "j2"
    assert crowd.site.abort_job("j2", by="the operator") is JobReturnCode.ABORTED
    with pytest.raises(JobAbortedError, match=r"^job j2: its launch was ended on the request of the operator$"):
        waiting.result(TIMEOUT)
    result = event_recorder.wait_for(EventType.JOB_ABORTED, job_id="j2").result
    assert result
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "the operator")
    assert crowd.launched == ["j1"]


def test_closing_a_site_ends_the_waiting_of_launches(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue
) -> None:
    crowd = make_crowd(running=1)
    crowd.fill()
    waiting = pool.submit(crowd.site.launch_job, meta(2))
    assert queue.next() == "j2"
    crowd.site.close()
    with pytest.raises(JobAbortedError) as raised:
        waiting.result(TIMEOUT)
    assert raised.value.by == "site site-1, which closes"


def test_an_interrupt_ends_the_waiting_and_leaves_the_place_to_others(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd, interrupted, waits = make_crowd(running=1, queued=1), threading.Event(), threading.Event()
    crowd.fill()
    wait_for_turn = Launch.wait_for_turn

    def tell_and_wait(launch: Launch) -> None:
        waits.set()
        wait_for_turn(launch)

    monkeypatch.setattr(Launch, "wait_for_turn", tell_and_wait)

    def interrupt() -> None:
        queue.next()
        assert waits.wait(TIMEOUT)  # an interrupt of what logs would leave the lock of a log's handler taken
        main = threading.main_thread().ident
        while not interrupted.is_set():
            assert main
            signal.pthread_kill(main, signal.SIGINT)
            # One that comes just before the waiting begins would not be noticed; a second one too early would interrupt
            # what the first one has to be cleaned up by.
            interrupted.wait(TIMEOUT / 2)

    interrupting = pool.submit(interrupt)
    with pytest.raises(KeyboardInterrupt):
        crowd.site.launch_job(meta(2))
    interrupted.set()
    interrupting.result(TIMEOUT)
    waiting = pool.submit(crowd.site.launch_job, meta(3))
    assert queue.next() == "j3"
    crowd.handles[0].end(JobReturnCode.SUCCESS)
    waiting.result(TIMEOUT)
    assert crowd.launched == ["j1", "j3"]


# --- jobs that were found again ---


def test_jobs_that_were_found_again_count_and_new_ones_wait_for_their_end(
    make_crowd: Callable[..., Crowd], pool: ThreadPoolExecutor, queue: Queue
) -> None:
    crowd, recovered = make_crowd(running=1), [PlainHandle(), PlainHandle()]
    crowd.site.start()
    for number, handle in enumerate(recovered):
        recover(crowd.site, f"r{number}", handle)
    waiting = pool.submit(crowd.site.launch_job, meta(1))
    assert queue.next() == "j1"
    for handle in recovered:
        handle.end(JobReturnCode.SUCCESS)
    waiting.result(TIMEOUT)
