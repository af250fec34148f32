"""The tracker: events are hints, inspection is the truth, and nobody who waits depends on who listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from flcore import JobReturnCode, JobStateChange
from flcore.errors import JobStartError, RuntimeRefusedError, RuntimeUnavailableError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.records.job_record import JobIdentity, JobRecord, RecordStore
from launchers.runtime.base import ContainerSummary
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking import looking, state_tracker, worker_loop
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob
from launchers.tracking.worker_loop import Timer

NEVER = 3600.0
OFTEN = 0.02
TIMEOUT = 10.0
LIFE = ["created", "running", "exited"]


class Changes:
    """A listener that collects changes, and can be waited on."""

    def __init__(self) -> None:
        self._changes: list[JobStateChange] = []
        self._arrived = threading.Condition()

    def __call__(self, change: JobStateChange) -> None:
        with self._arrived:
            self._changes.append(change)
            self._arrived.notify_all()

    def until_the_end(self) -> list[JobStateChange]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(change.result for change in self._changes), TIMEOUT)
            return list(self._changes)

    def states(self) -> list[str]:
        return [change.state for change in self.until_the_end()]


@dataclass
class World:
    """A runtime, and a tracker with an engine listener."""

    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    relist_interval: float = NEVER

    def __post_init__(self) -> None:
        self.engine: SimpleQueue[bool] = SimpleQueue()
        self.tracker = StateTracker(
            self.runtime,
            lambda reachable, _: self.engine.put(reachable),
            settings=JobSettings(relist_interval=self.relist_interval),
        )

    def job(
        self,
        name: str = "one",
        on_change: Callable[[JobStateChange], None] | None = None,
        clean_up: Callable[[TrackedJob], None] | None = None,
        watched: bool = True,
    ) -> TrackedJob:
        """Create a container, and have it watched."""
        container_id = self.runtime.create(ContainerSpec(name, "job:1", ("run",)))
        job = TrackedJob(JobIdentity(f"job-{name}", "site-1", name, container_id), JobHooks(on_change, clean_up))
        if watched:
            self.tracker.watch(job)
        return job

    def running_job(self, name: str = "one", on_change: Callable[[JobStateChange], None] | None = None) -> TrackedJob:
        """Start a watched container, and return when that was seen."""
        job = self.job(name, on_change)
        self.runtime.start(job.identity.container_id)
        self.tracker.poke(job)
        assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        return job


@contextmanager
def closing(world: World) -> Iterator[World]:
    try:
        yield world
    finally:
        world.runtime.reachable = True
        world.tracker.close()


@pytest.fixture
def world() -> Iterator[World]:
    with closing(World()) as world:
        yield world


def exit_code(job: TrackedJob) -> int | None:
    result = job.wait(TIMEOUT)
    assert result is not None, "the job did not end in time"
    return result.exit_code


def our_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("flcore-"))


# --- figures ---


def test_a_change_that_only_a_list_has_found_was_missed() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        world.runtime.drop_events = True
        job = world.job()
        assert job.enter_states({DOCKER_STATE.CREATED}, TIMEOUT)
        world.runtime.start(job.identity.container_id)
        assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        world.runtime.exit("one", 3)
        assert exit_code(job) == 3
    assert 1 <= world.tracker.figures().missed_changes <= 2  # the first look may come so late that it sees the start


def test_what_happened_before_anybody_looked_was_not_missed(world: World) -> None:
    job = world.job(watched=False)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    world.tracker.watch(job)
    assert exit_code(job) == 3
    world.tracker.close()
    assert world.tracker.figures().missed_changes == 0


def test_what_listeners_were_not_told_yet_is_counted(world: World) -> None:
    may_go_on = threading.Event()

    def listen(_: JobStateChange) -> None:
        may_go_on.wait(TIMEOUT)

    job = world.running_job(on_change=listen)
    world.runtime.exit("one", 0)
    job.wait(TIMEOUT)
    assert world.tracker.figures().untold >= 2
    may_go_on.set()


# --- what is not looked at ---


class Unlisted(FakeRuntime):
    """Lists nothing, and remembers in what states its containers were when they were looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    def inspect(self, container_id: str) -> ContainerState:
        seen = super().inspect(container_id)
        self.seen.append((container_id, seen.state))
        return seen

    def looks_at(self, job: TrackedJob) -> int:
        return [container_id for container_id, _ in self.seen].count(job.identity.container_id)

    def list_containers(self) -> list[ContainerSummary]:
        return []


