"""Calls that hang hold up their own subject only."""

from __future__ import annotations

import threading
from functools import partial

from launchers.tracking.lanes import Lanes, Subject

TIMEOUT = 10.0


def test_calls_about_one_subject_take_one_thread_however_many_wait() -> None:
    lanes, hung, go_on = Lanes("test", 2, lambda _, call: None), Subject(), threading.Event()
    others: list[int] = []
    for _ in range(10):
        lanes.submit(lambda: go_on.wait(TIMEOUT), hung)
    done = threading.Event()
    for number in range(10):
        lanes.submit(partial(others.append, number), Subject())
    lanes.submit(done.set, Subject())
    assert done.wait(TIMEOUT)
    assert len([thread for thread in threading.enumerate() if thread.name == "flcore-test"]) <= 2
    go_on.set()
    lanes.close(TIMEOUT)
    assert sorted(others) == list(range(10))
