"""What `flcore ps` shows is the same whether lines are parsed before it is known of which jobs, or after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flcore.disk.journal_file import MAX_LINE, JournalFile
from flcore.disk.locks import locked
from launchers.operator.job_index import JobIndex
from launchers.operator.job_json import as_dict
from launchers.operator.selection import jobs_to_show, wanted_for, wanted_to_show
from launchers.operator.site_files import SiteFiles
from tests.journal_lines import RESULT, ids, one_line, results, times
from tests.operator_lab import options
from tests.thoroughness import tries

LIVING, DEAD = "p", "q"
FIRST = "event", "time", "site", "job_id", "cpu_seconds"
"""The fields with which a line begins that a site writes."""


def run_of(job_id: str, site: str, began: float, parent: str, container: str, result: dict[str, Any]) -> list[Any]:
    """Return the lines of a run as a JobJournal writes them."""
    who = {"site": site, "job_id": job_id}
    change = {"container_name": "c", "container_id": container, "previous": None}
    told = f"{job_id}{site}{container}{began}"
    return [
        {"event": "launching", "time": began, **who, "name": "n", "parent": parent},
        {"event": "launched", "time": began + 1, **who, "request": {"Image": "x", "Labels": {"job_id": "a"}}},
        {"event": "state_change", "time": began + 2, **who, **change, "state": "running", "result": None},
        {"event": "usage", "time": began + 3, **who, "cpu_seconds": 1.0, "memory": 1},
        {"event": "state_change", "time": began + 4, **who, **change, "state": "exited", "result": result},
        {"event": "completed", "time": began + 5, **who, "result": result, "id": f"{told}.1"},
    ]


def runs_at(site: str) -> st.SearchStrategy[list[Any]]:
    """Return runs of which some have not ended, and some no beginning."""
    parents, containers = st.sampled_from([LIVING, DEAD]), st.sampled_from(["1", "2", "3"])
    whole = st.builds(run_of, ids, st.just(site), times, parents, containers, results)
    return st.builds(lambda run, first, end: run[first:end], whole, st.sampled_from([0, 0, 0, 1, 3]), st.integers(4, 6))


def others_at(site: str) -> st.SearchStrategy[list[Any]]:
    """Return single lines, of a site's or not."""
    odd = one_line.map(lambda line: dict(reversed(line.items())) | {"site": site})
    torn = st.sampled_from(
        [b'{"event": "completed", "time": 1.0, "site": "site-1", "job_id": "a", "resu\n', b"\n", b"[]\n", b"\xff\n"]
    )
    told = one_line.map(lambda line: {key: line[key] for key in FIRST if key in line} | line | {"site": site})
    return st.one_of(told, told, told, told, odd, torn).map(lambda line: [line])


def journals_at(site: str) -> st.SearchStrategy[list[Any]]:
    some = st.lists(st.one_of(runs_at(site), runs_at(site), runs_at(site), others_at(site)), max_size=12)
    return some.map(lambda several: [line for lines in several for line in lines])


records = st.lists(st.tuples(ids, times, st.sampled_from([LIVING, DEAD])), max_size=2)


