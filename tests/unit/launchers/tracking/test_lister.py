"""When all is listed, for how long, and how long a container may still come: tables of moments."""

from __future__ import annotations

import pytest

from launchers.records.job_record import JobIdentity
from launchers.tracking.listing import Expectation, OneAtATime, Sweep
from launchers.tracking.tracked_job import TrackedJob

GRACE = 20.0
NOW = 1000.0


# --- one list at a time ---


def test_a_list_begins_at_once_if_none_is_under_way() -> None:
    listing = OneAtATime()
    assert listing.begin(NOW)
    assert listing.began == NOW


def test_a_list_that_is_asked_for_meanwhile_follows_once_however_often_it_was_asked_for() -> None:
    listing = OneAtATime()
    assert [listing.begin(NOW + seconds) for seconds in range(4)] == [True, False, False, False]
    assert listing.began == NOW
    assert listing.end()
    assert listing.begin(NOW + 4)
    assert (listing.began, listing.end()) == (NOW + 4, False)


# --- sweeps ---


@pytest.mark.parametrize(
    ("lists", "under_way"),
    [
        ([], True),
        ([(0, 1)], True),
        ([(0, 1), (15, 16)], True),
        ([(0, 1), (20, 25)], True),  # what was made after it began may not be in it
        ([(0, 1), (21, 22)], False),
        ([(0, 100), (101, 102)], True),  # an engine that hung may do only now what it was asked for
        ([(0, 100), (101, 102), (120, 121)], False),
    ],
)
def test_a_sweep_ends_with_a_list_that_begins_a_grace_after_the_first_answer(
    lists: list[tuple[float, float]], under_way: bool
) -> None:
    sweep = Sweep(GRACE)
    sweep.begin()
    for began, answered in lists:
        sweep.listed(began, answered)
    assert sweep.under_way is under_way


def test_a_sweep_that_begins_anew_lasts_as_long_as_a_new_one() -> None:
    sweep = Sweep(GRACE)
    sweep.begin()
    sweep.listed(0, 1)
    sweep.begin()
    sweep.listed(30, 31)
    assert sweep.under_way
    sweep.listed(51, 52)
    assert not sweep.under_way


def test_lists_begin_no_sweep() -> None:
    sweep = Sweep(GRACE)
    sweep.listed(0, 1)
    sweep.listed(30, 31)
    assert not sweep.under_way


# --- expectations ---


@pytest.mark.parametrize(
    ("patience", "moments", "in_vain"),
    [
        (20.0, [NOW], [False]),
        (20.0, [NOW, NOW + 19.9, NOW + 20], [False, False, True]),
        (0.0, [NOW], [True]),
        (-5.0, [NOW], [True]),  # it was asked for longer ago than it may take
    ],
)
def test_a_container_may_appear_until_its_time_has_passed_since_the_first_list_that_was_answered(
    patience: float, moments: list[float], in_vain: list[bool]
) -> None:
    job = TrackedJob(JobIdentity("job-1", "site-1", "one", nonce="abc"))
    expectation = Expectation(job, patience)
    assert [expectation.is_in_vain(now) for now in moments] == in_vain
