"""SiteFiles and FollowedHistory: what is read look by look is what a whole reading tells, of any history."""

from __future__ import annotations

import copy
import json
import os
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
from tests.thoroughness import tries

_RESULT = {
    "return_code": "SUCCESS",
    "exit_code": 0,
    "signal": None,
    "oom_killed": False,
    "error": "",
    "ended_by": "",
    "started_at": 1.0,
    "finished_at": 2.0,
}
_results = st.sampled_from([_RESULT, {**_RESULT, "return_code": "ABORTED", "exit_code": 137}])
properties = settings(max_examples=tries(30), deadline=None)

_sites, _ids = st.sampled_from(["site-1", "site-2"]), st.sampled_from(["a", "b", "c"])
_times = st.integers(1, 99).map(float)


def _lines_of(event: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"event": st.just(event), "time": _times, "site": _sites, **fields})


_lines = st.one_of(
    _lines_of("launching", job_id=_ids, name=st.just("n"), parent=st.sampled_from(["p", "q"])),
    _lines_of("launched", job_id=_ids, request=st.just({"Image": "x"})),
    _lines_of("recovered", job_id=_ids, parent=st.sampled_from(["p", "q"])),
    _lines_of(
        "state_change",
        job_id=_ids,
        container_name=st.just("c"),
        container_id=st.sampled_from(["", "1", "2"]),
        state=st.sampled_from(["created", "running", "exited"]),
        result=st.none() | _results,
    ),
    _lines_of("completed", job_id=_ids, result=_results),
    _lines_of("aborted", job_id=_ids, result=_results),
    _lines_of("usage", job_id=_ids, cpu_seconds=_times, memory=st.integers(0, 9)),
    _lines_of("image_pulled", image=st.just("x"), seconds=_times, error=st.just("")),
    _lines_of("engine_unreachable", reason=st.just("down")),
    _lines_of("engine_reachable", reason=st.just("")),
    _lines_of("launching", job_id=_ids),  # broken: what it lacks is an error, whoever reads it
    _lines_of("state_change", job_id=_ids, container_id=st.just("1")),
)
_looks = st.lists(st.lists(_lines, max_size=6), max_size=8)


def _told(history: SiteHistory) -> Any:
    return list(history.jobs.items()), history.outages


def _write(site: SiteFiles, lines: list[dict[str, Any]]) -> None:
    file = JournalFile(site.journal, 3000, 2)
    for line in lines:
        file.write(line)
    file.close()


def _site_in(folder: str) -> SiteFiles:
    site = SiteFiles(Path(folder))
    site.folder.mkdir()
    return site


@properties
@given(_looks)
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
@given(_looks)
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
@given(_looks)
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
    lines = [{"event": "completed", "time": 1.0, "site": "site-1", "job_id": job, "result": _RESULT} for job in "abc"]
    _write(site, lines[:2])
    index = JobIndex(lambda: [site])
    first = index.jobs()
    again = index.jobs()
    _write(site, lines[2:])
    after_one_line = index.jobs()

    assert all(one is two for one, two in zip(first, again, strict=True))
    assert [view.history.job_id for view in after_one_line] == ["a", "b", "c"]
    assert all(one is two for one, two in zip(first, after_one_line[:2], strict=True))


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
@given(_looks, st.lists(st.sampled_from(["a", "b", "x"]), min_size=1, max_size=2), st.booleans())
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
@given(_looks)
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
