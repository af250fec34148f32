"""Threads come with the work and go with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from launchers.tracking import worker_pool
from launchers.tracking.worker_pool import WorkerPool

from ....faulty import no_threads

TIMEOUT = 10.0


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"flcore-{name}"]


class Later:
    """Makes at once, on a thread of the test's, what a pool wants to have made in some seconds."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def __call__(self, seconds: float, call: Callable[[], object]) -> None:
        self.calls.put(call)

    def come(self) -> None:
        self.calls.get(timeout=TIMEOUT)()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def pool(later: Later) -> Iterator[WorkerPool]:
    pool = WorkerPool("test", 3, later)
    yield pool
    pool.close(TIMEOUT)


def test_a_pool_without_work_has_no_thread(pool: WorkerPool) -> None:
    assert threads("test") == []


def test_every_call_is_made_once(pool: WorkerPool) -> None:
    made: SimpleQueue[int] = SimpleQueue()
    for number in range(1000):
        pool.submit(partial(made.put, number))
    assert sorted(made.get(timeout=TIMEOUT) for _ in range(1000)) == list(range(1000))
    assert made.empty()


def test_there_are_never_more_threads_than_the_limit(pool: WorkerPool) -> None:
    go_on, running = threading.Event(), threading.Semaphore(0)

    def run() -> None:
        running.release()
        go_on.wait(TIMEOUT)

    for _ in range(10):
        pool.submit(run)
    for _ in range(3):
        assert running.acquire(timeout=TIMEOUT)
    assert len(threads("test")) == 3
    assert not running.acquire(blocking=False)
    go_on.set()


def test_a_call_that_hangs_holds_up_no_other(pool: WorkerPool) -> None:
    go_on, done = threading.Event(), threading.Event()
    pool.submit(lambda: go_on.wait(TIMEOUT))
    pool.submit(done.set)
    assert done.wait(TIMEOUT)
    go_on.set()


def test_threads_end_when_there_is_nothing_to_do(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "IDLE_TIMEOUT", 0.01)
    for _ in range(20):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(TIMEOUT)
    for thread in threads("test"):
        thread.join(TIMEOUT)
    assert threads("test") == []
    pool.submit(done.clear)
    pool.close(TIMEOUT)
    assert not done.is_set()


def test_what_a_call_raises_is_logged_and_stops_nobody(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    pool.submit(lambda: 1 / 0)
    pool.submit(done.set)
    assert done.wait(TIMEOUT)
    pool.close(TIMEOUT)
    assert "ZeroDivisionError" in caplog.text


def test_closing_waits_for_what_was_submitted_and_takes_no_more(later: Later) -> None:
    made: list[int] = []
    for number in range(100):
        pool = WorkerPool("test", 3, later)
        for _ in range(5):
            pool.submit(partial(made.append, number))
        pool.close(TIMEOUT)
        pool.submit(partial(made.append, 99))
        assert made == [number] * 5
        assert threads("test") == []
        made.clear()


def test_a_call_may_close_its_own_pool(later: Later) -> None:
    pool, closed = WorkerPool("test", 3, later), threading.Event()

    def close() -> None:
        pool.close(TIMEOUT)
        closed.set()

    pool.submit(close)
    assert closed.wait(TIMEOUT)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_call_raises_its_thread_goes_on(
    pool: WorkerPool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    done = threading.Event()
    for _ in range(3):
        pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(TIMEOUT)
    assert type(error).__name__ in caplog.text


def test_a_call_for_which_no_thread_can_be_started_is_made_when_one_can(pool: WorkerPool, later: Later) -> None:
    done = threading.Event()
    with no_threads():
        for _ in range(10):
            pool.submit(lambda: None)
        pool.submit(done.set)
        later.come()
        assert threads("test") == []
    later.come()
    assert done.wait(TIMEOUT)


def test_a_pool_in_which_all_calls_hang_goes_on_in_other_threads(later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "HANGS_AFTER", 0.0)
    pool, go_on, done = WorkerPool("test", 3, later, most=10), threading.Event(), threading.Event()
    for _ in range(9):
        pool.submit(lambda: go_on.wait(TIMEOUT))
    pool.submit(done.set)
    while not done.wait(0.01):
        if not later.calls.empty():
            later.come()
    assert len(threads("test")) <= 10
    go_on.set()
    assert pool.close(TIMEOUT)
