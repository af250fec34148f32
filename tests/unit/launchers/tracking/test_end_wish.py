"""A wish that a job should end is delivered by one process or another, and both know how far that has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from flcore.errors import RuntimeUnavailableError
from launchers.docker_state import EndRequest
from launchers.records.job_record import JobRecord
from launchers.tracking.end_wish import EndWish

WISH = EndRequest("flcore stop", 1.0)


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    path = tmp_path / "job-1.n1.jsonl"
    path.write_text("{}")
    return JobRecord(path)


@pytest.fixture
def wish(record: JobRecord) -> EndWish:
    wish = EndWish(lambda: record)
    wish.utter(WISH)
    wish.write_down()
    return wish


def known_elsewhere(record: JobRecord) -> EndRequest:
    known = EndWish(lambda: record).heed()
    assert known
    return known


def test_the_first_wish_counts(wish: EndWish) -> None:
    assert not wish.utter(EndRequest("somebody else", 0.5))
    assert wish.request == WISH


def test_another_process_learns_that_it_was_delivered(wish: EndWish, record: JobRecord) -> None:
    assert known_elsewhere(record) == WISH
    assert wish.deliver(lambda: True)
    assert known_elsewhere(record).delivered is True


def test_that_it_is_being_delivered_is_known_before_it_is(wish: EndWish, record: JobRecord) -> None:
    tried_at = []

    def send() -> bool:
        tried_at.append(known_elsewhere(record).tried_at)
        return False

    assert not wish.deliver(send)
    assert tried_at != [None]
    assert (known_elsewhere(record).tried_at, known_elsewhere(record).delivered) == (None, False)


@pytest.mark.parametrize(("reached", "is_open"), [(False, False), (True, True)], ids=["not-there", "not-answered"])
def test_an_attempt_stays_open_unless_it_cannot_have_got_there(
    wish: EndWish, record: JobRecord, reached: bool, is_open: bool
) -> None:
    def send() -> bool:
        raise RuntimeUnavailableError("the engine is away", reached=reached)

    with pytest.raises(RuntimeUnavailableError):
        wish.deliver(send)
    known = known_elsewhere(record)
    assert (known.tried_at is not None, known.delivered) == (is_open, None)


def test_who_came_too_late_takes_nothing_from_who_is_not_answered_yet(wish: EndWish, record: JobRecord) -> None:
    def send() -> bool:
        assert not EndWish(lambda: record, WISH).deliver(lambda: False)  # the other's has ended the job meanwhile
        raise RuntimeUnavailableError("the answer is lost", reached=True)

    with pytest.raises(RuntimeUnavailableError):
        wish.deliver(send)
    assert known_elsewhere(record).tried_at is not None


def test_what_cannot_be_read_is_no_wish(record: JobRecord) -> None:
    record.note(end_request={"by": ["nobody"]})
    assert EndWish(lambda: record).heed() is None


def test_without_a_record_it_is_delivered_all_the_same() -> None:
    wish = EndWish(lambda: None, WISH)
    assert wish.deliver(lambda: True)
    assert wish.request
    assert wish.request.delivered
