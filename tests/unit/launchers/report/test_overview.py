"""What there is to know of all jobs at a glance."""

from __future__ import annotations

from flcore.observers.job_history import Outage
from launchers.report.jobs import grouped
from launchers.report.overview import overview
from tests.job_views import BEGAN, FAILED, SUCCEEDED, job_view, running

NOW = BEGAN + 60


def test_no_job_and_one_job_are_said_in_words() -> None:
    assert overview([], [], [], NOW).summary == "No job has run yet."
    one = overview(grouped([job_view(result=FAILED)]), [], [], NOW)
    assert (one.summary, one.counts) == ("job-1: failed after 6.0 s (site-1: exit code 3).", [])


def test_jobs_are_counted_by_how_it_is_with_them() -> None:
    jobs = grouped([job_view("a", result=SUCCEEDED), job_view("b", result=SUCCEEDED), running("c")])
    found = overview(jobs, [], [], NOW)
    assert found.summary == "3 jobs: 1 active, 2 succeeded."
    assert found.counts == [("active", "active", 1), ("ok", "succeeded", 2), ("failed", "failed", 0)]


def test_the_time_of_all_runs_is_shared_among_their_phases() -> None:
    found = overview(grouped([job_view("a", result=SUCCEEDED), running("b")]), [], [], NOW)
    assert [(each.phase, each.total, each.longest_job) for each in found.phases] == [
        ("launching", "1.0 s", "b"),
        ("created", "1.0 s", "b"),
        ("running", "1 min 4 s", "b"),
    ]
    assert round(sum(each.share for each in found.phases), 6) == 100


def test_the_most_frequent_reason_is_first_and_names_its_newest_job() -> None:
    jobs = grouped([job_view(f"job-{number}", began=BEGAN + number, result=FAILED) for number in range(3)])
    [reason] = overview(jobs, [], [], NOW).reasons
    assert (reason.text, reason.runs, reason.last_job) == ("exit code 3", 3, "job-2")


def test_only_the_last_outages_are_told() -> None:
    outages = [Outage("site-1", BEGAN + number, BEGAN + number + 2, "it is down") for number in range(9)]
    told = overview([], outages, ["one\nproblem"], NOW)
    assert len(told.outages) == 5
    assert told.outages[-1].endswith("the engine of site-1 did not answer for 2.0 s: it is down")
    assert told.problems == ["one problem"]
