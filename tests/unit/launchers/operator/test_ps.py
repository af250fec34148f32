"""``flcore ps`` and ``inspect``: what an operator sees of jobs, and that no job does anything to the terminal."""

from __future__ import annotations

import argparse
import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode
from flcore.cli import main
from flcore.observers.job_history import JobHistory, StateEntry
from launchers.operator import watch
from launchers.operator.durations import as_age, as_duration, parse_duration
from launchers.operator.job_table import table_lines
from launchers.operator.job_view import LOST, JobView
from launchers.operator.selection import NoSuchJobError, jobs_to_show, matching, the_one_job
from launchers.operator.terminal import Terminal, cut, harmless, width_of
from tests.operator_lab import TIMEOUT, OperatorLab, until

NAME = "site-1-job-1"
HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    "line\nflcore: error: a fake line\r\x1b[1A",
    "\x9b31m\u202eevil\u2028next\x7f",
    "\x1bP+q544e\x1b\\\x1bc",
]


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[OperatorLab]:
    lab = OperatorLab(tmp_path, capsys)
    yield lab
    lab.close()


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal(Screen())


def view_of(job_id: str, site: str = "site-1", began_at: float = 1000.0, error: str | None = None) -> JobView:
    """A job that runs, or one that has failed."""
    states = [StateEntry("created", began_at), StateEntry("running", began_at + 1)]
    result = None
    if error is not None:
        states.append(StateEntry("exited", began_at + 11))
        result = JobResult(
            JobReturnCode.EXECUTION_ERROR, 3, error=error, started_at=began_at + 1, finished_at=began_at + 11
        )
    history = JobHistory(job_id, site, launching_at=began_at, states=states, result=result)
    return JobView(history, states[-1].state, has_parent=result is None)


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"job": [], "all": False, "last": 10, "json": False} | given)


# --- ps ---


def test_it_says_what_runs_and_what_has_ended(lab: OperatorLab) -> None:
    site = lab.site()
    handle = lab.launch(site, "job-1")
    lab.runtime.exit(NAME, 3)
    handle.wait()
    lab.launch(site, "job-2")
    until(lambda: lab.view("job-1").history.is_closed)
    done = lab.flcore("ps")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[:4] for line in done.lines] == [
        ["JOB", "SITE", "STATUS", "EXIT"],
        ["job-2", "site-1", "running", "-"],
        ["job-1", "site-1", "EXECUTION_ERROR", "3"],
    ]
    assert done.lines[2].endswith("exit code 3")


