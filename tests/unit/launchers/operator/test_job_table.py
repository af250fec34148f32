"""The table of jobs: as wide as the terminal, and no wider."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from flcore import JobResult, JobReturnCode
from launchers.operator.job_table import table_lines
from launchers.operator.job_view import LAUNCHING, LOST
from launchers.operator.terminal import Terminal, width_of
from tests.operator_lab import HOSTILE, Screen, plain, view_of


def test_no_line_is_longer_than_the_terminal_is_wide(screen: Terminal) -> None:
    lines = table_lines([view_of("job-1", error="a reason " * 20)], screen, 2000)
    assert max(width_of(plain(line)) for line in lines) == 80
    assert plain(lines[2]).startswith("    a reason a reason")  # a line of its own: beside the rest is too little room


def test_a_wide_terminal_has_the_reasons_beside_the_rest(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = table_lines([view_of("job-1", error="a reason " * 20)], screen, 2000)
    assert [width_of(plain(line)) for line in lines[1:]] == [120]


def test_ids_are_cut_to_what_fits_and_tells_them_apart(screen: Terminal) -> None:
    ids = ["2f1c0b7e-3d55-4a6e-9f9b-0f6a7f6d9c11", "2f1c0b7e-3d55-5a6e-9f9b-0f6a7f6d9c11"]
    lines = table_lines([view_of(job_id, "a-site-of-a-long-name", error="") for job_id in ids], screen, 2000)
    assert max(width_of(plain(line)) for line in lines) <= 80
    shown_ids = [plain(line).split()[0] for line in lines[1:]]
    assert len(set(shown_ids)) == 2
    assert all(job_id.startswith(cut_id) for job_id, cut_id in zip(ids, shown_ids, strict=True))


def test_the_reason_of_a_failure_is_the_last_that_it_wrote() -> None:
    view = view_of("job-1", error="exit code 3; its last output: loading | ValueError: no such column")
    out = Terminal(io.StringIO())
    assert table_lines([view], out, 2000)[1].endswith("  ValueError: no such column")


def test_what_stands_before_a_message_of_nvidia_flare_s_is_left_out() -> None:
    before = "2026-11-29 17:24:47,743 - ClientAPIExecutor - ERROR - [identity=site-2, run=8e2ab134, task_name=train] - "
    view = view_of("job-1", error=f"exit code 3; its last output: loading | {before}no data of today - none")
    assert table_lines([view], Terminal(io.StringIO()), 2000)[1].endswith("  no data of today - none")


def test_a_signal_is_told_before_what_a_job_wrote_last_and_could_not_know() -> None:
    view = view_of("job-1", error="exit code 137 (signal 9); its last output: loading | round 3")
    assert view.history.result
    view.history.result = replace(view.history.result, exit_code=137, signal=9)
    assert table_lines([view], Terminal(io.StringIO()), 2000)[1].endswith("  exit code 137 (signal 9); last: round 3")


def test_where_there_is_no_terminal_nothing_is_cut() -> None:
    job_id, reason = "j" * 100, "a reason " * 100
    lines = table_lines([view_of(job_id, error=reason)], Terminal(io.StringIO()), 2000)
    assert job_id in lines[1]
    assert reason.strip() in lines[1]
    assert "\x1b" not in "".join(lines)


def test_wide_characters_take_two_cells(screen: Terminal) -> None:
    lines = table_lines([view_of("job-1", error="失敗" * 50)], screen, 2000)
    assert width_of(plain(lines[2])) in (79, 80)


def test_colours_are_for_terminals_that_want_them(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31mEXECUTION_ERROR" in table_lines([view_of("job-1", error="no")], screen, 2000)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(table_lines([view_of("job-1", error="no")], Terminal(Screen()), 2000))


def test_a_lost_job_says_what_that_means() -> None:
    view = view_of("job-1")
    view.state, view.has_parent = LOST, False
    assert "nothing is left of it" in table_lines([view], Terminal(io.StringIO()), 2000)[1]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_reason_does_nothing_to_the_terminal(screen: Terminal, text: str) -> None:
    for line in table_lines([view_of("job-1", error=text)], screen, 2000):
        assert plain(line).isprintable()


def test_a_success_in_a_job_of_all_sites_that_has_failed_says_so() -> None:
    view = view_of("job-1", error="")
    view.history.result = JobResult(JobReturnCode.SUCCESS, 0, started_at=1.0, finished_at=2.0)
    view.history.federation = "FINISHED:ABORTED"
    assert "  SUCCESS  " in table_lines([view], Terminal(io.StringIO()), 2000)[1]
    assert table_lines([view], Terminal(io.StringIO()), 2000)[1].endswith("  the job of all sites: FINISHED:ABORTED")


def test_a_job_that_waits_for_somebody_says_for_whom() -> None:
    view = view_of("job-1", error="")
    view.history.result, view.history.held = None, "waits for approval: flcore approve 3f2a9c1b04d7"
    view.state = LAUNCHING
    line = table_lines([view], Terminal(io.StringIO()), 2000)[1]
    assert "launching" in line
    assert line.endswith("  waits for approval: flcore approve 3f2a9c1b04d7")
    view.state = LOST
    assert "waits" not in table_lines([view], Terminal(io.StringIO()), 2000)[1]


def test_a_study_s_name_takes_no_more_room_than_a_name_does_and_does_nothing_to_a_terminal() -> None:
    views = [view_of(f"job-{number}", error="") for number in range(len(HOSTILE))]
    for view, text in zip(views, HOSTILE, strict=True):
        view.history.study = text * 10
    lines = table_lines(views, Terminal(io.StringIO()), 2000)
    assert all(line.isprintable() for line in lines)
    assert max(map(width_of, lines)) < 120