def test_a_job_is_not_looked_at_before_it_is_started() -> None:
    runtime = Unlisted()
    with closing(World(runtime)) as world:
        job = world.job(watched=False)
        world.tracker.watch_unstarted(job)
        world.running_job("two")  # whatever was asked before was asked by now
        runtime.start(job.identity.container_id)
        world.tracker.poke(job)
        assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        assert (job.identity.container_id, "created") not in runtime.seen
        assert job.entered == {DOCKER_STATE.CREATED, DOCKER_STATE.RUNNING}


def test_a_start_that_was_seen_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_tracker, "EVENT_PATIENCE", 0.0)
    runtime = Unlisted()
    with closing(World(runtime)) as world:
        job = world.running_job()
        looks = [-1, runtime.looks_at(job)]
        while len(set(looks[-3:])) > 1:  # until whatever was asked before was asked
            world.running_job(f"other-{len(looks)}")
            looks.append(runtime.looks_at(job))
        world.tracker.poke_unless_told(job)
        world.running_job("last")
        assert runtime.looks_at(job) == looks[-1]


def test_a_start_that_no_event_tells_of_is_looked_at_in_a_moment(world: World) -> None:
    world.runtime.drop_events = True
    job = world.job(watched=False)
    world.tracker.watch_unstarted(job)
    world.runtime.start(job.identity.container_id)
    world.tracker.poke_unless_told(job)
    assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)


def test_a_job_that_was_not_looked_at_yet_is_ended_by_who_asks() -> None:
    runtime = Unlisted()
    with closing(World(runtime)) as world:
        job = world.job(watched=False)
        world.tracker.watch_unstarted(job)
        job.request_end("flcore stop", 0.0)
        world.tracker.end(job)
        result = job.wait(TIMEOUT)
        assert result is not None
        assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "flcore stop")
    assert runtime.containers() == []


# --- what is told ---


def test_a_whole_life_is_told_in_order_and_only_the_last_change_has_the_result(world: World) -> None:
    changes = Changes()
    job = world.running_job(on_change=changes)
    world.runtime.exit("one", 3)
    told = changes.until_the_end()
    assert [(change.previous, change.state) for change in told] == [
        (None, "created"),
        ("created", "running"),
        ("running", "exited"),
    ]
    assert [change.result for change in told] == [None, None, job.result]
    assert [change.time for change in told] == sorted(change.time for change in told)
    assert {(c.job_id, c.site, c.container_name, c.container_id) for c in told} == {
        ("job-one", "site-1", "one", job.identity.container_id)
    }


def test_a_job_that_ended_before_it_was_watched_is_told_whole(world: World) -> None:
    changes = Changes()
    job = world.job(on_change=changes, watched=False)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    world.tracker.watch(job)
    assert exit_code(job) == 3
    assert changes.states() == LIFE


def test_changes_that_one_look_has_found_cost_one_line_of_the_record_each_and_one_for_the_last(
    world: World, tmp_path: Path
) -> None:
    container_id = world.runtime.create(ContainerSpec("one", "job:1", ("run",)))
    who = JobIdentity("job-one", "site-1", "one", container_id, nonce="n1")
    store = RecordStore(tmp_path)
    store.open()
    record = store.add("launcher", who)
    told: list[list[tuple[int, str | None]]] = []
    job = TrackedJob(who, JobHooks(lambda _: told.append(numbers_in(record)), record=record))
    job.add_done_callback(lambda: told.append(numbers_in(record)))
    world.runtime.start(container_id)
    world.runtime.exit("one", 3)
    world.tracker.watch(job)
    assert exit_code(job) == 3
    world.tracker.close()
    store.close()
    telling = [(0, "created"), (1, "running"), (2, "exited")]
    assert told == [telling[:1], telling[:2], telling, [*telling, (3, None)]]