def test_a_job_that_nobody_follows_is_still_running_and_that_is_said(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    done = lab.flcore("ps")
    assert "running" in done.lines[1]
    assert done.lines[1].endswith("no process of its site follows it; the site's next start does")


def test_an_engine_that_does_not_answer_is_told_and_is_no_failure(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("ps")
    assert (done.status, done.err) == (0, "flcore: warning: fake runtime does not answer\n")
    assert "running" in done.lines[1]


def test_json_is_an_object_per_line(lab: OperatorLab) -> None:
    lab.launch(lab.site(), name="digits")
    [job] = lab.flcore("ps", "--json").objects
    assert (job["job_id"], job["site"], job["name"], job["state"], job["result"]) == (
        *("job-1", "site-1", "digits", "running", None),
    )
    assert [entry["state"] for entry in job["states"]] == ["created", "running"]
    assert (job["active"], job["has_parent"], job["container"]["listed"]) == (True, True, True)


def test_without_any_job_there_is_a_header_alone(lab: OperatorLab) -> None:
    lab.config()
    done = lab.flcore("ps")
    assert (done.status, len(done.lines)) == (0, 1)


def test_a_job_that_is_not_there_is_an_error(lab: OperatorLab) -> None:
    lab.config()
    done = lab.flcore("ps", "nothing")
    assert (done.status, done.out) == (2, "")
    assert done.err == "flcore: error: there is no job 'nothing' here; list them with: flcore ps --all\n"


def test_a_workspace_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--workspace", "/no/such/folder"]) == 2
    assert capsys.readouterr().err == "flcore: error: --workspace: /no/such/folder is no folder\n"


# --- which jobs ---


def test_the_last_that_have_ended_are_shown_and_all_that_are_active() -> None:
    ended = [view_of(f"old-{n}", began_at=n, error="no") for n in range(1, 6)]
    views = [view_of("active", began_at=0.5), *ended]
    assert [view.history.job_id for view in jobs_to_show(views, options(last=2))] == ["old-5", "old-4", "active"]
    assert len(jobs_to_show(views, options(all=True))) == 6


def test_a_jobs_sites_stay_together_in_the_order_of_their_launch() -> None:
    views = [view_of("a", "server", 1), view_of("b", "server", 2), view_of("a", "site-1", 3), view_of("b", "site-1", 4)]
    names = [f"{view.history.job_id} {view.history.site}" for view in jobs_to_show(views, options())]
    assert names == ["b server", "b site-1", "a server", "a site-1"]


def test_a_job_is_named_by_the_beginning_of_its_id_and_perhaps_its_site() -> None:
    views = [view_of("digits-1", "server"), view_of("digits-1", "site-1"), view_of("other")]
    assert the_one_job(views, "dig") == views[:2]
    assert the_one_job(views, "site-1/dig") == [views[1]]
    assert matching(views, ["site-1/dig", "oth"]) == views[1:]


def test_a_whole_id_means_that_job_though_others_begin_so() -> None:
    views = [view_of("job-1"), view_of("job-10")]
    assert the_one_job(views, "job-1") == views[:1]


def test_what_several_jobs_begin_with_is_an_error_that_lists_them() -> None:
    views = [view_of(f"job-{n}") for n in range(12)]
    with pytest.raises(NoSuchJobError, match=r"^12 jobs begin with 'job': job-0, .*job-9, and 2 more; give more"):
        the_one_job(views, "job")


@pytest.mark.parametrize("name", ["", "site-1/", "site-2/job-1", "ob-1", "*", "\x1b[2J"])
def test_what_no_job_is_called_is_an_error(name: str) -> None:
    with pytest.raises(NoSuchJobError) as caught:
        the_one_job([view_of("job-1")], name)
    assert str(caught.value).isprintable()


# --- the table ---


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


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


# --- hostile texts ---


@pytest.mark.parametrize("text", HOSTILE)
def test_a_reason_does_nothing_to_the_terminal(screen: Terminal, text: str) -> None:
    for line in table_lines([view_of("job-1", error=text)], screen, 2000):
        assert plain(line).isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_does_nothing_to_the_terminal(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site(), name=text)
    for command in ("ps", "inspect"):
        done = lab.flcore(command, "job-1")
        assert done.status == 0
        assert all(line.isprintable() for line in done.out.split("\n"))
        assert not any(line.startswith("flcore: error") for line in done.out.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_record_of_a_strange_hand_does_nothing(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site())
    with lab.records()[0].open("ab") as record:
        record.write(b"\n" + json.dumps({"end_request": {"by": text}, "told": text, "name": text}).encode())
    for command in ("ps", "inspect"):
        done = lab.flcore(command) if command == "ps" else lab.flcore(command, "job-1")
        assert done.status == 0
        assert all(line.isprintable() for line in done.out.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_json_whatever_a_job_says(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site(), name=text)
    done = lab.flcore("ps", "--json")
    assert done.out.count("\n") == 1
    assert done.objects[0]["name"] == text
    assert done.out.isascii()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_harmless_text_is_printable_and_cut_to_any_width(text: str) -> None:
    assert harmless(text).isprintable()
    assert "[31m" not in harmless(text)
    for width in range(12):
        assert width_of(cut(harmless(text), width)) <= width


# --- watch ---


def test_a_change_is_a_line_and_a_quick_one_is_not_missed(lab: OperatorLab) -> None:
    out = io.StringIO()
    lines = watch.ChangeLines(Terminal(out), options())
    site = lab.site()
    index = lab.index()
    lines.show(index.jobs(), index.problems)
    handle = lab.launch(site)  # and ended, before anybody looks
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: lab.view().history.is_closed)
    lines.show(index.jobs(), index.problems)
    changes = [line.split("  ", 2)[2] for line in out.getvalue().splitlines()]
    assert changes == ["created", "created -> running", "running -> EXECUTION_ERROR  exit code 3"]
    lines.show(index.jobs(), index.problems)
    assert len(out.getvalue().splitlines()) == 3


def test_a_watch_begins_with_what_is_there(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    out = io.StringIO()
    index = lab.index()
    watch.ChangeLines(Terminal(out), options(json=True)).show(index.jobs(), [])
    [job] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (job["job_id"], job["state"], job["previous"]) == ("job-1", "running", None)


def test_a_watch_sees_a_change_without_asking_the_engine_for_each_job(lab: OperatorLab) -> None:
    site = lab.site()
    asked: list[str] = []
    inspect = lab.runtime.inspect

    def counted(container_id: str) -> Any:
        if threading.current_thread() is watcher:
            asked.append(container_id)
        return inspect(container_id)

    lab.runtime.inspect = counted  # type: ignore[method-assign]  # it counts, and asks the real one
    looked: list[list[str]] = []
    index = lab.index()
    stop = threading.Event()

    def run() -> None:
        for _ in watch.looks(index):
            looked.append([view.state for view in index.jobs()])
            if stop.is_set():
                return

    watcher = threading.Thread(target=run)
    watcher.start()
    for number in range(5):
        lab.launch(site, f"job-{number}")
    until(lambda: looked[-1] == ["running"] * 5)
    stop.set()
    lab.launch(site, "job-5")
    watcher.join(TIMEOUT)
    assert asked == []


def test_a_live_table_shows_no_more_than_the_screen_has_lines(screen: Terminal) -> None:
    pytest.importorskip("rich")
    live = watch.LiveTable(screen, options())
    live.show([view_of(f"job-{number}") for number in range(30)], ["an engine is away"])
    lines = [plain(line) for line in live.lines()]
    assert len(lines) < 10
    assert lines[-2:] == ["and 24 more", "an engine is away"]


# --- inspect ---


def test_inspect_says_all_that_is_known(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(env={"API_TOKEN": "s3cret"}), name="digits")
    lab.runtime.write(NAME, b"round 1\nround 2\n")
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: not lab.records())
    done = lab.flcore("inspect", "job")
    facts = dict(re.findall(r"^  (\S[\w ]*?)  +(.*)$", done.out.replace("\nrequest\n  name", ""), re.MULTILINE))
    assert facts["name"] == "digits"
    assert facts["status"] == "EXECUTION_ERROR, exit code 3"
    assert facts["reason"] == "exit code 3; its last output: round 1 | round 2"
    assert done.lines[-2:] == ["  round 1", "  round 2"]
    assert [state for state in ("launching", "created", "running", "exited") if state in facts] == [
        *("launching", "created", "running", "exited"),
    ]
    assert "s3cret" not in done.out


def test_inspect_says_who_follows_a_job(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    assert "a process of its site" in lab.flcore("inspect", "job-1").out
    site.close()
    assert "nobody; the next start of its site" in lab.flcore("inspect", "job-1").out


def test_inspect_gives_json_too(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, b"\x1b[31mround 1\n")
    [job] = lab.flcore("inspect", "job-1", "--json").objects
    assert job["last_lines"] == ["\x1b[31mround 1"]
    assert job["request"]["name"] == NAME


# --- durations ---


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "1 h", "9" * 30 + "d", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.018, "18 ms"), (5.34, "5.3 s"), (83, "1 min 23 s"), (7500, "2 h 05 min"), (93600, "1 d 02 h")],
)
def test_a_duration_is_written(seconds: float | None, text: str) -> None:
    assert as_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (180000, "2 d")]
)
def test_an_age_is_written(seconds: float, text: str) -> None:
    assert as_age(seconds) == text
