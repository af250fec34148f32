"""What is known of one job stays on record until nobody needs it any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.records.job_record import JobIdentity, JobRecord, RecordStore
from launchers.tracking.tracked_job import JobHooks, TrackedJob

WHO = JobIdentity("job-1", "site-1", "site-1-job-1", nonce="n1")


@pytest.fixture
def record(tmp_path: Path) -> Iterator[JobRecord]:
    store = RecordStore(tmp_path)
    store.open()
    yield store.add("launcher", WHO)
    store.close()


@pytest.mark.parametrize("is_cleaned_up", ["before", "meanwhile"])
def test_a_record_stays_until_all_have_heard_of_the_end(record: JobRecord, is_cleaned_up: str) -> None:
    job = TrackedJob(WHO, JobHooks(record=record))
    kept: list[bool] = []

    def on_end() -> None:
        if is_cleaned_up == "meanwhile":
            job.be_cleaned_up()
        kept.append(record.path.exists())

    job.add_done_callback(on_end)
    if is_cleaned_up == "before":
        job.be_cleaned_up()
    job.announce()
    assert kept == [True]
    assert not record.path.exists()


def test_who_comes_when_the_end_was_told_is_called_at_once(record: JobRecord) -> None:
    job = TrackedJob(WHO, JobHooks(record=record))
    called: list[str] = []
    job.add_done_callback(lambda: job.add_done_callback(lambda: called.append("inner")))
    job.announce()
    job.add_done_callback(lambda: called.append("outer"))
    assert called == ["inner", "outer"]
