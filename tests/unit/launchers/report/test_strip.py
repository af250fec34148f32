"""The last 24 hours, a mark a job."""

from __future__ import annotations

from launchers.report.jobs import grouped
from launchers.report.strip import LENGTH, MOST_SINGLE, STEP, Strip, end_of, strip
from tests.job_views import BEGAN, FAILED, SUCCEEDED, job_view, running

NOW = BEGAN + 3600


def marks_of(found: Strip) -> dict[str, int]:
    return {lane.id: len(lane.marks) for lane in found.lanes}


def test_each_job_has_a_mark_in_the_lane_of_its_kind() -> None:
    found = strip(grouped([job_view("a", result=SUCCEEDED), job_view("b", result=FAILED), running("c")]), NOW)
    assert marks_of(found) == {"active": 1, "failed": 1, "ended": 1}
    assert found.summary == "The last 24 hours: 1 running, 1 failed, 1 done."


def test_a_job_that_ended_is_where_it_ended_and_one_that_runs_where_it_began() -> None:
    found = strip(grouped([job_view("a", result=SUCCEEDED), running("c", began=BEGAN - LENGTH)]), NOW)
    places = {lane.id: round(lane.marks[0].x, 3) for lane in found.lanes}
    ended_before = end_of(NOW) - (BEGAN + 6)
    assert places == {"active": 0.0, "ended": round(100 - 100 * ended_before / LENGTH, 3)}


def test_a_mark_says_when_which_job_and_why() -> None:
    [lane] = strip(grouped([job_view(result=FAILED)]), NOW).lanes
    assert lane.marks[0].title.endswith("job-1 failed: site-1: exit code 3")


def test_what_ended_before_has_no_mark_and_where_nothing_has_that_is_said() -> None:
    found = strip(grouped([job_view(result=SUCCEEDED)]), NOW + 2 * LENGTH)
    assert (found.lanes, found.summary) == ([], "The last 24 hours: no job.")
    assert found.note.startswith("No job has run in the last 24 hours; the last one ended at ")


def test_of_many_jobs_those_that_ended_together_have_a_bar() -> None:
    count = MOST_SINGLE + 1
    views = [job_view(f"job-{number}", began=BEGAN + number % 3 * STEP, result=SUCCEEDED) for number in range(count)]
    found = strip(grouped(views), NOW)
    [lane] = found.lanes
    assert (lane.total, len(lane.marks)) == (count, 3)
    assert max(mark.height for mark in lane.marks) == 100
    assert "the same ten minutes" in found.note


def test_it_is_the_same_for_ten_minutes() -> None:
    assert end_of(1200.0) == end_of(601.0) == 1200.0
    jobs = grouped([job_view(result=SUCCEEDED)])
    assert strip(jobs, end_of(NOW) - 1) == strip(jobs, end_of(NOW) - STEP + 1)


def test_hours_are_named_by_the_clock_and_each_second_one_is_for_a_phone_too() -> None:
    hours = strip(grouped([job_view(result=SUCCEEDED)]), NOW).hours
    assert len(hours) == 8
    assert [hour.is_major for hour in hours].count(True) == 4
    assert all(0 <= hour.x <= 100 for hour in hours)
