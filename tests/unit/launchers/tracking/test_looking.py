"""Looking at one container: one look at a time, and another when something has happened meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.tracking.looking import Cause, Looking

TOLD, LISTED = Cause.TOLD, Cause.LISTED


def looking(*causes: Cause) -> Looking:
    """Return what is looking for the first cause, and was asked for the others meanwhile."""
    looking = Looking()
    assert [looking.begin(cause) for cause in causes] == [number == 0 for number in range(len(causes))]
    return looking


@pytest.mark.parametrize("cause", Cause)
def test_who_is_idle_looks_at_once(cause: Cause) -> None:
    idle = Looking()
    assert not idle.under_way
    assert idle.begin(cause)
    assert (idle.under_way, idle.cause) == (True, cause)


@pytest.mark.parametrize(
    ("causes", "cause", "again"),
    [
        ((TOLD,), TOLD, None),
        ((LISTED,), LISTED, None),
        ((TOLD, TOLD), TOLD, TOLD),
        ((TOLD, LISTED), TOLD, LISTED),
        ((LISTED, LISTED), LISTED, LISTED),
        ((LISTED, TOLD), TOLD, TOLD),
        ((LISTED, LISTED, TOLD), TOLD, TOLD),
        ((LISTED, TOLD, LISTED), TOLD, TOLD),
        ((TOLD, LISTED, LISTED), TOLD, LISTED),
    ],
)
def test_what_is_asked_meanwhile_is_looked_at_again_and_is_a_lists_only_if_nobody_else_asked(
    causes: tuple[Cause, ...], cause: Cause, again: Cause | None
) -> None:
    look = looking(*causes)
    assert look.answered() is again
    assert (look.cause, look.under_way) == (cause, False)


def test_a_look_that_was_answered_leaves_nothing_to_the_next() -> None:
    look = looking(TOLD, TOLD)
    look.answered()
    assert look.begin(LISTED)
    assert (look.cause, look.answered()) == (LISTED, None)


def test_a_look_that_failed_is_not_repeated_sooner_for_who_has_asked_meanwhile() -> None:
    look = looking(TOLD, TOLD)
    assert look.failed() == 1.0
    assert not look.under_way
    assert look.begin(TOLD)
    assert look.answered() is None


def test_a_look_that_fails_again_and_again_is_repeated_ever_more_slowly_until_one_is_answered() -> None:
    look = Looking()
    delays = []
    for _ in range(6):
        look.begin(TOLD)
        delays.append(look.failed())
    assert delays == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0]
    assert look.failures == 6
    look.begin(TOLD)
    look.answered()
    look.begin(TOLD)
    assert look.failed() == 1.0


@given(st.lists(st.sampled_from([*Cause, "answer", "failure"])))
def test_whatever_happens_there_is_one_look_at_a_time_and_none_is_under_way_for_ever(steps: list[Cause | str]) -> None:
    look, under_way = Looking(), False
    for step in steps:
        if isinstance(step, Cause):
            assert look.begin(step) is not under_way
            under_way = True
        elif under_way:
            look.answered() if step == "answer" else look.failed()
            under_way = False
        assert look.under_way is under_way
