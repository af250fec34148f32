"""Marks say in whose records wishes stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.records.end_marks import EndMarks


@pytest.fixture
def record(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    path = tmp_path / "jobs" / "job-1.n1.jsonl"
    path.write_text("{}")
    return path


@pytest.fixture
def marks(record: Path) -> EndMarks:
    marks = EndMarks.beside(record)
    marks.make_folder()
    return marks


def test_a_record_is_found_by_its_mark_until_that_is_taken_away(marks: EndMarks, record: Path) -> None:
    assert not marks.find()
    marks.put(record)
    marks.put(record)
    assert marks.find() == {record.name}
    marks.take_away(record.name)
    marks.take_away(record.name)
    assert not marks.find()


def test_the_mark_of_a_record_that_is_gone_goes_too(marks: EndMarks, record: Path, tmp_path: Path) -> None:
    marks.put(record)
    record.unlink()
    assert not marks.find()
    assert not list((tmp_path / "ends").iterdir())


def test_where_no_process_would_look_there_is_nothing_to_mark_or_find(tmp_path: Path) -> None:
    marks = EndMarks(tmp_path)
    marks.put(tmp_path / "jobs" / "job-1.n1.jsonl")
    assert not marks.find()
    assert not list(tmp_path.iterdir())
