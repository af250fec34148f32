"""What is done next to end a job, and when: a table, for nothing here has a clock of its own."""

from __future__ import annotations

import pytest

from launchers.tracking.ending import KILL_INTERVAL, SIGNAL_RETRY, Ending

GRACE = 30.0
NOW = 1000.0


def pursued(*answers: bool) -> tuple[Ending, float]:
    """Return an ending whose signals were sent, or could not be, each when it was due; and when the next one is."""
    ending, now = Ending(GRACE), NOW
    for sent in answers:
        assert ending.begin(now)
        now += ending.sent(now) if sent else ending.not_sent(now)
    return ending, now


@pytest.mark.parametrize(
    ("answers", "signal", "due"),
    [
        ((), "SIGTERM", NOW),
        ((True,), "SIGKILL", NOW + GRACE),
        ((True, True), "SIGKILL", NOW + GRACE + KILL_INTERVAL),
        ((True, True, True), "SIGKILL", NOW + GRACE + 2 * KILL_INTERVAL),
        ((False,), "SIGTERM", NOW + SIGNAL_RETRY),
        ((False, False), "SIGTERM", NOW + 2 * SIGNAL_RETRY),
        ((False, True), "SIGKILL", NOW + SIGNAL_RETRY + GRACE),
        ((True, False), "SIGKILL", NOW + GRACE + SIGNAL_RETRY),
        ((True, False, True), "SIGKILL", NOW + GRACE + SIGNAL_RETRY + KILL_INTERVAL),
    ],
)
def test_a_job_is_asked_then_killed_and_what_could_not_be_sent_is_sent_again(
    answers: tuple[bool, ...], signal: str, due: float
) -> None:
    ending, next_at = pursued(*answers)
    assert (ending.signal, next_at) == (signal, due)
    assert ending.begin(due)


@pytest.mark.parametrize("answers", [(True,), (True, True), (False,), (True, False)])
def test_nothing_is_sent_before_it_is_due(answers: tuple[bool, ...]) -> None:
    ending, due = pursued(*answers)
    assert not ending.begin(due - 0.001)
    assert not ending.under_way


def test_while_a_signal_is_under_way_no_other_is_sent_however_late_it_is() -> None:
    ending = Ending(GRACE)
    assert ending.begin(NOW)
    assert ending.under_way
    assert not ending.begin(NOW + 10 * GRACE)


@pytest.mark.parametrize("sent", [True, False])
def test_an_answer_and_an_error_both_end_what_is_under_way(sent: bool) -> None:
    ending, _ = pursued(sent)
    assert not ending.under_way


def test_a_job_without_a_grace_is_killed_at_once() -> None:
    ending = Ending(0)
    assert ending.begin(NOW)
    assert ending.sent(NOW) == 0
    assert ending.begin(NOW)
    assert ending.signal == "SIGKILL"


def test_who_sends_without_asking_is_told_when_to_send_again() -> None:
    ending = Ending(GRACE)
    assert [ending.sent(NOW) for _ in range(3)] == [GRACE, KILL_INTERVAL, KILL_INTERVAL]
