"""``flcore ps --watch``: each change as it comes."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from launchers.operator import watch
from launchers.operator.terminal import Terminal
from tests.operator_lab import TIMEOUT, OperatorLab, options, plain, until, view_of

NAME = "site-1-job-1"


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
