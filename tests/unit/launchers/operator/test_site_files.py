"""SiteFiles and FollowedHistory: what is read look by look is what a whole reading tells, of any history."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flcore.disk.journal_file import JournalFile
from flcore.observers.job_history import JobHistory, SiteHistory
from launchers.operator.job_index import JobIndex
from launchers.operator.job_json import as_dict, as_full_dict
from launchers.operator.job_view import JobView
from launchers.operator.selection import wanted_for
from launchers.operator.site_files import FollowedHistory, SiteFiles
from tests.journal_lines import RESULT
from tests.journal_lines import looks as looks_at_journals
from tests.thoroughness import tries

properties = settings(max_examples=tries(30), deadline=None)


def _told(history: SiteHistory) -> Any:
    return list(history.jobs.items()), history.outages


def _write(site: SiteFiles, lines: list[dict[str, Any]], max_size: int = 3000) -> None:
    file = JournalFile(site.journal, max_size, 2)
    for line in lines:
        file.write(line)
    file.close()


def _site_in(folder: str) -> SiteFiles:
    site = SiteFiles(Path(folder))
    site.folder.mkdir()
    return site


@properties
@given(looks_at_journals)
def test_the_history_of_each_look_is_that_of_a_whole_reading(looks: list[list[dict[str, Any]]]) -> None:
    with TemporaryDirectory() as folder:
        site = _site_in(folder)
        followed = FollowedHistory(site.journal)
        for lines in looks:
            _write(site, lines)
            history = followed.look()
            history.settle()
            assert _told(history) == _told(site.history())


@properties
@given(looks_at_journals)
def test_the_views_of_each_look_are_those_of_a_first_one(looks: list[list[dict[str, Any]]]) -> None:
    with TemporaryDirectory() as folder:
        site = _site_in(folder)
        index = JobIndex(lambda: [site])
        for lines in looks:
            _write(site, lines)
            first = JobIndex(lambda: [site])
            assert index.jobs() == first.jobs()
            assert index.outages() == first.outages()


@properties
@given(looks_at_journals)
def test_what_a_look_has_told_is_never_written_again(looks: list[list[dict[str, Any]]]) -> None:
    history = SiteHistory()
    told: list[tuple[JobHistory, JobHistory]] = []
    for lines in looks:
        for line in lines:
            try:
                history.take_in(line)
            except KeyError:
                continue
        told += [(job, copy.deepcopy(job)) for job in history.jobs.values()]
        history.settle()
        assert all(job == then for job, then in told)


def test_a_look_at_a_journal_that_has_not_changed_makes_nothing_anew(tmp_path: Path) -> None:
    site = _site_in(str(tmp_path))
    lines = [{"event": "completed", "time": 1.0, "site": "site-1", "job_id": job, "result": RESULT} for job in "abc"]
    _write(site, lines[:2])
    index = JobIndex(lambda: [site])
    first = index.jobs()
    again = index.jobs()
    _write(site, lines[2:])
    after_one_line = index.jobs()

    assert all(one is two for one, two in zip(first, again, strict=True))
    assert [view.history.job_id for view in after_one_line] == ["a", "b", "c"]
    assert all(one is two for one, two in zip(first, after_one_line[:2], strict=True))


def test_a_look_costs_what_is_new_since_the_last_one(tmp_path: Path) -> None:
    site = _site_in(str(tmp_path))
    usage = {"event": "usage", "time": 1.0, "site": "site-1", "job_id": "job-7", "cpu_seconds": 1.0, "memory": 1}
    _write(site, [usage | {"job_id": f"job-{number // 10}"} for number in range(1000)], 1 << 20)
    index = JobIndex(lambda: [site])
    first, again = _calls_in(index.jobs), _calls_in(index.jobs)
    _write(site, [usage], 1 << 20)
    after_one_line = _calls_in(index.jobs)

    assert max(again, after_one_line) < first / 5


def _calls_in(look: Callable[[], object]) -> int:
    """Return how many functions are called by a look: what it costs, whatever else this machine does."""
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _arg: calls.append(event))
    try:
        look()
    finally:
        sys.setprofile(None)
    return len(calls)


def test_two_sites_of_one_workspace_share_a_journal_and_each_tells_its_own(tmp_path: Path) -> None:
    site = _site_in(str(tmp_path))
    index = JobIndex(lambda: [SiteFiles(tmp_path), SiteFiles(tmp_path)])
    for name in ("site-1", "site-2"):
        _write(
            site,
            [{"event": "launching", "time": 1.0, "site": name, "job_id": "a", "name": json.dumps(name), "parent": "p"}],
        )
        index.jobs()
    assert [(view.history.site, view.history.name) for view in index.jobs()] == [
        ("site-1", '"site-1"'),
        ("site-2", '"site-2"'),
    ]


@pytest.mark.parametrize("name", ["site-id", "journal.jsonl"])
def test_a_pipe_in_place_of_a_file_is_an_error_that_nobody_waits_for(name: str, tmp_path: Path) -> None:
    (tmp_path / ".flcore").mkdir()
    os.mkfifo(tmp_path / ".flcore" / name)
    site = SiteFiles(tmp_path)
    with pytest.raises(OSError, match="it is no file"):
        site.site_id() if name == "site-id" else site.history()


def test_a_pipe_among_the_records_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".flcore" / "jobs").mkdir(parents=True)
    os.mkfifo(tmp_path / ".flcore" / "jobs" / "x.jsonl")
    assert SiteFiles(tmp_path).records() == []


@properties
@given(looks_at_journals, st.lists(st.sampled_from(["a", "b", "x"]), min_size=1, max_size=2), st.booleans())
def test_a_look_at_some_jobs_tells_of_them_what_a_look_at_all_does(
    looks: list[list[dict[str, Any]]], names: list[str], usage: bool
) -> None:
    with TemporaryDirectory() as folder:
        site = _site_in(folder)
        index, all_jobs = JobIndex(lambda: [site], wanted=wanted_for(names, usage=usage)), JobIndex(lambda: [site])
        for lines in looks:
            _write(site, lines)
            expected = [view for view in all_jobs.jobs() if view.history.job_id in names]
            assert _shown(index.jobs(), usage) == _shown(expected, usage)


@properties
@given(looks_at_journals)
def test_a_look_that_needs_no_usage_tells_all_else(looks: list[list[dict[str, Any]]]) -> None:
    with TemporaryDirectory() as folder:
        site = _site_in(folder)
        index, all_jobs = JobIndex(lambda: [site], wanted=wanted_for([])), JobIndex(lambda: [site])
        for lines in looks:
            _write(site, lines)
            assert _shown(index.jobs(), usage=False) == _shown(all_jobs.jobs(), usage=False)
            # Among the ids is one, too, that only a broken line names: they are searched for in the text.
            assert {view.history.job_id for view in all_jobs.jobs()} <= set(index.job_ids(""))


def _shown(views: list[JobView], usage: bool) -> list[Any]:
    """Return what `ps`, or, with what was used, `inspect` shows of jobs."""
    return [(as_full_dict if usage else as_dict)(view, 0.0) for view in views]
