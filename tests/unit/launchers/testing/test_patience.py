"""Patience: what does not return in time fails, and everything else is as it would be without."""

from __future__ import annotations

import threading

import pytest

from launchers.runtime.process import ProcessRuntime
from launchers.testing import patience
from launchers.testing.patience import PatientRuntime, TooLateError, in_background, in_time, until


def test_what_a_call_returns_or_raises_in_time_is_handed_on() -> None:
    assert in_time("it has not counted", lambda: 1 + 1) == 2
    with pytest.raises(TimeoutError, match="its own"):
        in_time("it has not raised", lambda: _raise(TimeoutError("its own")))


def _raise(error: Exception) -> None:
    raise error


def test_what_is_too_late_fails_by_what_is_not_done() -> None:
    never = threading.Event()
    with pytest.raises(TooLateError, match=r"^nobody has come after 0\.05 s$"):
        in_time("nobody has come", never.wait, 0.05)


def test_the_words_are_those_of_who_waits_for_all_of_it() -> None:
    never = threading.Event()
    with pytest.raises(TooLateError, match=r"^the whole is not done after 5 s$"):
        in_time("the whole is not done", lambda: in_time("a part is not done", never.wait, 0.05), 5)


def test_what_is_so_in_the_end_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(9))
    assert until(lambda: next(numbers), lambda number: number == 3, "it must come to 3") == 3
    monkeypatch.setattr(patience, "TIMEOUT", 0.05)
    with pytest.raises(AssertionError, match=r"^it must come to 3, but it said after 0\.05 s: 7"):
        until(lambda: 7, lambda number: number == 3, "it must come to 3")


def test_a_background_s_error_is_who_asks_for_the_outcome_s() -> None:
    assert isinstance(in_background(lambda: _raise(ValueError("no"))).exception(5), ValueError)


def test_who_is_in_front_of_a_runtime_has_what_that_has_and_no_more() -> None:
    runtime = PatientRuntime(ProcessRuntime())
    assert runtime.name == "local processes"
    assert runtime.list_containers() == []
    assert [check.what for check in runtime.check(None, None)] == ["runtime"]
    with pytest.raises(AttributeError, match="'ProcessRuntime' object has no attribute 'fly'"):
        runtime.fly()
