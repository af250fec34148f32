"""Threads come with the work and go with it; a loop does one thing after the other, and never waits for an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from launchers.tracking import worker_pool
from launchers.tracking.worker_loop import WorkerLoop
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


# --- the loop ---


@pytest.fixture
def loop() -> Iterator[WorkerLoop]:
    loop = WorkerLoop("test")
    loop.start()
    yield loop
    loop.finish(TIMEOUT)


def test_a_loop_does_one_thing_after_the_other(loop: WorkerLoop) -> None:
    done: SimpleQueue[int] = SimpleQueue()
    for number in range(100):
        loop.post(partial(done.put, number))
    assert [done.get(timeout=TIMEOUT) for _ in range(100)] == list(range(100))


def test_timers_come_in_the_order_in_which_they_are_due(loop: WorkerLoop) -> None:
    done: SimpleQueue[str] = SimpleQueue()

    def set_timers() -> None:
        loop.after(0.02, lambda: done.put("late"))
        loop.after(0.01, lambda: done.put("never")).cancel()
        loop.after(0, lambda: done.put("first"))
        loop.after(0, lambda: done.put("second"))

    loop.post(set_timers)
    assert [done.get(timeout=TIMEOUT) for _ in range(3)] == ["first", "second", "late"]


def test_a_question_holds_up_nothing_and_its_answer_comes_in_the_loop(loop: WorkerLoop) -> None:
    go_on, done = threading.Event(), SimpleQueue[tuple[str, str]]()

    def note(what: object) -> None:
        done.put((str(what), threading.current_thread().name))

    def question() -> str:
        assert go_on.wait(TIMEOUT)
        return "the answer"

    loop.post(lambda: loop.ask(question, note, note))
    loop.post(lambda: note("meanwhile"))
    assert done.get(timeout=TIMEOUT) == ("meanwhile", "flcore-test")
    go_on.set()
    assert done.get(timeout=TIMEOUT) == ("the answer", "flcore-test")


def test_a_question_that_raises_is_answered_by_its_error(loop: WorkerLoop) -> None:
    done: SimpleQueue[object] = SimpleQueue()
    loop.post(lambda: loop.ask(lambda: 1 / 0, done.put, done.put))
    assert isinstance(done.get(timeout=TIMEOUT), ZeroDivisionError)


def test_a_loop_ends_when_its_questions_are_answered() -> None:
    loop = WorkerLoop("test")
    answers: list[int] = []
    loop.start()
    loop.post(lambda: loop.ask(lambda: 1, lambda one: loop.ask(lambda: one + 1, answers.append, print), print))
    loop.finish(TIMEOUT)
    assert answers == [2]
    assert threads("test") == []