def numbers_in(record: JobRecord) -> list[tuple[int, str | None]]:
    """Return what a record's lines say of what was told last, and what is being told."""
    lines = [json.loads(line) for line in record.path.read_text().splitlines() if '"number"' in line]
    return [(line["number"], line["telling"] and line["telling"][0]) for line in lines]


def test_pauses_are_told(world: World) -> None:
    changes = Changes()
    job = world.running_job(on_change=changes)
    world.runtime.pause("one")
    assert job.enter_states({DOCKER_STATE.PAUSED}, TIMEOUT)
    world.runtime.unpause("one")
    world.runtime.exit("one", 0)
    assert changes.states()[:3] == ["created", "running", "paused"]
    assert changes.states()[-1] == "exited"


def test_a_container_that_somebody_removes_is_lost(world: World) -> None:
    job = world.running_job()
    world.runtime.remove(job.identity.container_id)
    result = job.wait(TIMEOUT)
    assert result is not None
    assert (result.return_code, job.state) == (JobReturnCode.INFRASTRUCTURE_ERROR, DOCKER_STATE.DEAD)


def test_a_result_never_changes(world: World) -> None:
    job = world.running_job()
    world.runtime.exit("one", 3)
    result = job.wait(TIMEOUT)
    world.runtime.remove(job.identity.container_id)
    job.request_end("too late", 0.0)
    world.tracker.poke(job)
    world.tracker.close()
    assert job.result is result


def test_of_two_requests_to_end_the_first_counts(world: World) -> None:
    job = world.running_job()
    job.request_end("the first", 1.0)
    job.request_end("the second", 2.0)
    world.tracker.end(job)
    result = job.wait(TIMEOUT)
    assert result is not None
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "the first")


# --- events that are lost, streams that end ---


def test_a_lost_end_is_found_however_many_events_there_are() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        lost, busy = world.running_job("lost"), world.running_job("busy")
        world.runtime.drop_events = True
        world.runtime.exit("lost", 3)

        def poke() -> None:
            while lost.result is None and not over.is_set():
                world.tracker.poke(busy)

        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(poke)
            try:
                assert exit_code(lost) == 3
            finally:
                over.set()


def test_everything_is_right_though_no_event_ever_comes() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        world.runtime.drop_events = True
        changes = Changes()
        jobs = [world.job(f"job-{number}", changes if number == 7 else None) for number in range(20)]
        for job in jobs:
            world.runtime.start(job.identity.container_id)
        assert all(job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT) for job in jobs)
        for number in range(20):
            world.runtime.exit(f"job-{number}", number)
        assert [exit_code(job) for job in jobs] == list(range(20))
        assert changes.states() == LIFE


def test_a_failed_start_is_seen_though_no_event_tells_of_it() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        job = world.job()
        world.runtime.start_error = "no such command"
        with pytest.raises(JobStartError):
            world.runtime.start(job.identity.container_id)
        result = job.wait(TIMEOUT)
        assert result is not None
        assert (result.return_code, result.error) == (JobReturnCode.EXECUTION_ERROR, "no such command")
        assert not job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)


def test_a_removal_is_seen_though_no_event_tells_of_it() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        job = world.running_job()
        world.runtime.drop_events = True
        world.runtime.remove(job.identity.container_id)
        assert exit_code(job) is None


