"""Threads of this package's own: one that cannot be started now can be later, and what fails stops nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from flcore.errors import RuntimeUnavailableError
from flcore.threads import OwnThread, bounded, make_all

from ...faulty import no_threads

TIMEOUT = 10.0


@pytest.mark.parametrize("seconds", [1e10, float("inf"), 10**400])
def test_a_wait_of_any_length_is_one_that_python_can_do(seconds: float) -> None:
    reached = threading.Event()
    reached.set()
    assert reached.wait(bounded(seconds))
    assert threading.Lock().acquire(timeout=bounded(seconds) or 0)


def test_a_thread_that_cannot_be_started_is_an_error_of_ours_and_can_be_started_later() -> None:
    done = threading.Event()
    thread = OwnThread("test", done.set)
    with no_threads(), pytest.raises(RuntimeUnavailableError, match=r"no thread can be started now .*'ulimit -u'"):
        thread.start()
    thread.join()  # it never ran
    thread.start()
    assert done.wait(TIMEOUT)


def test_all_calls_are_made_once_where_no_thread_can_be_started() -> None:
    made: list[int] = []
    with no_threads():
        make_all("test", 4, [partial(made.append, number) for number in range(10)])
    assert made == list(range(10))


def test_a_call_that_fails_lets_all_others_be_made() -> None:
    made: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    calls: list[Callable[[], object]] = [fail, *(partial(made.append, number) for number in range(5))]
    with pytest.raises(ZeroDivisionError):
        make_all("test", 2, calls)
    assert sorted(made) == list(range(5))
