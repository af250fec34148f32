"""What is drawn of a job over the time since it began."""

from __future__ import annotations

import pytest

from flcore.job_launcher_spec import JobUsage
from launchers.operator.job_view import JobView
from launchers.report.charts import Level
from launchers.report.curves import charts_of
from launchers.report.jobs import Job
from launchers.report.metrics import Curve, Metrics
from tests.job_views import BEGAN, SUCCEEDED, job_view

NOW = BEGAN + 60
POINTS = [(1.0, 0.5), (2.0, 0.7)]


def run(site: str = "site-1", limit: int = 0, began: float = BEGAN) -> JobView:
    """Return a run of 5 seconds, from the first on, that was measured twice."""
    usage = [JobUsage("job-1", site, began + second, second * 0.5, second << 20) for second in (2, 4)]
    request = {"HostConfig": {"Memory": limit}}
    return job_view(site=site, began=began, result=SUCCEEDED, usage=usage, request=request)


def test_what_was_used_is_drawn_from_when_the_job_began_not_the_run() -> None:
    cpu, memory = charts_of(Job("job-1", [run(), run("site-2", began=BEGAN + 10)]), [], NOW)
    assert [[x for x, _ in line.points] for line in cpu.lines] == [[4.0], [14.0]]
    assert [[x for x, _ in line.points] for line in memory.lines] == [[2.0, 4.0], [12.0, 14.0]]


@pytest.mark.parametrize(
    ("limits", "levels"),
    [
        ((0, 0), []),
        ((512, 512), [Level("limit", 512)]),
        ((512, 0), [Level("limit", 512)]),
        ((512, 1024), [Level("limit at site-1", 512), Level("limit at site-2", 1024)]),
    ],
)
def test_limits_of_memory_are_levels_that_are_alike_once(limits: tuple[int, int], levels: list[Level]) -> None:
    _, memory = charts_of(Job("job-1", [run(limit=limits[0]), run("site-2", limit=limits[1])]), [], NOW)
    assert memory.levels == levels


def test_a_curve_that_tells_times_is_drawn_at_these() -> None:
    metrics = Metrics(curves=[Curve("accuracy", "round", POINTS, [BEGAN + 3, BEGAN + 5])])
    chart = charts_of(Job("job-1", [job_view(result=SUCCEEDED)]), [("site-1", metrics)], NOW)[-1]
    assert (chart.lines[0].times, chart.note) == ([3.0, 5.0], "")


@pytest.mark.parametrize("times", [(), (BEGAN - 900, BEGAN + 3), (BEGAN + 3, BEGAN + 900)])
def test_a_curve_without_times_of_its_run_is_spread_over_it_and_that_is_said(times: tuple[float, ...]) -> None:
    metrics = Metrics(curves=[Curve("accuracy", "round", POINTS, times)])
    chart = charts_of(Job("job-1", [job_view(result=SUCCEEDED)]), [("site-1", metrics)], NOW)[-1]
    assert chart.lines[0].times == [3.5, 6.0]  # it ran from 1 to 6
    assert chart.note == "No times are told: each round is shown as long as the others."


def test_curves_of_several_sites_say_whose_they_are() -> None:
    metrics = Metrics(curves=[Curve("loss", "epoch", POINTS)])
    job = Job("job-1", [job_view(site=site, result=SUCCEEDED) for site in ("site-1", "site-2")])
    found = charts_of(job, [("site-1", metrics), ("site-2", metrics)], NOW)
    assert [chart.title for chart in found] == ["loss at site-1", "loss at site-2"]