class CountingRuntime(FakeRuntime):
    """Tells when a stream was opened; may fail to."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Semaphore(0)
        self.failure: Exception | None = None

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        failure, self.failure = self.failure, None
        if failure:
            raise failure
        with super().open_events() as events:
            self.opened.release()
            yield events


def test_a_stream_that_ends_is_opened_again() -> None:
    runtime = CountingRuntime()
    with closing(World(runtime)) as world:
        job = world.running_job()
        assert runtime.opened.acquire(timeout=TIMEOUT)
        runtime.close_events()
        assert runtime.opened.acquire(timeout=TIMEOUT)
        runtime.exit("one", 3)
        assert exit_code(job) == 3


def test_what_happens_while_there_is_no_stream_is_found_by_the_list() -> None:
    runtime = CountingRuntime()
    with closing(World(runtime)) as world:
        job = world.running_job()
        assert runtime.opened.acquire(timeout=TIMEOUT)
        runtime.drop_events = True
        runtime.exit("one", 3)
        runtime.close_events()
        assert exit_code(job) == 3


@pytest.mark.parametrize("failure", [RuntimeUnavailableError("away"), RuntimeRefusedError("no"), ValueError("garbage")])
def test_a_stream_that_cannot_be_opened_is_opened_later(failure: Exception) -> None:
    runtime = CountingRuntime()
    runtime.failure = failure
    with closing(World(runtime)) as world:
        job = world.running_job()
        assert runtime.opened.acquire(timeout=TIMEOUT)
        runtime.exit("one", 3)
        assert exit_code(job) == 3


# --- an engine that does not answer ---


def test_an_engine_that_goes_away_and_comes_back_ends_no_job_and_is_told_once_each() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        jobs = [world.running_job(f"job-{number}") for number in range(3)]
        world.runtime.set_reachable(False)
        assert world.engine.get(timeout=TIMEOUT) is False
        for job in jobs:
            world.tracker.poke(job)
        assert [job.result for job in jobs] == [None] * 3
        for number in range(3):
            world.runtime.exit(f"job-{number}", number)
        world.runtime.set_reachable(True)
        assert world.engine.get(timeout=TIMEOUT) is True
        assert [exit_code(job) for job in jobs] == [0, 1, 2]
        world.tracker.close()
        assert world.engine.empty()


def test_an_engine_that_answers_no_inspection_is_away() -> None:
    with closing(World()) as world:
        job = world.running_job()
        world.runtime.reachable = False  # the stream hangs, as that of a frozen engine
        world.tracker.poke(job)
        assert world.engine.get(timeout=TIMEOUT) is False
        assert job.result is None


def test_what_happened_meanwhile_is_seen_when_the_engine_comes_back() -> None:
    with closing(World(relist_interval=OFTEN)) as world:
        job = world.running_job()
        world.runtime.set_reachable(False)
        assert world.engine.get(timeout=TIMEOUT) is False
        world.runtime.exit("one", 7)
        world.runtime.reachable = True
        assert exit_code(job) == 7


class MoodyRuntime(FakeRuntime):
    """Raises something else than "unreachable" once for each inspection and list."""

    def __init__(self, mood: Exception) -> None:
        super().__init__()
        self.moods = [mood]

    def inspect(self, container_id: str) -> ContainerState:
        if self.moods:
            raise self.moods.pop()
        return super().inspect(container_id)


@pytest.mark.parametrize("mood", [RuntimeRefusedError("500"), ValueError("garbage")])
def test_an_inspection_that_fails_is_repeated(mood: Exception) -> None:
    with closing(World(MoodyRuntime(mood), OFTEN)) as world:
        job = world.running_job()
        world.runtime.exit("one", 3)
        assert exit_code(job) == 3
        assert world.engine.empty()


# --- threads ---


def test_a_hundred_jobs_need_three_threads_and_a_few_that_ask() -> None:
    before = our_threads()
    with closing(World()) as world:
        jobs = [world.job(f"job-{number}", clean_up=lambda _: None) for number in range(100)]
        for job in jobs:
            world.runtime.start(job.identity.container_id)
        own = {"flcore-notifier", "flcore-reader", "flcore-worker"}
        assert set(our_threads()) - {"flcore-asker", "flcore-lister"} == {*before, *own}
        for number in range(100):
            world.runtime.exit(f"job-{number}", number)
        assert [exit_code(job) for job in jobs] == list(range(100))
        assert our_threads().count("flcore-cleaner") <= 4
        assert our_threads().count("flcore-asker") <= 8
    assert our_threads() == before


def test_making_a_tracker_starts_no_thread() -> None:
    before = our_threads()
    with closing(World()):
        assert our_threads() == before


def test_several_threads_may_wait_for_one_job(world: World) -> None:
    job = world.running_job()
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(exit_code, job) for _ in range(5)]
        world.runtime.exit("one", 3)
        assert [future.result(TIMEOUT) for future in waiting] == [3] * 5


def test_waiting_has_an_end(world: World) -> None:
    job = world.running_job()
    assert job.wait(0.01) is None
    assert not job.enter_states({DOCKER_STATE.PAUSED}, 0.01)


# --- listeners ---


def test_a_listener_that_raises_loses_no_change(world: World, caplog: pytest.LogCaptureFixture) -> None:
    changes = Changes()

    def listen(change: JobStateChange) -> None:
        changes(change)
        raise ValueError("a bug of a component")

    job = world.running_job(on_change=listen)
    world.runtime.exit("one", 3)
    assert exit_code(job) == 3
    assert changes.states() == LIFE
    assert "a bug of a component" in caplog.text


def test_a_listener_that_blocks_delays_no_wait_and_loses_no_change(world: World) -> None:
    released, changes = threading.Event(), Changes()

    def listen(change: JobStateChange) -> None:
        assert released.wait(TIMEOUT)
        changes(change)

    job = world.running_job(on_change=listen)
    other = world.running_job("two")
    world.runtime.exit("one", 3)
    world.runtime.exit("two", 4)
    assert (exit_code(job), exit_code(other)) == (3, 4)
    assert not released.is_set()
    released.set()
    assert changes.states() == LIFE


def test_the_changes_of_many_jobs_come_in_order(world: World) -> None:
    changes = [Changes() for _ in range(20)]
    for number, listener in enumerate(changes):
        world.running_job(f"job-{number}", listener)
    for number in range(20):
        world.runtime.exit(f"job-{number}", number)
    assert [listener.states() for listener in changes] == [LIFE] * 20


def test_a_listener_may_wait_for_its_own_job(world: World) -> None:
    codes: SimpleQueue[int | None] = SimpleQueue()
    job: TrackedJob

    def listen(change: JobStateChange) -> None:
        if change.result:
            codes.put(exit_code(job))

    job = world.job(on_change=listen)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    assert codes.get(timeout=TIMEOUT) == 3


# --- done callbacks ---


def test_a_done_callback_comes_once_and_after_the_last_change(world: World) -> None:
    told: SimpleQueue[str] = SimpleQueue()
    job = world.running_job(on_change=lambda change: told.put(change.state))
    job.add_done_callback(lambda: told.put("done"))
    world.runtime.exit("one", 3)
    assert [told.get(timeout=TIMEOUT) for _ in range(4)] == [*LIFE, "done"]
    world.tracker.close()
    assert told.empty()


def test_a_done_callback_that_comes_after_the_end_is_called_at_once(world: World) -> None:
    done, called = threading.Event(), []
    job = world.running_job()
    job.add_done_callback(done.set)
    world.runtime.exit("one", 3)
    assert done.wait(TIMEOUT)
    job.add_done_callback(lambda: called.append(threading.current_thread()))
    assert called == [threading.current_thread()]


def test_a_done_callback_that_raises_stops_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("a bug of a callback")

    done = threading.Event()
    job = world.running_job()
    job.add_done_callback(fail)
    job.add_done_callback(done.set)
    world.runtime.exit("one", 3)
    assert done.wait(TIMEOUT)
    assert "a bug of a callback" in caplog.text


def test_a_done_callback_comes_though_the_listener_raised(world: World) -> None:
    def listen(change: JobStateChange) -> None:
        raise ValueError("a bug of a component")

    done = threading.Event()
    job = world.running_job(on_change=listen)
    job.add_done_callback(done.set)
    world.runtime.exit("one", 3)
    assert done.wait(TIMEOUT)


# --- cleaning up ---


def test_an_ended_job_is_cleaned_up_once_and_by_a_thread_of_its_own(world: World) -> None:
    cleaned: SimpleQueue[tuple[TrackedJob, str]] = SimpleQueue()
    job = world.job(clean_up=lambda ended: cleaned.put((ended, threading.current_thread().name)))
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    who, thread = cleaned.get(timeout=TIMEOUT)
    assert who is job
    assert thread.startswith("flcore-cleaner")
    world.tracker.poke(job)
    world.tracker.close()
    assert cleaned.empty()


def test_a_clean_up_that_cannot_be_done_now_is_done_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    tries: list[TrackedJob] = []

    def clean_up(job: TrackedJob) -> None:
        tries.append(job)
        if len(tries) == 1:
            raise RuntimeUnavailableError("away, just now")

    job = world.job(clean_up=clean_up)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    assert job.wait_for_clean_up(TIMEOUT)
    assert tries == [job, job]
    assert "away, just now" in caplog.text


def test_a_clean_up_that_fails_is_logged_and_harms_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def clean_up(job: TrackedJob) -> None:
        raise ValueError("a bug")

    job = world.job(clean_up=clean_up)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    assert exit_code(job) == 3
    assert job.wait_for_clean_up(TIMEOUT)
    world.tracker.close()
    assert "a bug" in caplog.text


def test_a_clean_up_that_takes_long_delays_no_wait(world: World) -> None:
    released = threading.Event()

    def clean_up(job: TrackedJob) -> None:
        released.wait(TIMEOUT)

    job = world.job(clean_up=clean_up)
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    assert exit_code(job) == 3
    assert not released.is_set()
    released.set()


# --- closing ---


def test_closing_leaves_no_thread_and_tells_who_waits(world: World) -> None:
    before = our_threads()
    job = world.running_job()
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(job.wait)
        entering = pool.submit(job.enter_states, {DOCKER_STATE.PAUSED})
        world.tracker.close()
        for future in (waiting, entering):
            with pytest.raises(RuntimeUnavailableError, match=r"job job-one .* its site was closed"):
                future.result(TIMEOUT)
    assert our_threads() == before
    assert world.runtime.container("one").state.state is DOCKER_STATE.RUNNING


def test_after_closing_what_is_known_stays_known(world: World) -> None:
    ended, running = world.running_job("ended"), world.running_job("running")
    world.runtime.exit("ended", 3)
    assert exit_code(ended) == 3
    world.tracker.close()
    assert exit_code(ended) == 3
    assert running.enter_states({DOCKER_STATE.RUNNING})
    with pytest.raises(RuntimeUnavailableError):
        running.wait()


def test_closing_takes_in_what_has_ended_though_no_event_told_of_it(world: World) -> None:
    cleaned: list[str] = []
    changes = Changes()
    job = world.job(on_change=changes, clean_up=lambda ended: cleaned.append(str(ended.identity)))
    world.runtime.drop_events = True
    world.runtime.start(job.identity.container_id)
    world.runtime.exit("one", 3)
    world.tracker.close()
    assert job.result is not None
    assert job.result.exit_code == 3
    assert (changes.states(), cleaned) == (LIFE, [str(job.identity)])


def test_closing_twice_does_nothing(world: World) -> None:
    world.running_job()
    world.tracker.close()
    world.tracker.close()


def test_nothing_can_be_watched_after_closing(world: World) -> None:
    job = world.job(watched=False)
    world.tracker.close()
    with pytest.raises(RuntimeUnavailableError, match="the site is closed"):
        world.tracker.watch(job)


def test_a_listener_may_close(world: World) -> None:
    closed = threading.Event()

    def listen(change: JobStateChange) -> None:
        if change.result:
            world.tracker.close()
            closed.set()

    world.running_job(on_change=listen)
    world.runtime.exit("one", 3)
    assert closed.wait(TIMEOUT)


class SlowRuntime(FakeRuntime):
    """Opens a stream only when it was told to close all streams."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = threading.Event()

    @contextmanager
    def open_events(self) -> Iterator[Iterator[str]]:
        assert self.closing.wait(TIMEOUT)
        with super().open_events() as events:
            yield events

    def close_events(self) -> None:
        super().close_events()
        self.closing.set()


