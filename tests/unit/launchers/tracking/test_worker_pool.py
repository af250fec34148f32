"""Threads come with the work and go with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from launchers.tracking import worker_pool
from launchers.tracking.worker_pool import WorkerPool

TIMEOUT = 10.0


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"flcore-{name}"]


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("test", 3)
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


def test_closing_waits_for_what_was_submitted_and_takes_no_more() -> None:
    made: list[int] = []
    for number in range(100):
        pool = WorkerPool("test", 3)
        for _ in range(5):
            pool.submit(partial(made.append, number))
        pool.close(TIMEOUT)
        pool.submit(partial(made.append, 99))
        assert made == [number] * 5
        assert threads("test") == []
        made.clear()


def test_a_call_may_close_its_own_pool() -> None:
    pool, closed = WorkerPool("test", 3), threading.Event()

    def close() -> None:
        pool.close(TIMEOUT)
        closed.set()

    pool.submit(close)
    assert closed.wait(TIMEOUT)
