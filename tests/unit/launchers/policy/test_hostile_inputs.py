"""Every row of the table of hostile jobs, on a site without an engine: refused, by name, and nothing stays behind."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flcore.cli import command
from flcore.cli import program as cli
from tests.hostile.folder_rows import TEXT_ROWS, FolderRow
from tests.hostile.lab import FakeLab
from tests.hostile.rows import Row, problems_of
from tests.hostile.table import TABLE


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeLab]:
    """One for all rows: what a row leaves is seen by comparing what there was before it."""
    with FakeLab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.mark.parametrize("kind", sorted({row.kind for row in TABLE}))
def test_each_is_refused_by_name_and_nothing_of_it_stays(kind: str, lab: FakeLab) -> None:
    for row in (row for row in TABLE if row.kind == kind):
        with named(row):
            before = lab.traces()
            error = lab.refusal(row)
            assert problems_of(error, row.says) == [], error
            assert lab.traces() == before


@contextmanager
def named(row: Row | FolderRow) -> Iterator[None]:
    """Have a failure name the row: a test for each takes longer to begin than to run."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in the row {row.title!r}")
        raise


@pytest.mark.parametrize("row", TEXT_ROWS, ids=lambda row: row.title)
def test_the_command_says_what_is_wrong_with_a_file_in_one_line(
    row: FolderRow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row.make(tmp_path)
    assert cli.main(["run", str(tmp_path), "--site", "site.json"]) == command.EXIT_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert problems_of(line, row.says) == []


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind == "messages"], ids=lambda row: row.title)
def test_no_line_of_the_log_is_the_jobs(row: Row | FolderRow, lab: FakeLab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        lab.refusal(row)
    assert [record.getMessage() for record in caplog.records if not record.getMessage().isprintable()] == []


def test_the_table_is_over_all_classes() -> None:
    kinds = Counter(row.kind for row in TABLE)
    assert len(TABLE) >= 100
    assert min(kinds.values()) >= 8, kinds
    assert len({(row.kind, row.title) for row in TABLE}) == len(TABLE)