def test_closing_does_not_wait_for_a_stream_that_is_opened_too_late() -> None:
    before = our_threads()
    with closing(World(SlowRuntime())) as world:
        world.job()
        world.tracker.close()
        assert our_threads() == before


class InterruptedOnce(FakeRuntime):
    """Somebody interrupts who ends its streams for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.was_interrupted = False

    def close_events(self) -> None:
        super().close_events()
        if not self.was_interrupted:
            self.was_interrupted = True
            raise KeyboardInterrupt


def test_an_interrupt_while_it_closes_leaves_no_thread() -> None:
    before = our_threads()
    with closing(World(InterruptedOnce())) as world:
        world.job()
        with pytest.raises(KeyboardInterrupt):
            world.tracker.close()
        assert our_threads() == before


def test_a_jobs_identity_names_job_and_container() -> None:
    identity = JobIdentity("job-1", "site-1", "site-1-job-1", "0123456789abcdef")
    assert str(identity) == "job job-1 in container site-1-job-1 (0123456789ab)"


class Uninspectable(FakeRuntime):
    """Its containers are listed, and cannot be inspected."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: SimpleQueue[bool] = SimpleQueue()

    def inspect(self, container_id: str) -> ContainerState:
        self.looks.put(True)
        raise RuntimeRefusedError("an error of the engine's own")


