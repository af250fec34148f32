"""A loop does one thing after the other, and never waits for an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from launchers.tracking.worker_loop import WorkerLoop, retry_delay

TIMEOUT = 10.0


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"flcore-{name}"]


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


def test_what_fails_again_and_again_is_tried_ever_more_slowly() -> None:
    assert [retry_delay(failures) for failures in range(7)] == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]
