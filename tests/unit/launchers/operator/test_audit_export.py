"""``flcore audit export``: what an auditor asks of each job, and nothing else of it."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode
from flcore.cli import main
from flcore.disk.journal_file import JournalFile

DAY = 86400.0
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
IMAGE = {"name": "site-1-a", "Image": "cardio:1", "Env": ["SECRET_THING=hush"], "Cmd": ["python3", "-m", "client"]}


def run_lines(job_id: str, begin: float, code: JobReturnCode | None = JobReturnCode.SUCCESS, **said: Any) -> list[Any]:
    about = {"site": "site-1", "job_id": job_id}
    launching = {"name": "Mr. X", "study": "", "submitter": "", "parent": "p", **said}
    told = {"image_id": "sha256:12", "datasets": ["ecg", "labels"]}
    lines: list[Any] = [
        {"event": "launching", "time": begin, **about, **launching},
        {"event": "launched", "time": begin + 1, **about, "request": IMAGE, **told},
    ]
    if code is not None:
        result = JobResult(code, 0, error="patient 17 has no row", finished_at=begin + 60).as_dict()
        lines += [{"event": "completed", "time": begin + 61, **about, "result": result}]
    return lines


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    path = tmp_path / "workspace/site-1/.flcore/journal.jsonl"
    path.parent.mkdir(parents=True)
    yield path
    monkeypatch.undo()
    time.tzset()


def write(journal: Path, *lines: Any) -> None:
    file = JournalFile(journal, 1 << 20, 2, chained=True)
    file.write({"event": "opened", "site": "site-1", "time": BEGIN, "parent": "p", "user": "flare", "version": "1"})
    for line in lines:
        file.write(line)
    file.close()


def export(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["audit", "export", "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_says_what_an_auditor_asks_and_no_more(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(journal, *run_lines("a", BEGIN, study="cardio", submitter="ana@hospital.org"))
    assert export(capsys) == [
        {
            "site": "site-1",
            "job_id": "a",
            "study": "cardio",
            "submitter": "ana@hospital.org",
            "site_user": "flare",
            "image": "cardio:1",
            "image_id": "sha256:12",
            "fingerprint": "",
            "datasets": ["ecg", "labels"],
            "approved_by": [],
            "began": "2026-03-01T12:00:00+00:00",
            "ended": "2026-03-01T12:01:00+00:00",
            "result": "SUCCESS",
            "chain_holds": True,
        }
    ]


def test_what_was_approved_and_by_whom_is_told_where_the_journal_says_so(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launching, launched, end = run_lines("a", BEGIN)
    write(journal, launching, launched | {"fingerprint": "f00d", "approved_by": ["ana", "ben"]}, end)
    [entry] = export(capsys)
    assert (entry["fingerprint"], entry["approved_by"]) == ("f00d", ["ana", "ben"])


def test_each_run_of_an_id_counts_and_one_that_was_refused_too(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = run_lines("b", BEGIN + 30)[:1]
    result = JobResult(JobReturnCode.CONFIG_ERROR, error="no").as_dict()
    refused += [{"event": "aborted", "time": BEGIN + 31, "site": "site-1", "job_id": "b", "result": result}]
    again = run_lines("a", BEGIN + 100, JobReturnCode.EXECUTION_ERROR)
    write(journal, *run_lines("a", BEGIN), *refused, *again, *run_lines("c", BEGIN + 200, None))

    found = [(entry["job_id"], entry["result"]) for entry in export(capsys)]
    assert found == [("a", "SUCCESS"), ("b", "CONFIG_ERROR"), ("a", "EXECUTION_ERROR"), ("c", None)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--study", "cardio"], ["a", "c"]),
        (["--from", "2026-03-02"], ["b", "c", "open"]),
        (["--to", "2026-03-02"], ["a", "b", "open"]),
        (["--to", "20260302"], ["a", "b", "open"]),
        (["--to", "2026-03-02T11:00+00:00"], ["a", "open"]),
        (["--from", "2026-03-02", "--to", "2026-03-02"], ["b", "open"]),
        (["--study", "cardio", "--from", "2026-03-02"], ["c"]),
        (["--study", "none"], []),
    ],
)
def test_only_what_ran_in_that_time_and_study_is_told(
    journal: Path, words: list[str], found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [
        *run_lines("a", BEGIN, study="cardio"),
        *run_lines("open", BEGIN, None),
        *run_lines("b", BEGIN + DAY),
        *run_lines("c", BEGIN + 2 * DAY, study="cardio"),
    ]
    write(journal, *jobs)
    assert sorted(entry["job_id"] for entry in export(capsys, *words)) == found


def test_a_spreadsheet_takes_nothing_that_others_made_up_for_a_formula(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(journal, *run_lines("a", BEGIN, submitter='=cmd|"/c calc"!A1', study="two\nlines, and \x1b[31m"))
    assert main(["audit", "export", "--csv"]) == 0
    out, err = capsys.readouterr()
    [row] = csv.DictReader(io.StringIO(out))
    assert (row["submitter"], row["study"]) == ('\'=cmd|"/c calc"!A1', "two lines, and ")
    assert (row["datasets"], row["chain_holds"]) == ("ecg; labels", "true")
    assert f"{journal}: holds: 4 lines" in err


def test_for_people_it_says_whose_a_job_is_and_whether_the_chain_holds(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(journal, *run_lines("a", BEGIN), *run_lines("b", BEGIN, None, submitter="ana@hospital.org"))
    assert main(["audit", "export"]) == 0
    out = capsys.readouterr().out
    assert "a at site-1\n  code         cardio:1 (sha256:12)\n  whose        the site's user flare\n" in out
    assert "  whose        ana@hospital.org\n" in out
    assert "  result       its end is not told\n" in out
    assert f"\n2 runs\n{journal}: holds: 6 lines of chain" in out


def test_nothing_else_of_a_job_is_told(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(journal, *run_lines("a", BEGIN))
    for form in ([], ["--json"], ["--csv"]):
        main(["audit", "export", *form])
        out = capsys.readouterr().out
        assert not [word for word in ("hush", "patient", "Mr. X", "-m client") if word in out]


def test_of_a_broken_chain_all_is_exported_and_said_with_each_line(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(journal, *run_lines("a", BEGIN))
    journal.write_bytes(journal.read_bytes().replace(b"ecg", b"ekg"))
    assert main(["audit", "export", "--json"]) == 1
    out, err = capsys.readouterr()
    assert (json.loads(out)["chain_holds"], json.loads(out)["datasets"]) == (False, ["ekg", "labels"])
    assert "journal.jsonl:3: it was changed" in err


def test_a_time_that_ends_before_it_begins_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "export", "--from", "2026-03-01", "--to", "2026-01-01"]) == 2
    assert capsys.readouterr().err == (
        "flcore: error: --from: must be before what --to says: no job is of both times\n"
    )