def poke_until_looked_at(world: World, runtime: Uninspectable, job: TrackedJob) -> None:
    """More than once, if need be: a look that has failed is not repeated for who asked while it was under way."""
    for _ in range(1000):
        world.tracker.poke(job)
        with suppress(Empty):
            runtime.looks.get(timeout=0.01)
            return
    pytest.fail("it is not looked at")


def test_a_container_that_cannot_be_inspected_has_one_retry_however_often_it_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Timer] = []
    monkeypatch.setattr(looking, "retry_delay", lambda _: NEVER)

    def timer(due: float, number: int, call: Callable[[], object]) -> Timer:
        made.append(Timer(due, number, call))
        return made[-1]

    monkeypatch.setattr(worker_loop, "Timer", timer)
    runtime = Uninspectable()
    with closing(World(runtime)) as world:
        job = world.job()
        for _ in range(20):
            poke_until_looked_at(world, runtime, job)
        assert len(made) <= 2  # one for the next list, one for the next look


class Dealer:
    """Deals with a container that nobody knows, and with all lists of it, when it may."""

    def __init__(self, settings: JobSettings) -> None:
        self.lists, self.dealing, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
        lists = self.lists

        class Listing(FakeRuntime):
            def list_containers(self) -> list[ContainerSummary]:
                lists.release()
                return super().list_containers()

        runtime = Listing()
        runtime.create(ContainerSpec("unknown", "job:1", ("run",)))
        self.tracker = StateTracker(runtime, on_unknown=self._deal, settings=settings)
        self.tracker.sweep()

    def _deal(self, _: list[ContainerSummary]) -> bool:
        self.dealing.release()
        assert self.may_go_on.wait(TIMEOUT)
        return False