@contextmanager
def workspaces(journals: Sequence[Sequence[Any]], there: Sequence[Any] = ()) -> Iterator[list[SiteFiles]]:
    """Make a site for each journal; the first has some records, and a process of each of them lives."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        sites = [SiteFiles(Path(folder, f"site-{number}")) for number, _ in enumerate(journals, 1)]
        for site, lines in zip(sites, journals, strict=True):
            (site.folder / "parents").mkdir(parents=True)
            stack.callback(locked(site.folder / "parents" / LIVING).release)
            write(site, lines)
        for number, (job_id, time, parent) in enumerate(there):
            who = {"job_id": job_id, "site": "site-1", "parent": parent, "time": time, "launcher": "l", "nonce": "n"}
            path = sites[0].folder / "jobs" / f"{number}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(who) + "\n")
        yield sites


def write(site: SiteFiles, lines: Sequence[Any]) -> None:
    """Write a journal, in files of 3,000 bytes, of which two are kept; bytes as they are."""
    file = JournalFile(site.journal, 3000, 2)
    for line in lines:
        if isinstance(line, bytes):
            with site.journal.open("ab") as raw:
                raw.write(line)
        else:
            file.write(line)
    file.close()


def shown(sites: Sequence[SiteFiles], last: int, *, is_quick: bool) -> tuple[list[Any], list[str]]:
    args = options(last=last)
    index = JobIndex(lambda: sites, wanted=wanted_to_show(args) if is_quick else wanted_for(()))
    return [as_dict(view, 0.0) for view in jobs_to_show(index.jobs(), args)], list(index.problems)


@settings(max_examples=tries(100), deadline=None)
@given(journals_at("site-1"), journals_at("site-2"), records, st.integers(0, 3))
def test_a_quick_look_shows_what_a_whole_one_does(one: list[Any], two: list[Any], there: list[Any], last: int) -> None:
    with workspaces([one, two], there) as sites:
        assert shown(sites, last, is_quick=True) == shown(sites, last, is_quick=False)


def parsed(sites: Sequence[SiteFiles], last: int) -> list[str]:
    """Return of which jobs a quick look parses the lines, having seen that it shows what a whole one does."""
    assert shown(sites, last, is_quick=True) == shown(sites, last, is_quick=False)
    index = JobIndex(lambda: sites, wanted=wanted_to_show(options(last=last)))
    return [view.history.job_id for view in index.jobs()]


def many(count: int, site: str = "site-1") -> list[Any]:
    each = (run_of(f"job-{n}", site, 10.0 * n, LIVING, str(n), RESULT) for n in range(count))
    return [line for lines in each for line in lines if line["event"] != "usage"]


def written(*sites: SiteFiles, lines: Sequence[Any]) -> None:
    for site in sites:
        data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        site.journal.write_bytes(data)


def test_of_many_jobs_that_have_ended_only_the_last_are_parsed() -> None:
    with workspaces([[]]) as sites:
        written(*sites, lines=many(50))
        assert parsed(sites, 3) == ["job-47", "job-48", "job-49"]


def test_of_many_jobs_none_is_parsed_where_none_is_to_be_shown() -> None:
    with workspaces([[]]) as sites:
        written(*sites, lines=many(50))
        assert parsed(sites, 0) == []


def test_a_job_that_runs_since_long_ago_is_found_behind_all_others() -> None:
    with workspaces([[]]) as sites:
        written(*sites, lines=[*run_of("old", "site-1", 1.0, LIVING, "x", RESULT)[:3], *many(50)])
        assert parsed(sites, 1) == ["old", "job-49"]


def test_a_next_run_whose_forerunner_is_told_of_last_is_found() -> None:
    first, second = (run_of("twice", "site-1", began, LIVING, str(began), RESULT) for began in (1.0, 2.0))
    with workspaces([[]]) as sites:
        written(*sites, lines=[*first[:3], second[0], *first[4:], *many(50)])
        assert parsed(sites, 1) == ["twice", "job-49"]
        [running] = [view for view in shown(sites, 1, is_quick=True)[0] if view["active"]]
        assert running["job_id"] == "twice"


@pytest.mark.parametrize(
    "odd",
    [
        b"x" * (2 * MAX_LINE + 5) + b"\n",
        b'{"event": "completed", "time": 1.0, "site": "site-1", "job_id": "job-1", "res\n',
        b"\n",
        json.dumps(
            {"site": "site-1", "job_id": "job-x", "event": "launching", "time": 900.0, "parent": LIVING}
        ).encode()
        + b"\n",
    ],
    ids=["huge", "torn", "empty", "in-another-order"],
)
@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_line_that_no_site_writes_changes_nothing(odd: bytes, place: int) -> None:
    lines = many(50)
    with workspaces([[]]) as sites:
        written(*sites, lines=[*lines[:place], odd, *lines[place:]])
        assert "job-49" in parsed(sites, 2)


def test_a_line_that_is_not_whole_yet_is_not_there() -> None:
    lines = many(50)
    with workspaces([[]]) as sites:
        written(*sites, lines=[*lines[:-1], json.dumps(lines[-1]).encode()[:-3]])
        assert parsed(sites, 2) == ["job-47", "job-48", "job-49"]


def test_a_job_of_which_another_site_only_tells_what_it_has_used_is_shown_there_too() -> None:
    usage = {"event": "usage", "time": 1.0, "site": "site-2", "job_id": "job-49", "cpu_seconds": 1.0, "memory": 1}
    with workspaces([[], []]) as sites:
        written(sites[0], lines=many(50))
        written(sites[1], lines=[usage, *many(2, "site-2")])
        assert parsed(sites, 1).count("job-49") == 2


def test_a_job_that_began_last_by_a_clock_that_was_set_back_is_one_of_the_last() -> None:
    launching, *others = run_of("ahead", "site-1", 1.0, LIVING, "x", RESULT)
    with workspaces([[]]) as sites:
        written(*sites, lines=[{**launching, "time": 1e6}, *others, *many(50)])
        assert parsed(sites, 1) == ["ahead"]


def test_a_job_of_which_but_what_it_has_used_nothing_can_be_read_is_shown() -> None:
    broken, usage = (run_of("broken", "site-1", 1.0, LIVING, "x", RESULT)[place] for place in (2, 3))
    del broken["container_name"]
    with workspaces([[]]) as sites:
        written(*sites, lines=[broken, usage, *many(2)])
        assert parsed(sites, 3) == ["broken", "job-0", "job-1"]


def test_a_job_of_all_sites_that_has_failed_behind_its_end_here_is_over() -> None:
    about_job_1 = {"time": 16.0, "site": "site-1", "job_id": "job-1"}
    failed = {"event": "federated_failure", **about_job_1, "status": "FINISHED:ABORTED"}
    with workspaces([[]]) as sites:
        written(*sites, lines=[*many(50)[:10], failed, *many(50)[10:]])
        assert parsed(sites, 1) == ["job-49"]