def test_unknown_containers_are_dealt_with_once_at_a_time_however_often_they_are_listed() -> None:
    dealer = Dealer(JobSettings(relist_interval=NEVER))
    assert dealer.dealing.acquire(timeout=TIMEOUT)
    for _ in range(5):
        dealer.tracker.doubt()
        assert dealer.lists.acquire(timeout=TIMEOUT)
    assert not dealer.dealing.acquire(blocking=False)
    dealer.may_go_on.set()
    dealer.tracker.close()


@pytest.mark.parametrize("first_answer", [True, RuntimeUnavailableError("gone")], ids=["too early", "no engine"])
def test_unknown_containers_are_listed_until_none_must_be_dealt_with_later(first_answer: bool | Exception) -> None:
    answers: list[bool | Exception] = [first_answer, True, False]
    dealt = threading.Semaphore(0)

    def deal(_: list[ContainerSummary]) -> bool:
        answer = answers.pop(0) if answers else False
        dealt.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    runtime = FakeRuntime()
    runtime.create(ContainerSpec("unknown", "job:1", ("run",)))
    hasty = JobSettings(relist_interval=OFTEN, creation_grace=0.0)
    tracker = StateTracker(runtime, on_unknown=deal, settings=hasty)
    tracker.sweep()
    for _ in range(3):
        assert dealt.acquire(timeout=TIMEOUT)
    tracker.close()


def test_a_list_that_comes_while_unknown_containers_are_dealt_with_is_not_the_last() -> None:
    dealer = Dealer(JobSettings(relist_interval=OFTEN, creation_grace=0.0))
    assert dealer.dealing.acquire(timeout=TIMEOUT)
    while dealer.lists.acquire(timeout=10 * OFTEN):  # until the sweep is over
        pass
    dealer.may_go_on.set()
    assert dealer.dealing.acquire(timeout=TIMEOUT)
    dealer.tracker.close()
